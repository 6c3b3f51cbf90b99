"""Conversions to a wider type move to where the wide value is used.

Streams widen for nothing, so a value is stored as narrow as it was made and every reader widens
it. Layer norms and softmaxes in f32 of bf16 tensors read their input several times.
"""

from xdsl.ir import Block, SSAValue

from compiler.ir.loops import is_reduction
from compiler.ir.ops import HloOp, erase, repeated
from compiler.ir.types import ElementType, tensor_of
from compiler.passes.groups import is_elementwise

FREE = frozenset((
    (ElementType.BF16, ElementType.F32), (ElementType.F16, ElementType.F32),
    (ElementType.I8, ElementType.I32), (ElementType.I16, ElementType.I32),
))
"""Conversions that an input stream makes of itself."""


def sink_conversions(block: Block) -> list[tuple[HloOp, HloOp]]:
    """Gives each reader of a widened value a conversion of its own: pairs of both."""
    pairs: list[tuple[HloOp, HloOp]] = []
    for op in list(block.ops):
        if isinstance(op, HloOp) and is_free_conversion(op):
            pairs += _sink(block, op)
    return pairs


def is_free_conversion(op: HloOp) -> bool:
    """Whether an operation widens what a stream would widen for nothing."""
    if op.kind != "convert":
        return False
    source = tensor_of(op.operands[0])
    return (source.element, op.tensor.element) in FREE and source.size > 1


def _sink(block: Block, op: HloOp) -> list[tuple[HloOp, HloOp]]:
    (wide,) = op.results
    readers: dict[HloOp, SSAValue] = {}
    for use in list(wide.uses):
        reader = use.operation
        if isinstance(reader, HloOp) and reader.parent is block and (
                is_elementwise(reader) or (is_reduction(reader) and use.index == 0)):
            if reader not in readers:
                copy = repeated(op, op.operands)
                block.insert_op_before(copy, reader)
                readers[reader] = copy.results[0]
            reader.operands[use.index] = readers[reader]
    if wide.first_use is None:
        erase(op)
    return [(copy.owner, reader) for reader, copy in readers.items()
            if isinstance(copy.owner, HloOp)]
