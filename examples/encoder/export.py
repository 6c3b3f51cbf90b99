"""Exports a transformer encoder block with random weights: `python -m examples.encoder.export`."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examples.export import export

SEED = 2024
TOKENS = 64
WIDTH = 128
HEADS = 4
HIDDEN = 512


def weights() -> list[Any]:
    """bfloat16 matrices, float32 biases, scales and shifts, in the order `block` takes them."""
    shapes = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, HIDDEN), (HIDDEN, WIDTH)]
    keys = iter(jax.random.split(jax.random.key(SEED), 12))
    arrays: list[Any] = []
    for rows, columns in shapes:
        matrix = jax.random.normal(next(keys), (rows, columns)) / np.sqrt(rows)
        arrays += [matrix.astype(jnp.bfloat16), 0.1 * jax.random.normal(next(keys), (columns,))]
    for _ in range(2):
        arrays += [1 + 0.1 * jax.random.normal(next(keys), (WIDTH,)),
                   0.1 * jax.random.normal(next(keys), (WIDTH,))]
    return arrays


def dense(x: Any, matrix: Any, bias: Any) -> Any:
    product = jnp.dot(x.astype(jnp.bfloat16), matrix, preferred_element_type=jnp.float32)
    return product + bias


def layer_norm(x: Any, scale: Any, shift: Any) -> Any:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-5) * scale + shift


def attention(x: Any, projection: Any, bias: Any) -> Any:
    """Multi-head self-attention: (TOKENS, WIDTH) to (TOKENS, WIDTH), before the output matrix."""
    heads = dense(x, projection, bias).astype(jnp.bfloat16)
    query, key, value = heads.reshape(TOKENS, 3, HEADS, WIDTH // HEADS).transpose(1, 2, 0, 3)
    scores = jnp.einsum("hqd,hkd->hqk", query, key, preferred_element_type=jnp.float32)
    shares = jax.nn.softmax(scores / np.float32(np.sqrt(WIDTH // HEADS)), axis=-1)
    mixed = jnp.einsum("hqk,hkd->hqd", shares.astype(jnp.bfloat16), value,
                       preferred_element_type=jnp.float32)
    return mixed.transpose(1, 0, 2).reshape(TOKENS, WIDTH)


def block(batch: Any, *parameters: Any) -> Any:
    """float32 (1, TOKENS, WIDTH) to the same: pre-norm attention and a gelu network, residuals."""
    wqkv, bqkv, wo, bo, w1, b1, w2, b2, scale1, shift1, scale2, shift2 = parameters
    x = batch[0]
    x = x + dense(attention(layer_norm(x, scale1, shift1), wqkv, bqkv), wo, bo)
    hidden = jax.nn.gelu(dense(layer_norm(x, scale2, shift2), w1, b1), approximate=True)
    return (x + dense(hidden, w2, b2))[None]


def main() -> None:
    inputs = np.asarray(jax.random.normal(jax.random.key(SEED + 1), (2, TOKENS, WIDTH)))
    export(Path(__file__).parent, block, inputs, weights(), batch=1)


if __name__ == "__main__":
    main()
