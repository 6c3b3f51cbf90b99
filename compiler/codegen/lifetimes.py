"""How long values are needed."""

from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue


def last_uses(function: FuncOp) -> dict[SSAValue, Operation]:
    """For each value the last operation of its own block that needs it, itself or in a region.

    Values inside groups are not listed. A result that nothing uses is needed by its operation.
    """
    found: dict[SSAValue, Operation] = {}
    _walk(function.body.block, found)
    return found


def _walk(block: Block, found: dict[SSAValue, Operation]) -> None:
    for op in block.ops:
        for value in op.operands:
            found[value] = _in_block_of(value, op)
        if op.name != "hlo.fused":
            for region in op.regions:
                _walk(region.block, found)
        for result in op.results:
            found[result] = op


def _in_block_of(value: SSAValue, op: Operation) -> Operation:
    """The operation that contains `op`, or is it, in the block where the value is defined."""
    owner = value.owner
    home = owner if isinstance(owner, Block) else owner.parent
    while op.parent is not home:
        outer = op.parent_op()
        assert outer is not None
        op = outer
    return op
