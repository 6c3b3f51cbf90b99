"""Copies between DRAM tensors through the scratchpad: movement without arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from compiler.codegen import elementwise
from compiler.codegen.context import Context, Place
from compiler.codegen.contraction_transpose import rearrange, suits
from compiler.codegen.elementwise import BUFFERS, Nest, Target, store_box
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.graph import Graph
from compiler.codegen.local_copies import clear_runs, copy_runs
from compiler.codegen.nests import merge_dimensions, tiles
from compiler.codegen.operands import Operand
from compiler.errors import Location
from compiler.ir.types import ElementType, row_major
from compiler.ops.views import View
from hw.isa.params import LEVELS

SHORTEST_ROW_BYTES = 16
"""Below this the vector unit rearranges elements faster than the DMA does row by row."""
TARGET_BYTES = 8192


@dataclass(frozen=True)
class Copy:
    """Elements of a source to places of a target, both walked over one shape."""

    source: Operand
    target: Place
    target_view: View
    location: Location

    @property
    def is_on_chip(self) -> bool:
        """Whether an end is in the scratchpad, where kernels reach it."""
        source = self.source.place
        return self.target.on_chip or (source is not None and source.on_chip)

    @property
    def is_arriving(self) -> bool:
        """Whether it is from DRAM to one run of the scratchpad. What goes inside of padding had
        better not wait until that is cleared."""
        source, view = self.source.place, self.target_view
        return (source is not None and not source.on_chip and self.target.on_chip
                and view.strides == row_major(view.shape))

    @property
    def is_inside(self) -> bool:
        """Whether it is from scratchpad to scratchpad, run by run."""
        source = self.source.place
        return (source is not None and source.on_chip and self.target.on_chip
                and self.source.view.strides[-1] == self.target_view.strides[-1] == 1)


def copy(context: Context, source: Operand, target: Place, location: Location,
         target_view: View | None = None) -> None:
    """Appends the commands that copy a view of a tensor to a tensor, or to a view of it."""
    graph = Graph()
    if source.place is not None:
        source, target = Operand(_as_bits(source.place), source.view), _as_bits(target)
    _copy(context, (source,), graph, graph.input(0), target, location, target_view)


def _as_bits(place: Place) -> Place:
    """The place with elements that streams do not convert: NaN keep their bits."""
    tensor = place.tensor
    if tensor.element not in (ElementType.BF16, ElementType.F16):
        return place
    return Place(place.window, place.offset, tensor.with_element(ElementType.U16))


def fill(context: Context, target: Place, value: Operand | int, location: Location,
         target_view: View | None = None) -> None:
    """Appends the commands that set elements of a tensor to a scalar: an operand, or lane bits."""
    graph = Graph()
    view = target_view or View.whole(target.tensor)
    if value == 0 and target.on_chip and view.strides[-1:] == (1,):
        _clear(context, target, view, location)
        return
    if isinstance(value, int):
        _copy(context, (), graph, graph.bits(value), target, location, target_view)
        return
    scalar = Operand(value.place, View(view.shape, (0,) * len(view.shape), value.view.offset))
    _copy(context, (scalar,), graph, graph.input(0), target, location, target_view)


def _copy(context: Context, operands: tuple[Operand, ...], graph: Graph, node: int, target: Place,
          location: Location, target_view: View | None) -> None:
    view = target_view or View.whole(target.tensor)
    if prod(view.shape) == 0:
        return
    merged = _merged(Copy(operands[0], target, view, location)) if operands else None
    if merged is not None and merged.is_inside:
        _inside(context, merged)
        return
    if merged is not None and merged.is_arriving and _suits_dma(merged):
        elements = max(TARGET_BYTES // operands[0].unit, 1)
        for start, extents in tiles(merged.source.view.shape, elements, LEVELS + 1):
            address = merged.target.offset + _first(merged.target_view, start) * operands[0].unit
            _load(context, merged, start, extents, address, merged.target_view.strides)
        return
    if merged is not None and not merged.is_on_chip:
        if _suits_dma(merged):
            budget = min(context.scratchpad.limit // BUFFERS, TARGET_BYTES)
            elements = max(budget // operands[0].unit, 1)
            for start, extents in tiles(merged.source.view.shape, elements, LEVELS + 1):
                _tile(context, merged, start, extents)
            return
        if merged.source.place and suits(context.config, merged.source.view, merged.target_view):
            rearrange(context, merged.source, target, merged.target_view, location)
            return
    elementwise.generate(context, Nest(view.shape, operands, graph, (node,),
                                       (Target(target, view),), location))


def _merged(copy: Copy) -> Copy:
    source, target = copy.source.view, copy.target_view
    groups = merge_dimensions(source.shape, [source.strides, target.strides])
    shape = tuple(prod(source.shape[d] for d in group) for group in groups) or (1,)

    def strides(view: View) -> tuple[int, ...]:
        return tuple(view.strides[group[-1]] for group in groups) or (1,)

    return Copy(Operand(copy.source.place, View(shape, strides(source), source.offset)),
                copy.target, View(shape, strides(target), target.offset), copy.location)


def _clear(context: Context, target: Place, view: View, location: Location) -> None:
    groups = merge_dimensions(view.shape, [view.strides])
    *loops, (run, _) = [(prod(view.shape[d] for d in group), view.strides[group[-1]])
                        for group in groups]
    unit = target.tensor.element.size
    clear_runs(context, target.offset + view.offset * unit, run * unit,
               [(n, stride * unit) for n, stride in reversed(loops)], location)


def _inside(context: Context, copy: Copy) -> None:
    source, target, unit = copy.source.view, copy.target_view, copy.source.unit
    assert copy.source.place is not None
    *loops, (run, _, _) = zip(source.shape, source.strides, target.strides, strict=True)
    copy_runs(context, (copy.source.place.offset + source.offset * unit,
                        copy.target.offset + target.offset * unit), run * unit,
              [(n, a * unit, b * unit) for n, a, b in reversed(loops)], copy.location)


def _suits_dma(copy: Copy) -> bool:
    view, unit = copy.source.view, copy.source.unit
    if copy.source.place is None:
        return False
    return prod(view.shape) == 1 or (
        view.strides[-1] == 1 and view.shape[-1] * unit >= SHORTEST_ROW_BYTES)


def _load(context: Context, copy: Copy, start: Sequence[int], extents: Sequence[int],
          address: int, strides: Sequence[int]) -> None:
    """Loads a tile to an address, with strides in elements."""
    place, unit, dtype = copy.source.place, copy.source.unit, copy.source.dtype
    assert place is not None
    steps = _steps(extents, copy.source.view.strides, [n * unit for n in strides], unit)
    for transfer in transfers(place.window, place.offset + _first(copy.source.view, start) * unit,
                              address, steps, dtype, dtype):
        context.load(transfer, copy.location)


def _tile(context: Context, copy: Copy, start: Sequence[int], extents: Sequence[int]) -> None:
    with context.buffer(prod(extents) * copy.source.unit, copy.location) as address:
        _load(context, copy, start, extents, address, row_major(tuple(extents)))
        store_box(context, Target(copy.target, copy.target_view), address, start, extents,
                  copy.location)


def _first(view: View, start: Sequence[int]) -> int:
    return view.offset + sum(i * s for i, s in zip(start, view.strides, strict=True))


def _steps(extents: Sequence[int], dram: Sequence[int], local: Sequence[int], unit: int
           ) -> list[Step]:
    """Innermost first, DRAM strides from elements to bytes."""
    return [Step(e, d * unit, at) for e, d, at in zip(extents, dram, local, strict=True)][::-1]
