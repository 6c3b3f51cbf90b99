"""Makes equal operations one: common subexpression elimination."""

from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block

from compiler.ir.ops import HloOp, main_function, replace


def share(module: ModuleOp) -> None:
    """An operation equal to an earlier one of its block, or of one around it, is dropped."""
    _share(main_function(module).body.block, {})


def _share(block: Block, around: dict[Any, HloOp]) -> None:
    known = dict(around)
    for op in list(block.ops):
        if not isinstance(op, HloOp) or op is block.last_op:
            continue
        if op.regions:
            for body in op.bodies:
                _share(body, known)
            continue
        key = (op.kind, tuple(op.operands), tuple(sorted(op.attributes.items())),
               tuple(op.result_types))
        first = known.setdefault(key, op)
        if first is not op:
            replace(op, first.results)
