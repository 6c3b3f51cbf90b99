"""Conversions between element types."""

import numpy as np

from compiler.ir.types import ElementType, Kind, Tensor
from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import ANY, FLOATS, Elementwise, bring_to_type, cast
from compiler.ops.registry import Call, NdArray, UnsupportedError, register, require


@register
class Convert(Elementwise):
    """To another type: floats round to nearest even, float to integer truncates and saturates
    (NaN gives 0), integers wrap, anything but zero is true."""

    name = "convert"
    arity = 1
    kinds = ANY
    exact = True

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (x,) = self._checked(call)
        require(len(call.results) == 1, "convert: has one result")
        return (x.with_element(call.result.element),)

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        (x,) = operands
        target = call.result.element
        if target is ElementType.I1:
            return np.asarray(x != 0)
        if call.operands[0].element.is_float and not target.is_float:
            limits = np.iinfo(target.numpy)  # type: ignore[type-var]
            clipped = np.clip(np.trunc(x.astype(np.float64)), limits.min, limits.max)
            return np.where(np.isnan(x), 0, clipped)
        if target.is_float:
            # Through f32 first, as the machine does: i32 to bf16 rounds twice.
            return cast(x, ElementType.F32)
        return x

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        source, target = call.operands[0].element, call.result.element
        if target is ElementType.I1:
            return _nonzero(b, x, source)
        if source.is_float and target.is_float:
            return x if target is ElementType.F32 else bring_to_type(b, x, target)
        if source.is_float:
            return _saturated(b, x, target)
        if target.is_float:
            return bring_to_type(b, b.u2f(x) if source.is_unsigned else b.i2f(x), target)
        return x if _fits(source, target) else bring_to_type(b, x, target)


def _nonzero(b: Builder[V], x: V, source: ElementType) -> V:
    if source is ElementType.I1:
        return x
    return b.fne(x, b.const(0.0)) if source.is_float else b.ine(x, b.const(0))


def _saturated(b: Builder[V], x: V, target: ElementType) -> V:
    """Float lane to an integer of the target's range."""
    if target.is_unsigned:
        whole = b.f2u(x)
        return whole if target.bits == 32 else b.umin(whole, b.const((1 << target.bits) - 1))
    whole = b.f2i(x)
    if target.bits == 32:
        return whole
    high = (1 << (target.bits - 1)) - 1
    return b.imax(b.imin(whole, b.const(high)), b.const(-high - 1))


def _fits(source: ElementType, target: ElementType) -> bool:
    """Whether an extended lane of one integer type is one of another type unchanged."""
    if source is ElementType.I1 or target.bits == 32:
        return True
    if source.kind is target.kind:
        return source.bits <= target.bits
    return source.kind is Kind.UNSIGNED and source.bits < target.bits


@register
class BitcastConvert(Elementwise):
    """The same bits as another type of the same width."""

    name = "bitcast_convert"
    arity = 1
    kinds = ANY
    exact = True

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (x,) = self._checked(call)
        require(len(call.results) == 1, "bitcast_convert: has one result")
        if x.element.bits != call.result.element.bits:
            return call.results
        return (x.with_element(call.result.element),)

    def check_supported(self, call: Call) -> None:
        source, target = call.operands[0].element, call.result.element
        if source.bits != target.bits:
            raise UnsupportedError(
                f"bitcast_convert of {source} to {target}: only types of one width can be "
                "reinterpreted")
        if ElementType.F16 in (source, target) and source is not target:
            raise UnsupportedError("bitcast_convert of f16: use bf16 or f32")

    def evaluate(self, call: Call, *operands: NdArray) -> tuple[NdArray]:
        return (np.ascontiguousarray(operands[0]).view(call.result.element.numpy),)

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        raise AssertionError("evaluate does not widen the operand")

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        source, target = call.operands[0].element, call.result.element
        if source.is_float == target.is_float:
            return x if source.kind is target.kind else bring_to_type(b, x, target)
        if source.bits == 32:
            return x
        sixteen = b.const(16)
        if source is ElementType.BF16:
            return (b.shr if target.is_unsigned else b.sar)(x, sixteen)
        return b.shl(x, sixteen)


@register
class ReducePrecision(Elementwise):
    """Rounds a float to fewer exponent and mantissa bits, and keeps its type."""

    name = "reduce_precision"
    arity = 1
    kinds = FLOATS

    def check_supported(self, call: Call) -> None:
        if _format(call) not in _FORMATS:
            exponent, mantissa = _format(call)
            raise UnsupportedError(
                f"reduce_precision to e{exponent}m{mantissa}: only e8m7 (bf16), e5m10 (f16) and "
                "e8m23 (f32) exist here")

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return operands[0].astype(_FORMATS[_format(call)].numpy)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return bring_to_type(b, operands[0], _FORMATS[_format(call)])


def _format(call: Call) -> tuple[int, int]:
    return call.attrs["exponent_bits"], call.attrs["mantissa_bits"]


_FORMATS = {
    (8, 7): ElementType.BF16,
    (5, 10): ElementType.F16,
    (8, 23): ElementType.F32,
}
