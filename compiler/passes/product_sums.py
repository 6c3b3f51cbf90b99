"""Fast math: the sum of two products becomes one product of what lies side by side along k.

The first block of a stage of a residual network is an example: what is added to its result is a
product as well, as the numbers of channels differ.

    y @ w + x @ v = [y x] @ [w; v]

One of the two need not be rounded and stored to be an operand of the other's epilogue, and the
accumulators take both. Left factors that fit the scratchpad are put together there, where one of
them is made in its place. Larger ones are read apart (`left_factors`), if the weights of both stay
on chip meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.ops import (
    HloOp,
    constant,
    constant_values,
    erase_unused,
    insert_before,
    main_function,
    make,
    only_user,
    repeated,
    replace,
)
from compiler.ir.types import ElementType, tensor_of

SHARE = 5, 8
"""Left factors that are put together take at most this part of the scratchpad."""
WEIGHTS_SHARE = 7, 8
"""The weights of those that are not take at most this part of it."""


@dataclass(frozen=True)
class Summand:
    """A product, and what else is added to it.

    Attributes:
        others: values of the same shape, not rounded.
    """

    product: HloOp
    others: tuple[SSAValue, ...] = ()

    @property
    def left(self) -> SSAValue:
        return self.product.operands[0]

    @property
    def weights(self) -> NDArray[Any]:
        values = constant_values(self.product.operands[1])
        assert values is not None
        return values


def product_sums(module: ModuleOp, scratchpad_bytes: int, *, apart: bool = False) -> None:
    """Joins products by constants whose left factors fit the scratchpad together.

    Args:
        apart: others instead, whose weights do.
    """
    block = main_function(module).body.block
    for op in list(block.ops):
        if isinstance(op, HloOp) and op.kind == "add" and op.tensor.element is ElementType.F32:
            summands = [_summand(operand) for operand in op.operands]
            found = [s for s in summands if s is not None]
            if len(found) == 2 and _are_alike(found) and (
                    _stay(found, scratchpad_bytes) if apart else
                    fits(_bytes(found), scratchpad_bytes)):
                _join(op, found)
    erase_unused(block)


def _summand(value: SSAValue) -> Summand | None:
    """The product that a value, which only the sum reads, is made of by adding and rounding."""
    op = value.owner
    if not isinstance(op, HloOp) or only_user(value) is None or not op.tensor.element.is_float:
        return None
    if op.kind == "dot_general":
        return Summand(op) if _is_matrix_product(op) else None
    if op.kind == "convert":
        return _summand(op.operands[0])
    if op.kind != "add" or op.tensor.element is not ElementType.F32:
        return None
    for inner, other in (op.operands, op.operands[::-1]):
        found = _summand(inner)
        if found is not None:
            return Summand(found.product, (*found.others, other))
    return None


def _is_matrix_product(op: HloOp) -> bool:
    """Whether the last dimension of bf16 is contracted with the first one of a constant matrix."""
    left, right = map(tensor_of, op.operands)
    dims = op.attrs["dot_dimension_numbers"]
    return (constant_values(op.operands[1]) is not None and right.rank == 2
            and left.element is right.element is ElementType.BF16
            and op.tensor.element is ElementType.F32
            and not dims["lhs_batching_dimensions"]
            and dims["lhs_contracting_dimensions"] == (left.rank - 1,)
            and dims["rhs_contracting_dimensions"] == (0,))


def _are_alike(summands: list[Summand]) -> bool:
    """Whether two left factors have the same rows."""
    left = {s.left for s in summands}
    first, second = (tensor_of(s.left) for s in summands)
    return len(left) == 2 and first.shape[:-1] == second.shape[:-1]


def fits(factor_bytes: int, scratchpad_bytes: int) -> bool:
    """Whether left factors are put together on chip."""
    return factor_bytes <= scratchpad_bytes * SHARE[0] // SHARE[1]


def _bytes(summands: list[Summand]) -> int:
    return sum(tensor_of(s.left).bytes for s in summands)


def _stay(summands: list[Summand], scratchpad_bytes: int) -> bool:
    """Whether the weights of both stay on chip, so that no left factor is loaded again."""
    weights = sum(s.weights.nbytes for s in summands)
    return not fits(_bytes(summands), scratchpad_bytes) \
        and weights <= scratchpad_bytes * WEIGHTS_SHARE[0] // WEIGHTS_SHARE[1]


def _join(total: HloOp, summands: list[Summand]) -> None:
    """Replaces a sum of two products by the product of both."""
    made = list(_joined(total, summands))
    insert_before(total, made)
    replace(total, made[-1].results)


def _joined(total: HloOp, summands: list[Summand]) -> Iterator[HloOp]:
    first = summands[0]
    left = make("concatenate", [s.left for s in summands], None,
                {"dimension": tensor_of(first.left).rank - 1}, location=total.source)
    right = constant(np.concatenate([s.weights for s in summands]), first.product.source)
    yield from (left, right)
    sums = repeated(first.product, [*left.results, *right.results], [total.tensor])
    yield sums
    for other in (value for summand in summands for value in summand.others):
        sums = make("add", [*sums.results, other], [total.tensor], location=total.source)
        yield sums
