"""The operands of a dot product in the scratchpad.

Activations lie row by row with k contiguous, weights either k by k with columns contiguous or
column by column with k contiguous, whichever DRAM has. Activations whose k is not contiguous in
DRAM are loaded as they are and transposed by the vector unit.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

from compiler.codegen.commands import LOCAL
from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Axis, Box, is_contiguous, local_steps, part_of
from compiler.codegen.contraction_transpose import transpose
from compiler.codegen.contraction_work import (
    Activations,
    Block,
    KTile,
    Piece,
    Slab,
    Source,
    Visit,
    Weights,
)
from compiler.codegen.footprint import transfers
from compiler.errors import Location
from hw.isa.dtypes import DType


@dataclass(frozen=True)
class Operand:
    """A dot operand in DRAM.

    Attributes:
        places: (window, byte offset) of each part; one part unless precision asks for more.
        index: 0 for activations, 1 for weights: its stride in axes that both share.
        batch: element offset of each batch index.
        free: rows of activations, columns of weights.
        k: contracted axes.
        row: number of its stride in the axes of rows, which several left factors share.
    """

    places: tuple[tuple[int, int], ...]
    index: int
    dram_type: DType
    local_type: DType
    batch: tuple[int, ...]
    free: tuple[Axis, ...]
    k: tuple[Axis, ...]
    row: int = 0

    @cached_property
    def on_chip(self) -> bool:
        """Whether it is a tensor in the scratchpad, which is read where it lies."""
        return self.places[0][0] == LOCAL

    @cached_property
    def k_contiguous(self) -> bool:
        return is_contiguous(self.k, self.index)

    @cached_property
    def free_contiguous(self) -> bool:
        return is_contiguous(self.free, 0) and prod(a.size for a in self.free) > 1


@dataclass(frozen=True)
class Tiling:
    """How a dot product is cut.

    Attributes:
        rows, columns, k: boxes of the flattened indices.
        terms: of the product: (part of activations, part of weights).
        resident: whether activations, weights stay in reserved places: `whole`, all of them;
            `strip`, those of one row or column range; or `none`.
        held_from: the first of the boxes of k for which that is so; those before it are loaded
            again.
        together: for each box of k the columns whose weights are loaded together; empty for all.
        lefts: for each box of k the number of its left factor, of a product.
    """

    rows: tuple[Box, ...]
    columns: tuple[Box, ...]
    k: tuple[Box, ...]
    terms: tuple[tuple[int, int], ...]
    resident: tuple[str, str]
    held_from: int = 0
    together: tuple[int, ...] = ()
    lefts: tuple[int, ...] = ()


class _DotSource(Source):
    """What activations and weights of a dot product have in common."""

    def __init__(self, context: Context, operand: Operand, tiling: Tiling,
                 location: Location) -> None:
        self.context, self.operand, self.tiling, self.location = context, operand, tiling, location
        self.frees = tiling.rows if operand.index == 0 else tiling.columns
        self.slots = self._slots(tiling.resident[operand.index])

    def _slots(self, resident: str) -> list[int]:
        if self.operand.on_chip:
            return []
        per_term = [max(self._bytes(free, k) for free in self.frees)
                    for k in self._held_k]
        strip = per_term * len(self.operand.places)
        return {"none": [], "strip": strip, "whole": strip * len(self.frees)}[resident]

    @property
    def _held_k(self) -> Sequence[Box]:
        return self.tiling.k[self.tiling.held_from :]

    def _free(self, block: Block) -> int:
        return block.rows if self.operand.index == 0 else block.columns

    def _box(self, at: Visit) -> Box:
        """Rows or columns of a piece."""
        return self.frees[self._free(at.block)]

    def _part(self, slab: Slab) -> int:
        return self.tiling.terms[slab.term][self.operand.index]

    def _source(self, slab: Slab) -> Operand:  # noqa: ARG002 - for several left factors
        """What a slab is taken from."""
        return self.operand

    def key(self, at: Visit) -> Hashable:
        free, k = self.frees[self._free(at.block)], self.tiling.k[at.slab.box]
        return at.block.batch, free.start, free.count, self._part(at.slab), k.start, k.count

    def slot(self, at: Visit) -> int | None:
        held, box = len(self._held_k), at.slab.box - self.tiling.held_from
        if box < 0:
            return None
        number = self._part(at.slab) * held + box
        if self.tiling.resident[self.operand.index] == "whole":
            number += self._free(at.block) * held * len(self.operand.places)
        return number

    def size(self, at: Visit) -> int:
        return self._bytes(self._box(at), self.tiling.k[at.slab.box])

    def _bytes(self, free: Box, k: Box) -> int:
        return free.count * k.count * self.operand.local_type.size

    def in_place(self, at: Visit) -> int | None:
        o = self.operand
        if not o.on_chip:
            return None
        free, k = self.frees[self._free(at.block)], self.tiling.k[at.slab.box]
        _, address = o.places[0]
        return address + o.dram_type.size * (
            o.batch[at.block.batch] + free.offsets[0] + k.offsets[o.index])

    def _k_place(self, slab: Slab, start: int) -> int:
        """Bytes from the first k of a slab to another one, on chip."""
        o, offset = self.operand, 0
        for axis in reversed(self.tiling.k[slab.box].axes):
            start, index = divmod(start, axis.size)
            offset += index * axis.strides[o.index]
        return offset * o.local_type.size

    def _fetch(self, at: Visit, address: int, free_stride: int, k_stride: int) -> None:
        """Loads a piece with the given local strides, in bytes."""
        o = self._source(at.slab)
        free, k = self._box(at), self.tiling.k[at.slab.box]
        size = o.dram_type.size
        window, offset = o.places[self._part(at.slab)]
        offset += (o.batch[at.block.batch] + free.offsets[o.row] + k.offsets[o.index]) * size
        steps = [*local_steps(free, o.row, size, free_stride),
                 *local_steps(k, o.index, size, k_stride)]
        for transfer in transfers(window, offset, address, steps, o.dram_type, o.local_type):
            self.context.load(transfer, self.location)


class DotActivations(_DotSource, Activations):
    """[rows][k] in the scratchpad.

    Args:
        operands: the left factors along k. Several have k contiguous in DRAM.
    """

    def __init__(self, context: Context, operands: Sequence[Operand], tiling: Tiling,
                 location: Location) -> None:
        super().__init__(context, operands[0], tiling, location)
        self.operands = operands

    def _source(self, slab: Slab) -> Operand:
        return self.operands[self.tiling.lefts[slab.box]]

    @cached_property
    def _staged(self) -> bool:
        return not self.operand.k_contiguous and self.operand.free_contiguous

    def _pitch(self, k: Box) -> int:
        """Bytes from one row to the next."""
        lanes = self.context.config.lanes if self._staged else 1
        return round_up(k.count, lanes) * self.operand.local_type.size

    def _bytes(self, free: Box, k: Box) -> int:
        lanes = self.context.config.lanes if self._staged else 1
        return round_up(free.count, lanes) * self._pitch(k)

    def load(self, at: Visit, address: int) -> None:
        k, rows = self.tiling.k[at.slab.box], self.frees[at.block.rows]
        size, pitch = self.operand.local_type.size, self._pitch(k)
        if not self._staged:
            self._fetch(at, address, pitch, size)
            return
        width = round_up(rows.count, self.context.config.lanes) * size
        with self.context.buffer(pitch // size * width, self.location) as staging:
            self._fetch(at, staging, size, width)
            transpose(self.context, size, staging, address, (1, pitch // size, width // size),
                      self.location)

    def pieces(self, at: Visit, count: int) -> Sequence[Piece]:
        box = self.frees[at.block.rows]
        unit = prod(axis.size for axis in box.axes[1:])
        if self.operand.on_chip:
            return self._pieces_in_place(box, unit, count)
        pitch = self._pitch(self.tiling.k[at.slab.box])
        return _rows(box.count, -(-box.axes[0].size // count) * unit, pitch)

    def _pieces_in_place(self, box: Box, unit: int, count: int) -> Sequence[Piece]:
        size = self.operand.local_type.size
        (outer, stride), *inner = [(axis.size, axis.strides[0] * size) for axis in box.axes]
        return [Piece(first * unit, n * unit, first * stride, (*reversed(inner), (n, stride)))
                for first, n in cut(outer, -(-outer // count))]

    def k_offset(self, at: Visit, tile: KTile) -> int:
        if self.operand.on_chip:
            return self._k_place(at.slab, tile.start)
        return tile.start * self.operand.local_type.size


@lru_cache(maxsize=1024)
def _rows(total: int, step: int, pitch: int) -> Sequence[Piece]:
    """Pieces of rows that lie `pitch` bytes apart."""
    return tuple(Piece(first, rows, first * pitch, ((rows, pitch),))
                 for first, rows in cut(total, step))


class DotWeights(_DotSource, Weights):
    """[k][columns] in the scratchpad, or [columns][k] when DRAM has k contiguous."""

    def load(self, at: Visit, address: int) -> None:
        size = self.operand.local_type.size
        if self._transposed:
            self._fetch(at, address, self.tiling.k[at.slab.box].count * size, size)
        else:
            self._fetch(at, address, size, self._box(at).count * size)

    def together(self, slab: Slab) -> int | None:
        together = self.tiling.together
        return together[slab.box] // self.context.config.array_cols if together else None

    def _box(self, at: Visit) -> Box:
        box = self.frees[at.block.columns]
        return box if at.columns is None else part_of(box, *at.columns)

    @cached_property
    def _transposed(self) -> bool:
        return self.operand.k_contiguous and not self.operand.free_contiguous

    def column_tiles(self, block: Block) -> Sequence[tuple[int, int]]:
        return cut(self.frees[block.columns].count, self.context.config.array_cols)

    def layout(self, block: Block) -> Hashable:
        columns = self.frees[block.columns]
        return columns.count, columns.axes[-1].strides[0]

    def tile(self, at: Visit, tile: KTile, column: int) -> tuple[int, int, bool]:
        size = self.operand.local_type.size
        if self.operand.on_chip:
            return self._tile_in_place(at, tile, column * size)
        count = self.frees[at.block.columns].count
        if at.columns is not None:
            column, count = column - at.columns[0], at.columns[1]
        if self._transposed:
            pitch = self.tiling.k[at.slab.box].count * size
            return column * pitch + tile.start * size, pitch, True
        pitch = count * size
        return tile.start * pitch + column * size, pitch, False

    def _tile_in_place(self, at: Visit, tile: KTile, column: int) -> tuple[int, int, bool]:
        size, transposed = self.operand.local_type.size, self._transposed
        k = self.operand.k[-1].strides[1] * size
        columns = self.frees[at.block.columns].axes[-1].strides[0] * size
        offset = self._k_place(at.slab, tile.start) + column // size * columns
        return offset, columns if transposed else k, transposed


@lru_cache(maxsize=1024)
def cut(total: int, step: int) -> tuple[tuple[int, int], ...]:
    """(first, count) of pieces of `step`, the last one shorter."""
    return tuple((first, min(step, total - first)) for first in range(0, total, step))


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple

