"""Rewrites of contractions that let them read their operands as they lie in memory."""

import math
from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.loops import is_contraction
from compiler.ir.ops import HloOp, insert_before, main_function, make, replace
from compiler.ir.types import ElementType, tensor_of

EXACT_WIDENINGS = (
    (ElementType.BF16, ElementType.F32), (ElementType.F16, ElementType.F32),
    (ElementType.I8, ElementType.I32),
)
SIDES = ("lhs", "rhs")


def contractions(module: ModuleOp) -> None:
    """Narrow operands first, then operands in the shape they had before merging dimensions."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and is_contraction(op):
            op = _narrow_operands(op)
            if op.kind == "dot_general":
                for side in (0, 1):
                    op = _split_contracted(op, side)


def _rebuild(op: HloOp, operands: Sequence[SSAValue], attrs: dict[str, Any]) -> HloOp:
    new = make(op.kind, operands, [op.tensor], attrs, location=op.source)
    insert_before(op, [new])
    replace(op, new.results)
    return new


def _narrow_operands(op: HloOp) -> HloOp:
    """A contraction of operands that were widened first takes the narrow ones: products of bf16
    are exact in f32, those of i8 in i32."""
    origins = []
    for value in op.operands:
        inner = value.owner
        if not isinstance(inner, HloOp) or inner.kind != "convert":
            return op
        widening = (tensor_of(inner.operands[0]).element, tensor_of(value).element)
        if widening not in EXACT_WIDENINGS:
            return op
        origins.append(inner.operands[0])
    if tensor_of(origins[0]).element is not tensor_of(origins[1]).element:
        return op
    return _rebuild(op, origins, dict(op.attrs))


def _split_contracted(op: HloOp, side: int) -> HloOp:
    """An operand whose contracted dimension was merged from transposed ones is read before the
    merging, which would need a copy; the other operand's dimension is split, which needs none.
    k still counts through the same products in the same order."""
    merged = op.operands[side].owner
    dims = op.attrs["dot_dimension_numbers"]
    contracted = [dims[f"{name}_contracting_dimensions"] for name in SIDES]
    if not isinstance(merged, HloOp) or merged.kind != "reshape" or len(contracted[0]) != 1:
        return op
    origin = merged.operands[0]
    position, other = contracted[side][0], contracted[1 - side][0]
    parts = _parts(tensor_of(origin).shape, merged.tensor.shape, position)
    if parts is None or not isinstance(origin.owner, HloOp) or origin.owner.kind != "transpose":
        return op
    operands = list(op.operands)
    operands[side] = origin
    whole = tensor_of(operands[1 - side])
    split = make("reshape", [operands[1 - side]], [whole.with_shape(
        (*whole.shape[:other], *parts, *whole.shape[other + 1:]))], location=op.source)
    insert_before(op, [split])
    operands[1 - side] = split.results[0]
    numbers = {}
    for name, where in ((SIDES[side], position), (SIDES[1 - side], other)):
        numbers[f"{name}_contracting_dimensions"] = tuple(range(where, where + len(parts)))
        numbers[f"{name}_batching_dimensions"] = tuple(
            d if d < where else d + len(parts) - 1 for d in dims[f"{name}_batching_dimensions"])
    return _rebuild(op, operands, {**op.attrs, "dot_dimension_numbers": numbers})


def _parts(origin: tuple[int, ...], merged: tuple[int, ...],
           position: int) -> tuple[int, ...] | None:
    """The dimensions that were merged into one; None when a reshape does something else."""
    count = len(origin) - len(merged) + 1
    if count < 2 or origin[:position] != merged[:position] or \
            origin[position + count:] != merged[position + 1:]:
        return None
    parts = origin[position:position + count]
    return parts if math.prod(parts) == merged[position] else None
