"""A tensor inside another one of padding."""

from collections.abc import Sequence
from math import prod

from compiler.codegen.context import Context, Place
from compiler.codegen.copies import copy, fill
from compiler.codegen.loop_graph import literal_bits, operand_of
from compiler.codegen.operands import Operand
from compiler.errors import Location
from compiler.ir.loops import Index, Literal, Load
from compiler.ops.views import View


def source(context: Context, node: Load | Literal | Index) -> Operand | int:
    """What a node stands for: a walk, or lane bits of a number."""
    return literal_bits(node) if isinstance(node, Literal) else operand_of(context, node)


def pad(context: Context, inside: Operand | int, shape: Sequence[int], value: Operand | int,
        low: Sequence[int], interior: Sequence[int], target: Place, location: Location) -> None:
    """Appends the commands that put a tensor, spread out and shifted, into one of padding.

    Args:
        inside: a walk over `shape`, or lane bits of all its elements.
        value: what the rest becomes.
        low: positions before the first element, may be negative; `interior`: between neighbours.
    """
    firsts, extents = [], []
    for n, total, before, between in zip(shape, target.tensor.shape, low, interior, strict=True):
        step = between + 1
        first = min(max(-(before // step), 0), n)
        last = min(-((before - total) // step), n)
        firsts.append(first)
        extents.append(max(last - first, 0))
    strides = target.tensor.strides
    offset = sum((b + f * (i + 1)) * s
                 for b, f, i, s in zip(low, firsts, interior, strides, strict=True))
    view = View(tuple(extents), tuple((i + 1) * s for i, s in zip(interior, strides, strict=True)),
                offset)
    if target.on_chip and not any(interior):
        _fill_margins(context, target, view, value, location)
    elif tuple(extents) != target.tensor.shape:
        fill(context, target, value, location)
    if isinstance(inside, int):
        fill(context, target, inside, location, view)
        return
    start = sum(f * s for f, s in zip(firsts, inside.view.strides, strict=True))
    part = View(tuple(extents), inside.view.strides, inside.view.offset + start)
    made_inside = inside.place is not None and inside.place == Place(
        target.window, target.offset + offset * target.tensor.element.size, inside.place.tensor,
        strides)
    if not made_inside:
        copy(context, Operand(inside.place, part), target, location, view)


def _fill_margins(context: Context, target: Place, inside: View, value: Operand | int,
                  location: Location) -> None:
    """Fills what is around a box: along each dimension both sides, within the box along those
    before it."""
    total, strides = target.tensor.shape, target.tensor.strides
    left, firsts = inside.offset, []
    for stride in strides:
        index, left = divmod(left, stride)
        firsts.append(index)
    for d, (first, extent) in enumerate(zip(firsts, inside.shape, strict=True)):
        for start, end in ((0, first), (first + extent, total[d])):
            shape = (*inside.shape[:d], end - start, *total[d + 1 :])
            offset = sum(i * s for i, s in zip(firsts[:d], strides, strict=False))
            if prod(shape):
                fill(context, target, value, location,
                     View(shape, strides, offset + start * strides[d]))
