"""Rewrites that change rounding; only under --fast-math."""

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from compiler.ir.ops import HloOp, insert_before, main_function, make, replace
from compiler.ir.types import tensor_of


def fast_math(module: ModuleOp) -> None:
    """Divides by a broadcast number by multiplying with its reciprocal: one instruction for
    each element instead of a corrected division. Softmax and means have such divisions."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and op.kind == "divide" and op.tensor.element.is_float:
            _multiply_by_reciprocal(op)


def _multiply_by_reciprocal(op: HloOp) -> None:
    chain = []
    inner = op.operands[1].owner
    while isinstance(inner, HloOp) and inner.kind in ("broadcast_in_dim", "reshape"):
        chain.append(inner)
        inner = inner.operands[0].owner
    if not chain or tensor_of(chain[-1].operands[0]).size >= op.tensor.size:
        return
    divisor = chain[-1].operands[0]
    tensor = tensor_of(divisor)
    one = make("constant", (), [tensor.with_shape(())],
               {"value": np.ones((), tensor.element.numpy)}, location=op.source)
    ones = make("broadcast_in_dim", one.results, [tensor], {"broadcast_dimensions": ()},
                location=op.source)
    value = make("divide", [ones.results[0], divisor], [tensor], location=op.source)
    new = [one, ones, value]
    for view in reversed(chain):
        new.append(view.clone({view.operands[0]: new[-1].results[0]}))
    product = make("multiply", [op.operands[0], new[-1].results[0]], [op.tensor],
                   location=op.source)
    insert_before(op, [*new, product])
    replace(op, product.results)
