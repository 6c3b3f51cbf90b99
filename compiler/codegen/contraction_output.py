"""What becomes of finished sums: stored as they are, or computed with on the way.

The result is [batch, rows, columns], dense in DRAM. Without further computation the store DMA
reads the accumulators (`StoreSums`). Otherwise (`ComputeResult`) a vector kernel reads them as an
input stream, other operands of the computation (bias, residual, ...) as further streams, and
writes a dense tile from which the result is stored.
"""

from abc import abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import ceil, prod

from compiler.codegen.clamps import clamped
from compiler.codegen.column_operands import ColumnOperand, column_operand
from compiler.codegen.commands import KernelForm, kernel_form
from compiler.codegen.context import Context, Place
from compiler.codegen.contraction_axes import Box, part_of
from compiler.codegen.contraction_work import Block, Piece, Sink, Visit
from compiler.codegen.elementwise import WORD, KernelTables
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.graph import Graph
from compiler.codegen.operands import Loader, Operand, Resident, box_stream
from compiler.codegen.partition import Kernel, partition
from compiler.errors import Location
from compiler.ir.types import ElementType, row_major
from compiler.ops.views import View
from hw import timing
from hw.isa.dtypes import DType
from hw.isa.host import ACCUMULATOR_BASE
from hw.isa.params import LEVELS


@dataclass(frozen=True)
class Grid:
    """The result's flattened indices as they are cut, and what its elements go with.

    Attributes:
        rows, columns: boxes; operand i of the epilogue has strides `first_stride + i` in the
            boxes' axes, and a result inside a larger tensor the last ones. A box of columns has one
            axis.
        batch: for each batch index the offset of each epilogue operand, in elements.
    """

    shape: tuple[int, int, int]
    rows: tuple[Box, ...]
    columns: tuple[Box, ...]
    batch: tuple[tuple[int, ...], ...]
    first_stride: int = 1

    def offset(self, block: Block, row: int, column: int, pitch: int) -> int:
        """Position of an element of a block in the result, whose rows are `pitch` apart."""
        return ((block.batch * self.shape[1] + self.rows[block.rows].start + row) * pitch
                + self.columns[block.columns].start + column)


