"""Tile sizes of a dot product, chosen by predicted cycles.

Plans that fit are ranked by what the busiest engine has to do; of the best ones the pipeline of
loads and matmuls is followed slab by slab.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product

from compiler.codegen.contraction_cost import (
    PIECE_TILES,
    TRAFFIC,
    Bounds,
    cycles,
    handover,
    is_staggered,
    parts_of,
    room,
)
from compiler.codegen.contraction_shape import Plan, Shape, ramped
from compiler.codegen.search import least
from hw import timing
from hw.config import AcceleratorConfig

WIDE = 4
"""Columns of tiles that keep the array busy as long as a slice of a normalisation takes."""
NEAR = 64
"""Plans that are a sixty-fourth slower count as equally fast."""
FINALISTS = 16
"""Plans whose pipeline is simulated."""
RAMPS = (1, 4, 16, 64)
"""Depths of the first slab that are tried, in heights of the array: thin ones start the array
early, but every block has them."""
ORDERS = tuple((rows_outer, (outer, inner) if rows_outer else (inner, outer))
               for rows_outer in (True, False)
               for outer, inner in product(("none", "strip"), ("none", "whole")))
"""Of a plan's blocks, with what may stay in the scratchpad then (`Plan.resident`)."""


@lru_cache(maxsize=1024)
def choose(config: AcceleratorConfig, shape: Shape, scratchpad_bytes: int) -> Plan | None:
    """The plan with the fewest predicted cycles; None when nothing fits.

    Args:
        scratchpad_bytes: what the operands may use.
    """
    bounds = Bounds(config, shape)
    if shape.steady:
        return next(iter(_least(bounds, bounds.busiest, 1, scratchpad_bytes)), None)
    if shape.on_chip[0] and (shape.rows >= config.array_rows or shape.on_chip[1]):
        return _deepest(bounds, _least(bounds, bounds.bound, 4 * FINALISTS, scratchpad_bytes))
    plans = _least(bounds, bounds.bound, FINALISTS, scratchpad_bytes)
    finalists = {ramped(p, start * config.array_rows): shape.batch * bounds.loads(p) // TRAFFIC
                 for p in plans
                 for start in RAMPS if start == 1 or start * config.array_rows <= p.depth}
    return min(finalists, key=lambda p: cycles(config, shape, p) + finalists[p], default=None)


def choose_like(config: AcceleratorConfig, shape: Shape, scratchpad_bytes: int, other: Plan
                ) -> Plan | None:
    """The best plan that holds the same slabs of the activations as another product's and need not
    load them; None when there is no room for it, or one of its own is better."""
    if other.rows < shape.rows:
        return None  # the slabs are those of the last rows
    plans = [streamed._replace(held=other.held)
             for tiles in _sizes(shape.columns, config.array_cols * shape.products)
             if _fits_accumulators(config, shape, other.rows, tiles)
             for plan in (other._replace(columns=tiles, piece=None, held=None),)
             for streamed in (plan, *_in_pieces(config, shape, plan))]
    fitting = [p for p in plans if room(config, shape, p) <= scratchpad_bytes]
    bounds, own = Bounds(config, shape), choose(config, shape, scratchpad_bytes)

    def cost(plan: Plan) -> int:
        return cycles(config, shape, plan) + bounds.loads(plan) // TRAFFIC

    best = min(fitting, key=cost, default=None)
    if best is None or (own is not None and cost(best) - bounds.held(best) > cost(own)):
        return None
    return best


def _fitted(config: AcceleratorConfig, shape: Shape, plan: Plan, scratchpad_bytes: int
            ) -> Iterator[Plan]:
    """The plan if it fits; else with as much of its resident operand as does, and with more of it
    beside weights in smaller pieces."""
    if room(config, shape, plan) <= scratchpad_bytes:
        yield plan
        return
    if plan.resident.count("none") != 1 or plan.depth >= shape.k:
        return
    for streamed in (plan, *_in_pieces(config, shape, plan)):
        least, more = (room(config, shape, streamed._replace(held=n * plan.depth)) for n in (0, 1))
        slabs = (scratchpad_bytes - least) // max(more - least, 1)
        held = min(slabs * plan.depth, shape.k - plan.depth)
        # Small pieces do not come far enough ahead when the array waits for activations as well.
        least_held = shape.k // 2 if streamed.piece else max(plan.depth, plan.last_depth)
        if held >= least_held:
            yield streamed._replace(held=held)


