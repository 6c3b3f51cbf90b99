"""Fast math: activation functions in the form that costs fewest instructions.

    1 + tanh(u)   2 * logistic(2u), which tanh-gelu is made of
    1 + erf(v)    erfc(-v)
    f(x) in f32   with bf16 accuracy when nothing but bf16 results are made of it
"""

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from compiler.ir.ops import HloOp, constant, insert_before, main_function, make, replace
from compiler.ir.types import ElementType, tensor_of
from compiler.passes.canonicalise import scalar_constant
from compiler.passes.wide_chains import FUNCTIONS

PASSING = frozenset(("add", "multiply", "negate", "maximum", "minimum", "select", *FUNCTIONS))
"""Operations that keep a relative error about as small as it is."""


def activations(module: ModuleOp) -> None:
    """Rewrites sums with 1 first, then chooses templates."""
    function = main_function(module)
    for op in list(function.walk()):
        if isinstance(op, HloOp) and op.kind == "add" and op.tensor.element.is_float:
            _rewrite_sum(op)
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


def _choose_template(op: HloOp) -> None:
    accuracy = op.attrs.get("accuracy")
    short = accuracy is not None or op.tensor.element is ElementType.BF16 or (
        op.tensor.element is ElementType.F32 and _becomes_bf16(op))
    wanted = ("unit" if op.kind == "erfc" else "bf16") if short else accuracy
    if wanted != accuracy:
        new = make(op.kind, op.operands, [op.tensor], {**op.attrs, "accuracy": wanted},
                   location=op.source)
        insert_before(op, [new])
        replace(op, new.results)


def _becomes_bf16(op: Operation) -> bool:
    """Whether every use of a result ends in a conversion to bf16."""
    users = [use.operation for use in op.results[0].uses]
    return bool(users) and all(
        isinstance(user, HloOp) and (
            tensor_of(user.results[0]).element is ElementType.BF16 if user.kind == "convert"
            else user.kind in PASSING and _becomes_bf16(user))
        for user in users)
