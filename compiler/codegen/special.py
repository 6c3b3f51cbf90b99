"""Special functions as software: the bits of `hw.isa.special` from integer vector operations.

For machines without special function unit. Coefficients come from tables in the scratchpad
through `gather`. Columns c1 and c2 are stored doubled: the high word of 2*c by d << 15 is
(c*d) >> 16.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from compiler.ops.builder import Builder, V
from hw.isa import special
from hw.isa.numerics import INFINITY, NAN, SIGN

FRACTION = 0x7FFFFF
HIDDEN = 0x800000
Lookup = Callable[[V, int], V]
"""(index, column) to the table's coefficient."""


@cache
def table(name: str) -> bytes:
    """A function's table as it lies in memory: all of c0, then of 2*c1, then of 2*c2."""
    c0, c1, c2 = special.tables()[name].columns()
    return np.concatenate([c0, 2 * c1, 2 * c2]).astype("<i4").tobytes()


def column_words(name: str) -> int:
    """Words from one column of a table to the next."""
    return len(special.tables()[name].coefficients)


def expand(b: Builder[V], name: str, a: V, lookup: Lookup[V]) -> V:
    """One of exp, rcp, rsqrt, logm of fp32 lanes."""
    return _FUNCTIONS[name](b, a, lookup)


def _polynomial(b: Builder[V], index: V, d: V, lookup: Lookup[V]) -> V:
    fifteen = b.const(15)
    square = b.shr(b.imul(d, d), b.const(16))
    linear = b.imulh(lookup(index, 1), b.shl(d, fifteen))
    quadratic = b.imulh(lookup(index, 2), b.shl(square, fifteen))
    return b.iadd(b.iadd(lookup(index, 0), linear), quadratic)


def _position(b: Builder[V], fraction: V) -> tuple[V, V]:
    """Table index and position within the interval of 23 fraction bits."""
    return b.shr(fraction, b.const(16)), b.emit("iand", fraction, b.const(0xFFFF))


def _exponent(b: Builder[V], a: V) -> V:
    return b.emit("iand", b.shr(a, b.const(23)), b.const(0xFF))


def _assemble(b: Builder[V], exponent: V, p28: V) -> V:
    """Bits of an exponent and a rounded mantissa, whose carry goes into the exponent."""
    mantissa = b.isub(b.shr(b.iadd(p28, b.const(8)), b.const(4)), b.const(HIDDEN))
    return b.iadd(b.shl(exponent, b.const(23)), mantissa)


def _compose(b: Builder[V], exponent: V, p28: V) -> V:
    """`_assemble`, zero below the normal range."""
    bits = _assemble(b, exponent, p28)
    return b.sel(b.ilt(bits, b.const(HIDDEN)), b.const(0), bits)


def _nan_where(b: Builder[V], a: V, otherwise: V) -> V:
    return b.sel(b.fne(a, a), b.const(NAN), otherwise)


def _exp(b: Builder[V], a: V, lookup: Lookup[V]) -> V:
    exponent = _exponent(b, a)
    mantissa = b.emit("ior", b.shl(a, b.const(8)), b.const(SIGN))
    high = b.umulh(mantissa, b.const(special.LOG2E_Q31))
    shift = b.imin(b.imax(b.isub(b.const(134), exponent), b.const(1)), b.const(32))
    half = b.shl(b.const(1), b.isub(shift, b.const(1)))
    magnitude = b.shr(b.iadd(high, half), shift)
    negative = b.ilt(a, b.const(0))
    x = b.sel(negative, b.isub(b.const(0), magnitude), magnitude)
    p = _polynomial(b, *_position(b, b.emit("iand", x, b.const(FRACTION))), lookup)
    whole = b.iadd(b.emit("sar", x, b.const(23)), b.const(127))
    # Any exponent outside 0 to 254 gives zero or infinity; clipping keeps the shift in range.
    whole = b.imin(b.imax(whole, b.const(-1)), b.const(255))
    overflow = b.emit("ior", b.ile(b.const(255), whole), b.ile(b.const(134), exponent))
    limit = b.sel(negative, b.const(0), b.const(INFINITY))
    return _nan_where(b, a, b.sel(overflow, limit, _compose(b, whole, p)))


def _rcp(b: Builder[V], a: V, lookup: Lookup[V]) -> V:
    exponent = _exponent(b, a)
    p = _polynomial(b, *_position(b, b.emit("iand", a, b.const(FRACTION))), lookup)
    bits = _compose(b, b.isub(b.const(253), exponent), p)
    bits = b.sel(b.ieq(exponent, b.const(255)), b.const(0), bits)
    bits = b.sel(exponent, bits, b.const(INFINITY))
    return _nan_where(b, a, b.emit("ior", bits, b.emit("iand", a, b.const(SIGN))))


def _rsqrt(b: Builder[V], a: V, lookup: Lookup[V]) -> V:
    exponent = _exponent(b, a)
    even, d = _position(b, b.emit("iand", a, b.const(FRACTION)))
    odd = b.emit("iand", b.emit("ixor", exponent, b.const(1)), b.const(1))
    p = _polynomial(b, b.emit("ior", b.shl(odd, b.const(7)), even), d, lookup)
    halved = b.emit("sar", b.isub(b.isub(exponent, b.const(127)), odd), b.const(1))
    bits = _compose(b, b.isub(b.const(126), halved), p)
    bits = b.sel(b.ieq(exponent, b.const(255)), b.const(0), bits)
    bits = b.sel(b.ilt(a, b.const(0)), b.const(NAN), _nan_where(b, a, bits))
    signed_infinity = b.emit("ior", b.emit("iand", a, b.const(SIGN)), b.const(INFINITY))
    return b.sel(exponent, bits, signed_infinity)


def _logm(b: Builder[V], a: V, lookup: Lookup[V]) -> V:
    p = _polynomial(b, *_position(b, b.emit("iand", a, b.const(FRACTION))), lookup)
    above = b.iadd(b.shr(b.iadd(p, b.const(16)), b.const(5)), b.const((127 << 23) - HIDDEN))
    return b.sel(b.ilt(p, b.const(1 << 28)), _assemble(b, b.const(126), p), above)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": _exp, "rcp": _rcp, "rsqrt": _rsqrt, "logm": _logm,
}
