"""Code for contractions: dot_general and convolution, with what is computed on their result."""

from compiler.codegen.context import Context
from compiler.codegen.contraction_dot import generate_dot
from compiler.ir.loops import Contraction


def generate_contraction(context: Context, contraction: Contraction) -> None:
    """Appends the commands of a contraction and its epilogue; no operand is empty.

    Raises:
        CompileError: it cannot be built for this machine.
    """
    if contraction.op.kind == "dot_general":
        generate_dot(context, contraction)
        return
    # A tenth of the compiler, which networks without convolutions need not wait for.
    from compiler.codegen.convolution import generate_convolution
    generate_convolution(context, contraction)
