"""Tile sizes of a dot product, chosen by predicted cycles.

All plans that fit are ranked by what the busiest engine has to do; of the best ones the pipeline
of loads and matmuls is followed slab by slab.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from compiler.codegen.contraction_loop import FINAL_PIECES
from hw import timing
from hw.config import AcceleratorConfig

STREAMED_PIECES = 3
"""Pieces of a streamed operand that must fit at once: in use, loaded, on the way."""
FINALISTS = 16
"""Plans whose pipeline is simulated."""


@dataclass(frozen=True)
class Shape:
    """Sizes that a plan depends on.

    Attributes:
        terms: pairs of operand parts; `parts`: parts of each operand.
        dram_bytes, local_bytes: of an element of activations, weights.
        result_bytes: of a result element in DRAM; `epilogue_bytes`: scratchpad it needs;
            `epilogue_loads`: bytes loaded for it.
        longest: the longest slab, None for any.
        k_contiguous: whether activations, weights have their k contiguous in DRAM.
    """

    batch: int
    rows: int
    columns: int
    k: int
    dram_bytes: tuple[int, int]
    local_bytes: int
    result_bytes: int
    k_contiguous: tuple[bool, bool]
    terms: int = 1
    parts: tuple[int, int] = (1, 1)
    epilogue_bytes: int = 0
    epilogue_loads: int = 0
    longest: int | None = None


@dataclass(frozen=True)
class Plan:
    """How a dot product is cut.

    Attributes:
        rows, columns, depth: of a block, of a slab; at most.
        rows_outer: all blocks of a row range before the next one, else of a column range.
        resident: of activations, weights: `none`, `strip` or `whole`.
        first_depths: depths of the first slabs, thinner so that the array starts early.
    """

    rows: int
    columns: int
    depth: int
    rows_outer: bool
    resident: tuple[str, str]
    first_depths: tuple[int, ...] = ()


def choose(config: AcceleratorConfig, shape: Shape, scratchpad_bytes: int) -> Plan | None:
    """The plan with the fewest predicted cycles; None when nothing fits.

    Args:
        scratchpad_bytes: what the operands may use.
    """
    plans = [_ramped(config, p) for p in _candidates(config, shape)
             if _bytes(shape, p) <= scratchpad_bytes]
    plans.sort(key=lambda p: _bound(config, shape, p))
    finalists = plans[:FINALISTS]
    return min(finalists, key=lambda p: cycles(config, shape, p), default=None)


def _candidates(config: AcceleratorConfig, shape: Shape) -> Iterator[Plan]:
    for rows, tiles, depth in product(
            _sizes(shape.rows, config.array_cols), _sizes(shape.columns, config.array_cols),
            _sizes(shape.k, config.array_rows)):
        if shape.longest is not None and depth > shape.longest:
            continue
        columns = -(-tiles // config.array_cols)
        blocks = _parts(shape.rows, rows) * _parts(shape.columns, tiles) * shape.batch
        halves = 1 if blocks == 1 else 2
        if rows * columns * halves > config.accumulator_rows:
            continue
        for rows_outer in (True, False):
            for outer, inner in product(("none", "strip"), ("none", "whole")):
                resident = (outer, inner) if rows_outer else (inner, outer)
                yield Plan(rows, tiles, depth, rows_outer, resident)


def _sizes(total: int, unit: int) -> list[int]:
    """Doubling multiples of `unit`, evened out so that the last part is not much smaller."""
    sizes = {total}
    size = unit
    while size < total:
        even = -(-total // _parts(total, size))
        sizes.add(min(-(-even // unit) * unit, total))
        size *= 2
    return sorted(sizes)


def _parts(total: int, size: int) -> int:
    return -(-total // size)


def _bytes(shape: Shape, plan: Plan) -> int:
    """Scratchpad for operands and results."""
    total = plan.rows * plan.columns * shape.epilogue_bytes
    for operand, extent, whole in ((0, plan.rows, shape.rows), (1, plan.columns, shape.columns)):
        size = shape.local_bytes
        resident = plan.resident[operand]
        if resident == "none":
            total += STREAMED_PIECES * extent * plan.depth * size
        else:
            reach = whole if resident == "whole" else extent
            total += reach * (shape.k + plan.depth) * size * shape.parts[operand]
        if operand == 0 and not shape.k_contiguous[0]:
            total += STREAMED_PIECES * extent * plan.depth * size
    return total


def _bound(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """What the busiest engine has to do, and the last store."""
    row_blocks, column_blocks = _parts(shape.rows, plan.rows), _parts(shape.columns, plan.columns)
    loads = row_blocks * column_blocks * _epilogue_cycles(config, shape, plan)
    for operand, others in ((0, column_blocks), (1, row_blocks)):
        resident = plan.resident[operand] != "none"
        visits = shape.parts[operand] if resident else others * shape.terms
        loads += visits * _load_cycles(config, shape, plan, operand)
    slabs = _parts(shape.k, plan.depth)
    block = slabs * _slab_cycles(config, plan, min(plan.depth, shape.k))
    first = slabs * sum(_piece_cycles(config, shape, plan, o, min(plan.depth, shape.k))
                        for o in (0, 1))
    compute = row_blocks * column_blocks * block * shape.terms
    store = column_blocks * timing.dma_cycles(config, shape.rows,
                                              plan.columns * shape.result_bytes)
    # Resident operands make the first block wait for loads that later ones do without.
    return (shape.batch * max(loads, compute, store) + max(first // slabs, first - block)
            + _drain(config, shape, plan))


def cycles(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Predicted cycles of a plan: loads and the array as a pipeline of two engines."""
    depths = _depths(shape, plan)
    seen: set[tuple[int, ...]] = set()
    loaded = computed = 0
    for block in _walk(shape, plan):
        for term in range(shape.terms):
            for number, depth in enumerate(depths):
                for operand in (0, 1):
                    # Parts of terms are not told apart: a resident part is loaded once.
                    key = (operand, block[0], block[1 + operand], number,
                           min(term, shape.parts[operand] - 1))
                    if plan.resident[operand] == "none" or key not in seen:
                        loaded += _piece_cycles(config, shape, plan, operand, depth)
                        seen.add(key)
                        computed = max(computed, loaded + timing.dma_latency(config))
                computed += _slab_cycles(config, plan, depth)
        loaded += _epilogue_cycles(config, shape, plan)
    return max(loaded, computed) + _drain(config, shape, plan)


