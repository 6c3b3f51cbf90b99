"""Left factors that stay for the next product, and for the product behind a reduction of them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isthmus
from benchmarks.networks.llama import rms_norm
from benchmarks.networks.network import Array
from benchmarks.networks.traffic import predict
from compiler.codegen import lower
from hw.config import TINY
from hw.isa.program import Program
from verif.codegen.harness import execute
from verif.compiler.models import floats

ROWS, WIDTH, COLUMNS = 32, 384, 96
"""The left factor fills most of the scratchpad; the accumulators hold some of the columns."""


def weights(count: int) -> dict[str, Array]:
    scale = np.sqrt(WIDTH).astype(jnp.bfloat16)
    return {f"arg{n + 1}": floats(WIDTH, COLUMNS, seed=n, dtype=jnp.bfloat16) / scale
            for n in range(count)}


def compiled(function: Callable[..., Any], x: Array, bind: dict[str, Array], **options: Any
             ) -> Program:
    text = jax.jit(function).lower(x, *bind.values()).as_text()
    return isthmus.compile(text, config=TINY, bind=bind, **options)


def products(x: Any, *matrices: Any) -> Any:
    return [x @ w for w in matrices]


def normed(x: Any, *matrices: Any) -> Any:
    return products(rms_norm(jnp.ones(WIDTH, jnp.float32), x), *matrices)


def loaded(program: Program, x: Array) -> int:
    return predict(program, [x]).bytes_read


def test_products_in_a_row_load_what_they_share_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, bind = floats(ROWS, WIDTH, dtype=jnp.bfloat16), weights(3)
    shared = compiled(products, x, bind)
    monkeypatch.setattr(lower, "shared_by", lambda *_: {})
    alone = compiled(products, x, bind)
    assert loaded(alone, x) - loaded(shared, x) > x.nbytes
    for a, b in zip(execute(shared, [x]), execute(alone, [x]), strict=True):
        np.testing.assert_array_equal(a.view(np.uint16), b.view(np.uint16))


def test_a_sum_of_squares_brings_the_slabs_of_the_product_behind_it(
        monkeypatch: pytest.MonkeyPatch) -> None:
    x, bind = floats(ROWS, WIDTH, dtype=jnp.bfloat16), weights(2)
    shared = compiled(normed, x, bind, fast_math=True)
    monkeypatch.setattr(lower, "reserve_ahead", lambda *_: None)
    alone = compiled(normed, x, bind, fast_math=True)
    assert loaded(alone, x) - loaded(shared, x) > x.nbytes // 2
    for a, b in zip(execute(shared, [x]), execute(alone, [x]), strict=True):
        np.testing.assert_array_equal(a.view(np.uint16), b.view(np.uint16))


@pytest.mark.parametrize("function", [products, normed])
def test_sharing_changes_no_bit(function: Callable[..., Any]) -> None:
    x, bind = floats(ROWS, WIDTH, dtype=jnp.bfloat16), weights(3)
    fused, unfused = (compiled(function, x, bind, fusion=level) for level in ("full", "none"))
    for a, b in zip(execute(fused, [x]), execute(unfused, [x]), strict=True):
        np.testing.assert_array_equal(a.view(np.uint16), b.view(np.uint16))
