"""Refuses, with its place, whatever cannot become code."""

from xdsl.dialects.builtin import ModuleOp

from compiler.errors import CompileError
from compiler.ir.ops import HloOp, main_function
from compiler.ops import registry
from compiler.ops.registry import UnsupportedError


def check(module: ModuleOp) -> None:
    """Code templates must be registered by then.

    Raises:
        CompileError: the first operation that has no code template, or not for this use of it.
    """
    for op in main_function(module).walk():
        if not isinstance(op, HloOp):
            continue
        try:
            op.definition.check_supported(op.call)
        except UnsupportedError as error:
            raise CompileError(str(error), op.source) from error
        if op.definition.needs_template and registry.template(op.kind) is None:
            raise CompileError(
                f"operation {op.kind} has no code template: register one "
                "(compiler.ops.registry.register_template) or rewrite the model", op.source)
