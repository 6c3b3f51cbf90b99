"""The nodes of a loop as a graph of vector operations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from xdsl.ir import SSAValue

from compiler.codegen.context import Context, Place
from compiler.codegen.graph import Graph, leave_to_streams
from compiler.codegen.operands import Operand
from compiler.errors import CompileError
from compiler.ir.loops import Accumulated, Apply, Index, Literal, Load, Node, Result
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.elementwise import bring_to_type, expand
from compiler.ops.interpret import to_lanes
from compiler.ops.registry import UnsupportedError


@dataclass(frozen=True)
class LoopGraph:
    """Vector operations of a loop's nodes.

    Attributes:
        values: for each node of the loop its value in the graph.
        operands: what the graph's inputs read; None for the contraction's sum.
    """

    graph: Graph
    values: tuple[int, ...]
    operands: tuple[Operand | None, ...]

    def stored(self, results: Sequence[Result], others: Sequence[int] = ()) -> list[int]:
        """The graph's values that become results; others are needed of the graph too."""
        values = [self.values[r.node] for r in results]
        elements = [tensor_of(r.value).element for r in results]
        return leave_to_streams(self.graph, values, elements, others)


def literal_bits(literal: Literal) -> int:
    """Lane bits of a literal."""
    return int(to_lanes(np.asarray(literal.value, literal.element.numpy))[0])


def build(context: Context, nodes: Sequence[Node],
          place: Callable[[SSAValue], Place] | None = None) -> LoopGraph:
    """The graph of a loop's nodes.

    Args:
        place: where it reads a value; by default where the context has it.

    Raises:
        CompileError: an operation has no code for this use.
    """
    graph = Graph(context.config.special_function_unit)
    values: list[int] = []
    operands: list[Operand | None] = []
    for node in nodes:
        if isinstance(node, Literal):
            values.append(graph.bits(literal_bits(node)))
        elif isinstance(node, Apply):
            values.append(_apply(graph, node, [values[a] for a in node.arguments]))
        else:
            operands.append(_operand(node, place or context.place))
            values.append(_read(graph, node, len(operands) - 1))
    return LoopGraph(graph, tuple(values), tuple(operands))


def operand_of(context: Context, node: Load | Index) -> Operand:
    """What a node reads, as an operand of a nest."""
    return _walk(node, context.place)


def _walk(node: Load | Index, place: Callable[[SSAValue], Place]) -> Operand:
    if isinstance(node, Index):
        return Operand(None, node.view)
    found = place(node.value)
    if found.inside is None:
        return Operand(found, node.view)
    assert node.view.is_whole
    return Operand(found, replace(node.view, strides=found.inside))


def _operand(node: Load | Index | Accumulated, place: Callable[[SSAValue], Place]
             ) -> Operand | None:
    return None if isinstance(node, Accumulated) else _walk(node, place)


def _read(graph: Graph, node: Load | Index | Accumulated, number: int) -> int:
    if isinstance(node, Load):
        return graph.input(number, bf16=node.element is ElementType.BF16)
    value = graph.input(number)
    if isinstance(node, Index) and node.element.is_float:
        value = graph.i2f(value)
    return bring_to_type(graph, value, node.element)


def _apply(graph: Graph, node: Apply, arguments: Sequence[int]) -> int:
    call = node.op.call
    try:
        node.operation.check_supported(call)
    except UnsupportedError as error:
        raise CompileError(str(error), node.op.source) from error
    return expand(node.operation, graph, call, *arguments)
