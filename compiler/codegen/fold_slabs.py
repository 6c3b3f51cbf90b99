"""Reductions of the rows of a left factor, slab by slab as the product behind them holds it.

The sums of squares that scale the rows of a product are an example. Slabs that the product holds
are loaded to their places at once, so that it need not load them again.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby

from compiler.codegen.context import Context
from compiler.codegen.contraction_residents import Residents
from compiler.codegen.contraction_work import Block, Slab, Visit
from compiler.codegen.footprint import PaddedAxis
from compiler.codegen.nests import Box
from compiler.codegen.operands import Operand, Resident
from compiler.codegen.staying import Ahead, Staying
from compiler.errors import Location
from compiler.ops.views import View

KERNELS = 8
"""Parts of the factor that are reduced one after the other, at least, so that loads overlap."""


def suits(context: Context, shape: Sequence[int], operands: Mapping[int, Operand]) -> int | None:
    """The number of the operand that is the factor which a product behind the reduction holds;
    None if there is none, or others vary along its rows.

    Args:
        shape: rows and columns; columns are reduced.
    """
    if context.staying is None or context.ahead is None or len(shape) != 2:
        return None
    factor, lanes = context.staying.factor, context.config.lanes
    whole = View(tuple(shape), (shape[1], 1), factor.view.offset)
    found = [n for n, operand in operands.items()
             if operand.place == context.place(factor.value) and operand.view == whole]
    others = [o for n, o in operands.items() if n not in found]
    if len(found) != 1 or any(o.view.strides[1] for o in others) \
            or any(depth % lanes for depth in context.ahead.depths):
        return None
    return found[0]


class SlabLoader:
    """Brings slabs of the factor; boxes of it are (rows, slabs, columns of a slab)."""

    def __init__(self, context: Context, ahead: Ahead, staying: Staying, operand: Operand,
                 location: Location) -> None:
        self.context, self.ahead, self.operand = context, ahead, operand
        self.residents = Residents(context, ahead.activations, staying.region, location,
                                   staying.held)
        self._begins = dict(zip(accumulate(ahead.depths, initial=0), ahead.slabs, strict=False))
        self._buffers: list[int] = []

    def chunks(self, columns: int) -> Iterator[Box]:
        """Slabs that lie evenly spaced, as (first step of k, slabs, steps of each)."""
        start = 0
        slabs_and_depths = zip(self.ahead.slabs, self.ahead.depths, strict=True)
        for (is_held, depth), run in groupby(
                slabs_and_depths, lambda at: (self._is_held(at[0]), at[1])):
            slabs = len(list(run))
            most = max(columns // KERNELS // depth, 1) if is_held else 1
            for first in range(0, slabs, most):
                count = min(most, slabs - first)
                yield (0, start), (count, depth)
                start += count * depth

    def _is_held(self, slab: Slab) -> bool:
        return self.ahead.activations.slot(Visit(Block(0, 0, 0), slab)) is not None

    def box(self, start: Sequence[int], extents: Sequence[int],
            padded: Mapping[int, PaddedAxis] | None = None, pad: int = 0) -> Resident:
        """The slabs of a chunk, valid until the next call."""
        assert not padded
        self.close()
        first, unit = self._begins[start[2]], self.operand.unit
        addresses = []
        for slab in self.ahead.slabs[first.number : first.number + extents[1]]:
            acquired = self.residents.acquire(Visit(Block(0, 0, 0), slab))
            addresses.append(acquired.address)
            if acquired.is_buffer:
                self._buffers.append(acquired.address)
        pitch = extents[2] * unit
        return Resident(addresses[0], (pitch, extents[0] * pitch, unit), self.operand.dtype, pad)

    def close(self) -> None:
        """Gives the buffers back; what is held stays."""
        while self._buffers:
            self.context.scratchpad.free(self._buffers.pop())

    def hand_on(self) -> None:
        """Tells the product what is in its places."""
        assert self.context.staying is not None
        self.context.staying = self.context.staying._replace(held=tuple(self.residents.held))
