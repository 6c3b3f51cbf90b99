"""Tile sizes of a dot product, chosen by predicted cycles.

All plans that fit are ranked by what the busiest engine has to do; of the best ones the pipeline
of loads and matmuls is followed slab by slab.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product

from compiler.codegen.contraction_loop import FINAL_PIECES
from hw import timing
from hw.config import AcceleratorConfig

STREAMED_PIECES = 3
"""Pieces of a streamed operand that must fit at once: in use, loaded, on the way."""
WIDE = 4
"""Columns of tiles that keep the array busy as long as a slice of a normalisation takes."""
NEAR = 64
"""Plans that are a sixty-fourth slower count as equally fast."""
FINALISTS = 16
"""Plans whose pipeline is simulated."""
RAMPS = (1, 4, 16, 64)
"""Depths of the first slab that are tried, in heights of the array: thin ones start the array
early, but every block has them."""
SLAB_CYCLES = 12
"""Of the bus, for the instructions of a slab."""
WALKED_BLOCKS = 64
"""Blocks that are simulated."""
TRAFFIC = 4
"""A cycle of loads counts as this part of one even when it hides behind the array: loads of
other work wait for it."""
STAGGERED = 4, 32
"""Column tiles and k tiles from which on a block may take over the accumulators of the one before
it tile by tile: the vector unit is then far ahead of the array."""

STAGED = 2
"""Column tiles whose results wait in the scratchpad for their store."""


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
        on_chip: whether activations, weights are in the scratchpad already.
        in_panels: whether weights lie in DRAM block by block, as they are read.
        steady: other work hides the start and the end.
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
    on_chip: tuple[bool, bool] = (False, False)
    in_panels: bool = False
    steady: bool = False


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


@lru_cache(maxsize=1024)
def choose(config: AcceleratorConfig, shape: Shape, scratchpad_bytes: int) -> Plan | None:
    """The plan with the fewest predicted cycles; None when nothing fits.

    Args:
        scratchpad_bytes: what the operands may use.
    """
    plans = [p for p in _candidates(config, shape) if _bytes(config, shape, p) <= scratchpad_bytes]
    if shape.steady:
        return min(plans, key=lambda p: _busy(config, shape, p), default=None)
    plans.sort(key=lambda p: _bound(config, shape, _ramped(p, config.array_rows)))
    if shape.on_chip[0] and (shape.rows >= config.array_rows or shape.on_chip[1]):
        return _deepest(config, shape, plans)
    finalists = {_ramped(p, start * config.array_rows): _hidden(config, shape, p)
                 for p in plans[:FINALISTS]
                 for start in RAMPS if start == 1 or start * config.array_rows <= p.depth}
    return min(finalists, key=lambda p: cycles(config, shape, p) + finalists[p], default=None)


def _hidden(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """What loads cost that hide behind the array."""
    return shape.batch * _loads(config, shape, plan) // TRAFFIC


def _deepest(config: AcceleratorConfig, shape: Shape, plans: Sequence[Plan]) -> Plan | None:
    """The plan of activations on chip: weights come ahead of them, and with all of k in one slab
    the first rows need not wait for the others to be made. Several columns of tiles give the
    array work on those while the next ones are made."""
    times = {p: cycles(config, shape, p) for p in plans[: 4 * FINALISTS]}
    best = min(times.values(), default=0)
    # A strip of weights could not be loaded before the one in its place is finished with.
    near = [p for p, time in times.items() if time <= best + best // NEAR
            and (p.resident[1] != "strip" or time == best)]
    loads = {p: _loads(config, shape, p) for p in near}
    least = min(loads.values(), default=0)
    near = [p for p in near if loads[p] <= least + least // TRAFFIC]
    wide = WIDE * config.array_cols
    return max(near, key=lambda p: (p.depth, min(p.columns, wide), -times[p]), default=None)


def _candidates(config: AcceleratorConfig, shape: Shape) -> Iterator[Plan]:
    for rows, tiles, depth in product(
            _sizes(shape.rows, config.array_cols), _sizes(shape.columns, config.array_cols),
            _sizes(shape.k, config.array_rows)):
        if shape.longest is not None and depth > shape.longest:
            continue
        columns = -(-tiles // config.array_cols)
        blocks = _parts(shape.rows, rows) * _parts(shape.columns, tiles) * shape.batch
        # Of a block of many tiles the first ones are stored while the last ones are summed.
        staggered = (columns >= STAGGERED[0] and rows >= timing.array_latency(config)
                     and shape.k >= STAGGERED[1] * config.array_rows)
        halves = 1 if blocks == 1 or staggered else 2
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


def _bytes(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Scratchpad for operands and results."""
    total = plan.rows * _epilogue_bytes(config, shape, plan)
    for operand, extent, whole in ((0, plan.rows, shape.rows), (1, plan.columns, shape.columns)):
        if shape.on_chip[operand]:
            continue
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


