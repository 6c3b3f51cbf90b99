"""A Llama-style block (Touvron et al. 2023): RMSNorm, RoPE, grouped-query attention, SwiGLU."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.networks.layers import Draw
from benchmarks.networks.network import Array, Network

EPSILON = 1e-5


@dataclass(frozen=True)
class Shape:
    """Sizes of a block; the default is Llama 3.2 1B."""

    width: int = 2048
    heads: int = 32
    kv_heads: int = 8
    size: int = 64
    """Of a head."""
    hidden: int = 8192
    base: float = 500000.0
    """Of the rotary angles."""

    def params(self, draw: Draw) -> dict[str, Array]:
        """Matrices without biases, in bfloat16; scales in float32."""
        def matrix(inputs: int, outputs: int) -> Array:
            return draw.normal(inputs, outputs, std=float(1 / np.sqrt(inputs)))

        queries, keys = self.heads * self.size, self.kv_heads * self.size
        return {"norm1": draw.uniform(self.width, 0.9, 1.1), "query": matrix(self.width, queries),
                "key": matrix(self.width, keys), "value": matrix(self.width, keys),
                "out": matrix(queries, self.width), "norm2": draw.uniform(self.width, 0.9, 1.1),
                "gate": matrix(self.width, self.hidden), "up": matrix(self.width, self.hidden),
                "down": matrix(self.hidden, self.width)}


def prefill(tokens: int = 128, shape: Shape | None = None, batch: int = 1) -> Network:
    """(batch, tokens, width) to the same, and the keys and values; 7.8 GMAC by default."""
    shape = shape or Shape()
    draw = Draw(7)
    params = shape.params(draw)

    def forward(params: Any, x: Any) -> tuple[Any, Any, Any]:
        query, key, value = projections(params, x, jnp.arange(x.shape[1]), shape)
        allowed = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
        return rest_of_block(params, x, grouped_attention(query, key, value, allowed)), key, value

    return Network(name="llama_prefill", function=forward, params=params,
                   inputs=[draw.normal(batch, tokens, shape.width)])


def decode(cached: int = 512, shape: Shape | None = None, batch: int = 1) -> Network:
    """One row (batch, 1, width), its position and donated caches to the block's result and caches.

    Keys and values are (batch, kv_heads, cached, size); the new row is the last.
    """
    shape = shape or Shape()
    draw = Draw(8)
    params = shape.params(draw)
    keys, values = (draw.normal(batch, shape.kv_heads, cached, shape.size) for _ in range(2))

    def forward(params: Any, x: Any, position: Any, keys: Any, values: Any) -> Any:
        query, key, value = projections(params, x, position[None], shape)
        keys = jax.lax.dynamic_update_slice(keys, key, (0, 0, position, 0))
        values = jax.lax.dynamic_update_slice(values, value, (0, 0, position, 0))
        allowed = jnp.arange(cached) <= position
        return rest_of_block(params, x, grouped_attention(query, keys, values, allowed)), \
            keys, values

    position = np.array(cached - 1, np.int32)
    return Network(name="llama_decode", function=forward, params=params,
                   inputs=[draw.normal(batch, 1, shape.width), position, keys, values],
                   donated=(2, 3),
                   untouched_bytes=(keys.nbytes + values.nbytes) * (cached - 1) // cached)


def rms_norm(scale: Any, x: Any) -> Any:
    """Over the last dimension, in float32."""
    wide = x.astype(jnp.float32)
    square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    return (wide * jax.lax.rsqrt(square + EPSILON) * scale).astype(x.dtype)


def rotate(x: Any, positions: Any, base: float) -> Any:
    """Rotary position embedding of (batch, heads, tokens, size): pairs are half a head apart."""
    half = x.shape[-1] // 2
    frequency = base ** (-np.arange(half, dtype=np.float32) / half)
    angle = positions[:, None].astype(jnp.float32) * frequency
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def projections(params: Any, x: Any, positions: Any, shape: Shape) -> tuple[Any, Any, Any]:
    """Queries (batch, heads, tokens, size), keys and values (batch, kv_heads, tokens, size)."""
    normed = rms_norm(params["norm1"], x)
    batch, tokens, _ = x.shape
    query, key, value = (
        (normed @ params[name]).reshape(batch, tokens, -1, shape.size).transpose(0, 2, 1, 3)
        for name in ("query", "key", "value"))
    return rotate(query, positions, shape.base), rotate(key, positions, shape.base), value


def grouped_attention(query: Any, key: Any, value: Any, allowed: Any) -> Any:
    """Each key head serves a group of query heads; result (batch, tokens, heads * size)."""
    batch, heads, tokens, size = query.shape
    grouped = query.reshape(batch, key.shape[1], -1, tokens, size)
    scores = jnp.einsum("bkgqd,bktd->bkgqt", grouped, key).astype(jnp.float32)
    scores = jnp.where(allowed, scores / np.float32(np.sqrt(size)), jnp.finfo(jnp.float32).min)
    shares = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    mixed = jnp.einsum("bkgqt,bktd->bkgqd", shares, value).reshape(batch, heads, tokens, size)
    return mixed.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * size)


def rest_of_block(params: Any, x: Any, mixed: Any) -> Any:
    """Output matrix and gated network, each added to the residual."""
    x = x + mixed @ params["out"]
    normed = rms_norm(params["norm2"], x)
    return x + (jax.nn.silu(normed @ params["gate"]) * (normed @ params["up"])) @ params["down"]
