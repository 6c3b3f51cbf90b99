"""Code for dot_general.

Every sum is made in ascending k, where k counts through the contracting dimensions in the order
the operation lists them, the last one fastest. bf16 operands, and f32 ones rounded to bf16 while
they are loaded, are multiplied exactly and summed in f32; s8 operands in s32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Axis, boxes
from compiler.codegen.contraction_loop import Block, ContractionLoop, KTile, Sink, Slab
from compiler.codegen.contraction_operands import (
    DotActivations,
    DotWeights,
    Operand,
    Tiling,
    cut,
)
from compiler.codegen.contraction_plan import Plan, Shape, choose
from compiler.errors import CompileError, Location
from hw.isa.dtypes import DType


@dataclass(frozen=True)
class Dot:
    """A batch of matrix products of operands the matrix unit understands.

    Attributes:
        activations, weights: where the factors are.
        parts: for each term of the product (part of activations, part of weights), in the order
            in which they are summed.
        result_bytes: of an element as it goes to DRAM, for the choice of tiles.
    """

    activations: Operand
    weights: Operand
    parts: tuple[tuple[int, int], ...] = ((0, 0),)
    result_bytes: int = 4

    @property
    def rows(self) -> int:
        return prod(axis.size for axis in self.activations.free)

    @property
    def columns(self) -> int:
        return prod(axis.size for axis in self.weights.free)

    @property
    def k(self) -> int:
        return prod(axis.size for axis in self.activations.k)

    @property
    def shape(self) -> Shape:
        pair = (self.activations, self.weights)
        return Shape(len(pair[0].batch), self.rows, self.columns, self.k,
                     (pair[0].dram_type.size, pair[1].dram_type.size), pair[0].local_type.size,
                     self.result_bytes, (pair[0].k_contiguous, pair[1].k_contiguous),
                     len(self.parts), (len(pair[0].places), len(pair[1].places)))


def emit_dot(context: Context, dot: Dot, sink: Callable[[Tiling], Sink], location: Location, *,
             segment: int | None = None, reserved: int = 0) -> None:
    """Appends the commands of a dot product.

    Args:
        sink: what takes the sums, made for the tiling.
        segment: the longest run of k summed in the accumulators, None for all of k.
        reserved: bytes of scratchpad the sink needs.

    Raises:
        CompileError: the scratchpad is too small.
    """
    config = context.config
    plan = choose(config, dot.shape, config.scratchpad_bytes - reserved)
    if plan is None:
        raise CompileError(
            f"tiles of this contraction do not fit the scratchpad of {config.scratchpad_bytes} "
            "bytes: use a configuration with a larger one", location)
    tiling = _tiling(dot, plan, segment)
    slabs = _slabs(tiling, config.array_rows, segment)
    loop = ContractionLoop(
        context, DotActivations(context, dot.activations, tiling, location),
        DotWeights(context, dot.weights, tiling, location), sink(tiling), slabs,
        dot.activations.local_type is DType.S8, location)
    loop.run(_blocks(len(dot.activations.batch), tiling, plan))


def _tiling(dot: Dot, plan: Plan, segment: int | None) -> Tiling:
    depths = (*plan.first_depths, plan.depth)
    if segment is not None:
        depths = (segment,)
    return Tiling(tuple(boxes(dot.activations.free, [plan.rows])),
                  tuple(boxes(dot.weights.free, [plan.columns])),
                  tuple(boxes(dot.activations.k, depths)), dot.parts, plan.resident)


def _slabs(tiling: Tiling, height: int, segment: int | None) -> list[Slab]:
    """All slabs of a block: for each term all of k."""
    order = [(term, box) for term in range(len(tiling.parts)) for box in range(len(tiling.k))]
    return [Slab(number, box, term,
                 tuple(KTile(*piece) for piece in cut(tiling.k[box].count, height)),
                 opens=segment is not None or number == 0,
                 closes=segment is not None or number == len(order) - 1)
            for number, (term, box) in enumerate(order)]


def _blocks(batch: int, tiling: Tiling, plan: Plan) -> Sequence[Block]:
    rows, columns = range(len(tiling.rows)), range(len(tiling.columns))
    if plan.rows_outer:
        return [Block(b, r, c) for b in range(batch) for r in rows for c in columns]
    return [Block(b, r, c) for b in range(batch) for c in columns for r in rows]
