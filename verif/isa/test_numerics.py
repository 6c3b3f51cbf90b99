"""Arithmetic against SoftFloat and against float64."""

from collections.abc import Callable

import numpy as np
import pytest
import softfloatpy as sf
from numpy.typing import NDArray

from hw.isa import numerics, special
from hw.isa.dtypes import DType, from_lane, to_lane
from hw.isa.numerics import NAN, SIGN, Bits

CORNERS = np.array([
    0x00000000, 0x80000000, 0x3F800000, 0xBF800000, 0x00800000, 0x80800000, 0x7F7FFFFF,
    0xFF7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0x3F800001, 0x34000000,
    0x33800000, 0x4B000000, 0x4B800001, 0x00FFFFFF, 0x4EFFFFFF, 0x4F000000, 0xCF000000,
], np.uint32)


def operands(count: int = 4000) -> tuple[Bits, Bits]:
    """All pairs of corners, raw bits, and values of similar magnitude (for cancellation)."""
    rng = np.random.default_rng(7)
    raw = rng.integers(0, 2**32, (2, count), dtype=np.uint32)
    near = rng.standard_normal((2, count)).astype(np.float32).view(np.uint32)
    a = np.concatenate([np.repeat(CORNERS, len(CORNERS)), raw[0], near[0]])
    b = np.concatenate([np.tile(CORNERS, len(CORNERS)), raw[1], near[1]])
    return a, b


def soft(operation: Callable[..., sf.Float32], *arguments: Bits) -> Bits:
    """SoftFloat's result on operands without subnormals, subnormal results flushed."""
    wrapped = [[sf.Float32.from_bytes(int(v).to_bytes(4, "big")) for v in a] for a in arguments]
    out = [int.from_bytes(operation(*row).to_bytes(), "big") for row in zip(*wrapped, strict=True)]
    bits = np.array(out, np.uint32)
    return np.where(numerics.is_nan(bits), NAN, bits).astype(np.uint32)


@pytest.mark.parametrize(("ours", "theirs"), [
    (numerics.fadd, sf.f32_add), (numerics.fsub, sf.f32_sub),
], ids=["fadd", "fsub"])
def test_sums(ours: Callable[[Bits, Bits], Bits], theirs: Callable[..., sf.Float32]) -> None:
    a, b = (numerics.flush(x) for x in operands())
    np.testing.assert_array_equal(ours(a, b), numerics.flush(soft(theirs, a, b)))


def test_product() -> None:
    a, b = (numerics.flush(x) for x in operands())
    expected = soft(sf.f32_mul, a, b)
    with np.errstate(all="ignore"):
        exact = np.abs(a.view(np.float32).astype(float) * b.view(np.float32).astype(float))
    flushed = np.where(exact < numerics.TINY, expected & np.uint32(SIGN), expected)
    np.testing.assert_array_equal(numerics.fmul(a, b), flushed)


def test_product_just_below_the_normal_range_is_zero() -> None:
    a = np.array([0x00FFFFFF], np.uint32)
    half = np.array([0x3F000000], np.uint32)
    assert numerics.fmul(a, half) == 0  # 2**-126 - 2**-150 would round up to 2**-126


@pytest.mark.parametrize(("a", "b", "smallest", "largest"), [
    (0.0, -0.0, -0.0, 0.0), (1.0, 2.0, 1.0, 2.0), (-np.inf, 3.0, -np.inf, 3.0),
    (np.nan, 1.0, np.nan, np.nan), (1.0, np.nan, np.nan, np.nan),
])
def test_minimum_and_maximum(a: float, b: float, smallest: float, largest: float) -> None:
    x, y, low, high = (numerics.as_bits(np.array([v], np.float32))
                       for v in (a, b, smallest, largest))
    assert numerics.fmin(x, y) == low == numerics.fmin(y, x)
    assert numerics.fmax(x, y) == high == numerics.fmax(y, x)


@pytest.mark.parametrize(("value", "signed", "unsigned"), [
    (1.9, 1, 1), (-1.9, -1, 0), (3e9, 2**31 - 1, 3_000_000_000), (1e20, 2**31 - 1, 2**32 - 1),
    (-1e20, -(2**31), 0), (np.nan, 0, 0), (np.inf, 2**31 - 1, 2**32 - 1),
])
def test_float_to_integer(value: float, signed: int, unsigned: int) -> None:
    bits = np.array([value], np.float32).view(np.uint32)
    assert numerics.f2i(bits).view(np.int32)[0] == signed
    assert abs(int(numerics.f2u(bits)[0]) - unsigned) <= 128 * (value == 3e9)


