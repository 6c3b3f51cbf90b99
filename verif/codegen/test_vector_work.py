"""Vector instructions of what networks spend them on: how many, and that fusing changes no bit."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from compiler.codegen.context import Context
from compiler.pipeline import Options, compile_module
from hw.config import DEFAULT, TINY
from verif.codegen.harness import execute, run
from verif.compiler.models import Array, export, floats, jax

jnp, lax = jax.numpy, jax.lax
BF16 = ml_dtypes.bfloat16


def batch_norm(x: Any, mean: Any, variance: Any, scale: Any, offset: Any) -> Any:
    return jax.nn.relu((x - mean) * lax.rsqrt(variance + BF16(1e-5)) * scale + offset)


def layer_norm(x: Any, scale: Any, offset: Any) -> Any:
    wide = x.astype(np.float32)
    mean = wide.mean(-1, keepdims=True)
    variance = jnp.square(wide - mean).mean(-1, keepdims=True)
    normal = (wide - mean) / jnp.sqrt(variance + 1e-5)
    return (normal * scale + offset).astype(BF16)


def biased(activation: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x, w, bias: activation(x @ w + bias)


def lstm_cell(i: Any, f: Any, g: Any, o: Any, c: Any) -> Any:
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def lstm_gates(*gates: Any) -> Any:
    """With the state in f32, as mixed precision has it."""
    h, c = lstm_cell(*(x.astype(np.float32) for x in gates))
    return h.astype(BF16), c


def erf_gelu(x: Any) -> Any:
    return jax.nn.gelu(x, approximate=False)


X, VECTOR = (64, 256), (256,)
"""Shapes of the operands; numbers of vectors are positive."""
CASES: dict[str, tuple[Callable[..., Any], Sequence[tuple[int, ...]], float]] = {
    "gelu": (erf_gelu, [X], 20),
    "gelu_tanh": (jax.nn.gelu, [X], 24),
    "silu": (jax.nn.silu, [X], 8),
    "sigmoid": (jax.nn.sigmoid, [X], 6),
    "tanh": (jnp.tanh, [X], 9),
    "erf": (lax.erf, [X], 11),
    "relu6": (jax.nn.relu6, [X], 2),
    "hard_swish": (jax.nn.hard_swish, [X], 7),
    "bias_relu": (lambda x, b: jax.nn.relu(x + b), [X, VECTOR], 2),
    "batch_norm": (batch_norm, [X, *4 * [VECTOR]], 8.1),
    "softmax": (lambda x: jax.nn.softmax(x.astype(np.float32), -1).astype(BF16), [X], 7),
    "layer_norm": (layer_norm, [X, VECTOR, VECTOR], 7),
    "divide": (lambda x, y: x / y, [X, X], 2),
    "divide_rows": (lambda x, y: x / y[:, None], [X, (64,)], 1.1),
    "lstm": (lstm_cell, 5 * [X], 50),
    "dense_gelu": (biased(erf_gelu), [X, (256, 256), VECTOR], 23),
    "dense_gelu_tanh": (biased(jax.nn.gelu), [X, (256, 256), VECTOR], 26),
    "dense_silu": (biased(jax.nn.silu), [X, (256, 256), VECTOR], 12),
    "lstm_f32": (lstm_gates, 5 * [X], 43),
    "clipped_difference": (lambda x, y: jnp.clip(-x - y, -1, 1) * -0.5, [X, X], 6),
}


def arguments(shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    made = [floats(*shape, seed=seed, dtype=np.float32) for seed, shape in enumerate(shapes)]
    return [(x * 2 if x.ndim > 1 else abs(x) + 0.1).astype(BF16) for x in made]


@pytest.mark.parametrize("name", CASES)
def test_instructions_of_an_element(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert instructions(name, Options(), monkeypatch) <= CASES[name][2]


FAST = {"gelu": 10, "gelu_tanh": 9, "silu": 5, "sigmoid": 4, "tanh": 5, "batch_norm": 2.1,
        "layer_norm": 6, "hard_swish": 5, "lstm": 28, "lstm_f32": 25, "dense_gelu": 10,
        "dense_gelu_tanh": 10, "dense_silu": 6}
"""Instructions under fast math."""


@pytest.mark.parametrize("name, most", FAST.items())
def test_fast_math_saves_instructions(name: str, most: float, monkeypatch: pytest.MonkeyPatch
                                      ) -> None:
    assert instructions(name, Options(fast_math=True), monkeypatch) <= most


def instructions(name: str, options: Options, monkeypatch: pytest.MonkeyPatch) -> float:
    """Issued for each group of L elements, special functions counted like any other."""
    function, shapes, _ = CASES[name]
    issued = 0
    kernel = Context.kernel

    def counted(self: Context, groups: int, body: Any, *rest: Any, **more: Any) -> None:
        nonlocal issued
        issued += groups * body.issues
        kernel(self, groups, body, *rest, **more)

    monkeypatch.setattr(Context, "kernel", counted)
    compile_module(export(function, *arguments(shapes)), DEFAULT, options)
    return issued / (prod(X) / DEFAULT.lanes)


@pytest.mark.parametrize("name", FAST)
def test_fast_math_is_close(name: str) -> None:
    """To the function in f64, as close as bf16 results of one rounding are."""
    function, shapes, _ = CASES[name]
    operands = arguments([tuple(-(-n // 4) for n in shape) for shape in shapes])
    program = compile_module(export(function, *operands), TINY, Options(fast_math=True))
    with jax.enable_x64(True):
        exact = jax.tree.leaves(function(*(jnp.asarray(x.astype(np.float64)) for x in operands)))
    for got, expected in zip(execute(program, operands), exact, strict=True):
        np.testing.assert_allclose(got.astype(np.float64), np.asarray(expected, np.float64),
                                   rtol=2.0**-6, atol=2.0**-7)


@pytest.mark.parametrize("name", CASES)
def test_fusion_changes_no_bit(name: str) -> None:
    function, shapes, _ = CASES[name]
    small = [tuple(-(-n // 8) for n in shape) for shape in shapes]
    operands = arguments(small)
    for x in operands:
        if x.shape == small[0] and len(shapes) < 3:
            x[0, :8] = [np.nan, np.inf, -np.inf, 0, -0.0, 3e38, -3e38, 1.2e-38]
    first, *others = [run(function, operands, fusion=level)
                      for level in ("full", "elementwise", "none")]
    for results in others:
        for got, expected in zip(results, first, strict=True):
            np.testing.assert_array_equal(got.view(np.uint16), expected.view(np.uint16))


@pytest.mark.parametrize("name", ["gelu", "tanh", "softmax"])
def test_software_functions_change_no_bit(name: str) -> None:
    function, shapes, _ = CASES[name]
    operands = arguments([tuple(-(-n // 8) for n in shape) for shape in shapes])
    (expected,), (got,) = (run(function, operands, config) for config in ("tiny", "tiny-nosfu"))
    np.testing.assert_array_equal(got.view(np.uint16), expected.view(np.uint16))
