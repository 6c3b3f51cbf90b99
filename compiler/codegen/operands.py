"""Operands of loop nests, and their boxes in the scratchpad."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from compiler.codegen.commands import LOCAL, Stream
from compiler.codegen.context import Context, Place
from compiler.codegen.footprint import Footprint, PaddedAxis, footprint, scaled, transfers
from compiler.errors import Location
from compiler.ops.views import View
from hw.isa.dtypes import DType


@dataclass(frozen=True)
class Operand:
    """What a nest reads: a walk over a tensor, or over the integers when `place` is None.

    Attributes:
        view: strides and offset in elements; its shape is the nest's.
    """

    place: Place | None
    view: View

    @property
    def dtype(self) -> DType:
        return DType.ADDR if self.place is None else self.place.tensor.element.memory

    @property
    def unit(self) -> int:
        """Bytes of an element; integers count in ones."""
        return 1 if self.place is None else self.dtype.size


@dataclass(slots=True)
class Resident:
    """A box of an operand as a nest walks it: address of index 0, strides in bytes."""

    address: int
    strides: tuple[int, ...]
    dtype: DType
    fill: int = 0

    def stream(self, extents: Sequence[int], lanes: int) -> Stream:
        """A walk over the box with the lanes along the last dimension."""
        return box_stream(self.address, self.strides, extents, self.dtype, lanes, self.fill)


def box_stream(address: int, strides: Sequence[int], extents: Sequence[int], dtype: DType,
               lanes: int, fill: int = 0) -> Stream:
    """The stream that walks a box in row-major order, lanes along the last dimension.

    Args:
        strides: bytes per dimension; at most four dimensions.
    """
    *outer, inner = zip(extents, strides, strict=True)
    extent, stride = inner
    levels = [(-(-extent // lanes), lanes * stride), *reversed(outer)]
    return Stream(address, extent, stride, tuple(levels), dtype, lane_level=1, fill=fill)


@lru_cache(maxsize=1024)
def _whole_footprint(strides: tuple[int, ...], extents: tuple[int, ...]) -> Footprint:
    """A footprint without padding: most boxes of an operand have the same."""
    return footprint(strides, extents)


class Loader:
    """Brings boxes of one operand into the scratchpad; a box already there is not loaded again.

    A tensor on chip is read where it lies.
    """

    def __init__(self, context: Context, operand: Operand, location: Location) -> None:
        self.context, self.operand, self.location = context, operand, location
        self._held: tuple[object, Footprint, int] | None = None

    def box(self, start: Sequence[int], extents: Sequence[int],
            padded: Mapping[int, PaddedAxis] | None = None, pad: int = 0) -> Resident:
        """The box from `start`, valid until the next call.

        Args:
            padded: dimensions that walk along padded axes; missing elements become `pad`.
        """
        view, unit = self.operand.view, self.operand.unit
        offset = view.offset + sum(i * s for i, s in zip(start, view.strides, strict=True))
        if self.operand.place is None:
            return Resident(offset, view.strides, DType.ADDR)
        if self.operand.place.window == LOCAL:
            assert not padded, "a padded walk needs a copy with the padding"
            return Resident(self.operand.place.offset + offset * unit,
                            tuple(s * unit for s in view.strides), self.operand.dtype, pad)
        moving = tuple(e if s else 1 for e, s in zip(extents, view.strides, strict=True))
        key = (offset, moving, tuple((padded or {}).items()))
        if self._held is None or self._held[0] != key:
            self.close()
            copy = footprint(view.strides, moving, padded) if padded \
                else _whole_footprint(view.strides, moving)
            address = self.context.scratchpad.allocate(copy.elements * unit, self.location)
            self._load(self.operand.place, copy, offset, address, pad)
            self._held = key, copy, address
        _, copy, address = self._held
        return Resident(address + copy.first * unit, tuple(s * unit for s in copy.strides),
                        self.operand.dtype, pad)

    def _load(self, place: Place, copy: Footprint, offset: int, address: int, pad: int) -> None:
        unit, dtype = self.operand.unit, self.operand.dtype
        first = place.offset + (offset - copy.dram_first) * unit
        for transfer in transfers(place.window, first, address, scaled(copy.steps, unit, unit),
                                  dtype, dtype):
            self.context.load(transfer, self.location, pad)

    def close(self) -> None:
        """Gives the buffer back."""
        if self._held is not None:
            self.context.scratchpad.free(self._held[2])
            self._held = None
