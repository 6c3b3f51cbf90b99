"""Exponentials, logarithms, powers and roots.

The machine has exp, rcp, rsqrt and logm; the rest is built from them. Errors are in units in
the last place of f32, measured over the whole range by the tests.
"""

import math
from abc import abstractmethod

import numpy as np

from compiler.ops.approximation import fit, horner
from compiler.ops.arithmetic import MAGNITUDE, SIGN
from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import FLOATS, Elementwise, is_short
from compiler.ops.registry import Call, NdArray, register

INFINITY = 0x7F800000
NAN = 0x7FC00000
SMALLEST_NORMAL = 0x00800000
LN2_HIGH = float(np.float32(math.floor(math.log(2) * 2**12) / 2**12))
"""ln 2 in 12 bits, so that its product with an exponent is exact."""
LN2_LOW = math.log(2) - LN2_HIGH
HALVED_FROM = 53 << 16
"""Fractions from which `logm` halves the mantissa."""
SHORT_SMALL = 2.0**-8
"""Arguments below: two terms of a power series suffice for bf16."""


def negated(b: Builder[V], x: V) -> V:
    """-x as -0 - x, which also makes NaN canonical; no later rounding is needed."""
    return b.fsub(b.const(-0.0), x)


def magnitude(b: Builder[V], x: V) -> V:
    return b.iand(x, b.const(MAGNITUDE))


def or_else(b: Builder[V], value: V, fallback: V) -> V:
    """`value` unless it is NaN."""
    return b.sel(b.feq(value, value), value, fallback)


def is_small(b: Builder[V], x: V, limit: float) -> V:
    return b.flt(magnitude(b, x), b.const(limit))


class FloatFunction(Elementwise):
    """A function of one float, computed in numpy as float64."""

    arity = 1
    kinds = FLOATS

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return self.exact_value(operands[0].astype(np.float64))

    @abstractmethod
    def exact_value(self, x: NdArray) -> NdArray:
        """The function in float64."""


