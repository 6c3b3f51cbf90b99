"""Products of one left factor that are combined element by element become one operation.

The gate of a feed-forward block is the example: f(x @ g) * (x @ u). Alone, one product would go
through memory to be an operand of the other's epilogue. Together, column tiles of both are made
side by side in the accumulators, and the rows of x are loaded once for both. No sum changes.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from compiler.ir.ops import HloOp, insert_before, is_constant, main_function, make, replace
from compiler.ir.types import tensor_of
from compiler.passes.groups import is_elementwise

REGION = 24
"""The most operations looked at between a product and the one where it meets another."""


def joint_products(module: ModuleOp, columns: int) -> None:
    """Joins pairs of products in every such combination.

    Args:
        columns: of a weight tile; results that are not whole tiles are left alone.
    """
    block = main_function(module).body.block
    alike: dict[Any, list[HloOp]] = defaultdict(list)
    for op in block.ops:
        if isinstance(op, HloOp) and op.kind == "dot_general" and _is_suitable(op, columns):
            alike[op.operands[0], tensor_of(op.operands[1]).shape, op.result_types[0],
                  tuple(sorted(op.attributes.items()))].append(op)
    for products in alike.values():
        while len(products) > 1:
            first = products.pop(0)
            other = next((op for op in products if _reach(first) & _reach(op)), None)
            if other is not None:
                products.remove(other)
                _join((first, other))


def _is_suitable(op: HloOp, columns: int) -> bool:
    """A product by a constant that nothing else reads, in whole tiles of columns."""
    weights = op.operands[1]
    dims = op.attrs["dot_dimension_numbers"]
    free = tensor_of(weights).rank - len(dims["rhs_contracting_dimensions"])
    return (is_constant(weights) and weights.has_one_use()
            and tensor_of(weights).element.is_float and free > 0
            and not dims["lhs_batching_dimensions"] and op.tensor.shape[-1] % columns == 0)


def _reach(product: HloOp) -> set[Operation]:
    """Elementwise operations of its shape that a product's result goes into."""
    found: set[Operation] = set()
    pending: list[SSAValue] = list(product.results)
    while pending and len(found) < REGION:
        for use in pending.pop().uses:
            op = use.operation
            if isinstance(op, HloOp) and op.parent is product.parent and is_elementwise(op) \
                    and op.tensor.shape == product.tensor.shape and op not in found:
                found.add(op)
                pending += op.results
    return found


def _join(products: Sequence[HloOp]) -> None:
    """One operation with all right factors and all results, in the place of the first."""
    first, block = products[0], products[0].parent
    assert block is not None
    factors = [op.operands[1] for op in products]
    for factor in factors[1:]:
        constant = factor.owner
        assert isinstance(constant, HloOp)
        block.detach_op(constant)
        insert_before(first, [constant])
    joint = make("dot_general", [first.operands[0], *factors], [op.tensor for op in products],
                 dict(first.attrs), location=products[-1].source)
    insert_before(first, [joint])
    for op, result in zip(products, joint.results, strict=True):
        replace(op, [result])
