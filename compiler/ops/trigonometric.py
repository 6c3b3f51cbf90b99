"""Sine and cosine, for arguments of any size.

The argument is reduced to the nearest quarter turn in integers: its 24-bit mantissa times 96 bits
of 2/pi, those whose products are neither whole turns nor too small to matter. What is left keeps
62 bits, so the result is accurate beside a multiple of pi as well.
"""

import math
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np

from compiler.ops.approximation import fit, horner
from compiler.ops.arithmetic import SIGN
from compiler.ops.builder import Builder, V
from compiler.ops.exponential import INFINITY, NAN, FloatFunction, magnitude
from compiler.ops.registry import Call, NdArray, register

LEADING_ZEROS = 32
TABLE_WORDS = 8
PI = "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803483"
FIRST_BIT = 7
"""The window starts this many bits after the one numbered by the exponent."""


def _two_over_pi() -> list[int]:
    """Fraction bits of 2/pi behind 32 zero bits, in words of 32 bits."""
    bits = 32 * TABLE_WORDS - LEADING_ZEROS
    with localcontext() as context:
        context.prec = 90
        number = int(Decimal(2) / Decimal(PI) * 2**bits)
    return [(number >> (32 * (TABLE_WORDS - 1 - n))) & 0xFFFFFFFF for n in range(TABLE_WORDS)]


WORDS = _two_over_pi()
QUARTER = math.pi / 4
SINE_TAIL = fit(lambda z: (math.sin(math.sqrt(z)) / math.sqrt(z) - 1) / z, 0.0, QUARTER**2, 3)
COSINE_TAIL = fit(lambda z: (math.cos(math.sqrt(z)) - 1 + z / 2) / z**2, 0.0, QUARTER**2, 2)


def _window(b: Builder[V], exponent: V) -> list[V]:
    """Three words of 2/pi from a bit that depends on the exponent."""
    first = b.iadd(exponent, b.const(FIRST_BIT - 127))
    index, shift = b.shr(first, b.const(5)), b.iand(first, b.const(31))
    words = [b.const(word) for word in WORDS[:4]]
    for start in range(1, TABLE_WORDS - 3):
        here = b.ile(b.const(start), index)
        words = [b.sel(here, b.const(WORDS[start + n]), word) for n, word in enumerate(words)]
    rest = b.isub(b.const(32), shift)
    return [b.ior(b.shl(high, shift), b.shr(low, rest))
            for high, low in pairwise(words)]


def _reduce(b: Builder[V], a: V) -> tuple[V, V]:
    """(quadrant, rest in radians with its sign) of a finite a >= 0."""
    mantissa = b.ior(b.iand(a, b.const(0x007FFFFF)), b.const(0x00800000))
    high, middle, low = _window(b, b.shr(a, b.const(23)))
    rest = b.iadd(b.imul(mantissa, middle), b.umulh(mantissa, low))
    carry = b.ult(rest, b.umulh(mantissa, low))
    turn = b.iadd(b.iadd(b.imul(mantissa, high), b.umulh(mantissa, middle)), carry)
    quadrant = b.shr(b.iadd(turn, b.const(1 << 29)), b.const(30))
    turn = b.isub(turn, b.shl(quadrant, b.const(30)))
    sign = b.sar(turn, b.const(31))
    fine = b.fmul(b.u2f(b.ixor(rest, sign)), b.const(2.0**-62 * math.pi / 2))
    size = b.fmac(b.i2f(b.ixor(turn, sign)), b.const(2.0**-30 * math.pi / 2), fine)
    near = b.flt(a, b.const(QUARTER))
    quadrant = b.sel(near, b.const(0), quadrant)
    return quadrant, b.sel(near, a, b.ior(size, b.iand(sign, b.const(SIGN))))


def _wave(b: Builder[V], quadrant: V, y: V) -> V:
    """sin(quadrant * pi/2 + y) for |y| up to pi/4."""
    square = b.fmul(y, y)
    sine = b.fmac(b.fmul(y, square), horner(b, square, SINE_TAIL), y)
    half = b.fmac(square, b.const(-0.5), b.const(1.0))
    cosine = b.fmac(b.fmul(square, square), horner(b, square, COSINE_TAIL), half)
    value = b.sel(b.iand(quadrant, b.const(1)), cosine, sine)
    return b.ixor(value, b.shl(b.iand(quadrant, b.const(2)), b.const(30)))


def _unless_infinite(b: Builder[V], a: V, value: V) -> V:
    return b.sel(b.ult(a, b.const(INFINITY)), value, b.const(NAN))


@register
class Sine(FloatFunction):
    """Sine, 3 ulp."""

    name = "sine"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(np.sin(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        a = magnitude(b, x)
        value = b.ixor(_wave(b, *_reduce(b, a)), b.iand(x, b.const(SIGN)))
        return _unless_infinite(b, a, value)


@register
class Cosine(FloatFunction):
    """Cosine, 3 ulp."""

    name = "cosine"

    def exact_value(self, x: NdArray) -> NdArray:
        return np.asarray(np.cos(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        a = magnitude(b, operands[0])
        quadrant, rest = _reduce(b, a)
        value = _wave(b, b.iadd(quadrant, b.const(1)), rest)
        return _unless_infinite(b, a, value)
