"""Fast math: chains of narrow float operations are computed in f32 and rounded once, at the end.

What XLA calls excess precision. Only values with a single use are left unrounded, so none is
stored in two types.
"""

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from compiler.ir.ops import HloOp, erase_unused, insert_before, main_function, make
from compiler.ir.types import ElementType, tensor_of

FUNCTIONS = frozenset((
    "divide", "erf", "erfc", "exponential", "exponential_minus_one", "log", "log_plus_one",
    "logistic", "reciprocal", "rsqrt", "sqrt", "tanh"))
"""They stay as accurate as their narrow result was."""
WIDENED = FUNCTIONS | {
    "add", "subtract", "multiply", "negate", "square", "maximum", "minimum", "abs"}


def wide_chains(module: ModuleOp) -> None:
    """Rewrites every chain of at least two operations."""
    block = main_function(module).body.block
    ops = [op for op in block.walk() if _is_narrow(op)]
    linked = {op for op in ops if _is_narrow(_only_user(op))}
    consumers = {_only_user(op) for op in linked}
    wide: dict[SSAValue, SSAValue] = {}
    for op in ops:
        assert isinstance(op, HloOp)
        if op in linked or op in consumers:
            _widen(op, wide)
    erase_unused(block)


def _is_narrow(op: Operation | None) -> bool:
    return isinstance(op, HloOp) and op.kind in WIDENED and \
        op.tensor.element in (ElementType.BF16, ElementType.F16)


def _only_user(op: Operation) -> Operation | None:
    """The operation that alone uses a result, once."""
    uses = list(op.results[0].uses)
    return uses[0].operation if len(uses) == 1 and uses[0].operation.parent is op.parent else None


def _widen(op: HloOp, wide: dict[SSAValue, SSAValue]) -> None:
    narrow = op.tensor.element
    new: list[Operation] = []
    operands = [_in_f32(op, value, wide, new) for value in op.operands]
    attrs = {**op.attrs, "accuracy": "bf16"} \
        if op.kind in FUNCTIONS and narrow is ElementType.BF16 else op.attrs
    result = make(op.kind, operands, [op.tensor.with_element(ElementType.F32)], attrs,
                  location=op.source)
    rounded = make("convert", result.results, [op.tensor], location=op.source)
    insert_before(op, [*new, result, rounded])
    op.results[0].replace_all_uses_with(rounded.results[0])
    wide[rounded.results[0]] = result.results[0]


def _in_f32(op: HloOp, value: SSAValue, wide: dict[SSAValue, SSAValue], new: list[Operation]
            ) -> SSAValue:
    """An operand before it was rounded, if nothing else uses it."""
    if all(use.operation is op for use in value.uses):
        if value in wide:
            return wide[value]
        rounding = value.owner
        if isinstance(rounding, HloOp) and rounding.kind == "convert" and \
                tensor_of(rounding.operands[0]).element is ElementType.F32:
            return rounding.operands[0]
    tensor = tensor_of(value).with_element(ElementType.F32)
    new.append(make("convert", [value], [tensor], location=op.source))
    return new[-1].results[0]