@pytest.mark.parametrize("dtype", [DType.BF16, DType.F16])
def test_narrow_floats_round_trip(dtype: DType) -> None:
    raw = np.arange(2**16, dtype=np.uint16)
    lanes = to_lane(raw, dtype)
    again = from_lane(lanes, dtype)
    exponent = 0x7F80 if dtype is DType.BF16 else 0x7C00
    nan = (raw & 0x7FFF) > exponent
    subnormal = (raw & exponent == 0) & (dtype is DType.BF16)
    ordinary = ~nan & ~subnormal
    np.testing.assert_array_equal(again[ordinary], raw[ordinary])
    np.testing.assert_array_equal(again[subnormal], raw[subnormal] & 0x8000)


@pytest.mark.parametrize(("value", "dtype", "saturate", "stored"), [
    (300, DType.S8, True, 127), (300, DType.S8, False, 44), (-5, DType.U8, True, 0),
    (-5, DType.U8, False, 251), (70000, DType.U16, True, 65535), (-40000, DType.S16, True, 32768),
])
def test_integer_stores(value: int, dtype: DType, saturate: bool, stored: int) -> None:
    lane = np.array([value], np.int32).view(np.uint32)
    assert int(from_lane(lane, dtype, saturate)[0]) == stored


def ulps(ours: NDArray[np.float32], exact: NDArray[np.float64]) -> float:
    spacing = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return float(np.max(np.abs(ours.astype(np.float64) - exact) / spacing))


@pytest.mark.parametrize(("name", "low", "high", "exact", "bound"), [
    ("exp", -87.0, 88.5, np.exp, 1.4), ("rcp", 0.5, 300.0, np.reciprocal, 0.9),
    ("rsqrt", 1e-3, 1e3, lambda x: 1 / np.sqrt(x), 0.7),
])
def test_special_function_accuracy(name: str, low: float, high: float, bound: float,
                                   exact: Callable[[NDArray[np.float64]], NDArray[np.float64]]
                                   ) -> None:
    x = np.random.default_rng(3).uniform(low, high, 200_000).astype(np.float32)
    y = special.FUNCTIONS[name](x.view(np.uint32)).view(np.float32)
    assert ulps(y, exact(x.astype(np.float64))) <= bound


def test_logm_accuracy() -> None:
    x = np.linspace(1, 2, 100_001, endpoint=False).astype(np.float32)
    index = (x.view(np.uint32) >> 16) & 127
    mantissa = np.where(index >= special.LOGM_SPLIT, x / 2, x).astype(np.float64)
    distance = np.where(mantissa == 1, 1e-12, mantissa - 1)
    y = special.logm(x.view(np.uint32)).view(np.float32)
    assert ulps(y, np.log1p(distance) / distance) <= 1.2


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("exp", 0.0, 1.0), ("exp", -np.inf, 0.0), ("exp", np.inf, np.inf), ("exp", 100.0, np.inf),
    ("exp", -100.0, 0.0), ("exp", np.nan, np.nan), ("rcp", 0.0, np.inf), ("rcp", -0.0, -np.inf),
    ("rcp", 4.0, 0.25), ("rcp", -np.inf, -0.0), ("rsqrt", 0.0, np.inf), ("rsqrt", -0.0, -np.inf),
    ("rsqrt", -1.0, np.nan), ("rsqrt", 16.0, 0.25), ("rsqrt", np.inf, 0.0), ("logm", 1.0, 1.0),
])
def test_special_function_corners(name: str, value: float, expected: float) -> None:
    bits = np.array([value], np.float32).view(np.uint32)
    assert special.FUNCTIONS[name](bits) == numerics.as_bits(np.array([expected], np.float32))


def test_special_function_intermediates_fit_32_bits() -> None:
    for table in special.tables().values():
        c0, c1, c2 = table.columns()
        assert c0.max() < 2**30
        assert np.abs(c1).max() < 2**30  # doubled for the high-word product
        assert c2.max() * 0xFFFF < 2**31
