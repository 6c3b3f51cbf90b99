"""The error function and its complement, which gelu is made of."""

import math
from collections.abc import Callable

import numpy as np

from compiler.ops.approximation import fit, horner
from compiler.ops.arithmetic import SIGN
from compiler.ops.builder import Builder, V
from compiler.ops.division import TOP_BITS
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
        one = b.const(1.0)
        near = b.fsub(one, b.fmul(x, horner(b, b.fmul(x, x), ERF_SMALL)))
        far = complement(b, magnitude(b, x))
        left = b.fsub(b.const(2.0), far)
        far = b.sel(b.flt(x, b.const(0.0)), left, far)
        return b.sel(b.flt(magnitude(b, x), b.const(0.25)), near, far)