def _epilogue_bytes(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Scratchpad for a row of the epilogue's operands and of results, which are there for two
    column tiles at a time when tiles are finished one after the other."""
    total = plan.columns * shape.epilogue_bytes
    staged = 2 * shape.result_bytes
    folded = shape.terms > 1 or shape.longest is not None
    if folded or plan.rows < timing.array_latency(config) \
            or staged + shape.epilogue_loads > shape.epilogue_bytes:
        return total
    return total - max(plan.columns - STAGED * config.array_cols, 0) * staged


def _busy(config: AcceleratorConfig, shape: Shape, plan: Plan) -> tuple[int, int]:
    """Cycles of the busiest engine; of equal ones the vector unit likes larger blocks."""
    row_blocks, column_blocks = _parts(shape.rows, plan.rows), _parts(shape.columns, plan.columns)
    loads = _loads(config, shape, plan)
    blocks = row_blocks * column_blocks
    compute = blocks * shape.terms * _parts(shape.k, plan.depth) * _slab_cycles(
        config, plan, min(plan.depth, shape.k))
    store = column_blocks * _store_cycles(config, shape, shape.rows, plan.columns)
    return max(compute, loads, store) + loads // TRAFFIC, row_blocks


def _bound(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """What the busiest engine has to do, the last store, and what hidden loads cost."""
    row_blocks, column_blocks = _parts(shape.rows, plan.rows), _parts(shape.columns, plan.columns)
    loads = _loads(config, shape, plan)
    slabs = _parts(shape.k, plan.depth)
    block = slabs * _slab_cycles(config, plan, min(plan.depth, shape.k))
    first = slabs * sum(_piece_cycles(config, shape, plan, o, min(plan.depth, shape.k))
                        for o in (0, 1))
    compute = row_blocks * column_blocks * block * shape.terms
    store = column_blocks * _store_cycles(config, shape, shape.rows, plan.columns)
    # Resident operands make the first block wait for loads that later ones do without.
    return (shape.batch * max(loads, compute, store) + max(first // slabs, first - block)
            + _drain(config, shape, plan) + shape.batch * loads // TRAFFIC)


def _loads(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """All loads of one batch index."""
    row_blocks, column_blocks = _parts(shape.rows, plan.rows), _parts(shape.columns, plan.columns)
    loads = row_blocks * column_blocks * _epilogue_cycles(config, shape, plan)
    for operand, others in ((0, column_blocks), (1, row_blocks)):
        resident = plan.resident[operand] != "none"
        visits = shape.parts[operand] if resident else others * shape.terms
        loads += visits * _load_cycles(config, shape, plan, operand)
    return loads


def cycles(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Predicted cycles of a plan: loads and the array as a pipeline of two engines."""
    pipeline = _Pipeline(config, shape, plan)
    total = shape.batch * _parts(shape.rows, plan.rows) * _parts(shape.columns, plan.columns)
    half = 0
    for number, block in enumerate(islice(_walk(shape, plan), WALKED_BLOCKS)):
        if number == WALKED_BLOCKS // 2:
            half = pipeline.end
        pipeline.block(block)
    # The rest goes on at the pace of the second half.
    rest = max(total - WALKED_BLOCKS, 0) * (pipeline.end - half) * 2 // WALKED_BLOCKS
    return pipeline.end + rest + _drain(config, shape, plan)


class _Pipeline:
    """Loads and the array, slab by slab."""

    def __init__(self, config: AcceleratorConfig, shape: Shape, plan: Plan) -> None:
        depths = _depths(shape, plan)
        self.shape, self.plan = shape, plan
        # Most slabs are of one depth.
        known = {depth: (tuple(_piece_cycles(config, shape, plan, o, depth) for o in (0, 1)),
                         _slab_cycles(config, plan, depth)) for depth in set(depths)}
        self.slabs = [known[depth] for depth in depths]
        self.streamed = [kind == "none" for kind in plan.resident]
        self.epilogue = _epilogue_cycles(config, shape, plan)
        self.latency = timing.dma_latency()
        self.loaded = self.computed = 0
        self._seen: set[tuple[int, ...]] = set()

    @property
    def end(self) -> int:
        return max(self.loaded, self.computed)

    def block(self, block: tuple[int, int, int]) -> None:
        loaded, computed, latency = self.loaded, self.computed, self.latency
        fresh = [self._is_fresh(operand, block) for operand in (0, 1)]
        for term in range(self.shape.terms):
            moving = [operand for operand, parts in enumerate(self.shape.parts)
                      if self.streamed[operand] or (fresh[operand] and term < parts)]
            for pieces, array in self.slabs:
                for operand in moving:
                    loaded += pieces[operand]
                    if loaded + latency > computed:
                        computed = loaded + latency
                computed += array
                loaded += SLAB_CYCLES
        self.loaded, self.computed = loaded + self.epilogue, computed

    def _is_fresh(self, operand: int, block: tuple[int, int, int]) -> bool:
        """Whether no block before had the same part of an operand."""
        key = operand, block[0], block[1 + operand]
        fresh = key not in self._seen
        self._seen.add(key)
        return fresh


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
    latency = timing.array_latency(config) + timing.dma_latency()
    width = min(plan.columns, config.array_cols)
    if plan.rows < timing.array_latency(config):
        return latency + _store_cycles(config, shape, plan.rows, plan.columns)
    tiles = _parts(plan.columns, config.array_cols)
    store = _store_cycles(config, shape, plan.rows, width)
    finish = _parts(_depths(shape, plan)[-1], config.array_rows) * timing.matmul_cycles(
        config, plan.rows)
    behind = max(tiles * store - (tiles - 1) * finish - finish * (FINAL_PIECES - 1) // FINAL_PIECES,
                 0)
    piece = _store_cycles(config, shape, _parts(plan.rows, FINAL_PIECES), width)
    return latency + max(behind, piece)


def _store_cycles(config: AcceleratorConfig, shape: Shape, rows: int, columns: int) -> int:
    """A store of results; those that stay on chip need none."""
    if not shape.result_bytes:
        return 0
    return timing.dma_cycles(config, rows, columns * shape.result_bytes)


def _load_cycles(config: AcceleratorConfig, shape: Shape, plan: Plan, operand: int) -> int:
    """One visit of all of an operand."""
    pieces = _parts((shape.rows, shape.columns)[operand], (plan.rows, plan.columns)[operand])
    slabs = _parts(shape.k, plan.depth)
    return pieces * slabs * _piece_cycles(config, shape, plan, operand, min(plan.depth, shape.k))


def _piece_cycles(config: AcceleratorConfig, shape: Shape, plan: Plan, operand: int, depth: int
                  ) -> int:
    if shape.on_chip[operand]:
        return 0
    extent, size = (plan.rows, plan.columns)[operand], shape.dram_bytes[operand]
    if shape.k_contiguous[operand]:
        return timing.dma_cycles(config, extent, depth * size)
    whole = extent == (shape.rows, shape.columns)[operand] or (operand == 1 and shape.in_panels)
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


def _ramped(plan: Plan, depth: int) -> Plan:
    """With first slabs that double from some depth up to the plan's."""
    depths, total = [], 0
    while depth < plan.depth:
        depths.append(depth)
        total += depth
        depth = total
    return Plan(plan.rows, plan.columns, plan.depth, plan.rows_outer, plan.resident, tuple(depths))
