"""compare, select and their like."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from compiler.ir.types import ElementType, Kind, Tensor
from compiler.ops.arithmetic import MAGNITUDE
from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import ANY, Elementwise
from compiler.ops.registry import Call, NdArray, register, require

COMPARISONS: Mapping[str, Callable[..., Any]] = {
    "EQ": np.equal, "NE": np.not_equal, "LT": np.less, "LE": np.less_equal,
    "GT": np.greater, "GE": np.greater_equal,
}
_MIRRORED = {"GT": "lt", "GE": "le"}


@register
class Compare(Elementwise):
    """EQ, NE, LT, LE, GT or GE; NaN is unequal to everything, -0 equals +0 unless TOTALORDER."""

    name = "compare"
    kinds = ANY
    exact = True

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        direction = call.attrs.get("comparison_direction")
        require(direction in COMPARISONS, f"compare: unknown direction {direction}")
        return (super().result_types(call)[0].with_element(ElementType.I1),)

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        x, y = operands
        if self._total_order(call):
            x, y = _ordered_integers(x), _ordered_integers(y)
        return np.asarray(COMPARISONS[call.attrs["comparison_direction"]](x, y))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        x, y = operands
        direction = call.attrs["comparison_direction"]
        if direction in _MIRRORED:
            x, y = y, x
        relation = _MIRRORED.get(direction, direction.lower())
        element = call.operands[0].element
        if self._total_order(call):
            return b.emit("i" + relation, _ordered_lane(b, x), _ordered_lane(b, y))
        if element.is_float:
            return b.emit("f" + relation, x, y)
        unsigned = element.is_unsigned and relation in ("lt", "le")
        return b.emit(("u" if unsigned else "i") + relation, x, y)

    @staticmethod
    def _total_order(call: Call) -> bool:
        return (call.attrs.get("compare_type") == "TOTALORDER"
                and call.operands[0].element.is_float)


def _ordered_integers(x: NdArray) -> NdArray:
    """Integers in IEEE total order of f32 values."""
    bits = x.astype(np.float32).view(np.int32)
    return np.where(bits < 0, bits ^ np.int32(MAGNITUDE), bits)


def _ordered_lane(b: Builder[V], x: V) -> V:
    return b.ixor(x, b.shr(b.sar(x, b.const(31)), b.const(1)))


@register
class Select(Elementwise):
    """on_true where pred, else on_false; all three of one shape, or a scalar pred."""

    name = "select"
    arity = 3
    kinds = ANY
    exact = True

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        pred, on_true, on_false = self._checked(call)
        require(pred.element is ElementType.I1, f"select: pred is {pred}, not i1")
        require(pred.shape in ((), on_true.shape), f"select: pred {pred} against {on_true}")
        require(on_true == on_false, f"select: {on_true} against {on_false}")
        return (on_true,)

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return np.where(*operands)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.sel(*operands)


class _Shift(Elementwise):
    kinds = frozenset((Kind.SIGNED, Kind.UNSIGNED))

    def _amount(self, b: Builder[V], call: Call, amount: V) -> V:
        """Amounts of the width or more, negative ones among them, as 32: all bits leave."""
        element = call.result.element
        if element.bits == 32:
            return amount
        inside = b.ult(amount, b.const(element.bits))
        return b.sel(inside, amount, b.const(32))


def _shifted(x: NdArray, amount: NdArray, shift: Callable[..., Any], beyond: NdArray) -> NdArray:
    bits = x.dtype.itemsize * 8
    valid = amount.astype(np.int64) % 2**bits < bits
    return np.where(valid, shift(x, np.where(valid, amount, 0).astype(x.dtype)), beyond)


@register
class ShiftLeft(_Shift):
    """x << y; 0 when y is outside the width."""

    name = "shift_left"

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        x, amount = operands
        return _shifted(x, amount, np.left_shift, np.zeros_like(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.shl(operands[0], self._amount(b, call, operands[1]))


@register
class ShiftRightLogical(_Shift):
    """x >> y with zeros shifted in; 0 when y is outside the width."""

    name = "shift_right_logical"

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        x, amount = operands
        unsigned = x.view(f"u{x.dtype.itemsize}")
        return _shifted(unsigned, amount, np.right_shift, np.zeros_like(unsigned)).view(x.dtype)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        x, amount = operands
        element = call.result.element
        if element.bits < 32 and not element.is_unsigned:
            x = b.iand(x, b.const((1 << element.bits) - 1))
        return b.shr(x, self._amount(b, call, amount))


@register
class ShiftRightArithmetic(_Shift):
    """x >> y with copies of the top bit shifted in, all bits the top bit beyond the width."""

    name = "shift_right_arithmetic"

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        x, amount = operands
        signed = x.view(f"i{x.dtype.itemsize}")
        filled = np.where(signed < 0, -1, 0).astype(signed.dtype)
        return _shifted(signed, amount, np.right_shift, filled).view(x.dtype)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        x, amount = operands
        element = call.result.element
        if element.bits < 32 and element.is_unsigned:
            spare = b.const(32 - element.bits)
            x = b.sar(b.shl(x, spare), spare)
        return b.sar(x, self._amount(b, call, amount))


@register
class PopulationCount(Elementwise):
    """Number of bits that are one."""

    name = "popcnt"
    arity = 1
    kinds = frozenset((Kind.SIGNED, Kind.UNSIGNED))
    exact = True

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        unsigned = operands[0].view(f"u{operands[0].dtype.itemsize}")
        return np.asarray(np.bitwise_count(unsigned))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        """Sums of neighbouring fields: of 1, 2, 4 bits, then of the bytes by a product."""
        x = _cut(b, operands[0], call.result.element)
        x = b.isub(x, b.iand(b.shr(x, b.const(1)), b.const(0x55555555)))
        pairs = b.const(0x33333333)
        x = b.iadd(b.iand(x, pairs), b.iand(b.shr(x, b.const(2)), pairs))
        x = b.iand(b.iadd(x, b.shr(x, b.const(4))), b.const(0x0F0F0F0F))
        return b.shr(b.imul(x, b.const(0x01010101)), b.const(24))


@register
class CountLeadingZeros(Elementwise):
    """Zeros above the highest one; the width for 0."""

    name = "count_leading_zeros"
    arity = 1
    kinds = frozenset((Kind.SIGNED, Kind.UNSIGNED))
    exact = True

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        (x,) = operands
        bits = x.dtype.itemsize * 8
        unsigned = x.view(f"u{x.dtype.itemsize}").astype(np.float64)
        return bits - np.frexp(unsigned)[1]

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        element = call.result.element
        x = _cut(b, operands[0], element)
        # Without the bit below its highest one, x cannot round up to the next power of two.
        lone = b.iand(x, b.ixor(b.shr(x, b.const(1)), b.const(-1)))
        exponent = b.shr(b.u2f(lone), b.const(23))
        return b.umin(b.isub(b.const(126 + element.bits), exponent), b.const(element.bits))


def _cut(b: Builder[V], x: V, element: ElementType) -> V:
    """The bits of a narrow signed integer without its sign extension."""
    if element.bits == 32 or element.is_unsigned:
        return x
    return b.iand(x, b.const((1 << element.bits) - 1))
