"""Depthwise convolution on the matrix unit.

As many features as the array is wide form a block. For each kernel position a block has one
diagonal weight tile, so that column n adds up what belongs to feature n alone: the sums are those
of the vector unit, bit by bit. All rows of such a tile are one row of the weights, of which each
gives one element. The array does as many useful products in a cycle as the vector unit does, and
both together twice as many.
"""

from collections.abc import Iterator, Sequence
from math import prod

from compiler.codegen.commands import Command
from compiler.codegen.contraction_operands import cut
from compiler.codegen.contraction_sweep import Form, Line, Tile, runs, sweep
from compiler.codegen.convolution_depthwise_tile import Depthwise
from compiler.errors import Location
from hw import timing
from hw.config import AcceleratorConfig


def block_width(config: AcceleratorConfig) -> int:
    """Features of a block."""
    return min(config.array_rows, config.array_cols)


def units(config: AcceleratorConfig, rows: int, blocks: int) -> Sequence[tuple[int, int]]:
    """(first, count) of the blocks whose sums are in the accumulators together: in half of them,
    so that the array goes on while the vector unit takes what is finished."""
    most = max(config.accumulator_rows // 2 // rows, 1)
    return cut(blocks, -(-blocks // -(-blocks // most))) if blocks else ()


def tile_cycles(config: AcceleratorConfig, rows: int, blocks: int) -> int:
    """Cycles of one kernel position of one block when so many of them are interleaved."""
    cycles = timing.matmul_cycles(config, rows)
    return max(cycles, -(-timing.array_latency(config) // blocks))


class Diagonal:
    """The first features of a convolution, on the array.

    Args:
        features: how many: whole blocks, or all there are.
    """

    def __init__(self, config: AcceleratorConfig, conv: Depthwise, features: int,
                 location: Location) -> None:
        self.config, self.conv, self.location = config, conv, location
        self.blocks = cut(features, block_width(config))
        self._unit = conv.kernel.local_type.size

    @property
    def features(self) -> int:
        first, count = self.blocks[-1]
        return first + count

    def multiply(self, addresses: tuple[int, int], sizes: Sequence[int],
                 levels: Sequence[tuple[int, int, int]], blocks: tuple[int, int], row: int
                 ) -> Iterator[Command]:
        """The commands of the sums of some blocks, one after the other from an accumulator row on.

        Args:
            addresses: of the input tile and of the weights, [kernel positions][features].
            sizes: results along batch and spatial dimensions; `levels`: the walk over them.
            blocks: first and count.
        """
        config, rows = self.config, prod(sizes)
        first, count = blocks
        offsets, position = self._tap_offsets(sizes), self.conv.features * self._unit
        taps = runs([number > 0 for number in range(len(offsets))],
                    [(number * position, offset) for number, offset in enumerate(offsets)])
        widths = [width for _, width in self.blocks[first : first + count]]
        columns = runs(widths, [(number, number) for number in range(count)])
        if rows >= timing.array_latency(config):
            columns = [(number, 1, (0, 0)) for number in range(count)]
        for column, several, _ in columns:
            width, start = widths[column], self.blocks[first + column][0] * self._unit
            inner = Line(several, width * self._unit, width * self._unit, rows)
            for tap, repeats, step in taps:
                form = Form(width, width, 0, False, tuple(levels), self.conv.is_integer, tap > 0,
                            diagonal=True)
                tile = Tile(addresses[1] + start + tap * position,
                            addresses[0] + start + offsets[tap], row + column * rows, form)
                yield from sweep(config, tile, Line(repeats, *step), inner, self.location)

    def _tap_offsets(self, sizes: Sequence[int]) -> list[int]:
        """Bytes from a window's first element to that of each kernel position."""
        source = self.conv.source
        local = source.pitches(sizes)[1:-1]
        offsets = [0]
        for window, stride in zip(source.windows, local, strict=True):
            offsets = [offset + tap * window.dilation * stride * self._unit
                       for offset in offsets for tap in range(window.size)]
        return offsets
