"""Brings what means the same into one form, and drops what does nothing."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from compiler.ir.ops import HloOp, erase_unused, main_function, make, replace
from compiler.ir.types import ElementType, Kind, Tensor, tensor_of
from compiler.ops.reduction import COMBINERS, identity
from compiler.ops.views import View, ViewOperation

Rewrite = Callable[[HloOp], bool]
"""Rewrites an operation when it can, and says whether it did."""


def canonicalise(module: ModuleOp) -> None:
    """Applies every rewrite to every operation, inner blocks first."""
    _canonicalise(main_function(module).body.block)


def _canonicalise(block: Block) -> None:
    for op in list(block.ops):
        if not isinstance(op, HloOp):
            continue
        for body in op.bodies:
            _canonicalise(body)
        any(rewrite(op) for rewrite in REWRITES)
    erase_unused(block)


def name_combiner(op: HloOp) -> bool:
    """A reduction whose body is one operation on its arguments gets the name as attribute."""
    if op.kind not in ("reduce", "reduce_window") or "combiner" in op.attrs:
        return False
    body = op.bodies[0]
    *operations, terminator = body.ops
    if len(operations) != 1 or len(body.args) != 2:
        return False
    (inner,) = operations
    assert isinstance(inner, HloOp)
    if inner.kind not in COMBINERS or set(inner.operands) != set(body.args) \
            or tuple(terminator.operands) != tuple(inner.results):
        return False
    _rebuild(op, op.kind, {**op.attrs, "combiner": inner.kind}, list(op.operands))
    return True


def _rebuild(op: HloOp, kind: str, attrs: dict[str, object], operands: list[SSAValue]) -> None:
    """Replaces an operation by one without regions of the same result types."""
    new = make(kind, operands, [tensor_of(r) for r in op.results], attrs, location=op.source)
    _replace_by(op, new)


def _replace_by(op: HloOp, new: HloOp) -> None:
    assert op.parent is not None
    op.parent.insert_op_before(new, op)
    replace(op, new.results)


def drop_barrier(op: HloOp) -> bool:
    """Every pass here keeps the meaning, so there is nothing to hold back."""
    if op.kind != "optimization_barrier":
        return False
    replace(op, op.operands)
    return True


def drop_identity_view(op: HloOp) -> bool:
    """Views one after the other that end where they began."""
    if not isinstance(op.definition, ViewOperation):
        return False
    chain: list[HloOp] = [op]
    while isinstance(chain[-1].definition, ViewOperation):
        origin = chain[-1].operands[0]
        if tensor_of(origin) == op.tensor:
            composed = _composed(chain)
            if composed is not None and composed.is_whole:
                replace(op, [origin])
                return True
        if not isinstance(origin.owner, HloOp):
            return False
        chain.append(origin.owner)
    return False


def _composed(chain: Sequence[HloOp]) -> View | None:
    """What views, the last one first, make of its operand; None when that is not affine."""
    view: View | None = View.whole(tensor_of(chain[-1].operands[0]))
    for op in reversed(chain):
        assert isinstance(op.definition, ViewOperation)
        if view is not None:
            view = op.definition.view(op.call, view)
    return view


def merge_broadcasts(op: HloOp) -> bool:
    """A broadcast of a broadcast is one: what is combined of small values has one form then."""
    inner = op.operands[0].owner if op.kind == "broadcast_in_dim" else None
    if not isinstance(inner, HloOp) or inner.kind != "broadcast_in_dim":
        return False
    dims = op.attrs["broadcast_dimensions"]
    _rebuild(op, op.kind, {"broadcast_dimensions": tuple(
        dims[d] for d in inner.attrs["broadcast_dimensions"])}, list(inner.operands))
    return True


def drop_identity_convert(op: HloOp) -> bool:
    """A conversion to the operand's own type, or back to the type of a narrower origin."""
    if op.kind != "convert":
        return False
    (x,) = op.operands
    if tensor_of(x) == op.tensor:
        replace(op, [x])
        return True
    inner = x.owner
    if not isinstance(inner, HloOp) or inner.kind != "convert":
        return False
    origin = inner.operands[0]
    if tensor_of(origin) != op.tensor or not _holds(tensor_of(x).element, op.tensor.element):
        return False
    replace(op, [origin])
    return True


