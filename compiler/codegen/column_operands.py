"""Operands of an epilogue with one element for each result column, such as scale and shift.

A load of one block's elements is short and takes as many entries of the load queue as a long one,
so it costs the loads behind it their lead. Several blocks share a load here. Not too many: the
buffer is in the way of loads that would land in its bytes until the last of them is finished.
"""

from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Box
from compiler.codegen.operands import Loader, Operand, Resident
from compiler.errors import Location
from compiler.ops.views import View

BLOCKS = 8
"""Blocks of the result that share a load."""
BYTES = 4096
"""A load for several blocks is at most this long."""


class ColumnOperand:
    """Loads such an operand for some blocks at a time.

    Args:
        operand: its view starts at the element of column 0.
        columns: all ranges of result columns; `stride`: elements from one column to the next.
    """

    def __init__(self, context: Context, operand: Operand, columns: tuple[Box, ...], stride: int,
                 location: Location) -> None:
        self.columns = columns
        self.count = min(BLOCKS, max(BYTES // (columns[0].count * operand.unit), 1))
        last = columns[-1]
        self.end = last.start + last.count
        view = View((self.end,), (stride,), operand.view.offset)
        self.loader = Loader(context, Operand(operand.place, view), location)
        self.opened = 0

    def open(self, block: int, rows: int) -> Resident:
        """The elements of a range of columns, as a walk over rows and columns.

        Args:
            block: number of the range; `rows`: dimensions of rows.
        """
        if self.opened == BLOCKS:
            self.close()
        self.opened += 1
        first = block - block % self.count
        start = self.columns[first].start
        past = first + self.count
        end = self.columns[past].start if past < len(self.columns) else self.end
        there = self.loader.box((start,), (end - start,))
        (stride,) = there.strides
        address = there.address + (self.columns[block].start - start) * stride
        return Resident(address, (*[0] * rows, stride), there.dtype)

    def close(self) -> None:
        """Gives the buffer back."""
        self.loader.close()
        self.opened = 0


def column_operand(context: Context, operand: Operand, rows: tuple[Box, ...],
                   columns: tuple[Box, ...], place: int, location: Location
                   ) -> ColumnOperand | None:
    """For an operand in DRAM that has one element for each column; else None.

    Args:
        place: of the operand's strides in the boxes' axes.
    """
    if operand.place is None or operand.place.on_chip:
        return None
    if any(axis.strides[place] for box in rows for axis in box.axes):
        return None
    stride = columns[0].axes[0].strides[place]
    if not stride or any(box.offsets[place] != box.start * stride for box in columns):
        return None
    return ColumnOperand(context, operand, columns, stride, location)
