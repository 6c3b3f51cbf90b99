"""Values that are made in their place in a larger one, so that putting them there costs nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from xdsl.ir import Block, Operation, SSAValue

from compiler.ir.loops import Contraction, Load, Movement, analyse
from compiler.ir.ops import HloOp


@dataclass(frozen=True)
class Part:
    """Where a value is in a larger one.

    Attributes:
        offset: bytes before its first element.
        strides: of the larger one, in elements, when the value is not one run of it.
    """

    whole: SSAValue
    offset: int
    strides: tuple[int, ...] | None = None


def parts_of(block: Block) -> dict[SSAValue, Part]:
    """Each value that only a concatenation reads, as one run of its result, or only a pad does."""
    found: dict[SSAValue, Part] = {}
    for op in block.ops:
        if isinstance(op, HloOp) and op.kind == "fused":
            if op.attrs["kind"] == "concatenate":
                found.update(_runs(op, _movement(op)))
            elif op.attrs["kind"] == "pad":
                found.update(_padded(op, _movement(op)))
    # A part of a part belongs to the outermost whole.
    return {value: _outermost(found, part) for value, part in found.items()}


def _movement(group: HloOp) -> Movement:
    analysed = analyse(group)
    assert isinstance(analysed, Movement)
    return analysed


def _runs(group: HloOp, movement: Movement) -> Iterator[tuple[SSAValue, Part]]:
    whole, dimension = group.results[0], movement.op.attrs["dimension"]
    offset = 0
    for node, tensor in zip(movement.operands, movement.op.call.operands, strict=True):
        if isinstance(node, Load) and prod(tensor.shape[:dimension]) == 1 \
                and node.view.is_whole and _is_made_for(node.value, group):
            yield node.value, Part(whole, offset)
        offset += tensor.bytes


def _padded(group: HloOp, movement: Movement) -> Iterator[tuple[SSAValue, Part]]:
    """What the array makes, with padding around it."""
    node, attrs = movement.operands[0], movement.op.attrs
    low, high = attrs["edge_padding_low"], attrs["edge_padding_high"]
    if not isinstance(node, Load) or not node.view.is_whole or any(attrs["interior_padding"]) \
            or min(*low, *high) < 0 or not _is_made_for(node.value, group):
        return
    maker, tensor = node.value.owner, movement.op.tensor
    assert isinstance(maker, HloOp)
    if len(maker.results) == 1 and _is_by_array(maker):
        first = sum(a * b for a, b in zip(low, tensor.strides, strict=True))
        yield node.value, Part(group.results[0], first * tensor.element.size, tensor.strides)


def _is_by_array(group: HloOp) -> bool:
    analysed = analyse(group)
    return isinstance(analysed, Contraction) and \
        analysed.op.attrs.get("feature_group_count", 1) == 1


def _is_made_for(value: SSAValue, reader: Operation) -> bool:
    """Whether a group makes the value and only one other reads it, once."""
    owner = value.owner
    return (isinstance(owner, HloOp) and owner.kind == "fused" and owner.parent is reader.parent
            and value.has_one_use())


def _outermost(found: dict[SSAValue, Part], part: Part) -> Part:
    while part.whole in found:
        further = found[part.whole]
        if further.strides is not None:
            break
        part = replace(part, whole=further.whole, offset=part.offset + further.offset)
    return part
