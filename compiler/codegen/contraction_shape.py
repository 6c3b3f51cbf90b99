"""The sizes of a dot product, and how it is cut."""

from dataclasses import dataclass
from typing import NamedTuple

STEADY_CYCLES = 1000
"""Cycles of the array for the column tiles that are finished together where other work hides the
end of a product: finished alone they would be more commands, which are no faster."""


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
        epilogue_cycles: of the vector unit, for a row of a column tile.
        run: steps of k that are evenly spaced in the operands, None for all.
        products: whose column tiles are made side by side.
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
    epilogue_cycles: int = 0
    run: int | None = None
    products: int = 1


class Plan(NamedTuple):
    """How a dot product is cut.

    Attributes:
        rows, columns, depth: of a block, of a slab; at most.
        rows_outer: all blocks of a row range before the next one, else of a column range.
        resident: of activations, weights: `none`, `strip` or `whole`.
        first_depths: depths of the first slabs, thinner so that the array starts early.
        last_depth: of the last slab, if deeper: the sums of a column tile are finished slower.
        held: of a resident operand the slabs of so many last steps of k stay, the others are
            loaded again for every block; None for all.
        piece: weights of a slab that are loaded together, some columns after the other; None for
            all.
    """

    rows: int
    columns: int
    depth: int
    rows_outer: bool
    resident: tuple[str, str]
    first_depths: tuple[int, ...] = ()
    last_depth: int = 0
    held: int | None = None
    piece: int | None = None

    def depths(self, k: int) -> list[int]:
        """Of all slabs, from the first one on."""
        found: list[int] = []
        limits, left = (*self.first_depths, self.depth), k - self.last_depth
        while left > 0:
            found.append(min(limits[min(len(found), len(limits) - 1)], left))
            left -= found[-1]
        return [*found, self.last_depth] if self.last_depth else found

    def width(self, depth: int, unit: int) -> int:
        """Columns of a slab whose weights are loaded together: a multiple of `unit`."""
        if self.piece is None:
            return self.columns
        return min(max(self.piece // depth // unit, 1) * unit, self.columns)

    def is_held(self, start: int, k: int) -> bool:
        """Whether a resident operand's slab stays that starts at a step of k."""
        return self.held is None or start >= k - self.held


def ramped(plan: Plan, depth: int) -> Plan:
    """With first slabs that double from some depth up to the plan's."""
    depths, total = [], 0
    while depth < plan.depth:
        depths.append(depth)
        total += depth
        depth = total
    return plan._replace(first_depths=tuple(depths))


def steady_tiles(cycles: int) -> int:
    """Column tiles that are finished together where other work hides the end.

    Args:
        cycles: of the array, for the last slab of one tile.
    """
    return -(-STEADY_CYCLES // max(cycles, 1))
