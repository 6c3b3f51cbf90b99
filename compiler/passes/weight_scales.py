"""Fast math: a contraction's scale by result column goes into its weights.

x @ w * s is x @ (w * s) when w and s are constants: a batch normalisation after a convolution
leaves only its shift. Scaled weights are rounded to their element type, bf16, again.

A shift may then be the first summand instead of the last. Contractions get the attribute
`reassociate`, which allows a generator that order.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.loops import is_contraction
from compiler.ir.ops import HloOp, constant, insert_before, main_function, make, only_user, replace
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.contraction import free_dimensions

SCALABLE = (ElementType.BF16, ElementType.F32)
"""Types of weights that have the exponents of their product with a scale."""


def weight_scales(module: ModuleOp) -> None:
    """Every scale that is a constant, of weights that nothing else uses."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and is_contraction(op) and op.tensor.element.is_float:
            _scale_weights(_replaced(op, op.operands[1]))


def _scale_weights(op: HloOp) -> None:
    weights, product = op.operands[1].owner, only_user(op.results[0])
    if product is None or product.kind != "multiply" or product.parent is None \
            or not isinstance(weights, HloOp) or weights.kind != "constant" \
            or weights.tensor.element not in SCALABLE \
            or only_user(weights.results[0]) is not op:
        return
    first, second = product.operands
    scale = _scale(second if first is op.results[0] else first, op)
    if scale is None:
        return
    values: NDArray[Any] = weights.attrs["value"]
    scaled = constant((values.astype(np.float32) * scale).astype(values.dtype), op.source)
    insert_before(op, [scaled])
    replace(product, _replaced(op, scaled.results[0]).results)


def _replaced(op: HloOp, weights: SSAValue) -> HloOp:
    """The contraction with other weights."""
    new = make(op.kind, [op.operands[0], weights], [op.tensor],
               {**op.attrs, "reassociate": True}, location=op.source)
    insert_before(op, [new])
    replace(op, new.results)
    return new


def _columns(op: HloOp) -> tuple[int, int]:
    """The innermost free dimension of the weights, and the result's dimension of it; the features
    of a convolution."""
    weights = tensor_of(op.operands[1])
    if op.kind == "convolution":
        dims = op.attrs["dimension_numbers"]
        return dims["kernel_output_feature_dimension"], dims["output_feature_dimension"]
    dims = op.attrs["dot_dimension_numbers"]
    paired = (*dims["rhs_batching_dimensions"], *dims["rhs_contracting_dimensions"])
    free = free_dimensions(weights.rank, paired)
    return (free[-1], op.tensor.rank - 1) if free else (-1, -1)


def _scale(value: SSAValue, op: HloOp) -> NDArray[Any] | None:
    """A factor that is constant, or a constant for each column, as one of the weights."""
    whole = value.owner
    if not isinstance(whole, HloOp) or whole.kind != "broadcast_in_dim":
        return None
    source, (dimension, column) = whole.operands[0].owner, _columns(op)
    if not isinstance(source, HloOp) or source.kind != "constant":
        return None
    factors: NDArray[Any] = source.attrs["value"]
    if factors.size == 1:
        return factors.reshape(())
    if tuple(whole.attrs["broadcast_dimensions"]) != (column,):
        return None
    return np.expand_dims(factors, tuple(
        d for d in range(tensor_of(op.operands[1]).rank) if d != dimension))
