"""Bit-exact arithmetic of the machine on arrays of `uint32` bit patterns.

fp32 rules: round to nearest even; subnormal operands count as zero of their
sign; a result whose exact magnitude is below 2**-126 is zero of its sign,
tested before rounding; every NaN result is `NAN`.
"""

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint32]

NAN = 0x7FC00000
INFINITY = 0x7F800000
SIGN = 0x80000000
TINY = 2.0**-126
"""Smallest normal fp32 magnitude."""


def flush(a: Bits) -> Bits:
    """Subnormals to zero of the same sign."""
    return np.where(a & np.uint32(INFINITY) == 0, a & np.uint32(SIGN), a).astype(np.uint32)


def is_nan(a: Bits) -> NDArray[np.bool_]:
    return (a & np.uint32(0x7FFFFFFF)) > np.uint32(INFINITY)


def _canonical(a: Bits) -> Bits:
    return np.where(is_nan(a), np.uint32(NAN), a).astype(np.uint32)


def as_float(a: Bits) -> NDArray[np.float32]:
    """The values, subnormals flushed."""
    return flush(a).view(np.float32)


def as_bits(values: NDArray[np.float32]) -> Bits:
    """Bits of fp32 values, subnormals flushed, NaN canonical."""
    return _canonical(flush(np.ascontiguousarray(values, np.float32).view(np.uint32)))


def fadd(a: Bits, b: Bits) -> Bits:
    # A sum of two normal numbers that falls below TINY is exact, so flushing afterwards is right.
    with np.errstate(all="ignore"):
        return as_bits(as_float(a) + as_float(b))


def fsub(a: Bits, b: Bits) -> Bits:
    return fadd(a, b ^ np.uint32(SIGN))


def fmul(a: Bits, b: Bits) -> Bits:
    with np.errstate(all="ignore"):
        exact = as_float(a).astype(np.float64) * as_float(b).astype(np.float64)
        bits = as_bits(exact.astype(np.float32))
    return np.where(np.abs(exact) < TINY, bits & np.uint32(SIGN), bits).astype(np.uint32)


def fmac(a: Bits, b: Bits, c: Bits) -> Bits:
    """c + a*b, rounded twice."""
    return fadd(c, fmul(a, b))


def _total_order(a: Bits) -> NDArray[np.int32]:
    """Maps non-NaN fp32 bits to integers of the same order, -0 below +0."""
    signed = flush(a).view(np.int32)
    return np.where(signed < 0, signed ^ np.int32(0x7FFFFFFF), signed).astype(np.int32)


def fmin(a: Bits, b: Bits) -> Bits:
    smaller = np.where(_total_order(a) <= _total_order(b), flush(a), flush(b))
    return np.where(is_nan(a) | is_nan(b), np.uint32(NAN), smaller).astype(np.uint32)


def fmax(a: Bits, b: Bits) -> Bits:
    larger = np.where(_total_order(a) >= _total_order(b), flush(a), flush(b))
    return np.where(is_nan(a) | is_nan(b), np.uint32(NAN), larger).astype(np.uint32)


def feq(a: Bits, b: Bits) -> Bits:
    return (as_float(a) == as_float(b)).astype(np.uint32)


def fne(a: Bits, b: Bits) -> Bits:
    return (as_float(a) != as_float(b)).astype(np.uint32)


def flt(a: Bits, b: Bits) -> Bits:
    return (as_float(a) < as_float(b)).astype(np.uint32)


def fle(a: Bits, b: Bits) -> Bits:
    return (as_float(a) <= as_float(b)).astype(np.uint32)


def _integral(a: Bits, rounding: np.ufunc) -> Bits:
    with np.errstate(all="ignore"):
        return as_bits(rounding(as_float(a)))


def ffloor(a: Bits) -> Bits:
    return _integral(a, np.floor)


def fceil(a: Bits) -> Bits:
    return _integral(a, np.ceil)


def frne(a: Bits) -> Bits:
    """To the nearest integral value, ties to even."""
    return _integral(a, np.rint)


def ftrunc(a: Bits) -> Bits:
    return _integral(a, np.trunc)


def _to_integer(a: Bits, low: int, high: int) -> NDArray[np.int64]:
    with np.errstate(all="ignore"):
        value = np.trunc(as_float(a).astype(np.float64))
    return np.where(is_nan(a), 0.0, np.clip(value, low, high)).astype(np.int64)


def f2i(a: Bits) -> Bits:
    """fp32 to s32: toward zero, saturating, NaN to 0."""
    return _to_integer(a, -(2**31), 2**31 - 1).astype(np.int32).view(np.uint32)


