"""Division and remainder of floats and integers."""

import numpy as np

from compiler.ir.types import ElementType
from compiler.ops.arithmetic import MAGNITUDE, SIGN
from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import Elementwise
from compiler.ops.exponential import or_else
from compiler.ops.registry import Call, NdArray, register

SCALE_FROM = 0x7E800000
"""2**126: from here on a reciprocal is subnormal, or a product may overflow."""
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


def exact_remainder(b: Builder[V], x: V, y: V, multiple: V) -> V:
    """x - multiple*y without rounding the product."""
    high, y_high = b.iand(multiple, b.const(TOP_BITS)), b.iand(y, b.const(TOP_BITS))
    low, y_low = b.fsub(multiple, high), b.fsub(y, y_high)
    rest = b.fsub(x, b.fmul(high, y_high))
    rest = b.fsub(rest, b.fmul(high, y_low))
    rest = b.fsub(rest, b.fmul(low, y_high))
    return b.fsub(rest, b.fmul(low, y_low))


def _divisor_or_one(y: NdArray) -> NdArray:
    return np.where(y == 0, 1, y).astype(np.int64)


def _truncated(x: NdArray, y: NdArray) -> NdArray:
    """Integer quotient toward zero, in int64; y is not zero."""
    wide, divisor = x.astype(np.int64), _divisor_or_one(y)
    return np.asarray(np.sign(wide) * np.sign(divisor) * (np.abs(wide) // np.abs(divisor)))


@register
class Divide(Elementwise):
    """x / y; integers truncate, x / 0 is -1 (all bits one); floats within 2 ulp."""

    name = "divide"

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        x, y = operands
        if call.result.element.is_float:
            return np.asarray(x / y)
        return np.where(y == 0, -1, _truncated(x, y))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        x, y = operands
        if call.result.element.is_float:
            return quotient(b, x, y)
        return _integer_division(b, x, y, call.result.element)[0]


@register
class Remainder(Elementwise):
    """x - trunc(x/y)*y, the sign of x; integers: x for y = 0.

    A float remainder is exact while |x/y| is below 2**40, and NaN from there on.
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
    sign = b.iand(x, b.const(SIGN))
    x, y = b.iand(x, b.const(MAGNITUDE)), b.iand(y, b.const(MAGNITUDE))
    inverse = b.rcp(y)
    # The first multiple has 20 significant bits and leaves a remainder 2**-19 of x, exactly.
    first = b.iand(b.ftrunc(b.fmul(x, inverse)), b.const(0xFFFFFFF0))
    rest = exact_remainder(b, x, y, first)
    second = b.ftrunc(b.fmul(rest, inverse))
    rest = exact_remainder(b, rest, y, second)
    zero = b.const(0.0)
    rest = b.fadd(rest, b.sel(b.flt(rest, zero), y, zero))
    rest = b.fsub(rest, b.sel(b.fle(y, rest), y, zero))
    inside = b.flt(b.fmul(x, inverse), b.const(2.0**40))
    smaller = b.flt(x, y)
    value = b.sel(smaller, x, b.sel(inside, rest, b.const(0x7FC00000)))
    return b.ior(value, sign)


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
