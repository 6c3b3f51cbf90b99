"""Computes before a broadcast what depends on its operand alone.

A division by a broadcast value becomes a product with the reciprocals, computed once for each
value: softmax, means and normalisations have such divisions. Which divisions are products depends
on the program's shapes only. Conversions to a wider type go the other way: where an operand is read
they cost nothing.
"""

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from compiler.ir.ops import HloOp, constant, insert_before, main_function, make, replace
from compiler.ir.types import ElementType, Tensor, tensor_of
from compiler.ops.elementwise import Elementwise
from compiler.passes.canonicalise import scalar_constant

SMALLEST_DIVISOR, LARGEST_DIVISOR = 2.0**-125, 2.0**125
"""The reciprocals of constants between are normal numbers."""
WORTHWHILE = 4096
"""Elements from which on an operation before the broadcast is worth a loop of its own."""
JUMPING = frozenset((
    "floor", "ceil", "round_nearest_even", "round_nearest_afz", "compare", "remainder", "sign"))
"""Operations that make much of one unit in the last place."""


def broadcasts(module: ModuleOp) -> None:
    """Operations in order, so that chains of them move as a whole."""
    hoist_conversions(module)
    for op in list(main_function(module).walk()):
        if not isinstance(op, HloOp):
            continue
        if op.kind == "divide" and op.tensor.element.is_float:
            _divide_once(op)
        elif isinstance(op.definition, Elementwise) and op.tensor.size >= WORTHWHILE:
            compute_before_broadcast(op)
    _sink_conversions(module)


def _widens(op: object) -> bool:
    return isinstance(op, HloOp) and op.kind == "convert" and \
        op.tensor.element is ElementType.F32 and tensor_of(op.operands[0]).element.is_float


def hoist_conversions(module: ModuleOp) -> None:
    """Conversions of broadcasts become broadcasts of conversions."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and _widens(op):
            view = op.operands[0].owner
            if isinstance(view, HloOp) and view.kind == "broadcast_in_dim":
                _exchange(view, op)


def _sink_conversions(module: ModuleOp) -> None:
    """Broadcasts of conversions become conversions of broadcasts, through several of them."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and op.kind == "broadcast_in_dim":
            conversion = op.operands[0].owner
            if isinstance(conversion, HloOp) and _widens(conversion):
                _exchange(conversion, op)


def _exchange(first: HloOp, second: HloOp) -> None:
    """A broadcast and a conversion, `first` the operand of `second`, in the other order."""
    (x,) = first.operands
    between = tensor_of(x).with_element(second.tensor.element) if second.kind == "convert" \
        else tensor_of(x).with_shape(second.tensor.shape)
    early = make(second.kind, [x], [between], second.attrs, location=second.source)
    late = make(first.kind, early.results, [second.tensor], first.attrs, location=first.source)
    insert_before(second, [early, late])
    replace(second, late.results)


def _divide_once(op: HloOp) -> None:
    divisor = op.operands[1]
    number = scalar_constant(divisor)
    if number is not None:
        if op.tensor.element is ElementType.F32 and not _is_jumping(op):
            _multiply_by_constant(op, float(number))
        return
    chain = _views(divisor)
    if chain and tensor_of(chain[-1].operands[0]).size < op.tensor.size:
        _multiply_by_reciprocals(op, chain)


def _is_jumping(op: HloOp) -> bool:
    """Whether quotients that are whole numbers had better be exact."""
    users = [use.operation for use in op.results[0].uses]
    return any(isinstance(user, HloOp) and (user.kind in JUMPING or (
        user.kind == "convert" and not user.tensor.element.is_float)) for user in users)


def _multiply_by_constant(op: HloOp, number: float) -> None:
    if not SMALLEST_DIVISOR < abs(number) < LARGEST_DIVISOR:
        return
    scalar = constant(np.asarray(1 / np.float64(number), np.float32), op.source)
    whole = _broadcast(scalar.results[0], op.tensor, op)
    product = make("multiply", [op.operands[0], whole.results[0]], [op.tensor],
                   location=op.source)
    insert_before(op, [scalar, whole, product])
    replace(op, product.results)


def _broadcast(scalar: SSAValue, result: Tensor, op: HloOp) -> HloOp:
    return make("broadcast_in_dim", [scalar], [result], {"broadcast_dimensions": ()},
                location=op.source)


def _views(value: SSAValue) -> list[HloOp]:
    """The broadcasts and reshapes a value comes through, the last one first."""
    chain = []
    while isinstance(value.owner, HloOp) and value.owner.kind in ("broadcast_in_dim", "reshape"):
        chain.append(value.owner)
        value = value.owner.operands[0]
    return chain


def _multiply_by_reciprocals(op: HloOp, chain: Sequence[HloOp]) -> None:
    """In f32: narrow quotients are rounded once."""
    wide = ElementType.F32
    new: list[Operation] = []

    def converted(value: SSAValue, element: ElementType) -> SSAValue:
        tensor = tensor_of(value)
        if tensor.element is element:
            return value
        new.append(make("convert", [value], [tensor.with_element(element)], location=op.source))
        return new[-1].results[0]

    value = converted(chain[-1].operands[0], wide)
    new.append(make("reciprocal", [value], [tensor_of(value)], location=op.source))
    for view in reversed(chain):
        new.append(make(view.kind, new[-1].results, [view.tensor.with_element(wide)], view.attrs,
                        location=view.source))
    factor = new[-1].results[0]
    product = make("multiply", [converted(op.operands[0], wide), factor],
                   [op.tensor.with_element(wide)], location=op.source)
    new.append(product)
    result = converted(product.results[0], op.tensor.element)
    insert_before(op, new)
    replace(op, [result])


def compute_before_broadcast(op: HloOp) -> SSAValue:
    """An operation on broadcasts of one kind, of tensors and of constants, moves before them.

    Returns:
        The result in its place, or that of `op` when it stays.
    """
    sources = [v.owner for v in op.operands if scalar_constant(v) is None]
    if not sources or not all(isinstance(s, HloOp) and s.kind == "broadcast_in_dim"
                              for s in sources):
        return op.results[0]
    views = [s for s in sources if isinstance(s, HloOp)]
    shapes = {(tensor_of(v.operands[0]).shape, v.attrs["broadcast_dimensions"]) for v in views}
    small = tensor_of(views[0].operands[0])
    if len(shapes) > 1 or small.size >= op.tensor.size:
        return op.results[0]
    new: list[Operation] = []
    operands = []
    for value in op.operands:
        number = scalar_constant(value)
        if number is None:
            assert isinstance(value.owner, HloOp)
            operands.append(value.owner.operands[0])
            continue
        scalar = constant(np.asarray(number), op.source)
        whole = _broadcast(scalar.results[0], Tensor(small.shape, tensor_of(value).element), op)
        new += [scalar, whole]
        operands.append(whole.results[0])
    result = Tensor(small.shape, op.tensor.element)
    new.append(make(op.kind, operands, [result], op.attrs, location=op.source))
    new.append(make("broadcast_in_dim", new[-1].results, [op.tensor], views[0].attrs,
                    location=op.source))
    insert_before(op, new)
    replace(op, new[-1].results)
    return new[-1].results[0]
