"""Convolutions with a kernel of one position become products of matrices.

Their windows do not overlap, so that a product's tiles, which need not be whole lines of an image,
suit them better; and a product can read its factors on chip. Sums stay the same.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.ops import HloOp, insert_before, main_function, make, replace
from compiler.ir.types import tensor_of
from compiler.ops.contraction import free_dimensions, spatial_windows


def pointwise(module: ModuleOp) -> None:
    """Only where the product has the result's order of dimensions."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and op.kind == "convolution" and _is_pointwise(op):
            _multiply(op)


def _is_pointwise(op: HloOp) -> bool:
    groups = (op.attrs.get("feature_group_count", 1), op.attrs.get("batch_group_count", 1))
    return groups == (1, 1) and op.tensor.size > 0 and _keeps_order(op) and all(
        w.size == 1 and w.base_dilation == 1 and w.low == 0
        and (w.outputs - 1) * w.stride < w.extent for w in spatial_windows(op.call))


def _keeps_order(op: HloOp) -> bool:
    """Whether the result's features are last, and the rest is in the order of the input."""
    dims = op.attrs["dimension_numbers"]
    inputs = (dims["input_batch_dimension"], *dims["input_spatial_dimensions"])
    outputs = (dims["output_batch_dimension"], *dims["output_spatial_dimensions"])
    free = free_dimensions(op.tensor.rank, [dims["input_feature_dimension"]])
    return dims["output_feature_dimension"] == op.tensor.rank - 1 and \
        [free.index(d) for d in inputs] == list(outputs)


def _multiply(op: HloOp) -> None:
    dims = op.attrs["dimension_numbers"]
    outputs, features = (dims["kernel_output_feature_dimension"],
                         dims["kernel_input_feature_dimension"])
    kernel = tensor_of(op.operands[1])
    order = sorted((outputs, features))
    matrix = make("reshape", [op.operands[1]],
                  [kernel.with_shape(tuple(kernel.shape[d] for d in order))], location=op.source)
    numbers = {
        "lhs_batching_dimensions": (), "rhs_batching_dimensions": (),
        "lhs_contracting_dimensions": (dims["input_feature_dimension"],),
        "rhs_contracting_dimensions": (order.index(features),)}
    attrs = {"dot_dimension_numbers": numbers}
    if "precision_config" in op.attrs:
        attrs["precision_config"] = op.attrs["precision_config"]
    insert_before(op, [matrix])
    product = make("dot_general", [_strided(op), matrix.results[0]], [op.tensor], attrs,
                   location=op.source)
    insert_before(op, [product])
    replace(op, product.results)


def _strided(op: HloOp) -> SSAValue:
    """The input at the positions of the windows."""
    source = tensor_of(op.operands[0])
    limits, strides = list(source.shape), [1] * source.rank
    dims: Sequence[int] = op.attrs["dimension_numbers"]["input_spatial_dimensions"]
    for d, window in zip(dims, spatial_windows(op.call), strict=True):
        strides[d] = window.stride
        limits[d] = (window.outputs - 1) * window.stride + 1
    if limits == list(source.shape) and set(strides) == {1}:
        return op.operands[0]
    part = source.with_shape(tuple(-(-n // s) for n, s in zip(limits, strides, strict=True)))
    kept = make("slice", [op.operands[0]], [part],
                {"start_indices": (0,) * source.rank, "limit_indices": tuple(limits),
                 "strides": tuple(strides)}, location=op.source)
    insert_before(op, [kept])
    return kept.results[0]
