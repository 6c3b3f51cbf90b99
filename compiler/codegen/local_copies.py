"""Copies inside the scratchpad, by the vector unit: bits as they are."""

from collections.abc import Sequence
from itertools import product
from math import gcd, prod

from compiler.codegen.body import OUTPUT, Assembler
from compiler.codegen.commands import Body, Stream
from compiler.codegen.context import Context
from compiler.codegen.elementwise import WORD
from compiler.codegen.graph import Graph
from compiler.errors import Location
from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.dtypes import DType
from hw.isa.params import LEVELS

WHOLE = {1: DType.S8, 2: DType.S16, 4: DType.S32}
"""Types that streams carry without changing a bit, by size."""

Loop = tuple[int, int, int]
"""(bound, bytes from one to the next in the source, in the target)."""


def copy_runs(context: Context, addresses: tuple[int, int], run: int, loops: Sequence[Loop],
              location: Location) -> None:
    """Appends the kernels that copy runs of bytes.

    Args:
        addresses: of source and target.
        run: bytes that are neighbours on both sides; `loops` around it, innermost first.
    """
    loops = [loop for loop in loops if loop[0] > 1]
    unit = gcd(4, run, *addresses, *(stride for _, *strides in loops for stride in strides))
    inner, outer = loops[: LEVELS - 1], loops[LEVELS - 1:]
    groups = -(-run // unit // context.config.lanes)
    for index in product(*(range(bound) for bound, _, _ in outer)):
        streams = [Stream(
            base + sum(i * loop[side] for i, loop in zip(index, outer, strict=True)),
            run // unit, unit,
            ((groups, context.config.lanes * unit), *((loop[0], loop[side]) for loop in inner)),
            WHOLE[unit], lane_level=1) for side, base in enumerate(addresses, 1)]
        context.kernel(groups * prod(bound for bound, _, _ in inner), _body(zero=False),
                       {0: streams[0]}, {0: streams[1]}, location)


def copy_cycles(config: AcceleratorConfig, size: int) -> int:
    """Of the vector unit, for a copy of so many bytes in words."""
    return timing.kernel_cycles(config, -(-size // (WORD * config.lanes)), 1)


def clear_runs(context: Context, address: int, run: int, loops: Sequence[tuple[int, int]],
               location: Location) -> None:
    """Appends the kernels that make runs of bytes zero.

    Args:
        loops: (bound, bytes from one to the next) around a run, innermost first.
    """
    loops = [loop for loop in loops if loop[0] != 1]
    if not run or any(bound == 0 for bound, _ in loops):
        return
    unit = gcd(4, run, address, *(stride for _, stride in loops))
    inner, outer = loops[: LEVELS - 1], loops[LEVELS - 1:]
    groups = -(-run // unit // context.config.lanes)
    for index in product(*(range(bound) for bound, _ in outer)):
        target = Stream(address + sum(i * step for i, (_, step) in zip(index, outer, strict=True)),
                        run // unit, unit, ((groups, context.config.lanes * unit), *inner),
                        WHOLE[unit], lane_level=1)
        context.kernel(groups * prod(bound for bound, _ in inner), _body(zero=True), {},
                       {0: target}, location)


def _body(*, zero: bool) -> Body:
    assembler, graph = Assembler(), Graph()
    assembler.section(graph, [(graph.bits(0) if zero else graph.input(0), OUTPUT)])
    return assembler.finish()
