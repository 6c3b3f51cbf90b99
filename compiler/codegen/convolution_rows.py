"""Ranges of a convolution's result rows: positions along batch and spatial dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from compiler.codegen.contraction_axes import Axis, Box
from compiler.codegen.contraction_operands import cut
from compiler.ir.types import row_major


@dataclass(frozen=True)
class Rows:
    """A range of result rows: first index and size along batch and spatial dimensions."""

    start: tuple[int, ...]
    sizes: tuple[int, ...]


def row_ranges(shape: Sequence[int], limit: int) -> list[Rows]:
    """Consecutive ranges of at most `limit` rows, each a box of the shape, of similar sizes."""
    inner = len(shape) - 1
    while inner > 0 and prod(shape[inner:]) <= limit:
        inner -= 1
    unit = prod(shape[inner + 1:])
    pieces = -(-shape[inner] // max(limit // unit, 1))
    step = -(-shape[inner] // pieces)
    ranges = []
    for outer in range(prod(shape[:inner])):
        position: list[int] = []
        for extent in reversed(shape[:inner]):
            outer, index = divmod(outer, extent)
            position.insert(0, index)
        ranges += [Rows((*position, first, *(0,) * (len(shape) - inner - 1)),
                        (*(1,) * inner, count, *shape[inner + 1:]))
                   for first, count in cut(shape[inner], step)]
    return ranges


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
