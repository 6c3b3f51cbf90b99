"""Operands on which float datapaths go wrong, as `uint32` bit patterns."""

import numpy as np

from hw.isa.numerics import Bits

SIGN = 0x80000000
_MAGNITUDES = (
    0, 1, 0x7FFFFF,  # zero and subnormals
    0x800000, 0x800001, 0xFFFFFF, 0xC00000,  # just above the smallest normal
    0x1F800000, 0x1FFFFFFF, 0x20000000,  # products around the smallest normal
    0x33000000, 0x33000001, 0x33800000,  # half and one unit of f16 subnormals
    0x387FC000, 0x387FE000, 0x38800000,  # around the smallest normal f16
    0x3EFFFFFF, 0x3F000000, 0x3F000001, 0x3F7FFFFF, 0x3F800000, 0x3F800001,  # around 0.5 and 1
    0x3FC00000, 0x40200000, 0x40600000,  # 1.5, 2.5, 3.5: ties
    0x477FE000, 0x477FEFFF, 0x477FF000,  # around the largest f16
    0x4AFFFFFF, 0x4B000000, 0x4B000001, 0x4B7FFFFF, 0x4B800000,  # around 2**23 and 2**24
    0x4EFFFFFF, 0x4F000000, 0x4F7FFFFF, 0x4F800000,  # around 2**31 and 2**32
    0x5F000000, 0x7E800000, 0x7F000000, 0x7F7FFFFF,  # products and sums that overflow
    0x7F800000, 0x7F800001, 0x7FBFFFFF, 0x7FC00000, 0x7FFFFFFF,  # infinity and NaNs
)
CORNERS = np.array([m | sign for m in _MAGNITUDES for sign in (0, SIGN)], np.uint32)


def _random(rng: np.random.Generator, count: int, low: int, high: int) -> Bits:
    """Any sign and fraction, exponents from `low` to below `high`."""
    exponent = rng.integers(low, high, count, dtype=np.uint32) << np.uint32(23)
    return rng.integers(0, 1 << 32, count, dtype=np.uint32) & np.uint32(0x807FFFFF) | exponent


def pairs(rng: np.random.Generator, count: int) -> tuple[Bits, Bits]:
    """All pairs of corner cases, then `count` each of four kinds of random ones."""
    first, second = (grid.ravel() for grid in np.meshgrid(CORNERS, CORNERS))
    anything = rng.integers(0, 1 << 32, (2, count), dtype=np.uint32)
    similar = _random(rng, count, 110, 145), _random(rng, count, 110, 145)
    # Nearly equal magnitudes: cancellation down to the last bits.
    near = rng.integers(0, 1 << 32, count, dtype=np.uint32)
    difference = rng.integers(0, 1 << 32, count, dtype=np.uint32) >> rng.integers(
        8, 31, count, dtype=np.uint32)
    # Few significant bits: ties, and products that are exact.
    short = anything & np.array([[0xFF800FFF], [0xFF8000FF]], np.uint32)
    return (np.concatenate([first, anything[0], similar[0], near, short[0]]),
            np.concatenate([second, anything[1], similar[1], near ^ difference, short[1]]))


def conversions(rng: np.random.Generator, count: int) -> Bits:
    """Numbers around the limits of the other types, with long and with short fractions."""
    values = _random(rng, 2 * count, 95, 165)
    values[count:] &= np.uint32(0xFFFFF000)
    return np.concatenate([CORNERS, values])
