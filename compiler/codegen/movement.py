"""pad and concatenate: copies into parts of a result."""

from collections.abc import Callable, Sequence

from compiler.codegen.context import Context, Place
from compiler.codegen.copies import copy, fill
from compiler.codegen.loop_graph import literal_bits, operand_of
from compiler.codegen.operands import Operand
from compiler.codegen.pooling import generate_reduce_window
from compiler.errors import CompileError, Location
from compiler.ir.loops import Index, Literal, Load, Movement
from compiler.ops.registry import UnsupportedError
from compiler.ops.views import View

Generator = Callable[[Context, Movement], None]


def generate_movement(context: Context, movement: Movement) -> None:
    """Appends the commands of an operation that is neither elementwise nor a contraction.

    Raises:
        CompileError: there is no code for it.
    """
    op = movement.op
    generator = _GENERATORS.get(op.kind)
    try:
        op.definition.check_supported(op.call)
        if generator is None:
            raise UnsupportedError(f"{op.kind} has no code for the machine yet: "
                                   "express it with supported operations (isthmus ops)")
        generator(context, movement)
    except UnsupportedError as error:
        raise CompileError(str(error), op.source) from error


def _source(context: Context, node: Load | Literal | Index) -> Operand:
    assert isinstance(node, Load), "arrays are in memory before they are moved"
    return operand_of(context, node)


def scalar(context: Context, node: Load | Literal | Index) -> Operand | int:
    """A scalar operand: lane bits when it is known."""
    return literal_bits(node) if isinstance(node, Literal) else operand_of(context, node)


def _concatenate(context: Context, movement: Movement) -> None:
    target, location = context.place(movement.value), movement.op.source
    dimension = movement.op.attrs["dimension"]
    strides, first = target.tensor.strides, 0
    for node in movement.operands:
        shape = _shape(node)
        view = View(shape, strides, first * strides[dimension])
        if isinstance(node, Literal):
            fill(context, target, literal_bits(node), location, view)
        else:
            copy(context, _source(context, node), target, location, view)
        first += shape[dimension]


def _shape(node: Load | Literal | Index) -> tuple[int, ...]:
    return (1,) if isinstance(node, Literal) else node.view.shape


def _pad(context: Context, movement: Movement) -> None:
    operand, value = movement.operands
    attrs = movement.op.attrs
    source: Operand | int = (literal_bits(operand) if isinstance(operand, Literal)
                             else _source(context, operand))
    pad(context, source, movement.op.call.operands[0].shape, scalar(context, value),
        attrs["edge_padding_low"], attrs["interior_padding"], context.place(movement.value),
        movement.op.source)


def pad(context: Context, source: Operand | int, shape: Sequence[int], value: Operand | int,
        low: Sequence[int], interior: Sequence[int], target: Place, location: Location) -> None:
    """Appends the commands that put a tensor, spread out and shifted, into one of padding.

    Args:
        source: a walk over `shape`, or lane bits of all its elements.
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
    if tuple(extents) != target.tensor.shape:
        fill(context, target, value, location)
    if isinstance(source, int):
        fill(context, target, source, location, view)
        return
    start = sum(f * s for f, s in zip(firsts, source.view.strides, strict=True))
    part = View(tuple(extents), source.view.strides, source.view.offset + start)
    copy(context, Operand(source.place, part), target, location, view)


_GENERATORS: dict[str, Generator] = {
    "concatenate": _concatenate, "pad": _pad, "reduce_window": generate_reduce_window,
}
