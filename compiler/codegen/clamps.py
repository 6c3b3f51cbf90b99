"""Trailing minima and maxima by constants, which output streams apply at no cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.codegen.commands import Stream
from compiler.codegen.graph import CONSTANT, Graph, count_uses
from compiler.ir.types import ElementType
from hw.isa.numerics import INFINITY, SIGN, Bits, fmax, fmin


@dataclass(frozen=True, slots=True)
class Clamp:
    """fmin(fmax(x, low), high); bits of f32."""

    low: int
    high: int


def clamped(stream: Stream, clamp: Clamp | None) -> Stream:
    """An output stream that clamps."""
    return stream if clamp is None else stream._replace(clamp=(clamp.low, clamp.high))


def leave_clamps(graph: Graph, outputs: Sequence[int], elements: Sequence[ElementType]
                 ) -> tuple[list[int], list[Clamp | None]]:
    """Outputs without the clamps that their streams apply, and these clamps.

    Args:
        elements: the types the outputs are stored as; empty to leave them as they are.
    """
    if not elements:
        return list(outputs), [None] * len(outputs)
    uses = count_uses(graph, outputs)
    found = [_peeled(graph, output, uses) if element.is_float else (output, None)
             for output, element in zip(outputs, elements, strict=True)]
    return [value for value, _ in found], [clamp for _, clamp in found]


def _peeled(graph: Graph, value: int, uses: Mapping[int, int]) -> tuple[int, Clamp | None]:
    """Bounds found further inside are themselves subject to those outside of them."""
    low, high = _lane(SIGN | INFINITY), _lane(INFINITY)
    outermost = value
    while uses[value] == 1 and (bound := _bound(graph, value)) is not None:
        constant, inner = bound
        if graph.nodes[value].kind == "fmax":
            low = fmax(constant, low)
        else:
            high = fmin(fmax(constant, low), high)
        value = inner
    return value, None if value == outermost else Clamp(int(low[0]), int(high[0]))


def _bound(graph: Graph, value: int) -> tuple[Bits, int] | None:
    """The constant and the other operand of a minimum or maximum."""
    node = graph.nodes[value]
    if node.kind in ("fmin", "fmax") and not node.swizzle:
        for constant, other in (node.operands, node.operands[::-1]):
            if graph.nodes[constant].kind == CONSTANT:
                return _lane(graph.nodes[constant].value), other
    return None


def _lane(value: int) -> Bits:
    return np.array([value], np.uint32)
