"""Strided axes and boxes of them.

A contraction flattens its dimensions into batch, rows, columns and k. Each of these is a list of
axes, outermost first; a range of the flattened index that is a box of axes can be fetched by one
nest of rows. An axis has a stride in each operand it occurs in: k has two, rows and columns one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

from compiler.codegen.footprint import Step


@dataclass(frozen=True)
class Axis:
    """`size` positions, in operand i `strides[i]` elements apart in DRAM."""

    size: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Box:
    """Positions start, start + 1, ... of a flattened index.

    Attributes:
        start: first flattened position.
        offsets: elements from each operand's first element to that of `start`.
        axes: what is walked from there, outermost first.
    """

    start: int
    offsets: tuple[int, ...]
    axes: tuple[Axis, ...]

    @cached_property
    def count(self) -> int:
        return prod(axis.size for axis in self.axes)


def merge(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The same walk with as few axes as possible, at least one."""
    merged: list[Axis] = []
    for axis in axes:
        if axis.size == 1:
            continue
        if merged and merged[-1].strides == tuple(axis.size * s for s in axis.strides):
            axis = Axis(merged.pop().size * axis.size, axis.strides)
        merged.append(axis)
    return tuple(merged) or (Axis(1, tuple(1 for _ in axes[0].strides) if axes else (1, 1)),)


def boxes(axes: Sequence[Axis], limits: Sequence[int], depth: int | None = None) -> list[Box]:
    """Cuts a flattened index into boxes of at most limits[0], limits[1], ... positions.

    The last limit goes for all further boxes. Axes that do not merge force smaller boxes.

    Args:
        depth: most axes of a box, None for any number.
    """
    axes = merge(axes)
    inner = len(axes) - 1
    while inner > 0 and len(axes) - inner != depth \
            and prod(a.size for a in axes[inner:]) <= limits[-1]:
        inner -= 1
    whole, axis = axes[inner + 1 :], axes[inner]
    unit = prod(a.size for a in whole)
    cut: list[Box] = []
    for position in product(*(range(a.size) for a in axes[:inner])):
        base = _offsets(axes[:inner], position, len(axis.strides))
        first = 0
        while first < axis.size:
            limit = limits[min(len(cut), len(limits) - 1)]
            count = min(max(limit // unit, 1), axis.size - first)
            start = cut[-1].start + cut[-1].count if cut else 0
            offsets = tuple(b + first * s for b, s in zip(base, axis.strides, strict=True))
            cut.append(Box(start, offsets, (Axis(count, axis.strides), *whole)))
            first += count
    return cut


def part_of(box: Box, first: int, count: int) -> Box:
    """Some positions of a box of one axis."""
    (axis,) = box.axes
    offsets = tuple(o + first * s for o, s in zip(box.offsets, axis.strides, strict=True))
    return Box(box.start + first, offsets, (Axis(count, axis.strides),))


def positions(axes: Sequence[Axis]) -> list[tuple[int, ...]]:
    """Offsets in elements of every flattened position, in order."""
    count = len(axes[0].strides) if axes else 0
    return [_offsets(axes, p, count) for p in product(*(range(a.size) for a in axes))]


def _offsets(axes: Sequence[Axis], position: Sequence[int], operands: int) -> tuple[int, ...]:
    return tuple(sum(i * a.strides[o] for i, a in zip(position, axes, strict=True))
                 for o in range(operands))


def is_contiguous(axes: Sequence[Axis], operand: int) -> bool:
    """Whether the innermost positions are neighbours in an operand."""
    return merge(axes)[-1].strides[operand] == 1


def local_steps(box: Box, operand: int, dram_size: int, local_stride: int) -> list[Step]:
    """A box laid out densely, its positions `local_stride` bytes apart in local memory."""
    steps: list[Step] = []
    for axis in reversed(box.axes):
        steps.append(Step(axis.size, axis.strides[operand] * dram_size, local_stride))
        local_stride *= axis.size
    return steps

