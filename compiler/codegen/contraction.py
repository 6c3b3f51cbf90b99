"""Code for contractions: dot_general and convolution, with what is computed on their result."""

from compiler.codegen.context import Context
from compiler.codegen.contraction_dot import generate_dot
from compiler.codegen.convolution import generate_convolution
from compiler.ir.loops import Contraction


def generate_contraction(context: Context, contraction: Contraction) -> None:
    """Appends the commands of a contraction and its epilogue; no operand is empty.

    Raises:
        CompileError: it cannot be built for this machine.
    """
    if contraction.op.kind == "dot_general":
        generate_dot(context, contraction)
    else:
        generate_convolution(context, contraction)
