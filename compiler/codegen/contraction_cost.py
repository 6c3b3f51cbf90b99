"""What a plan of a dot product costs: scratchpad, loads, cycles of the array, the last stores."""

from collections.abc import Iterator
from itertools import accumulate, islice

from compiler.codegen.contraction_loop import FINAL_PIECES
from compiler.codegen.contraction_shape import Plan, Shape, ramped, steady_tiles
from hw import timing
from hw.config import AcceleratorConfig

STREAMED_PIECES = 3
"""Pieces of a streamed operand that must fit at once: in use, loaded, on the way."""
SLAB_CYCLES = 12
"""Of the bus, for the instructions of a slab."""
WALKED_BLOCKS = 64
"""Blocks that are simulated."""
TRAFFIC = 4
"""A cycle of loads counts as this part of one even when it hides behind the array: loads of
other work wait for it."""
STAGGERED = 4, 32
"""Column tiles and k tiles from which on blocks take over accumulators tile by tile: the vector
unit is then far ahead of the array."""
STAGED = 2
"""Column tiles whose results wait in the scratchpad for their store, or as many sets of those that
are finished together."""
PIECE_TILES = 16
"""Weight tiles that are loaded together where room is short: smaller pieces would cost as much
text as they save room."""
PIECES_AT_ONCE = 2
"""Such pieces, and slabs of streamed activations beside them, that must fit at once."""


