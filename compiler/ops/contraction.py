"""dot_general and convolution: what the matrix unit does.

Meaning in numpy: products are exact and summed in the accumulation type (f32 for floats, i32 for
integers); the machine sums in ascending k and rounds after each step, numpy in an order of its
own, so floats agree within rounding. f32 operands are rounded to bf16 under precision DEFAULT on
the machine, not here.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, TypeVar

import numpy as np

from compiler.ir.attributes import Attrs
from compiler.ir.types import ElementType, Kind, Tensor
from compiler.ops.elementwise import cast
from compiler.ops.registry import (
    Call,
    NdArray,
    Operation,
    UnsupportedError,
    register,
    require,
)
from compiler.ops.windows import SpatialWindow, gather_window

T = TypeVar("T")


def accumulated(x: NdArray) -> NdArray:
    """Operand values in the numpy type the reference sums in."""
    return x.astype(np.float64 if ElementType.of_numpy(x.dtype).is_float else np.int64)


def _check_types(name: str, call: Call) -> None:
    lhs, rhs, *_ = (t.element for t in call.operands)
    if Kind.BOOL in (lhs.kind, rhs.kind) or lhs.is_float != rhs.is_float:
        raise UnsupportedError(f"{name} of {lhs} and {rhs}: convert both to one type first")


@register
class DotGeneral(Operation):
    """Sums of products over contracting dimensions, for each batch index.

    The compiler's own form has several right factors of one type, and a result for each; of several
    left factors (`lefts` of them, before those) the only contracted dimensions lie one behind the
    other.
    """

    name = "dot_general"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (lhs, *behind), (rhs, *more) = _factors(call, call.operands)
        lhs = _joined(call, lhs, behind)
        require(all(other == rhs for other in more), "dot_general: right factors differ in type")
        dims = call.attrs["dot_dimension_numbers"]
        pairs = [
            *zip(dims["lhs_batching_dimensions"], dims["rhs_batching_dimensions"], strict=True),
            *zip(dims["lhs_contracting_dimensions"], dims["rhs_contracting_dimensions"],
                 strict=True),
        ]
        require(all(lhs.shape[a] == rhs.shape[b] for a, b in pairs),
                f"dot_general: {lhs} and {rhs} differ along paired dimensions")
        batch = [lhs.shape[d] for d in dims["lhs_batching_dimensions"]]
        free = [lhs.shape[d] for d in free_dimensions(lhs.rank, [a for a, _ in pairs])]
        free += [rhs.shape[d] for d in free_dimensions(rhs.rank, [b for _, b in pairs])]
        element = call.result.element if call.results else lhs.element
        return (Tensor((*batch, *free), element),) * (1 + len(more))

    def check_supported(self, call: Call) -> None:
        _check_types(self.name, call)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        dims = call.attrs["dot_dimension_numbers"]
        lefts, factors = _factors(call, [accumulated(x) for x in operands])
        lhs = lefts[0] if len(lefts) == 1 else np.concatenate(lefts, _only_contracted(call))
        left = _arranged(lhs, dims["lhs_batching_dimensions"], dims["lhs_contracting_dimensions"])
        rights = (_arranged(rhs, dims["rhs_batching_dimensions"],
                            dims["rhs_contracting_dimensions"]) for rhs in factors)
        products = (np.matmul(left, np.swapaxes(right, -1, -2)) for right in rights)
        return tuple(cast(product.reshape(result.shape), result.element)
                     for product, result in zip(products, call.results, strict=True))


def left_count(attrs: Attrs) -> int:
    """Left factors of a dot_general: its first operands."""
    return int(attrs.get("lefts", 1))


def _factors(call: Call, values: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """What belongs to left factors, and to right ones."""
    count = left_count(call.attrs)
    return values[:count], values[count:]


def _only_contracted(call: Call) -> int:
    dims = call.attrs["dot_dimension_numbers"]["lhs_contracting_dimensions"]
    require(len(dims) == 1, "dot_general: several left factors have one contracted dimension")
    return int(dims[0])


def _joined(call: Call, first: Tensor, behind: Sequence[Tensor]) -> Tensor:
    """The type of left factors that lie one behind the other."""
    if not behind:
        return first
    d = _only_contracted(call)
    before, k, after = first.shape[:d], first.shape[d], first.shape[d + 1 :]
    for other in behind:
        require(other == first.with_shape((*before, other.shape[d], *after)),
                f"dot_general: left factors {first} and {other} do not fit together")
        k += other.shape[d]
    return first.with_shape((*before, k, *after))


def free_dimensions(rank: int, paired: Sequence[int]) -> list[int]:
    """Dimensions that are neither batch nor contracted, in order."""
    return [d for d in range(rank) if d not in paired]


def _arranged(x: NdArray, batch: Sequence[int], contracted: Sequence[int]) -> NdArray:
    """[batch, free, contracted], each flattened."""
    free = free_dimensions(x.ndim, [*batch, *contracted])
    ordered = x.transpose(*batch, *free, *contracted)
    extents = [int(np.prod([x.shape[d] for d in part], dtype=np.int64))
               for part in (batch, free, contracted)]
    return ordered.reshape(extents)


@register
class Convolution(Operation):
    """Sums of products over windows of the input, with strides, dilations, padding, groups."""

    name = "convolution"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        lhs, rhs = call.operands
        dims = call.attrs["dimension_numbers"]
        shape = [0] * lhs.rank
        shape[dims["output_batch_dimension"]] = (
            lhs.shape[dims["input_batch_dimension"]] // call.attrs.get("batch_group_count", 1))
        shape[dims["output_feature_dimension"]] = rhs.shape[
            dims["kernel_output_feature_dimension"]]
        for axis, window in enumerate(spatial_windows(call)):
            shape[dims["output_spatial_dimensions"][axis]] = window.outputs
        features = lhs.shape[dims["input_feature_dimension"]]
        groups = call.attrs.get("feature_group_count", 1)
        require(rhs.shape[dims["kernel_input_feature_dimension"]] * groups == features,
                f"convolution: kernel {rhs} does not take {features} features in {groups} groups")
        element = call.result.element if call.results else lhs.element
        return (Tensor(tuple(shape), element),)

    def check_supported(self, call: Call) -> None:
        _check_types(self.name, call)
        if call.attrs.get("batch_group_count", 1) != 1:
            raise UnsupportedError("convolution with batch_group_count: only 1 is supported")

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        dims = call.attrs["dimension_numbers"]
        lhs, rhs = (accumulated(x) for x in operands)
        x = lhs.transpose(dims["input_batch_dimension"], dims["input_feature_dimension"],
                          *dims["input_spatial_dimensions"])
        kernel = rhs.transpose(dims["kernel_output_feature_dimension"],
                               dims["kernel_input_feature_dimension"],
                               *dims["kernel_spatial_dimensions"])
        result = _grouped_windows(x, kernel, spatial_windows(call),
                                  call.attrs.get("feature_group_count", 1))
        order = np.argsort([dims["output_batch_dimension"], dims["output_feature_dimension"],
                            *dims["output_spatial_dimensions"]])
        return (cast(result.transpose(order), call.result.element),)


def products_summed(call: Call) -> int:
    """Products in the sum of each element of a contraction's result."""
    if "dot_dimension_numbers" in call.attrs:
        dims = call.attrs["dot_dimension_numbers"]["rhs_contracting_dimensions"]
        return prod(call.operands[-1].shape[d] for d in dims)
    rhs = call.operands[1]
    outputs = call.attrs["dimension_numbers"]["kernel_output_feature_dimension"]
    return rhs.size // max(rhs.shape[outputs], 1)