def _walk(shape: Shape, plan: Plan) -> Iterator[tuple[int, int, int]]:
    """(batch, row block, column block) in order."""
    rows, columns = range(_parts(shape.rows, plan.rows)), range(_parts(shape.columns, plan.columns))
    for batch in range(shape.batch):
        if plan.rows_outer:
            yield from ((batch, r, c) for r in rows for c in columns)
        else:
            yield from ((batch, r, c) for c in columns for r in rows)


def _depths(shape: Shape, plan: Plan) -> list[int]:
    depths: list[int] = []
    left = shape.k
    while left > 0:
        limits = (*plan.first_depths, plan.depth)
        depths.append(min(limits[min(len(depths), len(limits) - 1)], left))
        left -= depths[-1]
    return depths


def _drain(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """From the last sum to the end of the last store.

    With many rows the last slab finishes one column tile after the other, each of which can be
    stored meanwhile, and the last one in pieces.
    """
    latency = timing.array_latency(config) + timing.dma_latency(config)
    width = min(plan.columns, config.array_cols)
    if plan.rows < timing.array_latency(config):
        return latency + timing.dma_cycles(config, plan.rows, plan.columns * shape.result_bytes)
    tiles = _parts(plan.columns, config.array_cols)
    store = timing.dma_cycles(config, plan.rows, width * shape.result_bytes)
    finish = _parts(_depths(shape, plan)[-1], config.array_rows) * timing.matmul_cycles(
        config, plan.rows)
    behind = max(tiles * store - (tiles - 1) * finish - finish * (FINAL_PIECES - 1) // FINAL_PIECES,
                 0)
    piece = timing.dma_cycles(config, _parts(plan.rows, FINAL_PIECES), width * shape.result_bytes)
    return latency + max(behind, piece)


def _load_cycles(config: AcceleratorConfig, shape: Shape, plan: Plan, operand: int) -> int:
    """One visit of all of an operand."""
    pieces = _parts((shape.rows, shape.columns)[operand], (plan.rows, plan.columns)[operand])
    slabs = _parts(shape.k, plan.depth)
    return pieces * slabs * _piece_cycles(config, shape, plan, operand, min(plan.depth, shape.k))


def _piece_cycles(config: AcceleratorConfig, shape: Shape, plan: Plan, operand: int, depth: int
                  ) -> int:
    extent, size = (plan.rows, plan.columns)[operand], shape.dram_bytes[operand]
    if shape.k_contiguous[operand]:
        return timing.dma_cycles(config, extent, depth * size)
    whole = extent == (shape.rows, shape.columns)[operand]
    rows, length = (1, depth * extent) if whole else (depth, extent)
    return timing.dma_cycles(config, rows, length * size)


def _epilogue_cycles(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Loads for the epilogue of one block."""
    if not shape.epilogue_loads:
        return 0
    return timing.dma_cycles(config, plan.rows, plan.columns * shape.epilogue_loads)


def _slab_cycles(config: AcceleratorConfig, plan: Plan, depth: int) -> int:
    """Array cycles of one slab of one block."""
    tiles = _parts(plan.columns, config.array_cols)
    one = max(tiles * timing.matmul_cycles(config, plan.rows), timing.array_latency(config))
    return _parts(depth, config.array_rows) * one


def _ramped(config: AcceleratorConfig, plan: Plan) -> Plan:
    """With first slabs that double from the array's height up to the plan's depth."""
    depths, total = [], 0
    depth = config.array_rows
    while depth < plan.depth:
        depths.append(depth)
        total += depth
        depth = total
    return replace(plan, first_depths=tuple(depths))
