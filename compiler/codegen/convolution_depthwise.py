"""Depthwise convolution on the vector unit: one input feature for each group.

The matrix unit would use one row of its array. Here the lanes go along the features, and a kernel
adds up the products of all kernel positions for a strip of results, in ascending order as the
matrix unit does; so the bits are the same. What follows the convolution is computed in the same
kernel when it fits; otherwise the sums go through the scratchpad.
"""

from collections.abc import Sequence
from math import prod

from compiler.codegen.body import DoesNotFitError
from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Axis, Box
from compiler.codegen.contraction_loop import Block, Piece, Slab, Visit
from compiler.codegen.contraction_operands import Tiling
from compiler.codegen.contraction_output import ComputeResult, Epilogue, Grid, Sums
from compiler.codegen.convolution_depthwise_tile import Depthwise, Tile, four, three
from compiler.codegen.convolution_operands import WindowActivations
from compiler.codegen.convolution_rows import Rows, even_sizes, row_ranges
from compiler.codegen.convolution_taps import Port, TapsBody, strips, taps_body
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
    kernels = strips(config, three(sizes), conv.source.channels, issues)
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
        operands = {number: Port(r.address, four(r.strides), r.dtype)
                    for number, r in self.residents.items()}
        Tile(self.context, self.conv, sizes, tile, weights, self.location).emit(
            self.fused, operands, [Port(r.address, four(r.strides[1:]), r.dtype) for r in results])
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
            images, lines, length = three(sizes)
            strides = row_major((images, lines, length, self.conv.features))
            port = Port(address, four([n * WORD for n in strides]), self.sums)
            Tile(self.context, self.conv, sizes, *addresses, self.location).emit(body, {}, [port])
            self.take(block, self._sums(address), piece)

    def _sums(self, address: int) -> Sums:
        features = self.conv.features
        return Sums(address, (0, features, 1), features * WORD, 0, self.sums)
