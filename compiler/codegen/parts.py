"""Values that are made in their place in a larger one, so that a concatenation costs nothing."""

from math import prod

from xdsl.ir import Block, Operation, SSAValue

from compiler.ir.loops import Load, Movement, analyse
from compiler.ir.ops import HloOp


def parts_of(block: Block) -> dict[SSAValue, tuple[SSAValue, int]]:
    """For each value that only a concatenation reads, as one run of its result: that result, and
    the bytes before the run."""
    found: dict[SSAValue, tuple[SSAValue, int]] = {}
    for op in block.ops:
        if isinstance(op, HloOp) and op.kind == "fused" and op.attrs["kind"] == "concatenate":
            analysed = analyse(op)
            assert isinstance(analysed, Movement)
            found.update(_parts(op, analysed))
    # A part of a part belongs to the outermost whole.
    return {value: _outermost(found, value) for value in found}


def _parts(group: HloOp, movement: Movement) -> dict[SSAValue, tuple[SSAValue, int]]:
    whole, dimension = group.results[0], movement.op.attrs["dimension"]
    found: dict[SSAValue, tuple[SSAValue, int]] = {}
    offset = 0
    for node, tensor in zip(movement.operands, movement.op.call.operands, strict=True):
        if isinstance(node, Load) and prod(tensor.shape[:dimension]) == 1 \
                and node.view.is_whole and _is_made_for(node.value, group):
            found[node.value] = whole, offset
        offset += tensor.bytes
    return found


def _is_made_for(value: SSAValue, reader: Operation) -> bool:
    """Whether a group makes the value and only one other reads it, once."""
    owner = value.owner
    return (isinstance(owner, HloOp) and owner.kind == "fused" and owner.parent is reader.parent
            and value.has_one_use())


def _outermost(found: dict[SSAValue, tuple[SSAValue, int]], value: SSAValue
               ) -> tuple[SSAValue, int]:
    whole, offset = found[value]
    while whole in found:
        whole, further = found[whole]
        offset += further
    return whole, offset

