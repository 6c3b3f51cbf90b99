"""Operations that are neither elementwise nor contractions, by name."""

from compiler.codegen.context import Context, Place
from compiler.codegen.copies import copy, fill
from compiler.codegen.inplace import same_bytes
from compiler.codegen.padding import pad, source
from compiler.codegen.parts import strides_inside
from compiler.errors import CompileError
from compiler.ir.loops import Load, Movement
from compiler.ops.registry import UnsupportedError, register_template, template
from compiler.ops.views import View


def generate_movement(context: Context, movement: Movement) -> None:
    """Appends the commands of an operation through its registered template.

    A template is a function of the context and the movement; see `concatenate`.

    Raises:
        CompileError: there is no code for it.
    """
    op = movement.op
    generator = template(op.kind)
    if generator is None:
        raise CompileError(f"{op.kind} has no code for the machine: express it with supported "
                           "operations (isthmus ops)", op.source)
    try:
        generator(context, movement)
    except UnsupportedError as error:
        raise CompileError(str(error), op.source) from error


@register_template("concatenate")
def concatenate(context: Context, movement: Movement) -> None:
    """Copies each operand to its part of the result."""
    target, location = context.place(movement.value), movement.op.source
    dimension = movement.op.attrs["dimension"]
    strides, first = target.tensor.strides, 0
    for node, tensor in zip(movement.operands, movement.op.call.operands, strict=True):
        view = View(tensor.shape, strides, first * strides[dimension])
        part = source(context, node)
        place = Place(target.window, target.offset + view.offset * tensor.element.size, tensor,
                      strides_inside(tensor.shape, dimension, strides))
        if isinstance(node, Load) and node.view.is_whole and _is_at(
                context.place(node.value), place):
            pass  # made where it belongs
        elif isinstance(part, int):
            fill(context, target, part, location, view)
        else:
            copy(context, part, target, location, view)
        first += tensor.shape[dimension]


def _is_at(value: Place, place: Place) -> bool:
    """Whether a value lies in a place, whatever its shape."""
    return same_bytes(value, place) and value.inside == place.inside


@register_template("pad")
def pad_operation(context: Context, movement: Movement) -> None:
    """Fills the result with the padding value and copies the operand into it."""
    inside, value = (source(context, node) for node in movement.operands)
    attrs = movement.op.attrs
    pad(context, inside, movement.op.call.operands[0].shape, value, attrs["edge_padding_low"],
        attrs["interior_padding"], context.place(movement.value), movement.op.source)
