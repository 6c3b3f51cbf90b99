"""Takes out of a loop what it hands on unchanged from round to round.

Exporters make every value that a loop's body uses one that the loop carries. Weights would be
copied to where carried values live; used from outside, they stay where they are.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from compiler.ir.ops import HloOp, erase, insert_before, main_function, make
from compiler.ir.types import tensor_of


def carries(module: ModuleOp) -> None:
    """Outer loops first, so that what an outer loop hands on is one value for inner ones."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and op.kind == "while":
            _drop_constant_carries(op)


def _drop_constant_carries(op: HloOp) -> None:
    _, body = op.bodies
    returned = _returned(body)
    kept = [n for n, argument in enumerate(body.args) if returned[n] is not argument]
    if len(kept) == len(returned):
        return
    for number in sorted(set(range(len(returned))) - set(kept), reverse=True):
        value = op.operands[number]
        op.results[number].replace_all_uses_with(value)
        for block in op.bodies:
            block.args[number].replace_all_uses_with(value)
            block.erase_arg(block.args[number])
    _return(body, [returned[n] for n in kept])
    _rebuild(op, kept)


def _returned(body: Block) -> list[SSAValue]:
    terminator = body.last_op
    assert terminator is not None
    return list(terminator.operands)


def _return(body: Block, values: Sequence[SSAValue]) -> None:
    terminator = body.last_op
    assert isinstance(terminator, HloOp)
    insert_before(terminator, [make("return", values, (), location=terminator.source)])
    erase(terminator)


def _rebuild(op: HloOp, kept: Sequence[int]) -> None:
    operands = [op.operands[n] for n in kept]
    regions = [op.detach_region(region) for region in list(op.regions)]
    new = make("while", operands, [tensor_of(v) for v in operands], dict(op.attrs),
               regions=regions, location=op.source)
    insert_before(op, [new])
    for n, result in zip(kept, new.results, strict=True):
        op.results[n].replace_all_uses_with(result)
    erase(op)
