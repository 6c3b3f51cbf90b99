"""Fast math: activation functions in the form that costs fewest instructions.

    1 + tanh(u)             2 * logistic(2u), which tanh-gelu is made of
    1 + erf(v)              erfc(-v)
    x/2 * erfc(-x/sqrt(2))  gelu(x), in bf16
    tanh(x)                 within 2**-22 when only sums and bf16 results are made of it
    f(x) in f32             with bf16 accuracy when nothing but bf16 results are made of it
"""

import math
from collections.abc import Callable

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from compiler.ir.ops import HloOp, constant, insert_before, main_function, make, replace
from compiler.ir.types import ElementType, tensor_of
from compiler.passes.canonicalise import scalar_constant
from compiler.passes.wide_chains import FUNCTIONS

PASSING = frozenset(("add", "multiply", "negate", "maximum", "minimum", "select", *FUNCTIONS))
"""Operations that keep a relative error about as small as it is."""
SUMS = frozenset(("add", "subtract"))
TOLERANCE = 2.0**-9
"""Relative, of the constants by which gelu is known: they are bf16 numbers at worst."""


def activations(module: ModuleOp) -> None:
    """Rewrites sums with 1 first, then products, then chooses templates."""
    function = main_function(module)
    for kind, rewrite in (("add", _rewrite_sum), ("multiply", _rewrite_product)):
        for op in list(function.walk()):
            if isinstance(op, HloOp) and op.kind == kind and op.tensor.element.is_float:
                rewrite(op)
    for op in list(function.walk()):
        if isinstance(op, HloOp) and op.kind in FUNCTIONS:
            _choose_template(op)


def _rewrite_sum(op: HloOp) -> None:
    for value, other in (tuple(op.operands), tuple(op.operands)[::-1]):
        inner = value.owner
        if scalar_constant(other) != 1 or not isinstance(inner, HloOp) or \
                len(list(value.uses)) > 1:
            continue
        if inner.kind == "erf":
            negative = make("negate", inner.operands, [op.tensor], location=op.source)
            new = [negative, make("erfc", negative.results, [op.tensor], inner.attrs,
                                  location=op.source)]
        elif inner.kind == "tanh":
            new = _doubled(inner.operands[0], op)
            new.append(make("logistic", new[-1].results, [op.tensor], location=op.source))
            new += _doubled(new[-1].results[0], op)
        else:
            continue
        insert_before(op, new)
        replace(op, new[-1].results)
        return


def _doubled(x: SSAValue, op: HloOp) -> list[HloOp]:
    tensor = op.tensor
    two = constant(np.asarray(2, tensor.element.numpy), op.source)
    whole = make("broadcast_in_dim", two.results, [tensor], {"broadcast_dimensions": ()},
                 location=op.source)
    return [two, whole, make("multiply", [x, whole.results[0]], [tensor], location=op.source)]


def _rewrite_product(op: HloOp) -> None:
    number, factors = _factors(op.results[0])
    if len(factors) != 2 or not math.isclose(number, 0.5, rel_tol=TOLERANCE) or \
            not _is_short(op):
        return
    for x, value in (factors, factors[::-1]):
        inner = value.owner
        if isinstance(inner, HloOp) and inner.kind == "erfc":
            scale, argument = _factors(inner.operands[0])
            if argument == [x] and math.isclose(scale, -math.sqrt(0.5), rel_tol=TOLERANCE):
                new = make("gelu", [x], [op.tensor], location=op.source)
                insert_before(op, [new])
                replace(op, new.results)
                return


def _factors(value: SSAValue) -> tuple[float, list[SSAValue]]:
    """What a product is made of: the constants', and the other factors."""
    constant_value, op = scalar_constant(value), value.owner
    if constant_value is not None:
        return float(constant_value), []
    if isinstance(op, HloOp) and op.kind == "divide":
        divisor = scalar_constant(op.operands[1])
        if divisor:
            product, factors = _factors(op.operands[0])
            return product / float(divisor), factors
    if not isinstance(op, HloOp) or op.kind not in ("multiply", "negate"):
        return 1.0, [value]
    parts = [_factors(operand) for operand in op.operands]
    sign = -1.0 if op.kind == "negate" else 1.0
    return sign * math.prod(number for number, _ in parts), [x for _, xs in parts for x in xs]


def _choose_template(op: HloOp) -> None:
    accuracy = op.attrs.get("accuracy")
    short = accuracy is not None or _is_short(op)
    wanted = accuracy
    if op.kind == "tanh" and (short or _all_uses_end(op, _is_sum_or_short)):
        wanted = "unit"
    elif short:
        wanted = "unit" if op.kind == "erfc" else "bf16"
    if wanted != accuracy:
        new = make(op.kind, op.operands, [op.tensor], {**op.attrs, "accuracy": wanted},
                   location=op.source)
        insert_before(op, [new])
        replace(op, new.results)


def _is_short(op: HloOp) -> bool:
    """Whether bf16 accuracy is enough."""
    return op.tensor.element is ElementType.BF16 or (
        op.tensor.element is ElementType.F32 and _all_uses_end(op, _is_bf16))


def _is_bf16(op: HloOp) -> bool:
    return op.kind == "convert" and tensor_of(op.results[0]).element is ElementType.BF16


def _is_sum_or_short(op: HloOp) -> bool:
    return op.kind in SUMS or _is_bf16(op)


def _all_uses_end(op: Operation, end: Callable[[HloOp], bool]) -> bool:
    """Whether every use of a result goes, maybe through others, to an operation like this."""
    users = [use.operation for use in op.results[0].uses]
    return bool(users) and all(
        isinstance(user, HloOp) and (
            end(user) or (user.kind in PASSING and _all_uses_end(user, end)))
        for user in users)