def _holds(wide: ElementType, narrow: ElementType) -> bool:
    """Whether every value of one type is one of the other."""
    if wide.is_float and narrow.is_float:
        return wide is ElementType.F32
    if wide.is_float or narrow.is_float:
        return False
    if wide.kind is narrow.kind or narrow.kind is Kind.BOOL:
        return wide.bits >= narrow.bits
    return wide.kind is Kind.SIGNED and wide.bits > narrow.bits


def scalar_constant(value: SSAValue) -> np.generic | None:
    """The number every element has, through broadcasts and reshapes; None if there is none."""
    op = value.owner
    while isinstance(op, HloOp) and op.kind in ("broadcast_in_dim", "reshape"):
        op = op.operands[0].owner
    if not isinstance(op, HloOp) or op.kind != "constant" or op.tensor.size != 1:
        return None
    number: np.generic = op.attrs["value"].reshape(-1)[0]
    return number


def drop_neutral_operand(op: HloOp) -> bool:
    """maximum with minus infinity and the like: softmax in JAX has one."""
    if op.kind not in ("maximum", "minimum"):
        return False
    neutral = identity(op.kind, op.tensor.element)
    for kept, other in (op.operands, tuple(op.operands)[::-1]):
        if scalar_constant(other) == neutral:
            replace(op, [kept])
            return True
    return False


LARGEST_EXPONENT = 120
"""A reciprocal beyond might be subnormal."""


def multiply_by_exact_reciprocal(op: HloOp) -> bool:
    """A division by a power of two, whose reciprocal is exact."""
    if op.kind != "divide" or op.tensor.element is not ElementType.F32:
        return False
    number = scalar_constant(op.operands[1])
    divisor = 0.0 if number is None else float(number)
    mantissa, exponent = math.frexp(divisor)
    if abs(mantissa) != 0.5 or abs(exponent) > LARGEST_EXPONENT:
        return False
    _scale(op, op.operands[0], np.float32(1 / divisor))
    return True


def _scale(op: HloOp, x: SSAValue, factor: np.float32) -> None:
    """Replaces an operation by x times a constant."""
    assert op.parent is not None
    scalar = make("constant", (), [Tensor((), op.tensor.element)], {"value": np.asarray(factor)},
                  location=op.source)
    whole = make("broadcast_in_dim", scalar.results, [op.tensor], {"broadcast_dimensions": ()},
                 location=op.source)
    op.parent.insert_ops_before([scalar, whole], op)
    _replace_by(op, make("multiply", [x, whole.results[0]], [op.tensor], location=op.source))


def name_reciprocal(op: HloOp) -> bool:
    """A division of 1, which needs no correction."""
    if op.kind != "divide" or not op.tensor.element.is_float or \
            scalar_constant(op.operands[0]) != 1:
        return False
    _replace_by(op, make("reciprocal", [op.operands[1]], [op.tensor], location=op.source))
    return True


POWERS = {-1.0: "reciprocal", -0.5: "rsqrt", 2.0: "square"}


def simplify_power(op: HloOp) -> bool:
    """Powers of constant exponents that have an operation of their own."""
    if op.kind != "power" or not op.tensor.element.is_float:
        return False
    exponent = scalar_constant(op.operands[1])
    base = op.operands[0]
    if exponent == 1:
        replace(op, [base])
        return True
    kind = POWERS.get(float(exponent)) if exponent is not None else None
    if kind is None:
        return False
    _replace_by(op, make(kind, [base], [op.tensor], location=op.source))
    return True


REWRITES: tuple[Rewrite, ...] = (
    name_combiner, drop_barrier, drop_identity_view, merge_broadcasts, drop_identity_convert,
    drop_neutral_operand, multiply_by_exact_reciprocal, name_reciprocal, simplify_power,
)