def spatial_windows(call: Call) -> list[SpatialWindow]:
    """The spatial dimensions of a convolution, in the order of its dimension numbers."""
    lhs, rhs = call.operands
    dims = call.attrs["dimension_numbers"]
    count = len(dims["input_spatial_dimensions"])

    def attribute(name: str, default: Any) -> Sequence[Any]:
        return call.attrs.get(name) or (default,) * count

    paddings = attribute("padding", (0, 0))
    return [
        SpatialWindow(
            extent=lhs.shape[dims["input_spatial_dimensions"][axis]],
            size=rhs.shape[dims["kernel_spatial_dimensions"][axis]],
            stride=attribute("window_strides", 1)[axis],
            low=paddings[axis][0], high=paddings[axis][1],
            base_dilation=attribute("lhs_dilation", 1)[axis],
            dilation=attribute("rhs_dilation", 1)[axis],
            reverse=attribute("window_reversal", False)[axis],
        )
        for axis in range(count)
    ]


def _grouped_windows(x: NdArray, kernel: NdArray, windows: Sequence[SpatialWindow],
                     groups: int) -> NdArray:
    """[batch, output features, outputs...] of x [batch, features, ...] and kernel [o, i, ...]."""
    batch, features = x.shape[:2]
    outputs, per_group = kernel.shape[:2]
    total = np.zeros((batch, outputs, *[w.outputs for w in windows]), x.dtype)
    for position in np.ndindex(*kernel.shape[2:]):
        patch = gather_window(x, windows, position, 0)
        grouped = patch.reshape(batch, groups, features // groups, -1)
        weights = kernel[(slice(None), slice(None), *position)]
        weights = weights.reshape(groups, outputs // groups, per_group)
        total += np.einsum("bgip,goi->bgop", grouped, weights).reshape(total.shape)
    return total
