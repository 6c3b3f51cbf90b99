"""Elementwise templates, computed with the machine's arithmetic, against float64."""

from typing import Any

import numpy as np
import pytest

from compiler.ir.types import ElementType, Tensor
from compiler.ops.elementwise import Elementwise, expand
from compiler.ops.interpret import BitInterpreter, interpret, to_lanes
from compiler.ops.registry import Call, NdArray, lookup
from verif.compiler.models import Array

SPECIAL = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 3.4028235e38, -3.4028235e38,
                    1.1754944e-38, -1.1754944e-38, 0.5, -0.5, 2, 3, 1e-45, 88.5, -88, -104, 1e9],
                   np.float32)
SAMPLES = 20_000
TINY = 2.0**-126


def definition(name: str) -> Elementwise:
    operation = lookup(name)
    assert isinstance(operation, Elementwise)
    return operation


def call_of(operands: list[Array], result: ElementType, **attrs: Any) -> Call:
    types = tuple(Tensor(x.shape, ElementType.of_numpy(x.dtype)) for x in operands)
    return Call(types, (Tensor(operands[0].shape, result),), attrs)


def narrow(x: Array, element: ElementType) -> Array:
    """Values of a float type, subnormals dropped, as the machine holds them."""
    with np.errstate(all="ignore"):
        return np.where(np.abs(x) < TINY, 0, x).astype(element.numpy)


def wide(x: Array) -> Array:
    with np.errstate(all="ignore"):
        return x.astype(np.float64)


def samples(seed: int = 0) -> Array:
    """Every exponent, ordinary numbers, numbers about 1, and the special ones."""
    rng = np.random.default_rng(seed)
    anywhere = rng.integers(0, 2**32, SAMPLES, np.uint64).astype(np.uint32).view(np.float32)
    normal = rng.standard_normal(SAMPLES)
    return np.concatenate([anywhere, normal * 3, normal * 50, 1 + normal / 10, SPECIAL],
                          dtype=np.float32, casting="unsafe")


def flushed(x: Array) -> Array:
    """What the machine makes of an operand: float64, subnormals zero."""
    wide = x.astype(np.float64)
    return np.where(np.abs(wide) < TINY, np.copysign(0, wide), wide)


