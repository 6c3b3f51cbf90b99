"""Depthwise convolution on the vector unit: one input feature for each group.

The matrix unit would use one row of its array. Here the lanes go along the features, and a kernel
adds up the products of all kernel positions for a strip of neighbouring results, in ascending
order as the matrix unit does; so the bits are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from compiler.codegen.body import OUTPUT, Assembler
from compiler.codegen.commands import Body, Stream
from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Axis, Box
from compiler.codegen.contraction_loop import Block, Piece, Slab, Visit
from compiler.codegen.contraction_operands import Operand, Tiling, cut
from compiler.codegen.contraction_output import Output, Sums
from compiler.codegen.convolution_operands import Input, Rows, WindowActivations, row_ranges
from compiler.codegen.elementwise import WORD
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.graph import Graph
from compiler.errors import CompileError, Location
from compiler.ir.types import row_major
from hw.isa.dtypes import DType

ACCUMULATOR = 0
"""Vector register of the sums."""
SLAB = Slab(0, 0, 0, (), opens=True, closes=True, last=True)


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


def ranges(context: Context, conv: Depthwise, epilogue_bytes: int, location: Location
           ) -> list[Rows]:
    """The largest ranges of rows of which two fit the scratchpad.

    Raises:
        CompileError: not even one result's windows fit.
    """
    limit = prod(conv.rows)
    while limit:
        found = row_ranges(conv.rows, limit)
        need = max(conv.source.tile_bytes(r.sizes) + prod(r.sizes) * conv.features
                   * (WORD + epilogue_bytes) for r in found)
        if 2 * need + _weight_bytes(conv) <= context.config.scratchpad_bytes:
            return found
        limit //= 2
    raise CompileError(
        f"windows of this convolution do not fit the scratchpad of "
        f"{context.config.scratchpad_bytes} bytes: use a configuration with a larger one", location)


def _weight_bytes(conv: Depthwise) -> int:
    taps = prod(w.size for w in conv.source.windows)
    return taps * conv.features * conv.kernel.local_type.size


def emit(context: Context, conv: Depthwise, rows: Sequence[Rows], boxes: Sequence[Box],
         output: Output, location: Location) -> None:
    """Appends the commands.

    Args:
        boxes: the ranges of rows as boxes of the output.
    """
    tiling = Tiling(tuple(boxes), (Box(0, (0,), (Axis(conv.features, (1,)),)),), (), ((0, 0),),
                    ("none", "none"))
    activations = WindowActivations(context, conv.source, rows, tiling, conv.features, 1, location)
    with context.buffer(_weight_bytes(conv), location) as weights:
        _load_weights(context, conv, weights, location)
        for number, part in enumerate(rows):
            block = Block(0, number, 0)
            output.open(block)
            tile = context.scratchpad.allocate(conv.source.tile_bytes(part.sizes), location)
            activations.load(Visit(block, SLAB), tile)
            count = prod(part.sizes)
            with context.buffer(count * conv.features * WORD, location) as sums:
                _Multiply(context, conv, part.sizes, tile, weights, sums, location).emit()
                context.scratchpad.free(tile)
                pitch = conv.features * WORD
                output.take(block, Sums(sums, (0, conv.features, 1), pitch, 0, output.sums),
                            Piece(0, count, 0, ()))
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


class _Multiply:
    """Kernels of one tile: for each image, group of lanes and piece of a line of results."""

    def __init__(self, context: Context, conv: Depthwise, sizes: Sequence[int], tile: int,
                 weights: int, sums: int, location: Location) -> None:
        self.context, self.conv, self.location = context, conv, location
        self.tile, self.weights, self.sums = tile, weights, sums
        # One spatial dimension is a single line of two.
        missing = 3 - len(sizes)
        self.sizes = (sizes[0], *(1,) * missing, *sizes[1:])
        windows = conv.source.windows
        self.taps = (*(1,) * missing, *(w.size for w in windows))
        local = row_major(conv.source.tile_shape(sizes))
        unit = conv.source.local_type.size
        self.image = local[0] * unit
        self.steps = (*(0,) * missing,
                      *(w.stride * n * unit for w, n in zip(windows, local[1:-1], strict=True)))
        self.spread = (*(0,) * missing,
                       *(w.dilation * n * unit for w, n in zip(windows, local[1:-1], strict=True)))
        self.body = _body(prod(self.taps), integer=conv.source.local_type is DType.S8)

    def emit(self) -> None:
        lanes, strip = self.context.config.lanes, self.context.config.strip_groups
        images, lines, length = self.sizes
        for image in range(images):
            for channel, count in cut(self.conv.source.channels, lanes):
                for first, run in cut(length, strip):
                    for j in range(self.conv.multiplier):
                        self._kernel(image, channel, count, first, run, lines, j)

    def _kernel(self, image: int, channel: int, count: int, first: int, run: int, lines: int,
                j: int) -> None:
        conv, source = self.conv, self.conv.source
        unit, multiplier = source.local_type.size, self.conv.multiplier
        feature = channel * multiplier + j
        read = Stream(
            self.tile + image * self.image + first * self.steps[1] + channel * unit, count, unit,
            ((run, self.steps[1]), (self.taps[1], self.spread[1]), (self.taps[0], self.spread[0]),
             (lines, self.steps[0])), source.local_type)
        position = conv.features * unit
        weights = Stream(
            self.weights + feature * unit, count, multiplier * unit,
            ((run, 0), (self.taps[1], position), (self.taps[0], self.taps[1] * position),
             (lines, 0)), source.local_type)
        pitch = conv.features * WORD
        row = image * lines * self.sizes[2] + first
        write = Stream(
            self.sums + row * pitch + feature * WORD, count, multiplier * WORD,
            ((run, pitch), (lines, self.sizes[2] * pitch)),
            DType.S32 if source.local_type is DType.S8 else DType.F32)
        self.context.kernel(run * lines, self.body, {0: read, 1: weights}, {0: write},
                            self.location, strip=run)


def _body(taps: int, *, integer: bool) -> Body:
    """Sums of products of streams 0 and 1, from zero."""
    assembler = Assembler()
    start = Graph()
    assembler.section(start, [(start.bits(0), ACCUMULATOR)])
    with assembler.repeated(taps):
        step = Graph()
        total, x, w = step.register(ACCUMULATOR), step.input(0), step.input(1)
        value = step.iadd(total, step.imul(x, w)) if integer else step.fmac(x, w, total)
        assembler.section(step, [(value, ACCUMULATOR)], [ACCUMULATOR])
    end = Graph()
    assembler.section(end, [(end.register(ACCUMULATOR), OUTPUT)], [ACCUMULATOR])
    assert assembler.streams == [0, 1]
    return assembler.finish()
