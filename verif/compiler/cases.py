"""Small JAX functions, one or more for every operation the compiler knows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from verif.compiler.models import floats, integers, jax

lax, jnp = jax.lax, jax.numpy
BF16 = ml_dtypes.bfloat16


@dataclass(frozen=True)
class Case:
    """A function and its arguments; `operation` must occur in its StableHLO."""

    operation: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return self.operation


X, Y = floats(3, 4), floats(3, 4, seed=1)
P = np.abs(X) + np.float32(0.1)
M, N = integers(3, 4), integers(3, 4, seed=1)
NONZERO = np.where(N == 0, 3, N).astype(np.int32)
IMAGE, KERNEL = floats(2, 9, 8, 4), floats(3, 2, 4, 6, seed=1)
NANS = np.array([[1, np.nan, 3, np.nan], [2, 2, 1, 0]], np.float32)
NHWC = ("NHWC", "HWIO", "NHWC")

FLOAT_UNARY = {
    "abs": jnp.abs, "negate": jnp.negative, "sign": jnp.sign, "floor": jnp.floor,
    "ceil": jnp.ceil, "round_nearest_even": jnp.round,
    "round_nearest_afz": lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO),
    "exponential": jnp.exp, "exponential_minus_one": jnp.expm1, "tanh": jnp.tanh,
    "sine": jnp.sin, "cosine": jnp.cos, "tan": jnp.tan,
    "cbrt": jnp.cbrt, "erf": jax.scipy.special.erf, "erfc": jax.scipy.special.erfc,
    "square": jnp.square, "is_finite": lambda x: jnp.isfinite(x / jnp.floor(jnp.abs(x))),
    "reduce_precision": lambda x: lax.reduce_precision(x, 5, 10),
}
POSITIVE_UNARY = {"log": jnp.log, "log_plus_one": jnp.log1p, "sqrt": jnp.sqrt, "rsqrt": lax.rsqrt}
BINARY = {
    "add": jnp.add, "subtract": jnp.subtract, "multiply": jnp.multiply, "divide": lax.div,
    "remainder": lax.rem, "maximum": jnp.maximum, "minimum": jnp.minimum,
}
INTEGER_BINARY = {
    "and": jnp.bitwise_and, "or": jnp.bitwise_or, "xor": jnp.bitwise_xor,
    "shift_left": lambda x, y: lax.shift_left(x, y & 7),
    "shift_right_logical": lambda x, y: lax.shift_right_logical(x, y & 7),
    "shift_right_arithmetic": lambda x, y: lax.shift_right_arithmetic(x, y & 7),
}


def _elementwise() -> list[Case]:
    cases = [Case(n, f, (X,)) for n, f in FLOAT_UNARY.items()]
    cases += [Case(n, f, (P,)) for n, f in POSITIVE_UNARY.items()]
    cases += [Case(n, f, (X, Y)) for n, f in BINARY.items()]
    cases += [Case(n, f, (X.astype(BF16), Y.astype(BF16))) for n, f in BINARY.items()
              if n != "remainder"]
    cases += [Case(n, f, (M, NONZERO)) for n, f in {**BINARY, **INTEGER_BINARY}.items()]
    return [
        *cases,
        Case("power", jnp.power, (P, Y)),
        Case("power", lambda x, y: x**0.5 + x**-0.5 + x**-1.0 + x**y, (P, Y)),
        Case("divide", jax.nn.sigmoid, (X,)),
        Case("not", jnp.invert, (M,)),
        Case("popcnt", lax.population_count, (M,)),
        Case("count_leading_zeros", lax.clz, (M,)),
        Case("compare", lambda x, y: (x < y, x == y, x >= y), (X, Y)),
        Case("compare", lambda x, y: (x > y) ^ (x != y), (M, N)),
        Case("select", lambda x, y: jnp.where(x > y, x, y * 2), (X, Y)),
        Case("select", lambda x, y: lax.select(x[0, 0] > 0, x, y), (X, Y)),
        Case("clamp", lambda x: lax.clamp(-0.5, x, 0.5), (X,)),
        Case("convert", lambda x: (x * 3).astype(jnp.int32), (X,)),
        Case("convert", lambda x: x.astype(jnp.bfloat16), (X,)),
        Case("convert", lambda x: (x > 0).astype(jnp.float32), (M,)),
        Case("bitcast_convert", lambda x: lax.bitcast_convert_type(x, jnp.int32), (X,)),
        Case("optimization_barrier", lambda x: lax.optimization_barrier(x * 2) + 1, (X,)),
    ]


def _views() -> list[Case]:
    return [
        Case("broadcast_in_dim", lambda x: x[:, None, :] + jnp.zeros((3, 5, 4)), (X,)),
        Case("reshape", lambda x: x.reshape(2, 6) + 1, (X,)),
        Case("transpose", lambda x: x.T * 2, (X,)),
        Case("transpose", lambda x: x.T.reshape(3, 4), (X,)),
        Case("slice", lambda x: x[1:, ::2] - 1, (X,)),
        Case("reverse", lambda x: x[::-1, ::-1] + x, (X,)),
        Case("iota", lambda x: x + lax.broadcasted_iota(jnp.float32, (3, 4), 1), (X,)),
        Case("iota", lambda x: x * jnp.arange(4, dtype=jnp.float32)[::-1], (X,)),
        Case("constant", lambda x: x * np.array([1, 2, 3, 5], np.float32), (X,)),
    ]


def _movement() -> list[Case]:
    return [
        Case("concatenate", lambda x, y: jnp.concatenate([x, y * 2, x], 1), (X, Y)),
        Case("pad", lambda x: lax.pad(x, 1.5, [(1, 2, 0), (-1, 0, 2)]), (X,)),
        Case("dynamic_slice", lambda x, i: lax.dynamic_slice(x, (i, i), (2, 2)),
             (X, np.int32(2))),
        Case("dynamic_update_slice",
             lambda x, y, i: lax.dynamic_update_slice(x, y[:2, :2], (i, 0)), (X, Y, np.int32(1))),
        Case("gather", lambda x, i: x[i], (X, np.array([2, 0, 1, 1], np.int32))),
        Case("gather", lambda x, i: jnp.take_along_axis(x, i, axis=1), (X, np.abs(N) % 4)),
    ]


def _contractions() -> list[Case]:
    return [
        Case("dot_general", jnp.matmul, (X, Y.T)),
        Case("dot_general", jnp.matmul, (M.astype(np.int8), N.T.astype(np.int8))),
        Case("dot_general", lambda x, y: jnp.einsum("bhqd,bkhd->bhqk", x, y),
             (floats(2, 3, 4, 5), floats(2, 6, 3, 5))),
        Case("dot_general", lambda x, y: lax.dot_general(
            x, y, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32),
            (X.astype(BF16), Y.astype(BF16))),
        Case("convolution", lambda x, k: lax.conv_general_dilated(
            x, k, (1, 1), "SAME", dimension_numbers=NHWC), (IMAGE, KERNEL)),
        Case("convolution", lambda x, k: lax.conv_general_dilated(
            x, k, (2, 3), [(2, 1), (0, 1)], rhs_dilation=(2, 1), dimension_numbers=NHWC),
            (IMAGE, KERNEL)),
        Case("convolution", lambda x, k: lax.conv_general_dilated(
            x, k, (1, 2), [(1, 1), (1, 2)], lhs_dilation=(2, 3), dimension_numbers=NHWC),
            (IMAGE, KERNEL)),
        Case("convolution", lambda x, k: lax.conv_general_dilated(
            x, k, (1, 1), "VALID", dimension_numbers=NHWC, feature_group_count=2),
            (IMAGE, floats(3, 2, 2, 6))),
        Case("convolution", lambda x, k: lax.conv_general_dilated(x, k, (2,), "VALID"),
             (floats(2, 3, 7), floats(4, 3, 3))),
    ]


def _reductions() -> list[Case]:
    return [
        Case("reduce", lambda x: (x.sum(0), x.max(1), x.min(), jnp.prod(x, 1)), (X,)),
        Case("reduce", lambda x: (jnp.any(x > 3, 0), jnp.all(x > -3, 1)), (M,)),
        Case("reduce", lambda x: (jnp.argmax(x, 1), jnp.argmin(x, 0)), (X,)),
        Case("reduce", lambda x: jnp.argmax(x, 0), (np.array([[1, 5], [5, 5], [9, 2]], np.int32),)),
        Case("reduce", lambda x: jnp.argmax(x, 1), (NANS,)),
        Case("reduce_window", lambda x: lax.reduce_window(
            x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME"), (IMAGE,)),
        Case("reduce_window", lambda x: lax.reduce_window(
            x, 0.0, lax.add, (1, 3, 2, 1), (1, 1, 2, 1), [(0, 0), (1, 1), (0, 1), (0, 0)],
            window_dilation=(1, 2, 1, 1)), (IMAGE,)),
        Case("reduce_window", lambda x: jnp.cumsum(x, 0), (X,)),
    ]


def _control() -> list[Case]:
    def repeat(x: Any) -> Any:
        return lax.while_loop(lambda c: c[1].sum() < 50, lambda c: (c[0] + 1, c[1] * 2),
                              (0, jnp.abs(x)))
    return [
        Case("while", repeat, (X,)),
        Case("while", lambda x: lax.fori_loop(0, 4, lambda i, c: c.T.reshape(3, 4) + i, x), (X,)),
        Case("while", lambda x, y: lax.fori_loop(
            0, 3, lambda _, c: (c[1], c[0] + c[1]), (x, y)), (X, Y)),
        Case("case", lambda x, i: lax.cond(i > 0, lambda v: v * 2, lambda v: v.T.reshape(3, 4), x),
             (X, np.int32(1))),
        Case("case", lambda x, i: lax.switch(i, [lambda v: v, lambda v: -v, jnp.tanh], x),
             (X, np.int32(7))),
    ]


def _layers() -> list[Case]:
    def attention(x: Any, w: Any) -> Any:
        q, k, v = jnp.split(x @ w, 3, axis=-1)
        return jax.nn.softmax(q @ k.T / np.sqrt(4).astype(np.float32)) @ v

    def normalised(x: Any) -> Any:
        mean = x.mean(-1, keepdims=True)
        return (x - mean) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)

    return [
        Case("dot_general", lambda x, w, b: jax.nn.relu(x @ w + b),
             (X, floats(4, 5), floats(5))),
        Case("dot_general", attention, (X, floats(4, 12))),
        Case("reduce", normalised, (X,)),
        Case("erfc", lambda x: jax.nn.gelu(x, approximate=False), (X,)),
        Case("tanh", jax.nn.gelu, (X,)),
        Case("exponential", jax.nn.log_softmax, (X,)),
        Case("reduce", lambda x: (x - x.max(0)) / x.std(0), (X,)),
    ]


CASES = (_elementwise() + _views() + _movement() + _contractions() + _reductions() + _control()
         + _layers())
