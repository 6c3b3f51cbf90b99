"""Depthwise convolution on the vector unit: one input feature for each group.

The matrix unit would use one row of its array. Here the lanes go along the features, and a kernel
adds up the products of all kernel positions for a strip of results, in ascending order as the
matrix unit does; so the bits are the same. What follows the convolution is computed in the same
kernel when it fits; otherwise the sums go through the scratchpad.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from compiler.codegen.body import DoesNotFitError
from compiler.codegen.clamps import clamped
from compiler.codegen.commands import Stream
from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Axis, Box
from compiler.codegen.contraction_loop import Block, Piece, Slab, Visit
from compiler.codegen.contraction_operands import Operand, Tiling
from compiler.codegen.contraction_output import ComputeResult, Epilogue, Grid, Sums
from compiler.codegen.convolution_operands import (
    Input,
    Rows,
    WindowActivations,
    even_sizes,
    row_ranges,
)
from compiler.codegen.convolution_taps import (
    ACTIVATIONS,
    WEIGHTS,
    Port,
    Strips,
    TapsBody,
    holding_body,
    strips,
    taps_body,
)
from compiler.codegen.elementwise import WORD
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.graph import Graph
from compiler.errors import CompileError, Location
from compiler.ir.types import row_major
from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.dtypes import DType

SLAB = Slab(0, 0, 0, (), opens=True, closes=True, last=True)
BUFFERS = 2
"""Tiles of the input that fit the scratchpad at once: in use, and on the way."""


@dataclass(frozen=True)
class Depthwise:
    """A convolution whose groups have one input feature and `features / groups` results each.

    Attributes:
        source: its `channels` are all input features.
        kernel: weights; `free` is the axis of result features, `k` the kernel positions.
        rows: results along batch and spatial dimensions, at most two of the latter.
    """

    source: Input
    kernel: Operand
    rows: tuple[int, ...]
    features: int

    @property
    def multiplier(self) -> int:
        return self.features // self.source.channels

    @property
    def taps(self) -> tuple[int, int]:
        """Kernel positions along lines and along positions."""
        lines, positions = (1, *(w.size for w in self.source.windows))[-2:]
        return lines, positions

    @property
    def is_integer(self) -> bool:
        return self.source.local_type is DType.S8

    @property
    def weight_bytes(self) -> int:
        return prod(self.taps) * self.features * self.kernel.local_type.size


def body_of(conv: Depthwise, epilogue: Epilogue, parameters: Sequence[int]) -> TapsBody | None:
    """The kernel body with the epilogue; None when it does not fit one kernel.

    Args:
        parameters: operands with one element for each feature: vector registers can hold them.
    """
    for held in ((), parameters):
        try:
            return taps_body(prod(conv.taps), epilogue, held, integer=conv.is_integer)
        except DoesNotFitError:
            continue
    return None


def ranges(context: Context, conv: Depthwise, result_bytes: int, issues: int, location: Location
           ) -> list[Rows]:
    """The ranges of rows with the fewest predicted cycles.

    Args:
        result_bytes: scratchpad for each result element; issues: instructions for each group.

    Raises:
        CompileError: not even one result's windows fit.
    """
    room = context.scratchpad.limit - conv.weight_bytes
    lines, length = (1, *conv.rows)[-2:]
    limits = {n * length for n in even_sizes(lines)} | {*even_sizes(length), prod(conv.rows)}
    choices = [row_ranges(conv.rows, limit) for limit in sorted(limits)]
    fitting = [rows for rows in choices if _need(conv, rows, result_bytes) <= room]
    if not fitting:
        raise CompileError(
            f"windows of this convolution do not fit the scratchpad of "
            f"{context.config.scratchpad_bytes} bytes: use a configuration with a larger one",
            location)
    return min(fitting, key=lambda rows: _cycles(context.config, conv, rows, issues))


def _need(conv: Depthwise, rows: Sequence[Rows], result_bytes: int) -> int:
    buffers = min(BUFFERS, len(rows))
    return max(buffers * conv.source.tile_bytes(r.sizes)
               + prod(r.sizes) * conv.features * result_bytes for r in rows)


def _cycles(config: AcceleratorConfig, conv: Depthwise, rows: Sequence[Rows], issues: int) -> int:
    """The kernels, the first load and the last store."""
    sizes = rows[0].sizes
    kernels = strips(config, _three(sizes), conv.source.channels, issues)
    compute = conv.multiplier * sum(part.cycles(issues) for part in kernels)
    load = timing.dma_cycles(config, 1, conv.source.tile_bytes(sizes))
    store = timing.dma_cycles(config, 1, prod(sizes) * conv.features * WORD // 2)
    return len(rows) * max(compute, load) + load + store


def emit(context: Context, conv: Depthwise, rows: Sequence[Rows], grid: Grid, epilogue: Epilogue,
         fused: TapsBody | None, location: Location) -> None:
    """Appends the commands.

    Args:
        fused: what `body_of` returned.
    """
    tiling = Tiling(grid.rows, (Box(0, (0,), (Axis(conv.features, (1,)),)),), (), ((0, 0),),
                    ("none", "none"))
    activations = WindowActivations(context, conv.source, rows, tiling, conv.features, 1, location)
    output = _Output(context, grid, epilogue, conv, fused, location)
    size = max(conv.source.tile_bytes(part.sizes) for part in rows)
    buffers = min(BUFFERS, len(rows))
    with context.buffer(conv.weight_bytes + buffers * size, location) as weights:
        _load_weights(context, conv, weights, location)
        for number, part in enumerate(rows):
            block = Block(0, number, 0)
            tile = weights + conv.weight_bytes + number % buffers * size
            activations.load(Visit(block, SLAB), tile)
            output.open(block)
            output.multiply(block, part.sizes, tile, weights)
            output.close()
    output.end()


def _load_weights(context: Context, conv: Depthwise, address: int, location: Location) -> None:
    """[kernel positions][features]."""
    kernel = conv.kernel
    window, offset = kernel.places[0]
    size, unit = kernel.dram_type.size, kernel.local_type.size
    pitch = [n * conv.features * unit
             for n in row_major(tuple(axis.size for axis in kernel.k))]
    steps = [Step(conv.features, kernel.free[0].strides[0] * size, unit)]
    steps += [Step(axis.size, axis.strides[1] * size, n)
              for axis, n in zip(reversed(kernel.k), reversed(pitch), strict=True)]
    for transfer in transfers(window, offset, address, steps, kernel.dram_type, kernel.local_type):
        context.load(transfer, location)


class _Output(ComputeResult):
    """Sums of products, and what becomes of them."""

    def __init__(self, context: Context, grid: Grid, epilogue: Epilogue, conv: Depthwise,
                 fused: TapsBody | None, location: Location) -> None:
        super().__init__(context, grid, epilogue, DType.S32 if conv.is_integer else DType.F32,
                         location)
        self.conv, self.fused = conv, fused

    def multiply(self, block: Block, sizes: Sequence[int], tile: int, weights: int) -> None:
        """Appends the kernels of one tile, and the stores of its results.

        Args:
            sizes: results along batch and spatial dimensions.
        """
        piece = Piece(0, prod(sizes), 0, ())
        if self.fused is None:
            self._in_two_steps(block, piece, sizes, (tile, weights))
            return
        sums = self._sums(0)
        extents = (1, *(axis.size for axis in self.grid.rows[block.rows].axes), self.conv.features)
        results = [self._result(place, block, piece, sums, extents)
                   for place in self.epilogue.results]
        operands = {number: Port(r.address, _four(r.strides), r.dtype)
                    for number, r in self.residents.items()}
        _Tile(self.context, self.conv, sizes, tile, weights, self.location).emit(
            self.fused, operands, [Port(r.address, _four(r.strides[1:]), r.dtype) for r in results])
        for place, port in zip(self.epilogue.results, results, strict=True):
            if not place.on_chip:
                self._store(block, piece, sums, place, port.address)
                self.context.scratchpad.free(port.address)

    def _in_two_steps(self, block: Block, piece: Piece, sizes: Sequence[int],
                      addresses: tuple[int, int]) -> None:
        graph = Graph()
        alone = Epilogue(graph, (None,), (graph.input(0),), ())
        body = taps_body(prod(self.conv.taps), alone, (), integer=self.conv.is_integer)
        size = piece.rows * self.conv.features * WORD
        with self.context.buffer(size, self.location) as address:
            images, lines, length = _three(sizes)
            strides = row_major((images, lines, length, self.conv.features))
            port = Port(address, _four([n * WORD for n in strides]), self.sums)
            _Tile(self.context, self.conv, sizes, *addresses, self.location).emit(body, {}, [port])
            self.take(block, self._sums(address), piece)

    def _sums(self, address: int) -> Sums:
        features = self.conv.features
        return Sums(address, (0, features, 1), features * WORD, 0, self.sums)


class _Tile:
    """Kernels over one tile of the input."""

    def __init__(self, context: Context, conv: Depthwise, sizes: Sequence[int], tile: int,
                 weights: int, location: Location) -> None:
        self.context, self.conv, self.location = context, conv, location
        self.sizes = _three(sizes)
        source = conv.source
        unit = source.local_type.size
        local = [n * unit for n in row_major(source.tile_shape(sizes))]
        lines, positions = ((0, *(w.stride * n for w, n in zip(
            source.windows, local[1:-1], strict=True)))[-2:])
        self.read = Port(tile, (local[0], lines, positions, unit), source.local_type)
        spread = (0, *(w.dilation * n for w, n in zip(source.windows, local[1:-1], strict=True)))
        self.read_taps = _taps(conv, spread[-2:])
        position = conv.features * unit
        self.factors = Port(weights, (0, 0, 0, unit), source.local_type)
        self.factor_taps = _taps(conv, (conv.taps[1] * position, position))
        self.held: object = None

    def emit(self, body: TapsBody, operands: dict[int, Port], results: Sequence[Port]) -> None:
        channels = self.conv.source.channels
        for part in strips(self.context.config, self.sizes, channels, body.body.issues):
            for j in range(self.conv.multiplier):
                inputs = {n: self._of_result(port, j) for n, port in operands.items()}
                self._hold(part, j, body, inputs)
                streams = {n: part.stream(port) for n, port in inputs.items()}
                streams[ACTIVATIONS] = part.stream(self.read, self.read_taps)
                streams[WEIGHTS] = part.stream(self._of_result(self.factors, j), self.factor_taps)
                self.context.kernel(
                    part.groups, body.body,
                    {i: streams[number] for i, number in enumerate(body.streams)},
                    {i: clamped(part.stream(self._of_result(port, j)), body.clamps[i])
                     for i, port in enumerate(results)},
                    self.location, strip=part.inner.bound)

    def _of_result(self, port: Port, j: int) -> Port:
        """The port as seen from the input's features: those of the j-th result of each."""
        image, line, position, feature = port.strides
        return Port(port.address + j * feature,
                    (image, line, position, self.conv.multiplier * feature), port.dtype)

    def _hold(self, part: Strips, j: int, body: TapsBody, inputs: dict[int, Port]) -> None:
        """Loads the registers for features whose operands they do not hold yet."""
        key = part.first[-1], j, part.inner.bound
        if not body.held or key == self.held:
            return
        self.held = key
        alone = part.only_strip()
        streams: dict[int, Stream] = {i: alone.stream(inputs[number])
                                      for i, number in enumerate(body.held)}
        self.context.kernel(alone.groups, holding_body(body.held), streams, {}, self.location,
                            strip=part.inner.bound)


def _taps(conv: Depthwise, spread: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Levels of a stream over the kernel positions, the last dimension fastest."""
    return (conv.taps[1], spread[1]), (conv.taps[0], spread[0])


def _three(sizes: Sequence[int]) -> tuple[int, int, int]:
    """Images, lines, positions; one spatial dimension is a single line of two."""
    lines, positions = (1, *sizes[1:])[-2:]
    return sizes[0], lines, positions


def _four(strides: Sequence[int]) -> tuple[int, int, int, int]:
    """Strides of four dimensions; outer ones that are missing have one index."""
    image, line, position, feature = (*(0,) * (4 - len(strides)), *strides)
    return image, line, position, feature