def _in_pieces(config: AcceleratorConfig, shape: Shape, plan: Plan) -> Iterator[Plan]:
    """The plan with weights that are loaded for some columns of a slab after the other. All rows
    of a column are finished in one slab then, so that is for many rows."""
    piece = PIECE_TILES * config.array_rows * config.array_cols
    if plan.resident[1] == "none" and not shape.on_chip[1] and shape.terms == 1 \
            and shape.longest is None and plan.rows >= timing.array_latency(config) \
            and plan.columns * max(plan.depth, plan.last_depth) > piece:
        yield plan._replace(piece=piece)


def _least(bounds: Bounds, cost: Callable[[Plan], tuple[int, ...]], count: int,
           scratchpad_bytes: int) -> list[Plan]:
    """So many plans that fit of the least cost. Tilings that keep the array or the stores busy for
    longer than all of those cost are not looked into."""
    config, shape = bounds.config, bounds.shape

    def fitted(tiling: Plan) -> Iterator[Plan]:
        for plan in _candidates(config, shape, tiling):
            yield from _fitted(config, shape, plan, scratchpad_bytes)

    return least(_tilings(config, shape), bounds.work, fitted, cost, count)


def _deepest(bounds: Bounds, plans: Sequence[Plan]) -> Plan | None:
    """The plan of activations on chip: weights come ahead of them, and with all of k in one slab
    the first rows need not wait for the others to be made. Several columns of tiles give the
    array work on those while the next ones are made."""
    config, shape = bounds.config, bounds.shape
    times = {p: cycles(config, shape, p) for p in plans}
    best = min(times.values(), default=0)
    # A strip of weights could not be loaded before the one in its place is finished with.
    near = [p for p, time in times.items() if time <= best + best // NEAR
            and (p.resident[1] != "strip" or time == best)]
    loads = {p: bounds.loads(p) for p in near}
    least = min(loads.values(), default=0)
    near = [p for p in near if loads[p] <= least + least // TRAFFIC]
    wide = WIDE * config.array_cols
    return max(near, key=lambda p: (p.depth, min(p.columns, wide), -times[p]), default=None)


def _tilings(config: AcceleratorConfig, shape: Shape) -> Iterator[Plan]:
    """Sizes of tiles for which there are accumulators, with nothing that stays."""
    for rows, tiles, depth in product(
            _sizes(shape.rows, config.array_cols),
            _sizes(shape.columns, config.array_cols * shape.products),
            _sizes(shape.k, config.array_rows)):
        if (shape.longest is None or depth <= shape.longest) and _fits_accumulators(
                config, shape, rows, tiles):
            yield Plan(rows, tiles, depth, *ORDERS[0])


def _candidates(config: AcceleratorConfig, shape: Shape, tiling: Plan) -> Iterator[Plan]:
    """All orders of a tiling's blocks, also with a deeper last slab."""
    several = _blocks(shape, tiling.rows, tiling.columns) > 1
    end = _deep_end(config, shape, tiling) if several else 0
    for rows_outer, resident in ORDERS:
        plan = Plan(tiling.rows, tiling.columns, tiling.depth, rows_outer, resident)
        yield plan
        if end:
            yield plan._replace(last_depth=end)


def _blocks(shape: Shape, rows: int, columns: int) -> int:
    return parts_of(shape.rows, rows) * parts_of(shape.columns, columns) * shape.batch


def _fits_accumulators(config: AcceleratorConfig, shape: Shape, rows: int, columns: int) -> bool:
    """Whether there is room for a block's sums, and for those of the one before it that are not
    stored yet."""
    tiles = -(-columns // config.array_cols)
    halves = 1 if _blocks(shape, rows, columns) == 1 \
        or is_staggered(config, shape, rows, columns) else 2
    return rows * tiles * halves <= config.accumulator_rows


def _deep_end(config: AcceleratorConfig, shape: Shape, plan: Plan) -> int:
    """Depth of a last slab so deep that the next block need not wait for accumulators, 0 for none;
    the same whatever stays in the scratchpad."""
    start = ramped(plan, config.array_rows)
    depth, longest = plan.depth, min(shape.longest or shape.k, shape.k // 2)
    if shape.run is not None and plan.depth < shape.run:
        longest = min(longest, shape.run)
    while 2 * depth <= longest and handover(config, shape, start._replace(last_depth=depth)):
        depth *= 2
    return depth if depth > plan.depth else 0


def _sizes(total: int, unit: int) -> list[int]:
    """Doubling multiples of `unit`, evened out so that the last part is not much smaller."""
    sizes = {total}
    size = unit
    while size < total:
        even = -(-total // parts_of(total, size))
        sizes.add(min(-(-even // unit) * unit, total))
        size *= 2
    return sorted(sizes)