def parts_of(total: int, size: int) -> int:
    """Parts of at most `size` that make a total."""
    return -(-total // size)


def _blocks(shape: Shape, plan: Plan) -> tuple[int, int]:
    """Ranges of rows, of columns."""
    return parts_of(shape.rows, plan.rows), parts_of(shape.columns, plan.columns)


def room(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Scratchpad for operands and results."""
    total = plan.rows * _epilogue_bytes(config, shape, plan)
    if plan.held is not None and plan.piece is None:
        # Streamed pieces rotate through what is left: what the epilogue loads, in one piece,
        # must not wait for those in use.
        total += plan.rows * plan.columns * shape.epilogue_loads
    for operand, extent, whole in ((0, plan.rows, shape.rows), (1, plan.columns, shape.columns)):
        if shape.on_chip[operand]:
            continue
        size = shape.local_bytes
        resident = plan.resident[operand]
        if plan.piece is not None and operand:
            total += PIECES_AT_ONCE * size * plan.piece
        elif plan.piece is not None:
            # What is loaded again comes first in a block, results wait behind the last slab.
            total = max(total, PIECES_AT_ONCE * size * extent * plan.depth)
        elif resident == "none" or plan.held is not None:
            total += extent * size * (_streamed_pieces(config, shape, plan) * plan.depth
                                      + plan.last_depth * (resident == "none"))
        if resident != "none":
            reach = whole if resident == "whole" else extent
            stays = shape.k + plan.depth if plan.held is None else plan.held
            total += reach * stays * size * shape.parts[operand]
        if operand == 0 and not shape.k_contiguous[0]:
            total += STREAMED_PIECES * extent * plan.depth * size
    return total


def _streamed_pieces(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Pieces of a streamed operand that must fit at once. Where others are held there is no more
    room than that, and the array works on them while the epilogue's operands are loaded."""
    if plan.held is None:
        return STREAMED_PIECES
    return STREAMED_PIECES + parts_of(_epilogue_cycles(config, shape, plan),
                                      _slab_cycles(config, plan, plan.depth))


def _epilogue_bytes(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Scratchpad for a row of the epilogue's operands and of results, which are there for two
    column tiles at a time, or for twice as many as are finished together."""
    total = plan.columns * shape.epilogue_bytes
    staged = 2 * shape.result_bytes
    if plan.piece is not None:
        width = plan.width(plan.depths(shape.k)[-1], config.array_cols * shape.products)
        return 2 * width * shape.epilogue_loads + STAGED * config.array_cols * staged
    folded = shape.terms > 1 or shape.longest is not None
    if folded or plan.rows < timing.array_latency(config) \
            or staged + shape.epilogue_loads > shape.epilogue_bytes:
        return total
    together = 1
    if shape.steady:
        last = parts_of(plan.depths(shape.k)[-1], config.array_rows)
        together = steady_tiles(last * plan.rows)
    return total - max(plan.columns - STAGED * together * config.array_cols, 0) * staged


class Bounds:
    """What plans of one product cost at least. Those that differ only in what stays in the
    scratchpad have most of it in common, which is found once."""

    def __init__(self, config: AcceleratorConfig, shape: Shape) -> None:
        self.config, self.shape = config, shape
        self._visits: dict[tuple[int | None, ...], tuple[int, ...]] = {}
        self._work: dict[tuple[int | None, ...], tuple[int, int]] = {}
        self._busy: dict[tuple[int, ...], int] = {}

    def busiest(self, plan: Plan) -> tuple[int, int, int]:
        """Cycles of the busiest engine; of equal ones the vector unit likes larger blocks, and
        few slabs have little text."""
        loads = self.loads(plan)
        busy = max(self.work(plan), loads) + loads // TRAFFIC
        return busy, parts_of(self.shape.rows, plan.rows), parts_of(self.shape.k, plan.depth)

    def work(self, plan: Plan) -> int:
        """Cycles of the array or of stores, whichever has more to do, without waiting."""
        key = plan.rows, plan.columns, plan.depth
        if key not in self._busy:
            config, shape = self.config, self.shape
            row_blocks, column_blocks = _blocks(shape, plan)
            compute = row_blocks * column_blocks * shape.terms * parts_of(
                shape.k, plan.depth) * _slab_cycles(config, plan, min(plan.depth, shape.k))
            store = column_blocks * _store_cycles(config, shape, shape.rows, plan.columns)
            self._busy[key] = max(compute, store)
        return self._busy[key]

    def bound(self, plan: Plan) -> tuple[int]:
        """What the busiest engine has to do, the last store, and what hidden loads cost, with a
        thin first slab."""
        key = plan.rows, plan.columns, plan.depth, plan.last_depth, plan.piece
        if key not in self._work:
            self._work[key] = self._find_work(ramped(plan, self.config.array_rows))
        work, ends = self._work[key]
        loads, batch = self.loads(plan), self.shape.batch
        return batch * max(loads, work) + ends + batch * loads // TRAFFIC,

    def _find_work(self, plan: Plan) -> tuple[int, int]:
        """Cycles of the array or of stores for one batch index, and of what comes before the
        first and after the last of them."""
        config, shape = self.config, self.shape
        row_blocks, column_blocks = _blocks(shape, plan)
        slabs, depth = parts_of(shape.k, plan.depth), min(plan.depth, shape.k)
        block = slabs * _slab_cycles(config, plan, depth)
        first = slabs * sum(_piece_cycles(config, shape, plan, o, depth) for o in (0, 1))
        compute = row_blocks * column_blocks * (
            block * shape.terms + handover(config, shape, plan))
        store = column_blocks * _store_cycles(config, shape, shape.rows, plan.columns)
        # Resident operands make the first block wait for loads that later ones do without.
        return max(compute, store), max(first // slabs, first - block) + _drain(config, shape, plan)

    def loads(self, plan: Plan) -> int:
        """All loads of one batch index."""
        shape = self.shape
        row_blocks, column_blocks = _blocks(shape, plan)
        key = plan.rows, plan.columns, plan.depth, plan.piece
        if key not in self._visits:
            self._visits[key] = (
                row_blocks * column_blocks * _epilogue_cycles(self.config, shape, plan),
                *(_load_cycles(self.config, shape, plan, operand) for operand in (0, 1)))
        loads, *visits = self._visits[key]
        for operand, others in ((0, column_blocks), (1, row_blocks)):
            once, again = shape.parts[operand], others * shape.terms
            stays = self._steps(plan, operand)
            loads += visits[operand] * (stays * once + (shape.k - stays) * again) // shape.k
        return loads

    def held(self, plan: Plan) -> int:
        """Those that bring activations which stay."""
        return _load_cycles(self.config, self.shape, plan, 0) * self._steps(plan, 0) // self.shape.k

    def _steps(self, plan: Plan, operand: int) -> int:
        """Steps of k of an operand that stay."""
        if plan.resident[operand] == "none":
            return 0
        return self.shape.k if plan.held is None else plan.held


def is_staggered(config: AcceleratorConfig, shape: Shape, rows: int, columns: int) -> bool:
    """Whether a block may take over the accumulators of the one before it tile by tile: of many
    tiles the first ones are stored while the last ones are summed."""
    return (parts_of(columns, config.array_cols) >= STAGGERED[0]
            and rows >= timing.array_latency(config)
            and shape.k >= STAGGERED[1] * config.array_rows)


def handover(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Cycles that the array waits between two blocks in the same accumulators: each column tile
    of the next one until its sums have been taken."""
    tiles = parts_of(plan.columns, config.array_cols)
    if 2 * plan.rows * tiles <= config.accumulator_rows or \
            not is_staggered(config, shape, plan.rows, plan.columns):
        return 0
    taken = max(plan.rows * shape.epilogue_cycles,
                _store_cycles(config, shape, plan.rows, config.array_cols))
    depths = plan.depths(shape.k)
    matmul = timing.matmul_cycles(config, plan.rows)
    start, finish = (parts_of(d, config.array_rows) * matmul for d in (depths[0], depths[-1]))
    return max(tiles * taken - (tiles - 1) * (start + finish), 0)


def cycles(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Predicted cycles of a plan: loads and the array as a pipeline of two engines."""
    pipeline = _Pipeline(config, shape, plan)
    total = shape.batch * parts_of(shape.rows, plan.rows) * parts_of(shape.columns, plan.columns)
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
        depths = plan.depths(shape.k)
        self.shape, self.plan = shape, plan
        # Most slabs are of one depth.
        known = {depth: (tuple(_piece_cycles(config, shape, plan, o, depth) for o in (0, 1)),
                         _slab_cycles(config, plan, depth)) for depth in set(depths)}
        self.slabs = [known[depth] for depth in depths]
        self.streamed = [[kind == "none" or not plan.is_held(end - depth, shape.k)
                          for kind in plan.resident]
                         for depth, end in zip(depths, accumulate(depths), strict=True)]
        self.handover = handover(config, shape, plan)
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
            new = [is_fresh and term < parts
                   for is_fresh, parts in zip(fresh, self.shape.parts, strict=True)]
            for (pieces, array), streamed in zip(self.slabs, self.streamed, strict=True):
                for operand, load in enumerate(pieces):
                    if streamed[operand] or new[operand]:
                        loaded += load
                        if loaded + latency > computed:
                            computed = loaded + latency
                computed += array
                loaded += SLAB_CYCLES
        self.loaded, self.computed = loaded + self.epilogue, computed + self.handover

    def _is_fresh(self, operand: int, block: tuple[int, int, int]) -> bool:
        """Whether no block before had the same part of an operand."""
        key = operand, block[0], block[1 + operand]
        fresh = key not in self._seen
        self._seen.add(key)
        return fresh


def _walk(shape: Shape, plan: Plan) -> Iterator[tuple[int, int, int]]:
    """(batch, row block, column block) in order."""
    rows, columns = map(range, _blocks(shape, plan))
    for batch in range(shape.batch):
        if plan.rows_outer:
            yield from ((batch, r, c) for r in rows for c in columns)
        else:
            yield from ((batch, r, c) for c in columns for r in rows)


def _drain(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """From the last sum to the end of the last store.

    With many rows the last slab finishes one column tile after the other, each of which can be
    stored meanwhile, and the last one in pieces.
    """
    latency = timing.array_latency(config) + timing.dma_latency()
    width = min(plan.columns, config.array_cols)
    if plan.rows < timing.array_latency(config):
        return latency + _store_cycles(config, shape, plan.rows, plan.columns)
    tiles = parts_of(plan.columns, config.array_cols)
    store = _store_cycles(config, shape, plan.rows, width)
    finish = parts_of(plan.depths(shape.k)[-1], config.array_rows) * timing.matmul_cycles(
        config, plan.rows)
    behind = max(tiles * store - (tiles - 1) * finish - finish * (FINAL_PIECES - 1) // FINAL_PIECES,
                 0)
    piece = _store_cycles(config, shape, parts_of(plan.rows, FINAL_PIECES), width)
    return latency + max(behind, piece)


def _store_cycles(config: AcceleratorConfig, shape: Shape, rows: int, columns: int) -> int:
    """A store of results; those that stay on chip need none."""
    if not shape.result_bytes:
        return 0
    return timing.dma_cycles(config, rows, columns * shape.result_bytes)


def _load_cycles(config: AcceleratorConfig, shape: Shape, plan: Plan, operand: int) -> int:
    """One visit of all of an operand."""
    pieces = parts_of((shape.rows, shape.columns)[operand], (plan.rows, plan.columns)[operand])
    slabs = parts_of(shape.k, plan.depth)
    return pieces * slabs * _piece_cycles(config, shape, plan, operand, min(plan.depth, shape.k))


def _piece_cycles(config: AcceleratorConfig, shape: Shape, plan: Plan, operand: int, depth: int
                  ) -> int:
    if shape.on_chip[operand]:
        return 0
    extent, size = (plan.rows, plan.columns)[operand], shape.dram_bytes[operand]
    if operand and plan.piece is not None:
        width = plan.width(depth, config.array_cols * shape.products)
        rows, length = (width, depth) if shape.k_contiguous[1] else (depth, width)
        return parts_of(extent, width) * (
            timing.dma_cycles(config, rows, length * size) + SLAB_CYCLES) - SLAB_CYCLES
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
    tiles = parts_of(plan.columns, config.array_cols)
    one = max(tiles * timing.matmul_cycles(config, plan.rows), timing.array_latency(config))
    return parts_of(depth, config.array_rows) * one
