"""reduce_window: a reduction over the positions of a window that slides over the operand.

The windows overlap in DRAM and in the scratchpad, nothing is copied out. Elements combine in
ascending order of window positions; padding counts as the combiner's identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from compiler.codegen import fold
from compiler.codegen.context import Context
from compiler.codegen.copies import fill
from compiler.codegen.elementwise import Target
from compiler.codegen.fold import Fold
from compiler.codegen.fold_body import Combiner, FoldBodies
from compiler.codegen.footprint import PaddedAxis
from compiler.codegen.graph import Graph
from compiler.codegen.operands import Operand
from compiler.codegen.padding import pad, source
from compiler.ir.loops import Movement
from compiler.ir.types import Tensor, row_major
from compiler.ops.reduction import reduction_windows
from compiler.ops.registry import register_template
from compiler.ops.views import View
from compiler.ops.windows import SpatialWindow
from hw.isa.dtypes import from_lane


@dataclass(frozen=True)
class _Dimension:
    """A dimension of the reduction's nest; `axis` is its padded axis of the operand, or -1."""

    extent: int
    stride: int
    axis: int = -1


@register_template("reduce_window")
def reduce_window(context: Context, movement: Movement) -> None:
    """Appends the commands of a reduce_window of one operand."""
    node, start = movement.operands
    initial = source(context, start)
    if not isinstance(initial, int):
        initial = Operand(initial.place, View((1,), (0,), initial.view.offset))
    target = context.place(movement.value)
    call = movement.op.call
    windows = reduction_windows(call)
    combiner = Combiner(movement.op.attrs["combiner"], target.tensor.element)
    if target.tensor.size == 0:
        return
    if call.operands[0].size == 0:
        fill(context, target, initial, movement.op.source)
        return
    operand, spread = source(context, node), None
    if isinstance(operand, int) or not _slides(operand, windows):
        operand, windows = _spread(context, operand, windows, combiner, movement)
        spread = operand.place
    _reduce(context, operand, windows, combiner, initial, movement)
    if spread is not None:
        context.release(spread)


def reads_on_chip(movement: Movement) -> bool:
    """Whether the operand may be on chip: no window reaches beyond it."""
    return not any(_is_padded(w) or w.base_dilation > 1
                   for w in reduction_windows(movement.op.call))


def _is_padded(window: SpatialWindow) -> bool:
    last = (window.outputs - 1) * window.stride + (window.size - 1) * window.dilation - window.low
    return window.low > 0 or last >= window.extent


def _slides(operand: Operand, windows: Sequence[SpatialWindow]) -> bool:
    """Whether the windows can be read where the operand lies."""
    return all(w.base_dilation == 1 and (stride > 0 or not _is_padded(w))
               for w, stride in zip(windows, operand.view.strides, strict=True))


def _spread(context: Context, operand: Operand | int, windows: Sequence[SpatialWindow],
            combiner: Combiner, movement: Movement) -> tuple[Operand, list[SpatialWindow]]:
    """The operand stored with its base dilation, and the windows over that."""
    extents = tuple((w.extent - 1) * w.base_dilation + 1 for w in windows)
    tensor = Tensor(extents, combiner.element)
    place = context.reserve(tensor)
    pad(context, operand, [w.extent for w in windows], combiner.identity, [0] * len(windows),
        [w.base_dilation - 1 for w in windows], place, movement.op.source)
    plain = [replace(w, extent=n, base_dilation=1) for w, n in zip(windows, extents, strict=True)]
    return Operand(place, View.whole(tensor)), plain


def _reduce(context: Context, operand: Operand, windows: Sequence[SpatialWindow],
            combiner: Combiner, initial: int | Operand, movement: Movement) -> None:
    strides = operand.view.strides
    outputs = _outputs(windows, strides)
    inner = [_Dimension(w.size, w.dilation * s, d if _is_padded(w) else -1)
             for d, (w, s) in enumerate(zip(windows, strides, strict=True)) if w.size > 1]
    dimensions = [*outputs, *inner]
    shape = tuple(d.extent for d in dimensions)
    first = operand.view.offset - sum(w.low * s for w, s in zip(windows, strides, strict=True))
    view = View(shape, tuple(d.stride for d in dimensions), first)
    kept = tuple(d.extent for d in outputs)

    def padding(start: Sequence[int]) -> dict[int, PaddedAxis]:
        return _padding(windows, strides, dimensions, start)

    graph = Graph()
    bodies = FoldBodies(graph, graph.input(0), combiner, initial, context.config.lanes)
    raw = from_lane(np.array([combiner.identity], np.uint32), combiner.element.memory)
    fold.generate(context, Fold(
        shape, tuple(i >= len(outputs) for i in range(len(shape))),
        (Operand(operand.place, view),), bodies,
        Target(context.place(movement.value), View(kept, row_major(kept))), movement.op.source,
        padding=padding, pad=int(raw[0])), across=False)


def _outputs(windows: Sequence[SpatialWindow], strides: Sequence[int]) -> list[_Dimension]:
    """Dimensions of the result, merged where the operand's walk allows; at least one."""
    found: list[_Dimension] = []
    for d, (window, stride) in enumerate(zip(windows, strides, strict=True)):
        step = window.stride * stride
        if _is_padded(window):
            found.append(_Dimension(window.outputs, step, d))
        elif found and found[-1].axis < 0 and found[-1].stride == step * window.outputs:
            found[-1] = _Dimension(found[-1].extent * window.outputs, step)
        elif window.outputs > 1:
            found.append(_Dimension(window.outputs, step))
    return found or [_Dimension(1, 0)]


def _padding(windows: Sequence[SpatialWindow], strides: Sequence[int],
             dimensions: Sequence[_Dimension], start: Sequence[int]) -> dict[int, PaddedAxis]:
    """The padded axis of each dimension that has one, for a box from `start`."""
    position = {d.axis: -windows[d.axis].low for d in dimensions if d.axis >= 0}
    for dimension, index in zip(dimensions, start, strict=True):
        if dimension.axis >= 0:
            position[dimension.axis] += index * dimension.stride // strides[dimension.axis]
    return {
        i: PaddedAxis(d.axis, strides[d.axis], -position[d.axis],
                      windows[d.axis].extent - position[d.axis])
        for i, d in enumerate(dimensions) if d.axis >= 0}
