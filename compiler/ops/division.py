"""Division and remainder of floats and integers."""

import numpy as np

from compiler.ir.types import ElementType
from compiler.ops.arithmetic import MAGNITUDE, SIGN
from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import Elementwise, is_short
from compiler.ops.exponential import FloatFunction, or_else
from compiler.ops.registry import Call, NdArray, register

SCALE_FROM = 0x7E800000
"""2**126: from here on a reciprocal is subnormal, or a product may overflow."""
MOVED = 60
"""Power of two by which a remainder's operands are scaled when the divisor is beyond it."""
TOP_BITS = 0xFFFFF000
"""Keeps 12 of 24 mantissa bits, so that products of halves are exact."""


def quotient(b: Builder[V], x: V, y: V) -> V:
    """x/y: the product with the reciprocal, corrected once by its remainder."""
    large = b.ule(b.const(SCALE_FROM), b.iand(b.ior(x, y), b.const(MAGNITUDE)))
    scale = b.sel(large, b.const(0.25), b.const(1.0))
    x, y = b.fmul(x, scale), b.fmul(y, scale)
    inverse = b.rcp(y)
    first = b.fmul(x, inverse)
    remainder = b.fsub(x, b.fmul(first, y))
    # At zero, infinity and NaN the remainder is NaN and the first quotient right.
    return or_else(b, b.fmac(remainder, inverse, first), first)


def _divisor_or_one(y: NdArray) -> NdArray:
    return np.where(y == 0, 1, y).astype(np.int64)


def _truncated(x: NdArray, y: NdArray) -> NdArray:
    """Integer quotient toward zero, in int64; y is not zero."""
    wide, divisor = x.astype(np.int64), _divisor_or_one(y)
    return np.asarray(np.sign(wide) * np.sign(divisor) * (np.abs(wide) // np.abs(divisor)))


@register
class Divide(Elementwise):
    """x / y; integers truncate, x / 0 is -1 (all bits one); floats within 2 ulp, but a bf16
    divided by 2**126 or more, whose reciprocal is subnormal, is 0."""

    name = "divide"

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        x, y = operands
        if call.result.element.is_float:
            return np.asarray(x / y)
        return np.where(y == 0, -1, _truncated(x, y))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        x, y = operands
        element = call.result.element
        if not element.is_float:
            return _integer_division(b, x, y, element)[0]
        if is_short(call) or element is ElementType.F16:
            return b.fmul(x, b.rcp(y))
        return quotient(b, x, y)


@register
class Reciprocal(FloatFunction):
    """1/x, 1 ulp; what a division of 1 becomes."""

    name = "reciprocal"
    dialect = "hlo"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(1 / x)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.rcp(operands[0])


@register
class Remainder(Elementwise):
    """x - trunc(x/y)*y, the sign of x; integers: x for y = 0.

    A float remainder is exact while |x/y| is below 2**32, and NaN from there on.
    """

    name = "remainder"

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        x, y = operands
        if call.result.element.is_float:
            return np.asarray(np.fmod(x, y))
        divisor = _divisor_or_one(y)
        return np.where(y == 0, x, x.astype(np.int64) - _truncated(x, y) * divisor)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        x, y = operands
        if not call.result.element.is_float:
            return _integer_division(b, x, y, call.result.element)[1]
        return _float_remainder(b, x, y)


def _float_remainder(b: Builder[V], x: V, y: V) -> V:
    size, divisor = b.iand(x, b.const(MAGNITUDE)), b.iand(y, b.const(MAGNITUDE))
    # Moves the divisor to the middle of the range, where no partial product is subnormal.
    up, down, one = b.const(2.0**MOVED), b.const(2.0**-MOVED), b.const(1.0)
    large, small = b.flt(up, divisor), b.flt(divisor, down)
    scale = b.sel(large, down, b.sel(small, up, one))
    rest = _scaled_remainder(b, b.fmul(size, scale), b.fmul(divisor, scale))
    rest = b.fmul(rest, b.sel(large, up, b.sel(small, down, one)))
    value = b.sel(b.flt(size, divisor), size, rest)
    return b.ior(value, b.iand(x, b.const(SIGN)))


def _scaled_remainder(b: Builder[V], x: V, y: V) -> V:
    """Of positive operands; NaN where the quotient has too many digits.

    Three multiples of 12 bits: products with the halves of y are exact, and so is what is left.
    """
    inverse, head = b.rcp(y), b.const(TOP_BITS)
    y_high = b.iand(y, head)
    y_low = b.fsub(y, y_high)
    estimate = b.fmul(x, inverse)
    rest = x
    for step in range(3):
        multiple = b.iand(b.ftrunc(b.fmul(rest, inverse) if step else estimate), head)
        rest = b.fsub(b.fsub(rest, b.fmul(multiple, y_high)), b.fmul(multiple, y_low))
    zero = b.const(0.0)
    rest = b.fadd(rest, b.sel(b.flt(rest, zero), y, zero))
    rest = b.fsub(rest, b.sel(b.fle(y, rest), y, zero))
    return b.sel(b.flt(estimate, b.const(2.0**32)), rest, b.const(0x7FC00000))


def _integer_division(b: Builder[V], x: V, y: V, element: ElementType) -> tuple[V, V]:
    """(quotient, remainder), toward zero."""
    if element.is_unsigned:
        return _unsigned_division(b, x, y)
    zero = b.const(0)
    x_sign, y_sign = b.sar(x, b.const(31)), b.sar(y, b.const(31))
    absolute = [b.isub(b.ixor(v, s), s) for v, s in ((x, x_sign), (y, y_sign))]
    whole, rest = _unsigned_division(b, *absolute)
    sign = b.ixor(x_sign, y_sign)
    whole = b.isub(b.ixor(whole, sign), sign)
    whole = b.sel(b.ieq(y, zero), b.const(-1), whole)
    return whole, b.isub(b.ixor(rest, x_sign), x_sign)


def _unsigned_division(b: Builder[V], x: V, y: V) -> tuple[V, V]:
    """Two estimates in f32, each kept below the truth, and a last step of one.

    Scaling by 1 - 2**-21 outweighs the rounding of the conversions and the reciprocal; so the
    first remainder is at most x * 2**-20, and the second below 2*y.
    """
    inverse = b.fmul(b.rcp(b.u2f(y)), b.const(1 - 2.0**-21))
    first = b.f2u(b.fmul(b.u2f(x), inverse))
    rest = b.isub(x, b.imul(first, y))
    second = b.f2u(b.fmul(b.u2f(rest), inverse))
    rest = b.isub(rest, b.imul(second, y))
    above = b.ule(y, rest)
    whole = b.iadd(b.iadd(first, second), above)
    rest = b.isub(rest, b.sel(above, y, b.const(0)))
    by_zero = b.ieq(y, b.const(0))
    return b.sel(by_zero, b.const(-1), whole), b.sel(by_zero, x, rest)
