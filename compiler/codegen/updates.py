"""dynamic_update_slice: rows of one tensor become rows of another, in its place when possible."""

from compiler.codegen.context import Context, Place
from compiler.codegen.copies import copy
from compiler.codegen.indexed import Rows, Start, move_rows, scalar_starts
from compiler.codegen.inplace import retyped, same_bytes
from compiler.codegen.loop_graph import operand_of
from compiler.codegen.operands import Operand
from compiler.errors import Location
from compiler.ir.loops import Load, Movement
from compiler.ir.types import Tensor
from compiler.ops.registry import register_template
from compiler.ops.views import View


@register_template("dynamic_update_slice")
def dynamic_update_slice(context: Context, movement: Movement) -> None:
    """The operand, copied unless the result is made in its place, and rows of the update in it."""
    source, update, *starts = movement.operands
    target, location = context.place(movement.value), movement.op.source
    assert isinstance(source, Load)
    assert isinstance(update, Load)
    updated = context.place(source.value)
    if not (source.view.is_whole and same_bytes(updated, target)):
        copy(context, operand_of(context, source), target, location)
    part = scalar_starts(context, starts, View.whole(target.tensor), update.view.shape)
    tensor = Tensor(update.view.shape, update.element)
    if update.view.is_whole and tensor.size == context.place(update.value).tensor.size:
        _update(context, target, retyped(context.place(update.value), tensor), part, location)
        return
    dense = context.reserve(tensor)
    copy(context, operand_of(context, update), dense, location)
    _update(context, target, dense, part, location)
    context.release(dense)


def _update(context: Context, target: Place, dense: Place, starts: tuple[Start, ...],
            location: Location) -> None:
    """Replaces a part of a tensor; a part at a known place needs no list of rows."""
    strides, known = target.tensor.strides, [start.known for start in starts]
    if all(position is not None for position in known):
        offset = sum(p * s for p, s in zip(known, strides, strict=True) if p is not None)
        part = View(dense.tensor.shape, strides, offset)
        copy(context, Operand(dense, View.whole(dense.tensor)), target, location, part)
        return
    move_rows(context, Rows(dense.tensor.shape, strides, 0, starts), target, dense, True, location)