def f2u(a: Bits) -> Bits:
    """fp32 to u32: toward zero, saturating, NaN to 0."""
    return _to_integer(a, 0, 2**32 - 1).astype(np.uint32)


def i2f(a: Bits) -> Bits:
    return a.view(np.int32).astype(np.float64).astype(np.float32).view(np.uint32)


def u2f(a: Bits) -> Bits:
    return a.astype(np.float64).astype(np.float32).view(np.uint32)


def bf16_to_f32(raw: NDArray[np.uint16]) -> Bits:
    return _canonical(flush(raw.astype(np.uint32) << np.uint32(16)))


def f32_to_bf16(a: Bits) -> NDArray[np.uint16]:
    # The canonical NaN has zeros to round away, so nothing overflows.
    clean = _canonical(flush(a))
    rounded = clean + np.uint32(0x7FFF) + ((clean >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)


def f16_to_f32(raw: NDArray[np.uint16]) -> Bits:
    with np.errstate(all="ignore"):
        return as_bits(raw.view(np.float16).astype(np.float32))


def f32_to_f16(a: Bits) -> NDArray[np.uint16]:
    """To nearest even with gradual underflow; overflow to infinity; NaN to 0x7E00."""
    with np.errstate(all="ignore"):
        raw = as_float(a).astype(np.float16).view(np.uint16)
    return np.where(is_nan(a), 0x7E00, raw).astype(np.uint16)


def rbf(a: Bits) -> Bits:
    """fp32 rounded to bf16 precision."""
    return bf16_to_f32(f32_to_bf16(a))


def rf16(a: Bits) -> Bits:
    """fp32 rounded to f16 precision and range."""
    return f16_to_f32(f32_to_f16(a))


def _signed(a: Bits) -> NDArray[np.int64]:
    return a.view(np.int32).astype(np.int64)


def _word(a: NDArray[np.int64] | NDArray[np.uint64]) -> Bits:
    return (a & 0xFFFFFFFF).astype(np.uint32)


def iadd(a: Bits, b: Bits) -> Bits:
    return a + b


def isub(a: Bits, b: Bits) -> Bits:
    return a - b


def imul(a: Bits, b: Bits) -> Bits:
    return a * b


def imulh(a: Bits, b: Bits) -> Bits:
    """High 32 bits of the signed 64-bit product."""
    return _word((_signed(a) * _signed(b)) >> 32)


def umulh(a: Bits, b: Bits) -> Bits:
    """High 32 bits of the unsigned 64-bit product."""
    return ((a.astype(np.uint64) * b.astype(np.uint64)) >> np.uint64(32)).astype(np.uint32)


def and_(a: Bits, b: Bits) -> Bits:
    return a & b


def or_(a: Bits, b: Bits) -> Bits:
    return a | b


def xor(a: Bits, b: Bits) -> Bits:
    return a ^ b


def shl(a: Bits, b: Bits) -> Bits:
    return _word(a.astype(np.uint64) << np.minimum(b, 32).astype(np.uint64))


def shr(a: Bits, b: Bits) -> Bits:
    return (a.astype(np.uint64) >> np.minimum(b, 32).astype(np.uint64)).astype(np.uint32)


def sra(a: Bits, b: Bits) -> Bits:
    return _word(_signed(a) >> np.minimum(b, 31).astype(np.int64))


def imin(a: Bits, b: Bits) -> Bits:
    return np.minimum(a.view(np.int32), b.view(np.int32)).view(np.uint32)


def imax(a: Bits, b: Bits) -> Bits:
    return np.maximum(a.view(np.int32), b.view(np.int32)).view(np.uint32)


def umin(a: Bits, b: Bits) -> Bits:
    return np.minimum(a, b)


def umax(a: Bits, b: Bits) -> Bits:
    return np.maximum(a, b)


def ieq(a: Bits, b: Bits) -> Bits:
    return (a == b).astype(np.uint32)


def ine(a: Bits, b: Bits) -> Bits:
    return (a != b).astype(np.uint32)


def ilt(a: Bits, b: Bits) -> Bits:
    return (a.view(np.int32) < b.view(np.int32)).astype(np.uint32)


def ile(a: Bits, b: Bits) -> Bits:
    return (a.view(np.int32) <= b.view(np.int32)).astype(np.uint32)


def ult(a: Bits, b: Bits) -> Bits:
    return (a < b).astype(np.uint32)


def ule(a: Bits, b: Bits) -> Bits:
    return (a <= b).astype(np.uint32)


def sel(a: Bits, b: Bits, c: Bits) -> Bits:
    """b where a is not zero, else c."""
    return np.where(a != 0, b, c).astype(np.uint32)


def mov(a: Bits) -> Bits:
    return a