@dataclass(slots=True)
class Sums:
    """Finished sums of a piece in local memory: rows of one tile, and tile after tile.

    Attributes:
        columns: (first column in the block, columns of a tile, number of tiles).
        row_pitch, tile_pitch: bytes; `apart`: from the sums of one product to those of the next.
    """

    address: int
    columns: tuple[int, int, int]
    row_pitch: int
    tile_pitch: int
    dtype: DType
    apart: int = 0

    def of_products(self, count: int) -> "Sums":
        """Tiles of some products, one of each after the other, as those of the first one."""
        if count == 1:
            return self
        first, width, tiles = self.columns
        return replace(self, columns=(first // count, width, tiles // count),
                       tile_pitch=count * self.tile_pitch, apart=self.tile_pitch)


def gather_sums(context: Context, tiles: Sequence[tuple[int, int, int]], dtype: DType
                ) -> list[Sums]:
    """Tiles as `Sink.finish` gets them, those of equal width together."""
    pitch = context.config.accumulator_row_bytes
    even = [t for t in tiles if t[1] == tiles[0][1]]
    found = []
    for group in (even, tiles[len(even):]):
        if group:
            spacing = group[1][2] - group[0][2] if len(group) > 1 else 0
            found.append(Sums(ACCUMULATOR_BASE + group[0][2] * pitch,
                              (group[0][0], group[0][1], len(group)), pitch, spacing * pitch,
                              dtype))
    return found


class Output(Sink):
    """Takes sums to DRAM, wherever they are in local memory."""

    def __init__(self, context: Context, grid: Grid, sums: DType, location: Location) -> None:
        self.context, self.grid, self.sums, self.location = context, grid, sums, location

    def finish(self, at: Visit, tiles: Sequence[tuple[int, int, int]], piece: Piece) -> None:
        for sums in gather_sums(self.context, tiles, self.sums):
            self.take(at.block, sums, piece)

    @abstractmethod
    def take(self, block: Block, sums: Sums, piece: Piece) -> None:
        """Stores what becomes of the sums."""


class StoreSums(Output):
    """f32 sums to f32 or bf16, s32 sums to s32, by the store DMA alone."""

    def __init__(self, context: Context, grid: Grid, place: Place, sums: DType,
                 location: Location) -> None:
        super().__init__(context, grid, sums, location)
        self.place = place

    def open(self, at: Visit) -> None:
        """Needs nothing."""

    def close(self) -> None:
        """Holds nothing."""

    def end(self) -> None:
        """Holds nothing."""

    def take(self, block: Block, sums: Sums, piece: Piece) -> None:
        dtype = self.place.tensor.element.memory
        first, width, count = sums.columns
        pitch = self.place.pitch(self.grid.shape[2])
        steps = [Step(width, dtype.size, WORD),
                 Step(piece.rows, pitch * dtype.size, sums.row_pitch),
                 Step(count, width * dtype.size, sums.tile_pitch)]
        offset = self.place.offset + self.grid.offset(block, piece.first, first, pitch) * dtype.size
        for transfer in transfers(self.place.window, offset, sums.address, steps, dtype,
                                  sums.dtype):
            self.context.store(transfer, self.location)


@dataclass(frozen=True)
class Epilogue:
    """An elementwise computation on the sums.

    Attributes:
        operands: what the graph's inputs read, views of the result's shape; None for the sums of
            each product, in order.
        outputs: nodes of the graph; output i goes to results[i].
    """

    graph: Graph
    operands: tuple[Operand | None, ...]
    outputs: tuple[int, ...]
    results: tuple[Place, ...]

    @property
    def elements(self) -> list[ElementType]:
        """Types of the results."""
        return [place.tensor.element for place in self.results]

    @cached_property
    def kernels(self) -> list[Kernel]:
        """What computes it."""
        return partition(self.graph, self.outputs, self.elements)


@dataclass(slots=True)
class LocalPort:
    """What a stream walks: address of the piece's first element, bytes per dimension."""

    address: int
    strides: tuple[int, ...]
    dtype: DType


@dataclass(slots=True)
class _Walk:
    """Kernels over all of a piece, wherever its ports are.

    Attributes:
        shifts: for each kernel how far from the ports' addresses its streams begin.
    """

    form: KernelForm
    shifts: list[list[int]]


class ComputeResult(Output):
    """Vector kernels on finished sums."""

    def __init__(self, context: Context, grid: Grid, epilogue: Epilogue, sums: DType,
                 location: Location) -> None:
        super().__init__(context, grid, sums, location)
        self.epilogue = epilogue
        self.kernels = epilogue.kernels
        self.unit = epilogue.operands.count(None)
        self.temporaries = -min((0, *(n for k in self.kernels for n in k.outputs)))
        self.tables = KernelTables(context, self.kernels, location)
        self.by_column = dict(self._by_column())
        self.loaders: list[Loader] = []
        self.residents: dict[int, Resident] = {}
        self._walks: dict[Hashable, _Walk] = {}

    def _by_column(self) -> Iterator[tuple[int, ColumnOperand]]:
        """Operands that have one element for each column, by number."""
        for number, operand in enumerate(self.epilogue.operands):
            if operand is None or any(offsets[number] for offsets in self.grid.batch):
                continue
            found = column_operand(self.context, operand, self.grid.rows, self.grid.columns,
                                   self.grid.first_stride + number, self.location)
            if found is not None:
                yield number, found

    def together(self, cycles: int) -> int:
        """Rows of one tile may be too short for the bus: each is at least a burst."""
        config = self.context.config
        sizes = [place.tensor.element.size for place in self.epilogue.results
                 if not place.on_chip]
        interval = timing.burst_interval(config, timing.DEFAULT_LATENCY)
        if not sizes or cycles >= interval:
            return 1
        return ceil(interval / timing.beats(config, config.array_cols * min(sizes)))

    def open(self, at: Visit) -> None:
        """Loads what the columns need of every operand."""
        block, rows, columns = at.block, self.grid.rows[at.block.rows], self._columns(at)
        first = columns.start - self.grid.columns[block.columns].start
        axes = (*rows.axes, *columns.axes)
        extents = tuple(axis.size for axis in axes)
        for number, operand in enumerate(self.epilogue.operands):
            if number in self.by_column:
                if not first:
                    self.residents[number] = self.by_column[number].open(block.columns,
                                                                         len(rows.axes))
            elif operand is not None:
                place = self.grid.first_stride + number
                offset = (operand.view.offset + self.grid.batch[block.batch][number]
                          + rows.offsets[place] + columns.offsets[place])
                view = View(extents, tuple(a.strides[place] for a in axes), offset)
                loader = Loader(self.context, Operand(operand.place, view), self.location)
                found = loader.box((0,) * len(extents), extents)
                # Columns are counted from the block's first one.
                self.residents[number] = replace(
                    found, address=found.address - first * found.strides[-1])
                self.loaders.append(loader)

    def _columns(self, at: Visit) -> Box:
        """Those of the result that a visit is about."""
        box = self.grid.columns[at.block.columns]
        if at.columns is None:
            return box
        first, count = at.columns
        return part_of(box, first // self.unit, count // self.unit)

    def close(self) -> None:
        for loader in self.loaders:
            loader.close()
        self.loaders.clear()

    def end(self) -> None:
        for operand in self.by_column.values():
            operand.close()
        self.tables.close()

    def take(self, block: Block, sums: Sums, piece: Piece) -> None:
        sums = sums.of_products(self.unit)
        extents = self._extents(block, sums, piece)
        results = [self._result(place, block, piece, sums, extents)
                   for place in self.epilogue.results]
        self._compute(sums, piece, extents, results)
        for place, port in zip(self.epilogue.results, results, strict=True):
            if not place.on_chip:
                self._store(block, piece, sums, place, port.address)
                self.context.scratchpad.free(port.address)

    def _extents(self, block: Block, sums: Sums, piece: Piece) -> tuple[int, ...]:
        """Tiles, the axes of rows, columns of a tile."""
        _, width, count = sums.columns
        inner = [axis.size for axis in self.grid.rows[block.rows].axes[1:]]
        return count, piece.rows // prod(inner), *inner, width

    def _compute(self, sums: Sums, piece: Piece, extents: Sequence[int],
                 results: Sequence[LocalPort]) -> None:
        """Appends the kernels."""
        first, width, _ = sums.columns
        unit = prod(extents[2:-1])
        temporary = [self._padded(extents) for _ in range(self.temporaries)]
        ports = {number: LocalPort(
            r.address + piece.first // unit * r.strides[0] + first * r.strides[-1],
            (width * r.strides[-1], *r.strides), r.dtype)
            for number, r in self.residents.items()}
        strides = (sums.tile_pitch,
                   *(n * sums.row_pitch for n in row_major(tuple(extents[1:-1]))), WORD)
        made = (n for n, operand in enumerate(self.epilogue.operands) if operand is None)
        ports.update((number, LocalPort(sums.address + product * sums.apart, strides, sums.dtype))
                     for product, number in enumerate(made))
        for number, kernel in enumerate(self.kernels):
            walked = [temporary[-1 - n] if n < 0 else ports[n] for n in kernel.inputs]
            walked += [temporary[-1 - n] if n < 0 else results[n] for n in kernel.outputs]
            self._run(number, tuple(extents), walked)
        for port in temporary:
            self.context.scratchpad.free(port.address)

    def _result(self, place: Place, block: Block, piece: Piece, sums: Sums,
                extents: Sequence[int]) -> LocalPort:
        """Where a piece of a result is written: the tensor on chip, or a tile to be stored."""
        dtype = place.tensor.element.memory
        if not place.on_chip:
            return self._dense(dtype, extents)
        _, *rows, width = extents
        if place.inside is not None:
            return self._inside(place, block, piece, sums, width)
        pitch = self.grid.shape[2]
        offset = self.grid.offset(block, piece.first, sums.columns[0], pitch)
        return LocalPort(place.offset + offset * dtype.size,
                     (width * dtype.size, *(n * pitch * dtype.size for n in row_major(tuple(rows))),
                      dtype.size), dtype)

    def _inside(self, place: Place, block: Block, piece: Piece, sums: Sums, width: int
                ) -> LocalPort:
        """A piece of a result that is made in a larger tensor."""
        rows, columns = self.grid.rows[block.rows], self.grid.columns[block.columns]
        (outer, *inner), column = rows.axes, columns.axes[0].strides[-1]
        dtype = place.tensor.element.memory
        offset = (rows.offsets[-1] + columns.offsets[-1] + sums.columns[0] * column
                  + piece.first // prod(axis.size for axis in inner) * outer.strides[-1])
        strides = (width * column, *(axis.strides[-1] for axis in rows.axes), column)
        return LocalPort(place.offset + offset * dtype.size,
                         tuple(n * dtype.size for n in strides), dtype)

    def _dense(self, dtype: DType, extents: Sequence[int]) -> LocalPort:
        """A new tile of results: row by row, all columns of a row together."""
        count, *rows, width = extents
        address = self.context.scratchpad.allocate(prod(extents) * dtype.size, self.location)
        pitch = count * width * dtype.size
        return LocalPort(address, (width * dtype.size, *(n * pitch for n in row_major(tuple(rows))),
                               dtype.size), dtype)

    def _padded(self, extents: Sequence[int]) -> LocalPort:
        """A new temporary, in whole groups of lanes."""
        lanes = self.context.config.lanes
        whole = (*extents[:-1], -(-extents[-1] // lanes) * lanes)
        address = self.context.scratchpad.allocate(prod(whole) * WORD, self.location)
        return LocalPort(address, tuple(n * WORD for n in row_major(whole)), DType.S32)

    def _run(self, number: int, extents: tuple[int, ...], ports: Sequence[LocalPort]) -> None:
        """Appends a kernel over all of a piece; one for each outer position when it is too deep.

        Args:
            number: of the kernel; `ports`: what its streams walk, inputs before outputs.
        """
        key = number, extents, tuple([(port.strides, port.dtype) for port in ports])
        walk = self._walks.get(key)
        if walk is None:
            walk = self._walks[key] = self._walk(self.kernels[number], extents, ports)
        tables = [stream.base for stream in self.tables.streams(self.kernels[number]).values()]
        for shifts in walk.shifts:
            addresses = [port.address + n for port, n in zip(ports, shifts, strict=True)]
            self.context.add(walk.form.at([*tables, *addresses], self.location))

    def _walk(self, kernel: Kernel, extents: Sequence[int], ports: Sequence[LocalPort]) -> _Walk:
        lanes, strip = self.context.config.lanes, self.context.config.strip_groups
        kept = [d for d, extent in enumerate(extents[:-1]) if extent > 1]
        deep = max(len(kept) - LEVELS + 1, 0)
        loops, dims = kept[:deep], kept[deep:]
        sizes = [extents[d] for d in (*dims, -1)]
        groups = prod(sizes[:-1]) * -(-sizes[-1] // lanes)
        streams = [box_stream(0, [p.strides[d] for d in (*dims, -1)], sizes, p.dtype, lanes)
                   for p in ports]
        inputs = len(kernel.inputs)
        outputs = {i: clamped(stream, clamp) for i, (stream, clamp) in enumerate(
            zip(streams[inputs:], kernel.clamps, strict=True))}
        form = kernel_form(self.context.config, groups, kernel.body,
                           self.tables.streams(kernel) | dict(enumerate(streams[:inputs])),
                           outputs, strip)
        return _Walk(form, [[sum(i * p.strides[d] for i, d in zip(position, loops, strict=True))
                             for p in ports]
                            for position in product(*(range(extents[d]) for d in loops))])

    def _store(self, block: Block, piece: Piece, sums: Sums, place: Place, address: int) -> None:
        first, width, count = sums.columns
        dtype, pitch = place.tensor.element.memory, place.pitch(self.grid.shape[2])
        steps = [Step(width * count, dtype.size, dtype.size),
                 Step(piece.rows, pitch * dtype.size, width * count * dtype.size)]
        offset = place.offset + self.grid.offset(block, piece.first, first, pitch) * dtype.size
        for transfer in transfers(place.window, offset, address, steps, dtype, dtype):
            self.context.store(transfer, self.location)
