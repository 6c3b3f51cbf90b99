"""Conversions trade places with what only moves elements, so that it moves narrow ones.

A slice or reshape of a widened tensor becomes a widened one: streams widen for nothing, and the
wide tensor is never stored. A concatenation that is narrowed becomes one of narrowed parts, each of
which is narrowed where it is made. The two halves of a rotary embedding are the example.
"""

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.ops import (
    HloOp,
    erase_unused,
    insert_before,
    main_function,
    make,
    repeated,
    replace,
)
from compiler.ir.types import tensor_of
from compiler.passes.sink import is_free_conversion

VIEWS = ("slice", "reshape")


def conversions(module: ModuleOp) -> None:
    """Rewrites every view of a conversion, and every conversion of a concatenation."""
    block = main_function(module).body.block
    for op in list(block.ops):
        if not isinstance(op, HloOp) or not op.operands:
            continue
        behind = op.operands[0].owner
        if not isinstance(behind, HloOp) or behind.parent is not block:
            continue
        if op.kind in VIEWS and is_free_conversion(behind):
            narrow = tensor_of(behind.operands[0]).with_shape(op.tensor.shape)
            part = repeated(op, behind.operands, [narrow])
            insert_before(op, [part])
            replace(op, [_converted(op, part.results[0])])
        elif op.kind == "convert" and behind.kind == "concatenate" and _is_narrowed(op, behind):
            parts = [_converted(op, value) for value in behind.operands]
            whole = repeated(behind, parts, [op.tensor])
            insert_before(op, [whole])
            replace(op, whole.results)
    erase_unused(block)


def _is_narrowed(conversion: HloOp, whole: HloOp) -> bool:
    return conversion.tensor.element.size < whole.tensor.element.size and \
        whole.results[0].has_one_use()


def _converted(op: HloOp, value: SSAValue) -> SSAValue:
    """A value in the element type of an operation, in front of it."""
    tensor = tensor_of(value).with_element(op.tensor.element)
    made = make("convert", [value], [tensor], location=op.source)
    insert_before(op, [made])
    return made.results[0]
