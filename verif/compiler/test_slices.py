"""Attention cut by heads: keys and values that are returned are stored once and read on chip."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.networks.traffic import predict
from compiler.pipeline import Options, compile_module
from hw.config import load
from verif.codegen.contraction_reference import random
from verif.codegen.harness import execute
from verif.compiler.models import export


def cached_attention(tokens: int, heads: int, size: int, rng: np.random.Generator,
                     begin: Callable[[Any], Any] = jax.nn.relu) -> Any:
    """A function of (1, tokens, heads * size) to attention, keys and values, by one product.

    Args:
        begin: makes the product's left factor on chip.
    """
    width = heads * size
    weights = random(rng, (width, 3 * width), "bfloat16") * np.float32(width) ** -0.5
    bias = random(rng, (3 * width,), "bfloat16")

    def function(x: Any) -> Any:
        x = begin(x)
        q, k, v = (part.reshape(1, tokens, heads, size).transpose(0, 2, 1, 3) for part in jnp.split(
            x @ weights.astype(x.dtype) + bias, 3, axis=-1))
        scores = jnp.einsum("bhqd,bhkd->bhqk", q, k, preferred_element_type=jnp.float32)
        weighted = jax.nn.softmax(scores, axis=-1).astype(x.dtype)
        return jnp.einsum("bhqk,bhkd->bhqd", weighted, v), k, v

    return function, random(rng, (1, tokens, width), "bfloat16")


@pytest.mark.parametrize(("tokens", "heads", "size"), [(24, 3, 8), (40, 4, 16), (33, 2, 12)])
def test_bits(tokens: int, heads: int, size: int, rng: np.random.Generator) -> None:
    function, x = cached_attention(tokens, heads, size, rng)
    module = export(function, x)
    fused, plain = (execute(compile_module(module, load("tiny"), Options(fusion=level)), [x])
                    for level in ("full", "none"))
    assert [r.tobytes() for r in fused] == [r.tobytes() for r in plain]


def test_cache_is_stored_once(rng: np.random.Generator) -> None:
    function, x = cached_attention(128, 8, 64, rng)
    moved = predict(compile_module(export(function, x), load("default"), Options()), [x])
    assert moved.bytes_written == 3 * x.nbytes  # the result, keys and values
    weights = 3 * 512 * 513 * 2
    assert moved.bytes_read <= 1.05 * (x.nbytes + weights)


def rotary_attention(tokens: int, heads: int, size: int, rng: np.random.Generator) -> Any:
    """A function of queries and keys (tokens, heads * size) to attention after a rotation."""
    def rotate(x: Any) -> Any:
        x = x.reshape(tokens, heads, size).transpose(1, 0, 2)
        first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
        turned = [first * 0.6 - second * 0.8, second * 0.6 + first * 0.8]
        return jnp.concatenate(turned, axis=-1).astype(x.dtype)

    def function(queries: Any, keys: Any) -> Any:
        q, k = map(rotate, (queries, keys))
        scores = jnp.einsum("hqd,hkd->hqk", q, k, preferred_element_type=jnp.float32)
        weighted = jax.nn.softmax(scores, axis=-1).astype(q.dtype)
        return jnp.einsum("hqk,hkd->hqd", weighted, k)

    return function, [random(rng, (tokens, heads * size), "bfloat16") for _ in range(2)]


@pytest.mark.parametrize(("tokens", "heads", "size"), [(64, 8, 32), (40, 4, 16), (72, 6, 40)])
def test_bits_of_what_is_made_slice_by_slice(tokens: int, heads: int, size: int,
                                             rng: np.random.Generator) -> None:
    function, inputs = rotary_attention(tokens, heads, size, rng)
    module = export(function, *inputs)
    fused, plain = (execute(compile_module(module, load("tiny"), Options(fusion=level)), inputs)
                    for level in ("full", "none"))
    assert fused[0].tobytes() == plain[0].tobytes()


def test_what_is_too_large_is_made_slice_by_slice(rng: np.random.Generator) -> None:
    """Rotated queries and keys do not go through DRAM; both are larger than the scratchpad."""
    function, inputs = rotary_attention(64, 8, 32, rng)
    module = export(function, *inputs)
    moved = predict(compile_module(module, load("tiny"), Options()), inputs)
    assert moved.bytes_written == inputs[0].nbytes


def test_argument_is_not_loaded_for_each_head(rng: np.random.Generator) -> None:
    function, x = cached_attention(128, 8, 64, rng, begin=lambda x: x)
    moved = predict(compile_module(export(function, x), load("default"), Options()), [x])
    assert moved.bytes_read <= 1.05 * (8 * x.nbytes + 3 * 512 * 513 * 2)


def grouped_attention(tokens: int, groups: int, size: int, rng: np.random.Generator) -> Any:
    """A function of queries, keys and values, with `groups` query heads for each of two keys."""
    def function(queries: Any, keys: Any, values: Any) -> Any:
        scores = jnp.einsum("hgqd,hkd->hgqk", queries, keys, preferred_element_type=jnp.float32)
        weighted = jax.nn.softmax(scores, axis=-1).astype(queries.dtype)
        return jnp.einsum("hgqk,hkd->hgqd", weighted, values)

    shared = 2, tokens, size
    return function, [random(rng, shape, "bfloat16") for shape in (
        (2, groups, tokens, size), shared, shared)]


def test_query_heads_load_the_keys_they_share_once(rng: np.random.Generator) -> None:
    function, inputs = grouped_attention(128, 4, 64, rng)
    moved = predict(compile_module(export(function, *inputs), load("default"), Options()), inputs)
    assert moved.bytes_read <= 1.05 * sum(x.nbytes for x in inputs)


def test_bits_of_query_heads_with_keys_in_common(rng: np.random.Generator) -> None:
    function, inputs = grouped_attention(32, 3, 16, rng)
    module = export(function, *inputs)
    fused, plain = (execute(compile_module(module, load("tiny"), Options(fusion=level)), inputs)
                    for level in ("full", "none"))
    assert fused[0].tobytes() == plain[0].tobytes()
