"""Fast math: convolutions may count on finite numbers.

Then zeros among the weights change no sum, and the array may take several features at once
where each sum has one (`codegen/convolution_diagonal`).
"""

from xdsl.dialects.builtin import ModuleOp

from compiler.ir.ops import HloOp, insert_before, main_function, make, replace


def finite(module: ModuleOp) -> None:
    """Marks them."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and op.kind == "convolution" and "finite" not in op.attrs:
            marked = make(op.kind, op.operands, [op.tensor], {**op.attrs, "finite": True},
                          location=op.source)
            insert_before(op, [marked])
            replace(op, marked.results)
