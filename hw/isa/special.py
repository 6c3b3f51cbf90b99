"""The special functions, bit by bit: table look-up and quadratic interpolation in integers.

Each function splits its operand into a table index i, a 16-bit position d within
the table's interval, and evaluates, with arithmetic (floor) shifts,

    P(i, d) = c0[i] + ((c1[i] * d) >> 16) + ((c2[i] * ((d * d) >> 16)) >> 16)

Every intermediate fits 32 bits (c1*d>>16 is the high word of 2*c1 by d<<15), so
software reproduces the unit's bits with integer vector operations and look-ups.
The coefficients interpolate at the Chebyshev nodes of each interval, which keeps
the error of P below 2**-25; results are within 1.4 fp32 units in the last place.
"""

import decimal
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hw.isa.numerics import INFINITY, NAN, SIGN, Bits, is_nan, umulh

LOG2E_Q31 = 0xB8AA3B29
"""log2(e) * 2**31, rounded."""
LOGM_SPLIT = 53
"""`logm` halves mantissas from 1 + 53/128 (about sqrt 2) on."""

Coefficients = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Table:
    """`unit` is the weight of the least significant bit of P: value = P / 2**unit."""

    unit: int
    coefficients: Coefficients

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        c0, c1, c2 = np.array(self.coefficients, np.int64).T
        return c0, c1, c2


_NODES = tuple((1 + Decimal(n)) / 2 for n in
               ("-0.866025403784438646763723170752936183", "0",
                "0.866025403784438646763723170752936183"))


def _interpolate(f: Callable[[Decimal], Decimal], unit: int) -> tuple[int, int, int]:
    """Coefficients of the quadratic through f at the Chebyshev nodes of [0, 1]."""
    (x0, x1, x2), (y0, y1, y2) = _NODES, tuple(f(x) for x in _NODES)
    slope01, slope12 = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    c2 = (slope12 - slope01) / (x2 - x0)
    c1 = slope01 - c2 * (x0 + x1)
    c0 = y0 - x0 * (c1 + c2 * x0)
    scale = Decimal(2) ** unit
    return int((c0 * scale).to_integral_value()), int((c1 * scale).to_integral_value()), \
        int((c2 * scale).to_integral_value())


def _build(entries: int, unit: int, function: Callable[[int, Decimal], Decimal]) -> Table:
    with decimal.localcontext() as context:
        context.prec = 40
        return Table(unit, tuple(
            _interpolate(lambda t, i=i: function(i, t), unit) for i in range(entries)  # type: ignore[misc]
        ))


def _logm_exact(i: int, t: Decimal) -> Decimal:
    mantissa = 1 + (i + t) / 128
    if i >= LOGM_SPLIT:
        mantissa /= 2
    distance = mantissa - 1
    return mantissa.ln() / distance if distance else Decimal(1)


@cache
def tables() -> dict[str, Table]:
    """The four tables: entries (c0, c1, c2) by index."""
    return {
        "exp": _build(128, 27, lambda i, t: (Decimal(2).ln() * (i + t) / 128).exp()),
        "rcp": _build(128, 28, lambda i, t: 1 / (1 + (i + t) / 128)),
        "rsqrt": _build(256, 28, lambda i, t:
                        1 / ((1 + (i % 128 + t) / 128) * (1 + i // 128)).sqrt()),
        "logm": _build(128, 28, _logm_exact),
    }


def polynomial(name: str, index: NDArray[np.int64], d: NDArray[np.int64]) -> NDArray[np.int64]:
    """P(index, d) of the named table; d is 0 to 65535."""
    c0, c1, c2 = tables()[name].columns()
    return (c0[index] + ((c1[index] * d) >> 16)
            + ((c2[index] * ((d * d) >> 16)) >> 16))


def _split(a: Bits) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Sign bit in place, biased exponent, fraction."""
    wide = a.astype(np.int64)
    return wide & SIGN, (wide >> 23) & 0xFF, wide & 0x7FFFFF


def _compose(exponent: NDArray[np.int64], p28: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits of 2**(exponent-127) * p28/2**27 for p28 in [2**27, 2**28]; the rounding may carry
    into the exponent; below the normal range zero."""
    bits = (exponent << 23) + (((p28 + 8) >> 4) - 2**23)
    return np.where(bits < 0x00800000, 0, bits)


def exp(a: Bits) -> Bits:
    """e**a, from 2**(a * log2 e) with the exponent in fixed point of 23 fraction bits."""
    sign, exponent, fraction = _split(a)
    high = umulh((fraction.astype(np.uint32) | np.uint32(0x800000)) << np.uint32(8),
                 np.array(LOG2E_Q31, np.uint32)).astype(np.int64)
    shift = np.clip(134 - exponent, 1, 32)
    magnitude = np.where(shift >= 32, 0, (high + (1 << (shift - 1))) >> shift)
    x = np.where(sign != 0, -magnitude, magnitude)
    whole, part = x >> 23, x & 0x7FFFFF
    bits = _compose(np.clip(whole + 127, -200, 300), polynomial("exp", part >> 16, part & 0xFFFF))
    overflow = (bits >= INFINITY) | (exponent >= 134)
    bits = np.where(overflow, np.where(sign != 0, 0, INFINITY), bits)
    return np.where(is_nan(a), NAN, bits).astype(np.uint32)


def rcp(a: Bits) -> Bits:
    """1/a."""
    sign, exponent, fraction = _split(a)
    bits = _compose(253 - exponent, polynomial("rcp", fraction >> 16, fraction & 0xFFFF))
    bits = np.where(exponent == 0, INFINITY, np.where(exponent == 255, 0, bits)) | sign
    return np.where(is_nan(a), NAN, bits).astype(np.uint32)


def rsqrt(a: Bits) -> Bits:
    """1/sqrt(a); NaN below zero, infinity of the same sign at zero."""
    sign, exponent, fraction = _split(a)
    # The unbiased exponent is odd when the biased one is even.
    odd = 1 - (exponent & 1)
    index = (odd << 7) | (fraction >> 16)
    halved = (exponent - 127 - odd) >> 1
    bits = _compose(126 - halved, polynomial("rsqrt", index, fraction & 0xFFFF))
    bits = np.where(exponent == 255, 0, bits)
    bits = np.where((sign != 0) | is_nan(a), NAN, bits)
    return np.where(exponent == 0, INFINITY | sign, bits).astype(np.uint32)


def logm(a: Bits) -> Bits:
    """ln(M)/(M - 1) of the mantissa M of a, M in [1 + 53/128 - 1/2.., 1 + 53/128) around 1.

    M is 1.fraction below 1 + 53/128 and half of it from there on, so log(a) is
    e*ln 2 + (M - 1)*logm(a), with e the exponent raised by one in the second case.
    Sign and exponent of `a` do not matter.
    """
    _, _, fraction = _split(a)
    p = polynomial("logm", fraction >> 16, fraction & 0xFFFF)
    above = (127 << 23) + (((p + 16) >> 5) - 2**23)
    return np.where(p >= 2**28, above, _compose(np.full_like(p, 126), p)).astype(np.uint32)


FUNCTIONS: dict[str, Callable[[Bits], Bits]] = {
    "exp": exp, "rcp": rcp, "rsqrt": rsqrt, "logm": logm,
}
