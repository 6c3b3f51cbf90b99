"""power, of floats and integers."""

import math

import numpy as np

from compiler.ir.types import ElementType
from compiler.ops.approximation import fit, horner
from compiler.ops.arithmetic import MAGNITUDE
from compiler.ops.builder import Builder, V
from compiler.ops.division import TOP_BITS
from compiler.ops.elementwise import Elementwise
from compiler.ops.exponential import INFINITY, NAN, magnitude, split
from compiler.ops.registry import Call, NdArray, register


def _head(value: float) -> float:
    """The value's first 12 bits."""
    bits = np.array(value, np.float32).view(np.uint32) & np.uint32(TOP_BITS)
    return float(bits.view(np.float32))


TWO_LOG2E = 2 / math.log(2)
TWO_LOG2E_HIGH = _head(TWO_LOG2E)
TWO_LOG2E_LOW = TWO_LOG2E - TWO_LOG2E_HIGH
ATANH_LIMIT = 0.1725
"""|s| for mantissas between sqrt(1/2) and sqrt 2."""


def _atanh_tail(square: float) -> float:
    """2 log2(e) (atanh(s) - s) / s**3."""
    return TWO_LOG2E * math.fsum(square**n / (2 * n + 3) for n in range(24))


ATANH_TAIL = fit(_atanh_tail, 0.0, ATANH_LIMIT**2, 4)


@register
class Power(Elementwise):
    """x**y, floats within 3 ulp with IEEE pow's special cases; integers wrap, and a negative
    exponent gives 0 unless x is 1 or -1."""

    name = "power"

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        x, y = operands
        if call.result.element.is_float:
            return np.asarray(np.power(x.astype(np.float64), y.astype(np.float64)))
        result = np.power(x, np.maximum(y, 0))
        inverse = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y & 1), 0))
        return np.where(y < 0, inverse, result)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        x, y = operands
        element = call.result.element
        return _float_power(b, x, y) if element.is_float else _integer_power(b, x, y, element)


def _integer_power(b: Builder[V], x: V, y: V, element: ElementType) -> V:
    """Squares and multiplies, one step for each bit of the exponent."""
    one = b.const(1)
    result, square = one, x
    digits = element.bits - (0 if element.is_unsigned else 1)
    for digit in range(digits):
        taken = b.iand(b.shr(y, b.const(digit)), one)
        result = b.imul(result, b.sel(taken, square, one))
        if digit + 1 < digits:
            square = b.imul(square, square)
    if element.is_unsigned:
        return result
    odd = b.sel(b.iand(y, one), x, one)
    unit = b.ule(b.iadd(x, one), b.const(2))
    inverse = b.sel(b.iand(unit, b.ine(x, b.const(0))), odd, b.const(0))
    return b.sel(b.ilt(y, b.const(0)), inverse, result)


def _log2(b: Builder[V], x: V) -> tuple[V, V]:
    """log2 of a positive normal x as high + low, high in 12 bits: 2 log2(e) atanh(s) of
    s = (m - 1)/(m + 1), plus the exponent."""
    whole, m = split(b, x)
    exponent = b.i2f(whole)
    f = b.fadd(m, b.const(-1.0))
    divisor = b.fadd(f, b.const(2.0))
    inverse = b.rcp(divisor)
    head = b.const(TOP_BITS)
    quotient = b.fmul(f, inverse)
    s = b.iand(quotient, head)
    divisor_head = b.iand(divisor, head)
    divisor_rest = b.fadd(b.fsub(b.const(2.0), divisor_head), f)
    s_rest = b.fsub(b.fsub(f, b.fmul(s, divisor_head)), b.fmul(s, divisor_rest))
    square = b.fmul(quotient, quotient)
    low = b.fmul(b.fmul(square, quotient), horner(b, square, ATANH_TAIL))
    low = b.fmac(b.fmul(s_rest, inverse), b.const(TWO_LOG2E), low)
    low = b.fmac(s, b.const(TWO_LOG2E_LOW), low)
    main = b.fmul(s, b.const(TWO_LOG2E_HIGH))
    total = b.fadd(exponent, main)
    low = b.fadd(low, b.fsub(main, b.fsub(total, exponent)))
    high = b.iand(b.fadd(total, low), head)
    return high, b.fadd(b.fsub(total, high), low)


def _exp2(b: Builder[V], high: V, low: V) -> V:
    """2**(high + low), the power of two applied in two steps so that neither overflows early."""
    high = _clamped(b, high, 250.0)
    whole = b.frne(high)
    part = _clamped(b, b.fadd(b.fsub(high, whole), low), 1.0)
    value = b.exp(b.fmul(part, b.const(math.log(2))))
    exponent = b.f2i(whole)
    half = b.sar(exponent, b.const(1))
    for step in (half, b.isub(exponent, half)):
        value = b.fmul(value, b.shl(b.iadd(step, b.const(127)), b.const(23)))
    return value


def _clamped(b: Builder[V], x: V, limit: float) -> V:
    return b.fmax(b.fmin(x, b.const(limit)), b.const(-limit))


def _float_power(b: Builder[V], x: V, y: V) -> V:
    a = magnitude(b, x)
    high, low = _log2(b, a)
    head = b.const(TOP_BITS)
    y_head = b.iand(y, head)
    product = b.fmul(y_head, high)
    rest = b.fmac(b.fsub(y, y_head), high, b.fmul(y, low))
    value = _exp2(b, product, rest)
    return _special_powers(b, x, y, a, value)


def _special_powers(b: Builder[V], x: V, y: V, a: V, value: V) -> V:
    """Signs, zeros, infinities and NaN, as IEEE 754 defines pow."""
    zero, one, infinity, nan = b.const(0.0), b.const(1.0), b.const(INFINITY), b.const(NAN)
    positive = b.flt(zero, y)
    # |x| zero or infinite, |y| infinite: the result is zero or infinite.
    grows = b.ieq(positive, b.flt(one, a))
    extreme = b.sel(grows, infinity, zero)
    y_size = b.iand(y, b.const(MAGNITUDE))
    is_extreme = b.ior(b.feq(a, zero), b.ior(b.feq(a, infinity), b.feq(y_size, infinity)))
    value = b.sel(is_extreme, extreme, value)
    integral = b.feq(b.ffloor(y), y)
    half = b.fmul(y, b.const(0.5))
    odd = b.iand(b.iand(integral, b.flt(y_size, infinity)), b.fne(b.ffloor(half), half))
    value = b.ixor(value, b.iand(b.shl(odd, b.const(31)), x))
    invalid = b.iand(b.iand(b.flt(x, zero), b.ixor(integral, b.const(1))), b.flt(a, infinity))
    value = b.sel(b.ior(invalid, b.ior(b.fne(x, x), b.fne(y, y))), nan, value)
    is_one = b.ior(b.feq(x, one), b.feq(y, zero))
    is_one = b.ior(is_one, b.iand(b.feq(a, one), b.feq(y_size, infinity)))
    return b.sel(is_one, one, value)
