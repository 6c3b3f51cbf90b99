"""The error function, its complement, and gelu, which is made of them."""

import math
from collections.abc import Callable

import numpy as np

from compiler.ops.approximation import bf16_unit, fit, horner, minimax
from compiler.ops.arithmetic import SIGN
from compiler.ops.builder import Builder, V
from compiler.ops.division import TOP_BITS
from compiler.ops.elementwise import is_short
from compiler.ops.exponential import FloatFunction, magnitude
from compiler.ops.registry import Call, NdArray, register

SMALL = 0.875
"""Below, erf is a polynomial."""
POLE = 3.75
LAST = 10.5
"""erfc is below the smallest normal f32 from 9.2 on."""


def _erf_tail(square: float) -> float:
    x = math.sqrt(square)
    return math.erf(x) / x


def _scaled_erfc(t: float) -> float:
    """(1 + 2x) e**(x*x) erfc(x) at x = POLE*(1 + t)/(1 - t): smooth and near 1 everywhere."""
    x = POLE * (1 + t) / (1 - t)
    return (1 + 2 * x) * math.exp(x * x) * math.erfc(x)


SHORT_ONE = 2.8
"""From here on erf is 1 to bf16."""
SHORT_POLE = 0.36
"""p of t = 1/(1 + px), chosen for the smallest error of `ERFC_SHORT`."""
SHORT_LAST = 9.3


def _erfc_over_decay(t: float) -> float:
    """e**(x*x) erfc(x) at x = (1/t - 1)/p; its asymptotic series where erfc is small."""
    x = (1 / t - 1) / SHORT_POLE
    if x < 5:
        return math.exp(x * x) * math.erfc(x)
    terms = [1.0]
    for k in range(1, 12):
        terms.append(terms[-1] * (1 - 2 * k) / (2 * x * x))
    return math.fsum(terms) / (x * math.sqrt(math.pi))


ERF_SHORT = minimax(math.erf, 2.0**-8, SHORT_ONE, range(1, 16, 2))
ERFC_SHORT = minimax(_erfc_over_decay, 1 / (1 + SHORT_POLE * SHORT_LAST), 1.0, range(1, 6))
UNIT_LAST = 3.0
"""|x| from which on the exponent of `unit_erfc` is linear."""


def _logistic_argument(square: float) -> float:
    """g/x with erfc(x) = 2/(1 + e**g)."""
    x = math.sqrt(square)
    return math.log(math.erfc(-x) / math.erfc(x)) / x


GELU_LAST = 4.0
"""gelu left of -4 is smaller than 2**-12, and its error smaller than 2**-20."""


def _normal(x: float) -> float:
    """The normal distribution's probability of less than x."""
    return math.erfc(-x / math.sqrt(2)) / 2


def _gelu_power(x: float) -> float:
    """-g with gelu(x) = x/(1 + e**-g)."""
    return math.log(_normal(-x) / _normal(x))


def _gelu_unit(x: float) -> float:
    """The change of g that changes gelu(-x) by one unit in the last place of bf16."""
    return bf16_unit(x * _normal(-x)) / (x * _normal(-x) * _normal(x))


GELU = minimax(_gelu_power, 2.0**-8, GELU_LAST, range(1, 8, 2), _gelu_unit)
ERFC_UNIT = fit(_logistic_argument, 0.0, UNIT_LAST**2, 3)
ERF_SMALL = fit(_erf_tail, 0.0, SMALL**2, 6)
ERFC_SCALED = fit(_scaled_erfc, -1.0, (LAST - POLE) / (LAST + POLE), 13)


def complement(b: Builder[V], x: V) -> V:
    """erfc of x >= 0: e**(-x*x) times a slowly varying factor."""
    x = b.fmin(x, b.const(LAST))
    t = b.fmul(b.fadd(x, b.const(-POLE)), b.rcp(b.fadd(x, b.const(POLE))))
    factor = b.fmul(horner(b, t, ERFC_SCALED), b.rcp(b.fadd(b.fadd(x, x), b.const(1.0))))
    # x*x = head*head + (x - head)*(x + head), the first product exact.
    head = b.iand(x, b.const(TOP_BITS))
    rest = b.fmul(b.fsub(head, x), b.fadd(head, x))
    decay = b.fmul(b.exp(b.ixor(b.fmul(head, head), b.const(SIGN))), b.exp(rest))
    return b.fmul(decay, factor)


