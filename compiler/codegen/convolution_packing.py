"""Windows of few channels, copied next to each other.

A weight tile reads k that are neighbours in the scratchpad. In a tile of the input only the
channels of one line of a window are; where these are few, the last array rows of each line's tiles
stay empty. The vector unit, which such convolutions leave time, then copies each result's window
to one run, of which all weight tiles but the last are full.
"""

from collections.abc import Sequence
from math import prod

from compiler.codegen.contraction_work import KTile, Piece, Visit
from compiler.codegen.convolution_operands import Input, WindowActivations
from compiler.codegen.local_copies import Loop, copy_runs
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
    """[rows][k] in the scratchpad."""

    needs_vector_unit = True

    @property
    def _pitch(self) -> int:
        """Bytes of a window."""
        return self.source.window_bytes

    def _prepare_slots(self) -> tuple[int, ...]:
        largest = max(prod(r.sizes) for r in self.rows) * self._pitch
        return (largest,) * (self.buffers * len(self.source.places))

    def size(self, at: Visit) -> int:
        return prod(self.rows[at.block.rows].sizes) * self._pitch

    def load(self, at: Visit, address: int) -> None:
        sizes = self.rows[at.block.rows].sizes
        with self.context.buffer(self.source.tile_bytes(sizes), self.location) as tile:
            super().load(at, tile)
            self._pack(at, tile, address)

    def _pack(self, at: Visit, tile: int, address: int) -> None:
        run = line_length(self.source) * self.source.local_type.size
        copy_runs(self.context, (tile, address), run, self._loops(at), self.location)

    def _loops(self, at: Visit) -> list[Loop]:
        """Lines of a window, then results; innermost first."""
        source, rows = self.source, self.rows[at.block.rows]
        unit = source.local_type.size
        tile = row_major(source.tile_shape(rows.sizes))
        copy = row_major((*(w.size for w in source.windows), source.channels))
        lines = [(w.size, w.dilation * a * unit, b * unit)
                 for w, a, b in zip(source.windows, tile[1:-1], copy[:-1], strict=True)][:-1]
        results = zip(rows.sizes, self._window_pitch(rows),
                      (n * self._pitch for n in row_major(rows.sizes)), strict=True)
        return [*reversed(lines), *reversed(list(results))]

    def pieces(self, at: Visit, count: int) -> Sequence[Piece]:
        return [Piece(p.first, p.rows, p.first * self._pitch, ((p.rows, self._pitch),))
                for p in super().pieces(at, count)]

    def k_offset(self, at: Visit, tile: KTile) -> int:
        return (self.tiling.k[at.slab.box].start + tile.start) * self.source.local_type.size

