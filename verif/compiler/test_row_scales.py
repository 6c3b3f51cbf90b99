"""Fast math: normalisations before a product that need no pass over the product's left factor."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from compiler.frontend import Model, load
from compiler.ir.loops import Contraction, analyse
from compiler.ir.ops import HloOp, main_function
from compiler.ir.types import tensor_of
from compiler.passes import optimise
from compiler.reference import evaluate
from verif.compiler.models import Array, export, floats, jax

jnp = jax.numpy
BF16 = ml_dtypes.bfloat16
ROWS, K, COLUMNS = 24, 64, 40
WEIGHTS = {"arg1": floats(K, COLUMNS, seed=1, dtype=BF16) / BF16(8),
           "arg2": floats(K, seed=2) / 4 + 1, "arg3": floats(K, seed=3)}


def centred(x: Any) -> tuple[Any, Any]:
    wide = x.astype(np.float32)
    normal = wide - wide.mean(-1, keepdims=True)
    return normal, jax.lax.rsqrt(jnp.square(normal).mean(-1, keepdims=True) + 1e-6)


def layer_norm(x: Any, w: Any, scale: Any, shift: Any) -> Any:
    normal, deviation = centred(x)
    return (normal * deviation * scale + shift).astype(BF16) @ w


def scales_first(x: Any, w: Any, scale: Any, shift: Any) -> Any:
    """As Flax multiplies."""
    normal, deviation = centred(x)
    return (normal * (deviation * scale) + shift).astype(BF16) @ w


def rms_norm(x: Any, w: Any, scale: Any, shift: Any) -> Any:
    wide = x.astype(np.float32)
    deviation = jax.lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + 1e-6)
    return (wide * deviation * scale).astype(BF16) @ w + shift[:COLUMNS].astype(BF16)


def softmax(x: Any, w: Any, scale: Any, shift: Any) -> Any:
    return jax.nn.softmax(x.astype(np.float32), axis=-1).astype(BF16) @ w \
        + (scale[:COLUMNS] + shift[:COLUMNS]).astype(BF16)


def kept(x: Any, w: Any, scale: Any, shift: Any) -> Any:
    """What is normalised is needed itself."""
    normal, deviation = centred(x)
    y = (normal * deviation * scale + shift).astype(BF16)
    return y @ w, y


def optimised(function: Callable[..., Any], x: Array, bind: dict[str, Array]) -> Model:
    model = load(export(function, x, *WEIGHTS.values()), bind=bind)
    optimise(model.module, relaxed=True)
    return model


def product(model: Model) -> Contraction:
    found = [analyse(op) for op in main_function(model.module).body.block.ops
             if isinstance(op, HloOp) and op.kind == "fused" and op.attrs["kind"] == "dot_general"]
    (contraction,) = found
    assert isinstance(contraction, Contraction)
    return contraction


def passes(model: Model, x: Array) -> int:
    """Results as large as x that groups compute."""
    return sum(tensor_of(result).shape == x.shape
               for op in main_function(model.module).body.block.ops
               if isinstance(op, HloOp) and op.kind == "fused" for result in op.results)


def exact(function: Callable[..., Any], x: Array) -> Array:
    """In f32, of the same numbers."""
    wide = [np.asarray(a, np.float32) for a in (x, *WEIGHTS.values())]
    return np.asarray(jax.jit(function)(*wide), np.float32)


@pytest.mark.parametrize("offset", [0, 8])
@pytest.mark.parametrize("function", [layer_norm, scales_first, rms_norm])
def test_the_product_reads_what_is_normalised(function: Callable[..., Any], offset: int) -> None:
    x = (floats(ROWS, K) + offset).astype(BF16)
    model = optimised(function, x, WEIGHTS)
    assert product(model).lhs.value is main_function(model.module).body.block.args[0]
    assert passes(model, x) == 0
    (result,) = evaluate(model.module, [x])
    error = np.abs(np.asarray(result, np.float32) - exact(function, x)).max()
    # x itself is a bf16 number: a mean of 8 deviations costs three bits of it.
    assert error <= (0.1 if offset else 0.03)


def test_softmax_is_divided_after_the_product() -> None:
    x = floats(ROWS, K, dtype=BF16)
    model = optimised(softmax, x, WEIGHTS)
    assert passes(model, x) == 1  # the exponentials
    (result,) = evaluate(model.module, [x])
    np.testing.assert_allclose(np.asarray(result, np.float32), exact(softmax, x), atol=0.03)


@pytest.mark.parametrize(("function", "rows", "bound"), [
    (kept, ROWS, True), (layer_norm, ROWS, False), (layer_norm, 4, True)],
    ids=["used_elsewhere", "weights_not_known", "few_rows"])
def test_other_products_multiply_what_is_normalised(function: Callable[..., Any], rows: int,
                                                    bound: bool) -> None:
    x = floats(rows, K, dtype=BF16)
    model = optimised(function, x, WEIGHTS if bound else {})
    assert product(model).lhs.value is not main_function(model.module).body.block.args[0]


def test_a_mean_of_something_else_is_subtracted() -> None:
    def function(x: Any, w: Any, scale: Any, shift: Any) -> Any:
        normal, deviation = centred(x)
        wide = x.astype(np.float32)
        return ((wide - jnp.square(wide).mean(-1, keepdims=True)) * deviation * scale
                + shift + 0 * normal).astype(BF16) @ w

    x = floats(ROWS, K, dtype=BF16)
    model = optimised(function, x, WEIGHTS)
    (result,) = evaluate(model.module, [x])
    np.testing.assert_allclose(np.asarray(result, np.float32), exact(function, x), atol=0.1)
