"""Ranges of a convolution's result rows: positions along batch and spatial dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

from compiler.codegen.contraction_axes import Axis, Box
from compiler.codegen.contraction_operands import cut
from compiler.ir.types import row_major


@dataclass(frozen=True)
class Rows:
    """A range of result rows: first index and size along batch and spatial dimensions."""

    start: tuple[int, ...]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class RowCut:
    """Consecutive ranges of rows, each a box of the shape, of similar sizes.

    Attributes:
        inner: the dimension that is cut, into parts of `step`; outer ones into single positions.
    """

    shape: tuple[int, ...]
    inner: int
    step: int

    @cached_property
    def count(self) -> int:
        """Number of ranges."""
        return prod(self.shape[: self.inner]) * self.pieces

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Of the first range, which is the largest."""
        return (1,) * self.inner + (self.step,) + self.shape[self.inner + 1:]

    @property
    def pieces(self) -> int:
        """Ranges of the dimension that is cut."""
        return -(-self.shape[self.inner] // self.step)

    def joined_sizes(self, count: int) -> tuple[int, ...]:
        """Of so many neighbouring ranges at most."""
        inner = min(count * self.step, self.shape[self.inner])
        return (1,) * self.inner + (inner,) + self.shape[self.inner + 1:]

    def together(self, count: int) -> list[Rows]:
        """For each range the one that it makes with its neighbours, so many at most."""
        found, ranges = [], self.ranges()
        for first in range(0, len(ranges), self.pieces):
            line = ranges[first : first + self.pieces]
            for start in range(0, len(line), count):
                joined = line[start : start + count]
                d, begin, end = self.inner, joined[0], joined[-1]
                sizes = list(begin.sizes)
                sizes[d] = end.start[d] + end.sizes[d] - begin.start[d]
                found += [Rows(begin.start, tuple(sizes))] * len(joined)
        return found

    def ranges(self) -> list[Rows]:
        outer, inner = self.shape[: self.inner], self.shape[self.inner + 1:]
        return [Rows((*position, first, *(0,) * len(inner)), (*(1,) * len(outer), count, *inner))
                for position in product(*map(range, outer))
                for first, count in cut(self.shape[self.inner], self.step)]


def row_cut(shape: Sequence[int], limit: int) -> RowCut:
    """The cut into the fewest ranges of at most `limit` rows."""
    inner = len(shape) - 1
    while inner > 0 and prod(shape[inner:]) <= limit:
        inner -= 1
    unit = prod(shape[inner + 1:])
    pieces = -(-shape[inner] // max(limit // unit, 1))
    return RowCut(tuple(shape), inner, -(-shape[inner] // pieces))


def row_ranges(shape: Sequence[int], limit: int) -> list[Rows]:
    """Consecutive ranges of at most `limit` rows, each a box of the shape, of similar sizes."""
    return row_cut(shape, limit).ranges()


def even_sizes(total: int) -> set[int]:
    """Sizes of the largest part when a total is cut into 1, 2, 3, ... even parts."""
    return {-(-total // parts) for parts in range(1, total + 1)}


def row_box(rows: Rows, shape: Sequence[int], strides: Sequence[Sequence[int]]) -> Box:
    """A range of rows as a box.

    Args:
        shape: of all rows; strides: of each epilogue operand along each dimension.
    """
    start = sum(i * n for i, n in zip(rows.start, row_major(tuple(shape)), strict=True))
    offsets = tuple(sum(i * s for i, s in zip(rows.start, operand, strict=True))
                    for operand in strides)
    axes = [Axis(n, (0, *(operand[d] for operand in strides)))
            for d, n in enumerate(rows.sizes)]
    while len(axes) > 1 and axes[0].size == 1:
        del axes[0]
    return Box(start, (0, *offsets), tuple(axes))
