"""Fast math: chains of narrow float operations are computed in f32 and rounded once, at the end.

What XLA calls excess precision. Only values whose uses all end up in one operation are left
unrounded: one fused loop computes all of that, so none is stored in two types. A chain may begin
with a matrix product, whose sums are f32 in the accumulators.
"""

from collections.abc import Mapping

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from compiler.ir.ops import (
    HloOp,
    erase_unused,
    insert_before,
    main_function,
    make,
    only_user,
    replace,
)
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.elementwise import Elementwise

FUNCTIONS = frozenset((
    "divide", "erf", "erfc", "exponential", "exponential_minus_one", "gelu", "log",
    "log_plus_one", "logistic", "reciprocal", "rsqrt", "sqrt", "tanh"))
"""They stay as accurate as their narrow result was."""
WIDENED = FUNCTIONS | {
    "add", "subtract", "multiply", "negate", "square", "maximum", "minimum", "abs"}
PRODUCTS = ("dot_general", "convolution")
NARROW = (ElementType.BF16, ElementType.F16)
REGION = 24
"""The most operations looked at between a value and the one where its uses meet."""


def wide_chains(module: ModuleOp) -> None:
    """Rewrites every chain of at least two operations."""
    block = main_function(module).body.block
    order = {op: position for position, op in enumerate(block.walk())}
    ops = [op for op in order if _is_narrow(op)]
    products = [op for op in order if _is_narrow_product(op) and _is_last_product(op, order)]
    linked = {op for op in (*ops, *products) if _users_meet(op, order)}
    consumers = {use.operation for op in linked for use in op.results[0].uses}
    values = _Values()
    for op in (*products, *ops):
        assert isinstance(op, HloOp)
        if op in linked or op in consumers or (
                op.kind in PRODUCTS and _is_widened_at_once(op)):
            values.widen(op, op in linked)
    for op in list(block.walk()):
        if isinstance(op, HloOp) and op.kind == "convert" and \
                tensor_of(op.operands[0]).element is ElementType.F32 and \
                _is_widened_at_once(op) and not _is_stored(*_reader(op)):
            _drop_rounding(op)
    erase_unused(block)


def _is_narrow(op: Operation | None) -> bool:
    return isinstance(op, HloOp) and op.kind in WIDENED and op.tensor.element in NARROW


def _is_narrow_product(op: Operation) -> bool:
    return isinstance(op, HloOp) and op.kind in PRODUCTS and op.tensor.element in NARROW


def _is_last_product(op: Operation, order: Mapping[Operation, int]) -> bool:
    """An operation on two products is fused with the later one; the other is stored."""
    others = (value.owner for use in op.results[0].uses for value in use.operation.operands)
    return all(order[other] <= order[op] for other in others
               if isinstance(other, Operation) and _is_narrow_product(other))


def _users_meet(op: Operation, order: Mapping[Operation, int]) -> bool:
    """Whether narrow operations alone use a result, and all they make of it goes into one."""
    pending = {use.operation for use in op.results[0].uses}
    for _ in range(REGION):
        if not pending or any(
                user.parent is not op.parent or not _is_narrow(user) for user in pending):
            return False
        if len(pending) == 1:
            return True
        first = min(pending, key=order.__getitem__)
        pending.remove(first)
        pending |= {use.operation for use in first.results[0].uses}
    return False


def _is_widened_at_once(op: Operation) -> bool:
    """Whether a narrow result is used only in f32, in one elementwise operation."""
    conversion = only_user(op.results[0])
    if not isinstance(conversion, HloOp) or conversion.kind != "convert" or \
            conversion.tensor.element is not ElementType.F32 or \
            tensor_of(op.results[0]).element not in NARROW:
        return False
    user = only_user(conversion.results[0])
    return isinstance(user, HloOp) and isinstance(user.definition, Elementwise)


def _reader(rounding: HloOp) -> tuple[HloOp, SSAValue]:
    """The operation that uses a rounded value widened at once, and its operand."""
    conversion = only_user(rounding.results[0])
    assert isinstance(conversion, HloOp)
    user = only_user(conversion.results[0])
    assert isinstance(user, HloOp)
    return user, conversion.results[0]


def _is_stored(op: HloOp, value: SSAValue) -> bool:
    """Whether a value is in memory before an operation reads it: it is made of a product, and
    another one comes later, with which the operation is fused. Narrow it takes half the room."""
    product = _product(value)
    later = (_product(other) for other in op.operands if other is not value)
    return product is not None and any(
        other is not None and other.parent is product.parent
        and product.is_before_in_block(other) for other in later)


def _product(value: SSAValue) -> HloOp | None:
    """The product of which elementwise work makes a value."""
    pending = [value]
    for _ in range(REGION):
        op = pending.pop().owner if pending else None
        if isinstance(op, HloOp) and op.kind in PRODUCTS:
            return op
        if isinstance(op, HloOp) and isinstance(op.definition, Elementwise):
            pending += op.operands
    return None


class _Values:
    """What narrow values are in f32."""

    def __init__(self) -> None:
        self._unrounded: dict[SSAValue, SSAValue] = {}
        self._converted: dict[tuple[SSAValue, Block | None], SSAValue] = {}

    def widen(self, op: HloOp, linked: bool) -> None:
        """Computes an operation in f32, and rounds the result for those who need it so: nobody
        who is `linked`."""
        narrow = op.tensor.element
        operands = list(op.operands) if op.kind in PRODUCTS else \
            [self._in_f32(op, value) for value in op.operands]
        attrs = {**op.attrs, "accuracy": "bf16"} \
            if op.kind in FUNCTIONS and narrow is ElementType.BF16 else op.attrs
        result = make(op.kind, operands, [op.tensor.with_element(ElementType.F32)], attrs,
                      location=op.source)
        rounded = make("convert", result.results, [op.tensor], location=op.source)
        insert_before(op, [result, rounded])
        op.results[0].replace_all_uses_with(rounded.results[0])
        if linked:
            self._unrounded[rounded.results[0]] = result.results[0]

    def _in_f32(self, op: HloOp, value: SSAValue) -> SSAValue:
        """An operand before it was rounded, if nothing else needs it rounded."""
        if value in self._unrounded:
            return self._unrounded[value]
        rounding = value.owner
        if isinstance(rounding, HloOp) and rounding.kind == "convert" and \
                tensor_of(rounding.operands[0]).element is ElementType.F32 and \
                all(use.operation is op for use in value.uses) and not _is_stored(op, value):
            return rounding.operands[0]
        key = value, op.parent
        if key not in self._converted:
            tensor = tensor_of(value).with_element(ElementType.F32)
            conversion = make("convert", [value], [tensor], location=op.source)
            insert_before(op, [conversion])
            self._converted[key] = conversion.results[0]
        return self._converted[key]


def _drop_rounding(op: HloOp) -> None:
    """What is rounded only to become f32 again is not."""
    conversion = only_user(op.results[0])
    assert isinstance(conversion, HloOp)
    replace(conversion, op.operands)
