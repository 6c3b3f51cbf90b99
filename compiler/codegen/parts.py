"""Values that are made in their place in a larger one, so that putting them there costs nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from xdsl.ir import Block, Operation, SSAValue

from compiler.codegen.inplace import overwritten
from compiler.ir.loops import Contraction, Load, Movement, analyse
from compiler.ir.ops import HloOp
from compiler.ir.types import tensor_of


@dataclass(frozen=True)
class Part:
    """Where a value is in a larger one.

    Attributes:
        offset: bytes before its first element.
        strides: of the larger one, in elements, when the value is not one run of it.
        on_chip, in_dram: whether its maker can write it with these strides there.
    """

    whole: SSAValue
    offset: int
    strides: tuple[int, ...] | None = None
    on_chip: bool = True
    in_dram: bool = True


def parts_of(block: Block) -> dict[SSAValue, Part]:
    """Each value that only a concatenation or a pad reads, and that can be made in its result; of
    sums that are made one in the place of the other, all."""
    found: dict[SSAValue, Part] = {}
    for op in block.ops:
        if isinstance(op, HloOp) and op.kind == "fused":
            if op.attrs["kind"] == "concatenate":
                found.update(_runs(op, _movement(op)))
            elif op.attrs["kind"] == "pad":
                found.update(_with_sums(_padded(op, _movement(op))))
    # A part of a part belongs to the outermost whole.
    return {value: _outermost(found, part) for value, part in found.items()}


def _movement(group: HloOp) -> Movement:
    analysed = analyse(group)
    assert isinstance(analysed, Movement)
    return analysed


def _runs(group: HloOp, movement: Movement) -> Iterator[tuple[SSAValue, Part]]:
    whole, dimension = group.results[0], movement.op.attrs["dimension"]
    strides, first = movement.op.tensor.strides, 0
    for node, tensor in zip(movement.operands, movement.op.call.operands, strict=True):
        inside = strides_inside(tensor.shape, dimension, strides)
        if isinstance(node, Load) and node.view.is_whole and _is_made_for(node.value, group) \
                and (inside is None or tensor_of(node.value).shape == tensor.shape):
            part = Part(whole, first * strides[dimension] * tensor.element.size, inside)
            if inside is not None:
                part = replace(part, on_chip=_may_be_inside(node.value)
                               and not _needs_room(node.value),
                               in_dram=_has_rows(node.value, dimension))
            if part.on_chip or part.in_dram:
                yield node.value, part
        first += tensor.shape[dimension]


def strides_inside(shape: Sequence[int], dimension: int, strides: tuple[int, ...]
                   ) -> tuple[int, ...] | None:
    """Strides of a value that is one of those put together along a dimension; None when it is one
    run of the result.

    Args:
        strides: of the result, in elements.
    """
    return None if prod(shape[:dimension]) == 1 else strides


def _may_be_inside(value: SSAValue) -> bool:
    """Whether a contraction makes a value, and writes it with any strides when it is on chip."""
    group = value.owner
    assert isinstance(group, HloOp)
    analysed = analyse(group)
    if len(group.results) != 1 or not isinstance(analysed, Contraction):
        return False
    attrs = analysed.op.attrs
    if analysed.op.kind == "dot_general":
        return not attrs["dot_dimension_numbers"]["lhs_batching_dimensions"]
    dims = attrs["dimension_numbers"]
    order = (dims["output_batch_dimension"], *dims["output_spatial_dimensions"],
             dims["output_feature_dimension"])
    return order == tuple(range(len(order)))


def _has_rows(value: SSAValue, dimension: int) -> bool:
    """Whether a product makes a value row by row, and the larger one is longer in each row only."""
    group = value.owner
    assert isinstance(group, HloOp)
    analysed = analyse(group)
    if not isinstance(analysed, Contraction) or analysed.op.kind != "dot_general":
        return False
    dims, shape = analysed.op.attrs["dot_dimension_numbers"], analysed.op.tensor.shape
    columns = len(analysed.rhs.view.shape) - len(dims["rhs_contracting_dimensions"])
    return (tensor_of(value).shape == shape and dimension == len(shape) - 1 and columns == 1
            and not dims["lhs_batching_dimensions"])


def _needs_room(value: SSAValue) -> bool:
    """Whether a convolution makes a value of an input that it has to load: it needs the room of
    what else would be put together there."""
    group = value.owner
    assert isinstance(group, HloOp)
    return group.attrs["kind"] == "convolution" and _is_by_array(group) and not is_padded(group)


def is_padded(op: Operation) -> bool:
    """Whether a group is a convolution of what another one has put padding around."""
    if not isinstance(op, HloOp) or op.kind != "fused" or op.attrs["kind"] != "convolution":
        return False
    maker = op.operands[0].owner
    return isinstance(maker, HloOp) and maker.kind == "fused" and maker.attrs["kind"] == "pad"


def _padded(group: HloOp, movement: Movement) -> Iterator[tuple[SSAValue, Part]]:
    """What the array makes, with padding around it."""
    node, attrs = movement.operands[0], movement.op.attrs
    low, high = attrs["edge_padding_low"], attrs["edge_padding_high"]
    if not isinstance(node, Load) or not node.view.is_whole or any(attrs["interior_padding"]) \
            or min(*low, *high) < 0 or not _is_made_for(node.value, group):
        return
    maker, tensor = node.value.owner, movement.op.tensor
    assert isinstance(maker, HloOp)
    if _may_be_inside(node.value) and _is_by_array(maker):
        first = sum(a * b for a, b in zip(low, tensor.strides, strict=True))
        yield node.value, Part(group.results[0], first * tensor.element.size, tensor.strides,
                               in_dram=False)


def _with_sums(found: Iterator[tuple[SSAValue, Part]]) -> Iterator[tuple[SSAValue, Part]]:
    """Values and, one before the other, the sums that their makers add to and nobody else reads:
    they grow in the place of the last one."""
    for value, part in found:
        yield value, part
        while (before := _overwritten(value)) is not None:
            yield before, part
            value = before


def _overwritten(value: SSAValue) -> SSAValue | None:
    group = value.owner
    assert isinstance(group, HloOp)
    return next((v for v in overwritten(group) if _is_made_for(v, group) and _may_be_inside(v)),
                None)


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
