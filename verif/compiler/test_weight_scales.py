"""Fast math: scales of a contraction's result that go into its weights."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from compiler.frontend import Model, load
from compiler.ir.ops import HloOp, main_function
from compiler.passes import optimise
from compiler.reference import evaluate
from verif.compiler.models import Array, export, floats, jax

BF16 = ml_dtypes.bfloat16
SCALE, SHIFT = floats(6, seed=2) / 4 + 1, floats(6, seed=3)


def normalised(y: Any) -> Any:
    """A batch normalisation, as inference has it."""
    return ((y.astype(np.float32) - SHIFT) * SCALE + 1).astype(BF16)


def convolution(x: Any, w: Any, groups: int) -> Any:
    return jax.lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups)


def full(x: Any, w: Any) -> Any:
    return normalised(convolution(x, w, 1))


def depthwise(x: Any, w: Any) -> Any:
    return normalised(convolution(x, w, 6))


def product(x: Any, w: Any) -> Any:
    return normalised(x @ w)


def half(x: Any, w: Any) -> Any:
    return (x @ w).astype(np.float32) * np.float32(0.375)


def used_twice(x: Any, w: Any) -> Any:
    return normalised(x @ w) + (x[:, ::-1] @ w)


def by_row(x: Any, w: Any) -> Any:
    return (x @ w).astype(np.float32) * floats(5, 1, seed=4)


CASES = {
    "convolution": (full, (1, 4, 5, 6), (3, 3, 6, 6)),
    "depthwise": (depthwise, (1, 4, 5, 6), (3, 3, 1, 6)),
    "product": (product, (5, 8), (8, 6)),
    "number": (half, (5, 8), (8, 6)),
}


def rewritten(function: Callable[..., Any], x: Array, w: Array, *, bound: bool = True) -> Model:
    model = load(export(function, x, w), bind={"arg1": w} if bound else {})
    optimise(model.module, relaxed=True)
    return model


def kinds(model: Model) -> list[str]:
    return [op.kind for op in main_function(model.module).walk() if isinstance(op, HloOp)]


@pytest.mark.parametrize("name", CASES)
def test_the_weights_are_scaled(name: str) -> None:
    function, left, right = CASES[name]
    x, w = floats(*left, dtype=BF16), floats(*right, seed=1, dtype=BF16)
    model = rewritten(function, x, w)
    assert "multiply" not in kinds(model)
    (result,) = evaluate(model.module, [x])
    exact = np.asarray(function(x.astype(np.float32), w.astype(np.float32)), np.float32)
    # Products of 54 bf16 numbers at most, rounded to eight bits twice.
    np.testing.assert_allclose(np.asarray(result, np.float32), exact, rtol=0.02, atol=0.1)


@pytest.mark.parametrize(("function", "bound"), [(used_twice, True), (by_row, True),
                                                 (product, False)])
def test_other_scales_stay(function: Callable[..., Any], bound: bool) -> None:
    x, w = floats(5, 8, dtype=BF16), floats(8, 6, seed=1, dtype=BF16)
    model = rewritten(function, x, w, bound=bound)
    assert "multiply" in kinds(model)
    arguments = [x] if bound else [x, w]
    (result,) = evaluate(model.module, arguments)
    exact = np.asarray(function(x.astype(np.float32), w.astype(np.float32)), np.float32)
    np.testing.assert_allclose(np.asarray(result, np.float32), exact, rtol=0.02, atol=0.1)


def test_f16_weights_stay() -> None:
    """Their product with a scale may be no f16 number."""
    def function(x: Any, w: Any) -> Any:
        return jax.numpy.matmul(x, w, preferred_element_type=np.float32) * np.float32(1e6)

    x, w = floats(5, 8, dtype=np.float16), floats(8, 6, seed=1, dtype=np.float16)
    model = rewritten(function, x, w)
    assert "multiply" in kinds(model)
    (result,) = evaluate(model.module, [x])
    assert np.isfinite(result).all()