def short_erf(b: Builder[V], x: V) -> V:
    """erf to bf16: an odd polynomial of the clamped argument."""
    x = b.fmax(b.fmin(x, b.const(SHORT_ONE)), b.const(-SHORT_ONE))
    return b.fmul(x, horner(b, b.fmul(x, x), ERF_SHORT))


def short_erfc(b: Builder[V], x: V) -> V:
    """erfc to bf16: e**(-x*x) times a polynomial in t = 1/(1 + p|x|), as in Abramowitz and
    Stegun 7.1.26, fitted for the relative error; 2 - erfc(-x) on the left."""
    minus = b.ior(x, b.const(SIGN))
    t = b.rcp(b.fmac(minus, b.const(-SHORT_POLE), b.const(1.0)))
    decay = b.exp(b.fmul(minus, magnitude(b, x)))
    right = b.fmul(b.fmul(t, decay), horner(b, t, ERFC_SHORT))
    return b.sel(b.flt(x, b.const(0.0)), b.fsub(b.const(2.0), right), right)


def unit_erfc(b: Builder[V], x: V) -> V:
    """erfc within 2**-13, as the logistic function of an odd polynomial: gelu as x by a logistic
    function (Hendrycks and Gimpel, 2016), with two more terms."""
    square = b.fmin(b.fmul(x, x), b.const(UNIT_LAST**2))
    power = b.exp(b.fmul(x, horner(b, square, ERFC_UNIT)))
    return b.rcp(b.fmac(power, b.const(0.5), b.const(0.5)))


def _vectorised(function: Callable[[float], float]) -> Callable[[NdArray], NdArray]:
    return np.vectorize(function, otypes=[np.float64])


@register
class Erf(FloatFunction):
    """Error function, 3 ulp."""

    name = "erf"
    dialect = "chlo"

    def exact_value(self, x: NdArray) -> NdArray:
        return _vectorised(math.erf)(x)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        if is_short(call):
            return short_erf(b, x)
        near = b.fmul(x, horner(b, b.fmul(x, x), ERF_SMALL))
        a = magnitude(b, x)
        far = b.ior(b.fsub(b.const(1.0), complement(b, a)), b.iand(x, b.const(SIGN)))
        return b.sel(b.flt(a, b.const(SMALL)), near, far)


@register
class Erfc(FloatFunction):
    """1 - erf(x) without cancellation, 6 ulp."""

    name = "erfc"
    dialect = "chlo"

    def exact_value(self, x: NdArray) -> NdArray:
        return _vectorised(math.erfc)(x)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        """Near 0 from erf; right of it directly, left of it as 2 - erfc(-x)."""
        (x,) = operands
        if call.attrs.get("accuracy") == "unit":
            return unit_erfc(b, x)
        if is_short(call):
            return short_erfc(b, x)
        one = b.const(1.0)
        near = b.fsub(one, b.fmul(x, horner(b, b.fmul(x, x), ERF_SMALL)))
        far = complement(b, magnitude(b, x))
        left = b.fsub(b.const(2.0), far)
        far = b.sel(b.flt(x, b.const(0.0)), left, far)
        return b.sel(b.flt(magnitude(b, x), b.const(0.25)), near, far)


@register
class Gelu(FloatFunction):
    """x times the normal distribution function, to bf16; only fast math makes it."""

    name = "gelu"
    dialect = "isthmus"

    def exact_value(self, x: NdArray) -> NdArray:
        return _vectorised(lambda v: v * _normal(v))(x)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        """x times a logistic function. The polynomial rises everywhere, so nothing is clamped."""
        (x,) = operands
        power = b.exp(b.fmul(x, horner(b, b.fmul(x, x), GELU)))
        return b.fmul(x, b.rcp(b.fadd(power, b.const(1.0))))