@register
class Exponential(FloatFunction):
    """e**x, 2 ulp."""

    name = "exponential"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(np.exp(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.exp(operands[0])


def _expm1_tail(x: float) -> float:
    """(e**x - 1 - x) / x**2."""
    return math.fsum(x**n / math.factorial(n + 2) for n in range(20))


EXPM1_TAIL = fit(_expm1_tail, -0.5, 0.5, 6)


@register
class ExponentialMinusOne(FloatFunction):
    """e**x - 1, accurate near 0, 3 ulp."""

    name = "exponential_minus_one"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(np.expm1(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        far = b.fadd(b.exp(x), b.const(-1.0))
        if is_short(call):
            near = b.fmac(b.fmul(x, b.const(0.5)), x, x)
            return b.sel(is_small(b, x, SHORT_SMALL), near, far)
        near = b.fmac(b.fmul(x, x), horner(b, x, EXPM1_TAIL), x)
        return b.sel(is_small(b, x, 0.5), near, far)


def split(b: Builder[V], x: V) -> tuple[V, V]:
    """(exponent as an integer, mantissa from 1/2 + 53/256 to 1 + 53/128) of a normal x > 0."""
    above = b.isub(x, b.const(0x3F800000 + HALVED_FROM - SMALLEST_NORMAL))
    exponent = b.sar(above, b.const(23))
    return exponent, b.isub(x, b.shl(exponent, b.const(23)))


def logarithm(b: Builder[V], x: V, short: bool) -> V:
    """ln x from the exponent and the unit's ln(M)/(M-1)."""
    whole, mantissa = split(b, x)
    exponent, distance = b.i2f(whole), b.fadd(mantissa, b.const(-1.0))
    if short:
        value = b.fmac(exponent, b.const(math.log(2)), b.fmul(distance, b.logm(x)))
    else:
        low = b.fmac(distance, b.logm(x), b.fmul(exponent, b.const(LN2_LOW)))
        value = b.fmac(exponent, b.const(LN2_HIGH), low)
    normal = b.ult(b.isub(x, b.const(SMALLEST_NORMAL)), b.const(INFINITY - SMALLEST_NORMAL))
    # rsqrt is infinite at zero and NaN below, which leaves the right answer of the special cases.
    special = b.fsub(x, magnitude(b, b.rsqrt(x)))
    return b.sel(normal, value, special)


@register
class Log(FloatFunction):
    """ln x; minus infinity at 0, NaN below; 2 ulp."""

    name = "log"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(np.log(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return logarithm(b, operands[0], is_short(call))


@register
class LogPlusOne(FloatFunction):
    """ln(1 + x), accurate near 0, 3 ulp."""

    name = "log_plus_one"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(np.log1p(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        """ln of the rounded sum, plus what rounding lost divided by it."""
        (x,) = operands
        total = b.fadd(x, b.const(1.0))
        if is_short(call):
            near = b.fmac(b.fmul(x, b.const(-0.5)), x, x)
            return b.sel(is_small(b, x, SHORT_SMALL), near, logarithm(b, total, True))
        lost = b.fsub(x, b.fadd(total, b.const(-1.0)))
        correction = b.fmul(lost, b.rcp(total))
        value = logarithm(b, total, False)
        return or_else(b, b.fadd(value, correction), value)


@register
class Rsqrt(FloatFunction):
    """1/sqrt(x), 1 ulp; infinity at 0, NaN below."""

    name = "rsqrt"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(1 / np.sqrt(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.rsqrt(operands[0])


@register
class Sqrt(FloatFunction):
    """Square root, 2 ulp; exact squares have exact roots."""

    name = "sqrt"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(np.sqrt(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        """One Newton step from x*rsqrt(x); zero, infinity and NaN are their own roots."""
        (x,) = operands
        inverse = b.rsqrt(x)
        if is_short(call):
            return b.rcp(inverse)
        root = b.fmul(x, inverse)
        residual = b.fsub(x, b.fmul(root, root))
        refined = b.fmac(residual, b.fmul(inverse, b.const(0.5)), root)
        special = b.sel(b.flt(x, b.const(0.0)), b.const(NAN), x)
        return or_else(b, refined, special)


@register
class Cbrt(FloatFunction):
    """Cube root, 2 ulp; negative numbers have negative roots."""

    name = "cbrt"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(np.cbrt(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        """One Newton step r - (r - a/r**2)/3 from exp(ln(a)/3)."""
        (x,) = operands
        a = magnitude(b, x)
        root = b.exp(b.fmul(logarithm(b, a, False), b.const(1 / 3)))
        inverse = b.rcp(root)
        distance = b.fsub(root, b.fmul(b.fmul(a, inverse), inverse))
        refined = b.fmac(distance, b.const(-1 / 3), root)
        return b.ior(or_else(b, refined, a), b.iand(x, b.const(SIGN)))


@register
class Logistic(FloatFunction):
    """1/(1 + e**-x), 3 ulp."""

    name = "logistic"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(1 / (1 + np.exp(-x)))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.rcp(b.fadd(b.exp(negated(b, operands[0])), b.const(1.0)))


TANH_SMALL = 0.55
TANH_TAIL = fit(lambda z: (math.tanh(math.sqrt(z)) / math.sqrt(z) - 1) / z,
                0.0, TANH_SMALL**2, 3)


@register
class Tanh(FloatFunction):
    """Hyperbolic tangent, 4 ulp."""

    name = "tanh"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(np.tanh(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        """1 - 2/(e**2x + 1), whose error is 2**-22; a polynomial near 0, to bf16 x itself."""
        (x,) = operands
        inverse = b.rcp(b.fadd(b.exp(b.fmul(x, b.const(2.0))), b.const(1.0)))
        far = b.fmac(inverse, b.const(-2.0), b.const(1.0))
        if call.attrs.get("accuracy") == "unit":
            return far
        if is_short(call):
            return b.sel(is_small(b, x, SHORT_SMALL), x, far)
        square = b.fmul(x, x)
        near = b.fmac(b.fmul(x, square), horner(b, square, TANH_TAIL), x)
        return b.sel(b.flt(square, b.const(TANH_SMALL**2)), near, far)
