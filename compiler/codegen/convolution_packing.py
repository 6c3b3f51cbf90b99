"""Windows of few channels, copied next to each other.

A weight tile reads k that are neighbours in the scratchpad. In a tile of the input only the
channels of one line of a window are; where these are few, the last array rows of each line's tiles
stay empty. The vector unit, which such convolutions leave time, then copies each result's window
to one run, of which all weight tiles but the last are full.
"""

from collections.abc import Sequence
from itertools import product
from math import gcd, prod

from compiler.codegen.body import OUTPUT, Assembler
from compiler.codegen.commands import Body, Stream
from compiler.codegen.contraction_loop import KTile, Piece, Visit
from compiler.codegen.convolution_operands import Input, WindowActivations
from compiler.codegen.graph import Graph
from compiler.ir.types import row_major
from hw.config import AcceleratorConfig
from hw.isa.dtypes import DType
from hw.isa.params import LEVELS

WHOLE = {1: DType.S8, 2: DType.S16, 4: DType.S32}
"""Types that streams copy bit by bit, by size."""

Loop = tuple[int, int, int]
"""(bound, bytes in the tile, bytes in the copy)."""


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

    ahead = True

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
        loops = [loop for loop in self._loops(at) if loop[0] > 1]
        unit = gcd(4, run, *(stride for loop in loops for stride in loop[1:]))
        inner, outer = loops[: LEVELS - 1], loops[LEVELS - 1:]
        lanes = self.context.config.lanes
        groups = -(-run // unit // lanes)
        for index in product(*(range(bound) for bound, _, _ in outer)):
            streams = [Stream(
                base + sum(i * loop[side] for i, loop in zip(index, outer, strict=True)),
                run // unit, unit,
                ((groups, lanes * unit), *((loop[0], loop[side]) for loop in inner)),
                WHOLE[unit], lane_level=1) for side, base in ((1, tile), (2, address))]
            self.context.kernel(groups * prod(bound for bound, _, _ in inner), _copy(),
                                {0: streams[0]}, {0: streams[1]}, self.location)

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


def _copy() -> Body:
    assembler, graph = Assembler(), Graph()
    assembler.section(graph, [(graph.input(0), OUTPUT)])
    return assembler.finish()
