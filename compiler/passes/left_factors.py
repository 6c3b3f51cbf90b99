"""A product of what is too large to be put together reads the parts where they lie.

    concatenate(y, x) @ w  =  y @ w[:n] + x @ w[n:]

in the same accumulators, in the same order: every bit stays. What fits the scratchpad is put
together there for less, as one part may be made in its place and columns of the result may read it
again.
"""

from xdsl.dialects.builtin import ModuleOp

from compiler.ir.ops import HloOp, erase, insert_before, main_function, make, only_user, replace
from compiler.ir.types import tensor_of
from compiler.ops.contraction import left_count
from compiler.passes.product_sums import fits


def left_factors(module: ModuleOp, scratchpad_bytes: int) -> None:
    """Gives every such product its left factors one by one."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and op.kind == "dot_general" and left_count(op.attrs) == 1:
            whole = op.operands[0].owner
            if isinstance(whole, HloOp) and whole.kind == "concatenate" \
                    and only_user(op.operands[0]) is op and _is_along_k(op, whole) \
                    and not fits(tensor_of(op.operands[0]).bytes, scratchpad_bytes):
                _take_apart(op, whole)


def _is_along_k(op: HloOp, whole: HloOp) -> bool:
    """Whether a concatenation is along all that is contracted."""
    dims = op.attrs["dot_dimension_numbers"]
    return (dims["lhs_contracting_dimensions"] == (whole.attrs["dimension"],)
            and not dims["lhs_batching_dimensions"])


def _take_apart(op: HloOp, whole: HloOp) -> None:
    apart = make("dot_general", [*whole.operands, *op.operands[1:]],
                 [tensor_of(result) for result in op.results],
                 {**op.attrs, "lefts": len(whole.operands)}, location=op.source)
    insert_before(op, [apart])
    replace(op, apart.results)
    erase(whole)
