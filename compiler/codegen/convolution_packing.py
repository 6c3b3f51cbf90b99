"""Windows of few channels, copied next to each other.

A weight tile reads k that are neighbours in the scratchpad. In a tile of the input only the
channels of one line of a window are; where these are few, the last array rows of each line's tiles
stay empty. The vector unit, which such convolutions leave time, then copies each result's window
to one run, of which all weight tiles but the last are full. Windows of neighbouring results share
most of their lines: a tile of the input may serve several ranges of results, and is loaded once.
"""

from collections.abc import Hashable, Sequence
from functools import cached_property
from math import prod

from compiler.codegen.context import Context
from compiler.codegen.contraction_operands import Tiling
from compiler.codegen.contraction_work import KTile, Piece, Visit
from compiler.codegen.convolution_operands import Input, WindowActivations
from compiler.codegen.convolution_rows import RowCut, Rows
from compiler.codegen.local_copies import Loop, copy_runs
from compiler.errors import Location
from compiler.ir.types import row_major
from hw.config import AcceleratorConfig


def line_length(source: Input) -> int:
    """Elements of a window that are neighbours in a tile; 0 when there are no such lines."""
    if not source.windows or source.windows[-1].dilation > 1:
        return 0
    return source.windows[-1].size * source.channels


def copied_groups(config: AcceleratorConfig, source: Input) -> int:
    """Groups of lanes the vector unit moves for each result."""
    lines = prod(w.size for w in source.windows[:-1])
    return lines * -(-line_length(source) // config.lanes)


class PackedWindows(WindowActivations):
    """[rows][k] in the scratchpad.

    Args:
        shared: ranges of rows, at most, whose windows are copied from one tile of the input.
    """

    needs_vector_unit = True

    def __init__(self, context: Context, source: Input, cut: RowCut, tiling: Tiling,
                 group_columns: int, buffers: int, shared: int, location: Location) -> None:
        rows, self._together = cut.ranges(), cut.together(shared)
        self._tiles: dict[int, Hashable] = {}
        super().__init__(context, source, rows, tiling, group_columns, buffers, location)

    @property
    def _pitch(self) -> int:
        """Bytes of a window."""
        return self.source.window_bytes

    def _prepare_slots(self) -> tuple[int, ...]:
        """Windows, and behind them tiles of the input."""
        parts = len(self.source.places)
        windows = max(prod(r.sizes) for r in self.rows) * self._pitch
        tile = max(self.source.tile_bytes(r.sizes) for r in self._together)
        self._buffers = min(self.buffers, len(set(self._together)))
        return (windows,) * (self.buffers * parts) + (tile,) * (self._buffers * parts)

    def size(self, at: Visit) -> int:
        return prod(self.rows[at.block.rows].sizes) * self._pitch

    def load(self, at: Visit, address: int) -> None:
        tile = self._tile(at, address)
        self._pack(at, tile, address)

    def _tile(self, at: Visit, address: int) -> int:
        """Where the tile of the input is, loaded if it is not there.

        Args:
            address: of the slot for the windows.
        """
        parts, rows = len(self.source.places), self._loaded(at)
        turn = self._order[rows] * self.groups + self._group(at.block)
        number = turn % self._buffers * parts + self._part(at.slab)
        windows = self.buffers * parts
        place = address - sum(self.slots[: self.slot(at)]) + sum(self.slots[: windows + number])
        key = rows, self._group(at.block), self._part(at.slab)
        if self._tiles.get(number) != key:
            self._tiles[number] = key
            super().load(at, place)
        return place

    @cached_property
    def _order(self) -> dict[Rows, int]:
        """The number of each tile's range of results."""
        return {rows: number for number, rows in enumerate(dict.fromkeys(self._together))}

    def _loaded(self, at: Visit) -> Rows:
        return self._together[at.block.rows]

    def _pack(self, at: Visit, tile: int, address: int) -> None:
        run = line_length(self.source) * self.source.local_type.size
        rows, tile_rows = self.rows[at.block.rows], self._loaded(at)
        first = sum((i - first) * pitch for i, first, pitch in zip(
            rows.start, tile_rows.start, self._window_pitch(tile_rows), strict=True))
        copy_runs(self.context, (tile + first, address), run, self._loops(at), self.location)

    def _loops(self, at: Visit) -> list[Loop]:
        """Lines of a window, then results; innermost first."""
        source, rows = self.source, self.rows[at.block.rows]
        unit = source.local_type.size
        tile = row_major(source.tile_shape(self._loaded(at).sizes))
        copy = row_major((*(w.size for w in source.windows), source.channels))
        lines = [(w.size, w.dilation * a * unit, b * unit)
                 for w, a, b in zip(source.windows, tile[1:-1], copy[:-1], strict=True)][:-1]
        results = zip(rows.sizes, self._window_pitch(self._loaded(at)),
                      (n * self._pitch for n in row_major(rows.sizes)), strict=True)
        return [*reversed(lines), *reversed(list(results))]

    def pieces(self, at: Visit, count: int) -> Sequence[Piece]:
        return [Piece(p.first, p.rows, p.first * self._pitch, ((p.rows, self._pitch),))
                for p in super().pieces(at, count)]

    def k_offset(self, at: Visit, tile: KTile) -> int:
        return (self.tiling.k[at.slab.box].start + tile.start) * self.source.local_type.size

