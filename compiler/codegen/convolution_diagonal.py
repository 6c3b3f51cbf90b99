"""Depthwise convolution on the matrix unit, for finite numbers.

As many features as the array is wide form a block. For each kernel position a block has one weight
tile, with the features' weights on its diagonal and zeros elsewhere, so that column n adds up what
belongs to feature n alone. The array does as many useful products in a cycle as the vector unit
does, and both together twice as many.

What the zeros add is x * 0, a zero of either sign if x is finite. A sum starts at +0, and no
addition of such a zero changes it: +0 + -0 is +0. Only a sum that became -0, by flushing a
negative subnormal, can become +0. With an infinite x or NaN the other features of the block would
become NaN; hence this is for fast math only.
"""

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from compiler.codegen.commands import Command
from compiler.codegen.context import Context
from compiler.codegen.contraction_operands import cut
from compiler.codegen.contraction_sweep import Line, Tile, runs, sweep
from compiler.codegen.convolution_depthwise_tile import Depthwise
from compiler.codegen.footprint import Step, transfers
from compiler.errors import Location
from compiler.ir.types import row_major
from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.program import CONSTANT_WINDOW

Array = NDArray[np.generic]


def block_width(config: AcceleratorConfig) -> int:
    """Features of a block."""
    return min(config.array_rows, config.array_cols)


def units(config: AcceleratorConfig, rows: int, blocks: int) -> list[tuple[int, int]]:
    """(first, count) of the blocks whose sums are in the accumulators together: in half of them,
    so that the array goes on while the vector unit takes what is finished."""
    most = max(config.accumulator_rows // 2 // rows, 1)
    return cut(blocks, -(-blocks // -(-blocks // most))) if blocks else []


def tile_cycles(config: AcceleratorConfig, rows: int, blocks: int) -> int:
    """Cycles of one kernel position of one block when so many of them are interleaved."""
    cycles = timing.matmul_cycles(config, rows)
    return max(cycles, -(-timing.array_latency(config) // blocks))


def weight_bytes(config: AcceleratorConfig, conv: Depthwise, blocks: int) -> int:
    """Of the weight tiles."""
    return blocks * prod(conv.taps) * block_width(config) ** 2 * conv.kernel.local_type.size


class Diagonal:
    """The first features of a convolution, on the array.

    Args:
        features: how many: whole blocks, or all there are.
        kernel: all weights, kernel positions by features.
    """

    def __init__(self, context: Context, conv: Depthwise, features: int, kernel: Array,
                 location: Location) -> None:
        self.context, self.conv, self.location = context, conv, location
        width = block_width(context.config)
        self.blocks = cut(features, width)
        self._unit = conv.kernel.local_type.size
        self._shape = (len(self.blocks), prod(conv.taps), width, width)
        tiles = np.zeros(self._shape, kernel.dtype)
        for number, (first, count) in enumerate(self.blocks):
            diagonal = np.arange(count)
            tiles[number, :, diagonal, diagonal] = kernel[:, first : first + count].T
        self._offset = context.constants.add(tiles)
        self.bytes = tiles.nbytes

    @property
    def features(self) -> int:
        first, count = self.blocks[-1]
        return first + count

    def load(self, address: int) -> None:
        """Brings the weight tiles."""
        dtype = self.conv.kernel.local_type
        step = Step(prod(self._shape), self._unit, self._unit)
        for transfer in transfers(CONSTANT_WINDOW, self._offset, address, [step], dtype, dtype):
            self.context.load(transfer, self.location)

    def multiply(self, addresses: tuple[int, int], sizes: Sequence[int],
                 levels: Sequence[tuple[int, int, int]], blocks: tuple[int, int], row: int
                 ) -> Iterator[Command]:
        """The commands of the sums of some blocks, one after the other from an accumulator row on.

        Args:
            addresses: of the input tile and of the weights.
            sizes: results along batch and spatial dimensions; `levels`: the walk over them.
            blocks: first and count.
        """
        config, rows = self.context.config, prod(sizes)
        first, count = blocks
        block, tile, line, _ = (n * self._unit for n in row_major(self._shape))
        offsets = self._tap_offsets(sizes)
        taps = runs([number > 0 for number in range(len(offsets))],
                    [(number * tile, offset) for number, offset in enumerate(offsets)])
        widths = [width for _, width in self.blocks[first : first + count]]
        columns = runs(widths, [(number, number) for number in range(count)])
        if rows >= timing.array_latency(config):
            columns = [(number, 1, (0, 0)) for number in range(count)]
        for column, several, _ in columns:
            width = widths[column]
            inner = Line(several, block, width * self._unit, rows)
            for tap, repeats, step in taps:
                start = Tile(
                    addresses[1] + (first + column) * block + tap * tile,
                    addresses[0] + self.blocks[first + column][0] * self._unit + offsets[tap],
                    row + column * rows, width, width, line, False, tuple(levels), False, tap > 0)
                yield from sweep(config, start, Line(repeats, *step), inner, self.location)

    def _tap_offsets(self, sizes: Sequence[int]) -> list[int]:
        """Bytes from a window's first element to that of each kernel position."""
        source = self.conv.source
        local = row_major(source.tile_shape(sizes))[1:-1]
        offsets = [0]
        for window, stride in zip(source.windows, local, strict=True):
            offsets = [offset + tap * window.dilation * stride * self._unit
                       for offset in offsets for tap in range(window.size)]
        return offsets