def ulp_error(got: Array, exact: Array) -> Array:
    """Distance in units in the last place of the exact value; 0 for equal special values."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32).astype(np.float64)
        got = got.astype(np.float64)
        small = (np.abs(exact) < TINY * (1 + 2e-7)) & (np.abs(got) <= TINY)
        same = (got == rounded) | (np.isnan(got) & np.isnan(rounded)) | small
        exponent = np.floor(np.log2(np.maximum(np.abs(exact), TINY)))
        distance = np.abs(got - exact) / 2.0 ** (exponent - 23)
    return np.where(same, 0, np.where(np.isnan(distance), np.inf, distance))


UNARY = {
    "exponential": 1.5, "exponential_minus_one": 2.6, "log": 1.7, "log_plus_one": 2.1,
    "reciprocal": 1.0, "rsqrt": 0.8, "sqrt": 1.6, "cbrt": 1.6, "logistic": 2.9, "tanh": 3.6,
    "sine": 2.7, "cosine": 2.5, "erf": 2.6, "erfc": 5.5,
}
"""Largest error in ulp; each bound is a little above what was measured on 10**6 samples."""


@pytest.mark.parametrize("name, bound", UNARY.items())
def test_unary_error(name: str, bound: float) -> None:
    x = samples()
    operation: Any = definition(name)
    got = interpret(operation, call_of([x], ElementType.F32), x)
    with np.errstate(all="ignore"):
        error = ulp_error(got, operation.exact_value(flushed(x)))
    worst = int(np.argmax(error))
    assert error[worst] <= bound, (x[worst], got[worst])


EVERY_BF16 = np.arange(1 << 16, dtype=np.uint16).view(ElementType.BF16.numpy)


def bf16_error(got: Array, exact: Array) -> Array:
    """Distance in bf16 units in the last place; 0 for the nearest bf16 and for underflow."""
    with np.errstate(all="ignore"):
        nearest, got = wide(exact.astype(ElementType.BF16.numpy)), wide(got)
        same = (got == nearest) | (np.isnan(got) & np.isnan(exact))
        same |= (np.abs(exact) < TINY * (1 + 2.0**-8)) & (np.abs(got) <= TINY)
        exponent = np.floor(np.log2(np.maximum(np.abs(exact), TINY)))
        distance = np.abs(got - exact) / 2.0 ** (exponent - 7)
    return np.where(same, 0, np.where(np.isnan(distance), np.inf, distance))


@pytest.mark.parametrize("name", UNARY)
def test_every_bf16_argument(name: str) -> None:
    """Correctly rounded but for near ties, of which no template is off by more than 0.02."""
    operation: Any = definition(name)
    got = interpret(operation, call_of([EVERY_BF16], ElementType.BF16), EVERY_BF16)
    with np.errstate(all="ignore"):
        error = bf16_error(got, operation.exact_value(flushed(EVERY_BF16.astype(np.float32))))
    worst = int(np.argmax(error))
    assert error[worst] <= 0.52, (EVERY_BF16[worst], got[worst])


@pytest.mark.parametrize("name", ["erf", "erfc", "tanh", "log", "sqrt"])
def test_short_templates_of_any_argument(name: str) -> None:
    """Fast math uses them for f32 arguments whose results end up in bf16."""
    x = samples()
    operation: Any = definition(name)
    call = call_of([x], ElementType.F32, accuracy="bf16")
    got = interpret(operation, call, x)
    with np.errstate(all="ignore"):
        error = ulp_error(got, operation.exact_value(flushed(x))) / 2.0**16
    worst = int(np.argmax(error))
    assert error[worst] <= 0.04, (x[worst], got[worst])


def test_gelu_under_fast_math() -> None:
    """A sixth of a bf16 unit on top of the rounding; left of -4 the result is below 2**-12.
    At -infinity it is NaN, as half of x times erfc is."""
    operation: Any = definition("gelu")
    got = wide(interpret(operation, call_of([EVERY_BF16], ElementType.BF16), EVERY_BF16))
    x = flushed(EVERY_BF16.astype(np.float32))
    with np.errstate(all="ignore"):
        exact = operation.exact_value(x)
        error, distance = bf16_error(got, exact), np.abs(got - exact)
        left = x < -4
    assert error[~left].max() <= 0.67
    assert distance[left & np.isfinite(x)].max() <= 2.0**-20
    assert np.isnan(got[np.isneginf(x)]).all()


def test_tanh_of_sums_under_fast_math() -> None:
    """Where only the absolute error matters."""
    x = np.concatenate([samples(), np.linspace(-2, 2, SAMPLES, dtype=np.float32)])
    operation: Any = definition("tanh")
    got = interpret(operation, call_of([x], ElementType.F32, accuracy="unit"), x)
    with np.errstate(all="ignore"):
        exact = operation.exact_value(flushed(x))
        np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
        assert np.nanmax(np.abs(got - exact)) <= 2.0**-22


def test_bf16_quotients() -> None:
    """Of all mantissas, at exponents where something happens; beyond 2**126 divisors are
    infinite."""
    exponents = np.array([1, 60, 127, 128, 200, 252, 253, 254, 255, 0], np.uint16) << 7
    numbers = (exponents[:, None] | np.arange(128, dtype=np.uint16)).ravel()
    x, y = (v.ravel().view(ElementType.BF16.numpy) for v in np.meshgrid(numbers[::3], numbers))
    got = interpret(definition("divide"), call_of([x, y], ElementType.BF16), x, y)
    with np.errstate(all="ignore"):
        divisor = flushed(y.astype(np.float32))
        divisor = np.where(np.abs(divisor) > 2.0**126, np.inf * divisor, divisor)
        error = bf16_error(got, flushed(x.astype(np.float32)) / divisor)
    worst = int(np.argmax(error))
    assert error[worst] <= 0.501, (x[worst], y[worst], got[worst])


@pytest.mark.parametrize("name, bound", [("divide", 1.6), ("power", 2.7), ("remainder", 0.5)])
def test_binary_error(name: str, bound: float) -> None:
    rng = np.random.default_rng(1)
    a, b = np.meshgrid(SPECIAL, SPECIAL)
    x = np.concatenate([samples(), a.ravel()])
    y = np.concatenate([rng.permutation(samples(1)), b.ravel()])
    if name == "power":
        x[:SAMPLES] = np.abs(x[:SAMPLES])
    with np.errstate(all="ignore"):
        if name == "remainder":
            keep = ~(np.abs(flushed(x) / flushed(y)) >= 2.0**31)
            x, y = x[keep], y[keep]
        exact = definition(name).compute(call_of([x, y], ElementType.F32), flushed(x), flushed(y))
    got = interpret(definition(name), call_of([x, y], ElementType.F32), x, y)
    error = ulp_error(got, exact)
    worst = int(np.argmax(error))
    assert error[worst] <= bound, (x[worst], y[worst], got[worst], exact[worst])


def test_exact_cases_are_exact() -> None:
    whole = np.arange(1, 4097, dtype=np.float32)
    square = whole * whole
    np.testing.assert_array_equal(
        interpret(definition("sqrt"), call_of([square], ElementType.F32), square), whole)
    np.testing.assert_array_equal(
        interpret(definition("divide"), call_of([whole, whole], ElementType.F32), whole, whole),
        np.ones_like(whole))


def test_large_float_remainders_are_nan_rather_than_wrong() -> None:
    x, y = np.array([1e30, -3e20], np.float32), np.array([3.0, 7.0], np.float32)
    call = call_of([x, y], ElementType.F32)
    assert np.isnan(interpret(definition("remainder"), call, x, y)).all()


INTEGERS = (ElementType.I32, ElementType.I16, ElementType.I8, ElementType.U32, ElementType.U16,
            ElementType.U8)
INTEGER_OPERATIONS = {
    1: ("abs", "negate", "sign", "not", "popcnt", "count_leading_zeros", "square"),
    2: ("add", "subtract", "multiply", "maximum", "minimum", "and", "or", "xor", "divide",
        "remainder", "shift_left", "shift_right_logical", "shift_right_arithmetic"),
}


def integer_samples(element: ElementType, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    limits = np.iinfo(str(element.numpy))
    full = rng.integers(limits.min, limits.max, 3000, dtype=element.numpy, endpoint=True)
    small = rng.integers(0, element.bits + 3, 1000).astype(element.numpy)
    edges = np.array([limits.min, limits.max, 0, 1, 2, limits.max - 1], element.numpy)
    return rng.permutation(np.concatenate([full, full >> small[0], small, np.tile(edges, 100)]))


@pytest.mark.parametrize("element", INTEGERS, ids=str)
@pytest.mark.parametrize("arity, name", [(a, n) for a, ns in INTEGER_OPERATIONS.items()
                                         for n in ns])
def test_integers_agree_bit_for_bit(element: ElementType, arity: int, name: str) -> None:
    operands = [integer_samples(element, seed) for seed in range(arity)]
    call = call_of(operands, element)
    expected: NdArray = definition(name).evaluate(call, *operands)[0]
    np.testing.assert_array_equal(interpret(definition(name), call, *operands), expected)


@pytest.mark.parametrize("element", INTEGERS, ids=str)
def test_integer_power(element: ElementType) -> None:
    low = 0 if element.is_unsigned else -5
    rng = np.random.default_rng(0)
    operands = [rng.integers(low, 6, 500).astype(element.numpy),
                rng.integers(low, 40, 500).astype(element.numpy)]
    call = call_of(operands, element)
    np.testing.assert_array_equal(interpret(definition("power"), call, *operands),
                                  definition("power").evaluate(call, *operands)[0])


ALL = [e for e in ElementType if e.bits < 64]


@pytest.mark.parametrize("source", ALL, ids=str)
@pytest.mark.parametrize("target", ALL, ids=str)
def test_conversions(source: ElementType, target: ElementType) -> None:
    if source.is_float:
        x = np.concatenate([samples()[::7], np.array([2147483648, 255.5, -129], np.float32)])
        x = narrow(x, source)
    elif source is ElementType.I1:
        x = np.array([True, False])
    else:
        x = integer_samples(source, 0)
    call = call_of([x], target)
    got = interpret(definition("convert"), call, x)
    expected = np.asarray(definition("convert").evaluate(call, x)[0])
    nan = np.isnan(wide(expected))
    np.testing.assert_array_equal(np.isnan(wide(got)), nan)
    np.testing.assert_array_equal(got[~nan], expected[~nan])


@pytest.mark.parametrize("element", ALL, ids=str)
@pytest.mark.parametrize("direction", ["EQ", "NE", "LT", "LE", "GT", "GE"])
def test_comparisons(element: ElementType, direction: str) -> None:
    if element.is_float:
        x = narrow(np.resize(SPECIAL, 400), element)
    else:
        x = np.resize(integer_samples(element, 0) if element.bits > 1 else [True, False, False],
                      400).astype(element.numpy)
    y = np.random.default_rng(0).permutation(x)
    call = call_of([x, y], ElementType.I1, comparison_direction=direction)
    expected = np.asarray(definition("compare").evaluate(call, x, y)[0])
    np.testing.assert_array_equal(interpret(definition("compare"), call, x, y), expected)


def test_total_order_tells_zeros_apart() -> None:
    x, y = np.array([-0.0, 0.0, np.nan], np.float32), np.array([0.0, -0.0, np.inf], np.float32)
    call = call_of([x, y], ElementType.I1, comparison_direction="LT", compare_type="TOTALORDER")
    assert interpret(definition("compare"), call, x, y).tolist() == [True, False, False]
    assert definition("compare").evaluate(call, x, y)[0].tolist() == [True, False, False]


@pytest.mark.parametrize("source, target", [("f32", "i32"), ("i32", "f32"), ("bf16", "i16"),
                                            ("bf16", "ui16"), ("ui16", "bf16"), ("i8", "ui8"),
                                            ("ui32", "f32")])
def test_bitcasts_keep_bits(source: str, target: str) -> None:
    element, other = ElementType.of_name(source), ElementType.of_name(target)
    # From the smallest normal number to the largest finite one: NaN payloads and subnormals
    # are not kept.
    raw = np.linspace(0x0080 / 2**16, 0x7F7F / 2**16, 199) * 2**element.bits
    raw = np.concatenate([raw, raw + 2 ** (element.bits - 1)]).astype(f"u{element.size}")
    x = raw.view(element.numpy)
    call = call_of([x], other)
    np.testing.assert_array_equal(
        interpret(definition("bitcast_convert"), call, x).view(raw.dtype), raw)


@pytest.mark.parametrize("name", ["floor", "ceil", "round_nearest_even", "round_nearest_afz",
                                  "negate", "abs", "sign"])
def test_float_operations_that_are_exact(name: str) -> None:
    x = np.concatenate([samples(), np.linspace(-5, 5, 41, dtype=np.float32)])
    x = np.where(np.abs(x) < TINY, np.copysign(0, x), x).astype(np.float32)
    call = call_of([x], ElementType.F32)
    expected = np.asarray(definition(name).evaluate(call, x)[0])
    got = interpret(definition(name), call, x)
    nan = np.isnan(x)
    np.testing.assert_array_equal(got[~nan].view(np.uint32), expected[~nan].view(np.uint32))
    assert np.isnan(got[nan]).all()


@pytest.mark.parametrize("element", [ElementType.BF16, ElementType.F16], ids=str)
@pytest.mark.parametrize("name", ["add", "multiply", "subtract", "maximum", "square"])
def test_narrow_floats_round_after_each_operation(element: ElementType, name: str) -> None:
    rng = np.random.default_rng(0)
    arity = definition(name).arity
    operands = [rng.standard_normal(2000).astype(element.numpy) for _ in range(arity)]
    call = call_of(operands, element)
    np.testing.assert_array_equal(interpret(definition(name), call, *operands),
                                  definition(name).evaluate(call, *operands)[0])


@pytest.mark.parametrize("name, most", [("exponential", 1), ("add", 1), ("logistic", 4),
                                        ("tanh", 18), ("divide", 13), ("erf", 46),
                                        ("log", 16), ("power", 100)])
def test_instruction_counts(name: str, most: int) -> None:
    """Longer templates are slower programs; a longer one must be meant."""
    assert instructions(name, ElementType.F32) <= most


@pytest.mark.parametrize("name, most", [("erf", 12), ("erfc", 16), ("tanh", 9), ("logistic", 5),
                                        ("divide", 3), ("sqrt", 3), ("log", 16)])
def test_bf16_templates_are_short(name: str, most: int) -> None:
    """The last instruction rounds, which streams that store bf16 do for nothing."""
    assert instructions(name, ElementType.BF16) <= most


def instructions(name: str, element: ElementType) -> int:
    operands = [np.ones(4, element.numpy)] * definition(name).arity
    builder = BitInterpreter()
    expand(definition(name), builder, call_of(operands, element), *map(to_lanes, operands))
    return builder.instructions
