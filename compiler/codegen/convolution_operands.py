"""The input of a convolution in the scratchpad.

A block of result rows (batch and spatial positions) needs one tile of the input: every position
its windows touch, padding included, channels innermost. The load DMA generates the padding. The
matmul's address pattern walks the windows, so nothing is copied per kernel position.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from compiler.codegen.commands import LOCAL
from compiler.codegen.context import Context
from compiler.codegen.contraction_operands import Tiling, cut
from compiler.codegen.contraction_work import Activations, Block, KTile, Piece, Slab, Visit
from compiler.codegen.convolution_rows import Rows
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.local_copies import clear_runs, copy_runs
from compiler.codegen.transfer import NO_LIMIT
from compiler.errors import Location
from compiler.ir.types import row_major
from compiler.ops.windows import SpatialWindow
from hw.isa.dtypes import DType


@dataclass(frozen=True)
class Input:
    """A convolution's input, in DRAM or on chip.

    Attributes:
        places: (window, byte offset) of each part.
        strides: elements between neighbours along batch, spatial dimensions, features.
        channels: features of a group.
    """

    places: tuple[tuple[int, int], ...]
    dram_type: DType
    local_type: DType
    strides: tuple[int, ...]
    channels: int
    windows: tuple[SpatialWindow, ...]

    def tile_shape(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Batch, positions, channels of the tile for so many results along each dimension."""
        key = tuple(sizes)
        shape = self._tile_shapes.get(key)
        if shape is None:
            spans = [(n - 1) * w.stride + (w.size - 1) * w.dilation + 1
                     for n, w in zip(sizes[1:], self.windows, strict=True)]
            shape = self._tile_shapes[key] = sizes[0], *spans, self.channels
        return shape

    @cached_property
    def _tile_shapes(self) -> dict[tuple[int, ...], tuple[int, ...]]:
        """Those found already: few differ, and all of a plan's tiles are asked for."""
        return {}

    def tile_bytes(self, sizes: Sequence[int]) -> int:
        """Scratchpad for a tile, beside the tensor's own."""
        return 0 if self.in_place else prod(self.tile_shape(sizes)) * self.local_type.size

    def pitches(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Elements between neighbours in the tile: along batch, spatial dimensions, features."""
        return self.strides if self.in_place else row_major(self.tile_shape(sizes))

    @cached_property
    def on_chip(self) -> bool:
        """Whether it is a tensor in the scratchpad."""
        return self.places[0][0] == LOCAL

    @cached_property
    def in_place(self) -> bool:
        """Whether windows are read where the tensor lies, as none reaches beyond it. From other
        tensors on chip tiles are copied."""
        return self.on_chip and all(w.low <= 0 and w.high <= 0 for w in self.windows)

    @cached_property
    def window_bytes(self) -> int:
        return prod(w.size for w in self.windows) * self.channels * self.local_type.size


class WindowActivations(Activations):
    """Windows of the input.

    Args:
        group_columns: result features of a group.
        buffers: tiles held at once.
    """

    needs_vector_unit = False

    def __init__(self, context: Context, source: Input, rows: Sequence[Rows], tiling: Tiling,
                 group_columns: int, buffers: int, location: Location) -> None:
        self.context, self.source, self.rows, self.tiling = context, source, rows, tiling
        self.group_columns, self.buffers, self.location = group_columns, buffers, location
        self.slots = self._prepare_slots()
        self._pieces: dict[tuple[tuple[int, ...], int], Sequence[Piece]] = {}
        self.ahead = buffers > 1 and not source.in_place and (
            source.on_chip or self.needs_vector_unit)
        self.groups = -(-sum(box.count for box in tiling.columns) // group_columns)

    def _prepare_slots(self) -> tuple[int, ...]:
        if self.source.in_place:
            return ()
        largest = max(self.source.tile_bytes(r.sizes) for r in self.rows)
        return (largest,) * (self.buffers * len(self.source.places))

    def _group(self, block: Block) -> int:
        return self.tiling.columns[block.columns].start // self.group_columns

    def _part(self, slab: Slab) -> int:
        return self.tiling.terms[slab.term][0]

    def key(self, at: Visit) -> Hashable:
        return at.block.rows, self._group(at.block), self._part(at.slab)

    def slot(self, at: Visit) -> int:
        turn = (at.block.rows * self.groups + self._group(at.block)) % self.buffers
        return turn * len(self.source.places) + self._part(at.slab)

    def size(self, at: Visit) -> int:
        return self.source.tile_bytes(self.rows[at.block.rows].sizes)

    def in_place(self, at: Visit) -> int | None:
        source, rows = self.source, self.rows[at.block.rows]
        if not source.in_place:
            return None
        first = rows.start[0] * source.strides[0] + sum(
            (i * w.stride - w.low) * stride for i, w, stride in zip(
                rows.start[1:], source.windows, source.strides[1:-1], strict=True))
        return source.places[0][1] + first * source.local_type.size

    def load(self, at: Visit, address: int) -> None:
        if self.source.on_chip:
            self._copy_tile(at, address)
        else:
            self._load_tile(at, address)

    def _loaded(self, at: Visit) -> Rows:
        """The results whose windows are in the tile of the input."""
        return self.rows[at.block.rows]

    def _copy_tile(self, at: Visit, address: int) -> None:
        """From a tensor on chip, with zeros around it."""
        source, rows = self.source, self._loaded(at)
        shape, unit = source.tile_shape(rows.sizes), source.local_type.size
        _, base = source.places[0]
        base += rows.start[0] * source.strides[0] * unit
        base += self._group(at.block) * source.channels * unit
        pitch = [n * unit for n in row_major(shape)]
        target = address
        loops = [(shape[0], source.strides[0] * unit, pitch[0])]
        for d, window in enumerate(source.windows, 1):
            first = rows.start[d] * window.stride - window.low
            lo, hi = max(-first, 0), max(min(window.extent - first, shape[d]), 0)
            # Around what is inside along the dimensions before, zeros on both sides.
            for start, end in ((0, min(lo, shape[d])), (max(hi, lo), shape[d])):
                clear_runs(self.context, target + start * pitch[d], (end - start) * pitch[d],
                           [(n, step) for n, _, step in reversed(loops)], self.location)
            base += (first + lo) * source.strides[d] * unit
            target += lo * pitch[d]
            loops.append((max(hi - lo, 0), source.strides[d] * unit, pitch[d]))
        if all(bound for bound, _, _ in loops):
            copy_runs(self.context, (base, target), shape[-1] * unit, loops[::-1], self.location)

    def _load_tile(self, at: Visit, address: int) -> None:
        source, rows = self.source, self._loaded(at)
        shape = source.tile_shape(rows.sizes)
        size, unit = source.dram_type.size, source.local_type.size
        window, offset = source.places[self._part(at.slab)]
        first = rows.start[0] * source.strides[0]
        first += self._group(at.block) * source.channels * source.strides[-1]
        local = [n * unit for n in row_major(shape)]
        steps = [Step(shape[-1], source.strides[-1] * size, unit)]
        start = address
        for d in range(len(source.windows) - 1, -1, -1):
            index, shift, step = _axis(source.windows[d], rows.start[d + 1], shape[d + 1])
            first += index * source.strides[d + 1]
            start += shift * local[d + 1]
            steps.append(Step(step.size, source.strides[d + 1] * size,
                              step.local * local[d + 1], step.lo, step.hi))
        steps.append(Step(shape[0], source.strides[0] * size, local[0]))
        if any(w.base_dilation > 1 for w in source.windows):
            zeros = Step(prod(shape), size, unit, 0, 0)
            self._copy(window, offset, address, [zeros])
        if all(step.size for step in steps):
            self._copy(window, offset + first * size, start, _joined(steps))

    def _copy(self, window: int, offset: int, local: int, steps: Sequence[Step]) -> None:
        source = self.source
        for transfer in transfers(window, offset, local, steps, source.dram_type,
                                  source.local_type):
            self.context.load(transfer, self.location)

    def pieces(self, at: Visit, count: int) -> Sequence[Piece]:
        rows = self.rows[at.block.rows]
        key = rows.sizes, count
        if key not in self._pieces:
            self._pieces[key] = self._find_pieces(rows, count)
        return self._pieces[key]

    def _find_pieces(self, rows: Rows, count: int) -> Sequence[Piece]:
        pitch = self._window_pitch(rows)
        walk = [(n, p) for n, p in zip(rows.sizes, pitch, strict=True) if n > 1] or [(1, 0)]
        (outer, stride), *inner = walk
        unit = prod(n for n, _ in inner)
        return [Piece(first * unit, n * unit, first * stride,
                      tuple(reversed([(n, stride), *inner])))
                for first, n in cut(outer, -(-outer // count))]

    def _window_pitch(self, rows: Rows) -> list[int]:
        """Bytes of the tile from a result's window to the next one's, along each dimension."""
        unit = self.source.local_type.size
        local = self.source.pitches(rows.sizes)
        strides = [1, *(w.stride for w in self.source.windows)]
        return [s * n * unit for s, n in zip(strides, local[:-1], strict=True)]

    def layout(self, block: Block) -> Hashable:
        return self.rows[block.rows].sizes

    def k_offset(self, at: Visit, tile: KTile) -> int:
        source = self.source
        local = source.pitches(self.rows[at.block.rows].sizes)
        taps, channel = divmod(self.tiling.k[at.slab.box].start + tile.start, source.channels)
        offset = channel
        for window, stride in zip(reversed(source.windows), reversed(local[1:-1]), strict=True):
            taps, tap = divmod(taps, window.size)
            offset += tap * window.dilation * stride
        return offset * source.local_type.size


def _axis(window: SpatialWindow, first: int, span: int) -> tuple[int, int, Step]:
    """How `span` positions from result `first`'s window on are loaded along one dimension.

    Returns:
        Index of the first input element (it may not exist), its position in the tile, and the
        step from there, in positions.
    """
    base = first * window.stride - window.low
    if window.base_dilation == 1:
        lo, hi = max(-base, 0), min(window.extent - base, span)
        whole = lo == 0 and hi == span
        return base, 0, Step(span, 1, 1, min(lo, span), NO_LIMIT if whole else max(hi, 0))
    index = max(-(-base // window.base_dilation), 0)
    end = min(-(-(base + span) // window.base_dilation), window.extent)
    step = Step(max(end - index, 0), 1, window.base_dilation)
    return index, index * window.base_dilation - base, step


def _joined(steps: list[Step]) -> list[Step]:
    """Rows of whole channels that lie next to each other as one row, padding included."""
    channels, inner, *outer = steps
    if (inner.dram, inner.local) != (channels.size * channels.dram, channels.size * channels.local):
        return steps
    n = channels.size
    hi = inner.hi if inner.hi == NO_LIMIT else inner.hi * n
    return [Step(n * inner.size, channels.dram, channels.local, inner.lo * n, hi), *outer]
