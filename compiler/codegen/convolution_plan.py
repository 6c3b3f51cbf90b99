"""Tile sizes of a convolution, chosen by predicted cycles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod

from compiler.codegen.convolution_operands import Input
from compiler.codegen.convolution_rows import RowCut, Rows, row_cut
from compiler.codegen.elementwise import WORD
from compiler.codegen.search import least
from hw import timing
from hw.config import AcceleratorConfig

STREAMED_PIECES = 3
"""Pieces of streamed weights that must fit at once: in use, loaded, on the way."""

TRAFFIC = 4
"""A cycle of loads that overlap with other work counts as this part of one: they delay others."""


@dataclass(frozen=True)
class Shape:
    """Sizes that a plan depends on.

    Attributes:
        rows: results along batch and spatial dimensions.
        columns: result features of a group; `k` steps of each sum, `tiles` weight tiles for it.
        weight_bytes: of an element in DRAM.
        result_bytes: of a result element in DRAM; `epilogue_bytes`: scratchpad it needs.
        longest: the longest slab, None for any.
        issues: vector instructions for each group of lanes of a result.
        copied: groups of lanes to copy for each result to pack its window, 0 when it cannot be.
        kept: whether the weights are in the scratchpad already.
        steady: whether other work goes before, during which the first tile is loaded.
    """

    source: Input
    rows: tuple[int, ...]
    groups: int
    columns: int
    k: int
    tiles: int
    weight_bytes: int
    result_bytes: int
    epilogue_bytes: int
    terms: int
    parts: tuple[int, int]
    longest: int | None
    issues: int
    copied: int
    kept: bool = False
    steady: bool = False


@dataclass(frozen=True)
class Plan:
    """How a convolution is cut.

    Attributes:
        cut: of result rows; columns, depth: of a block, of a slab, at most.
        weights: `whole` when all weights stay in the scratchpad, else `none`.
        buffers: input tiles held at once.
        packed: ranges of rows whose windows are copied next to each other from one tile of the
            input (`convolution_packing`); 0 when windows are read in the tile.
    """

    cut: RowCut
    columns: int
    depth: int
    weights: str
    buffers: int
    packed: int = 0

    @property
    def rows(self) -> tuple[Rows, ...]:
        """Ranges of result rows."""
        return tuple(self.cut.ranges())


def choose(config: AcceleratorConfig, shape: Shape, scratchpad_bytes: int) -> Plan | None:
    """The plan with the fewest predicted cycles; None when nothing fits.

    Args:
        scratchpad_bytes: what operands and results may use.
    """
    source = shape.source
    anywhere = replace(source, places=tuple((window, 0) for window, _ in source.places))
    sizes = replace(shape, source=anywhere)
    # The best plan of all is the best one wherever there is room for it: bands of a chain have
    # many different rooms.
    plan = _choose(config, sizes, config.scratchpad_bytes)
    if plan is not None and _bytes(sizes, plan) > scratchpad_bytes:
        plan = _choose(config, sizes, scratchpad_bytes)
    return plan


@lru_cache(maxsize=1024)
def _choose(config: AcceleratorConfig, shape: Shape, scratchpad_bytes: int) -> Plan | None:
    """The same for every place of the input: layers of equal shapes share their plan. Blocks that
    keep the array busy for longer than a plan found already takes are not looked into."""

    def fitting(block: _Block) -> Iterator[Plan]:
        return (p for p in _candidates(config, shape, *block)
                if _bytes(shape, p) <= scratchpad_bytes)

    found = least(
        _blocks(config, shape), lambda block: _array_cycles(config, shape, *block), fitting,
        lambda plan: (_cycles(config, shape, plan), plan.cut.count, -plan.depth))
    return found[0] if found else None


_Block = tuple[RowCut, int]
"""Results that are summed at once: ranges of rows, some columns."""


def _blocks(config: AcceleratorConfig, shape: Shape) -> Iterator[_Block]:
    """Blocks for which there are accumulators."""
    limits = _doubling(1, min(prod(shape.rows), config.accumulator_rows))
    for rows in dict.fromkeys(row_cut(shape.rows, limit) for limit in limits):
        for columns in _doubling(config.array_cols, shape.columns):
            tiles = -(-columns // config.array_cols)
            blocks = rows.count * -(-shape.columns // columns) * shape.groups
            if prod(rows.sizes) * tiles * (1 if blocks == 1 else 2) <= config.accumulator_rows:
                yield rows, columns


def _candidates(config: AcceleratorConfig, shape: Shape, rows: RowCut, columns: int
                ) -> Iterator[Plan]:
    for depth in _doubling(config.array_rows, shape.k):
        if shape.longest is not None and depth > shape.longest:
            continue
        for weights in ("none",) if shape.kept else ("none", "whole"):
            yield Plan(rows, columns, depth, weights, 1)
            yield Plan(rows, columns, depth, weights, 2)
            if shape.copied:
                yield from (Plan(rows, columns, depth, weights, 2, packed=shared)
                            for shared in _doubling(1, rows.pieces))


def _doubling(first: int, last: int) -> list[int]:
    sizes = []
    while first < last:
        sizes.append(first)
        first *= 2
    return [*sizes, last]


def _bytes(shape: Shape, plan: Plan) -> int:
    """Scratchpad for operands and results."""
    unit, size = shape.source.local_type.size, prod(plan.cut.sizes)
    tile = shape.source.tile_bytes(plan.cut.joined_sizes(plan.packed or 1))
    total = plan.buffers * shape.parts[0] * tile
    if plan.packed:
        total += plan.buffers * shape.parts[0] * size * shape.source.window_bytes
    total += size * plan.columns * shape.epilogue_bytes
    if shape.kept:
        return total
    if plan.weights == "whole":
        wide = -(-shape.columns // plan.columns) * plan.columns * shape.groups
        return total + (shape.k + plan.depth) * wide * unit * shape.parts[1]
    return total + STREAMED_PIECES * plan.depth * plan.columns * unit


def _array_cycles(config: AcceleratorConfig, shape: Shape, rows: RowCut, columns: int, *,
                  packed: bool = True) -> int:
    """Cycles that the array takes, without waiting.

    Args:
        packed: whether windows are packed where they can be.
    """
    tiles = -(-columns // config.array_cols)
    one = max(tiles * timing.matmul_cycles(config, prod(rows.sizes)), timing.array_latency(config))
    k_tiles = -(-shape.k // config.array_rows) if packed and shape.copied else shape.tiles
    column_blocks = -(-shape.columns // columns)
    return rows.count * shape.groups * column_blocks * k_tiles * shape.terms * one


def _cycles(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """What the busiest engine has to do, and what cannot overlap."""
    size, ranges = prod(plan.cut.sizes), plan.cut.count
    column_blocks = -(-shape.columns // plan.columns)
    slabs = -(-shape.k // plan.depth)
    compute = _array_cycles(config, shape, plan.cut, plan.columns, packed=plan.packed > 0)
    tile = _input_cycles(config, shape, plan.cut.joined_sizes(plan.packed or 1))
    tiles_loaded = ranges // plan.cut.pieces * -(-plan.cut.pieces // (plan.packed or 1))
    piece = 0 if shape.kept else timing.dma_cycles(
        config, min(plan.depth, shape.k), plan.columns * shape.weight_bytes)
    weights = shape.groups * column_blocks * slabs * piece
    if plan.weights == "none":
        weights *= ranges * shape.terms
    else:
        weights *= shape.parts[1]
    inputs = tiles_loaded * shape.groups * shape.parts[0] * tile
    stores = shape.groups * column_blocks * timing.dma_cycles(
        config, prod(shape.rows), plan.columns * shape.result_bytes)
    drain = timing.dma_cycles(config, size, plan.columns * shape.result_bytes)
    latency = timing.dma_latency() + timing.array_latency(config)
    if plan.buffers == 1:
        # The next tile is loaded when the last matmul on this one has finished.
        compute += inputs + ranges * shape.groups * latency
    vector = _vector_cycles(config, shape, plan)
    loads = weights
    if shape.source.on_chip:
        vector += inputs
    else:
        loads += inputs
    busiest = max(compute, loads, stores, vector)
    if shape.steady:
        # The first weights, and all lines but the first, are loaded during the work before.
        piece = 0
        if plan.packed:
            tile = _input_cycles(config, shape, plan.cut.sizes)
    return busiest + tile + piece + drain + latency + loads // TRAFFIC


def _input_cycles(config: AcceleratorConfig, shape: Shape, sizes: Sequence[int]) -> int:
    """One tile of the input: a row for each position, or for each line when lines are dense; on
    chip, zeros and a copy."""
    batch, *spans, channels = shape.source.tile_shape(sizes)
    if shape.source.in_place:
        return 0
    if shape.source.on_chip:
        words = channels * shape.source.local_type.size // WORD
        return timing.kernel_cycles(config, 2 * batch * prod(spans) * -(-words // config.lanes), 1)
    length = channels * shape.source.dram_type.size
    if shape.source.strides[-2] == channels:
        return timing.dma_cycles(config, batch * prod(spans[:-1]), spans[-1] * length)
    return timing.dma_cycles(config, batch * prod(spans), length)


def _vector_cycles(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """The vector unit: what follows the sums of each column tile, and packing."""
    size = prod(plan.cut.sizes)
    tiles = -(-shape.columns // config.array_cols)
    cycles = 0
    if shape.issues:
        groups = size * -(-min(config.array_cols, shape.columns) // config.lanes)
        cycles += tiles * timing.kernel_cycles(config, groups, shape.issues)
    if plan.packed:
        cycles += shape.parts[0] * timing.kernel_cycles(config, size * shape.copied, 1)
    return plan.cut.count * shape.groups * cycles
