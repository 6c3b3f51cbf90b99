"""Layers that several networks share, in the idioms of JAX, and random weights for them.

Activations keep the type of the matrices (bfloat16); normalisations and softmax run in float32.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_dtypes import bfloat16

from benchmarks.networks.network import Array

EPSILON = 1e-5


class Draw:
    """Random weights from one seed, scaled so that activations stay near one."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int, std: float = 1.0) -> Array:
        """bfloat16, of mean zero."""
        return (std * self.rng.standard_normal(shape, np.float32)).astype(bfloat16)

    def uniform(self, length: int, low: float, high: float) -> Array:
        """A float32 vector: parameters of normalisations."""
        return self.rng.uniform(low, high, length).astype(np.float32)

    def dense(self, inputs: int, outputs: int, gain: float = 1.0) -> dict[str, Array]:
        """A matrix that keeps variance times `gain`, and a bias."""
        return {"matrix": self.normal(inputs, outputs, std=float(np.sqrt(gain / inputs))),
                "bias": self.normal(outputs, std=0.02)}

    def filters(self, size: int, inputs: int, outputs: int) -> Array:
        """He's initialisation, (size, size, inputs, outputs); `inputs` are those of a group."""
        return self.normal(size, size, inputs, outputs, std=float(np.sqrt(2 / (size**2 * inputs))))

    def batch_norm(self, channels: int, scale: float = 1.0) -> dict[str, Array]:
        return {"scale": self.uniform(channels, 0.9 * scale, 1.1 * scale),
                "bias": self.uniform(channels, -0.1, 0.1),
                "mean": self.uniform(channels, -0.1, 0.1), "var": self.uniform(channels, 0.8, 1.2)}

    def norm(self, channels: int) -> dict[str, Array]:
        """Scale and bias of a layer or group normalisation."""
        return {"scale": self.uniform(channels, 0.9, 1.1),
                "bias": self.uniform(channels, -0.1, 0.1)}

    def tokens(self, *shape: int, vocabulary: int) -> Array:
        """Token numbers, int32."""
        return self.rng.integers(0, vocabulary, shape, np.int32)


def dense(params: Any, x: Any) -> Any:
    """(..., inputs) to (..., outputs)."""
    return x @ params["matrix"] + params["bias"]


def conv(filters: Any, x: Any, stride: int = 1, groups: int = 1) -> Any:
    """NHWC convolution with the padding that keeps the size at stride 1."""
    pad = filters.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x, filters, (stride, stride), [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups)


def batch_norm(params: Any, x: Any) -> Any:
    """Inference: with the running mean and variance, over the last dimension."""
    y = (x - params["mean"]) * jax.lax.rsqrt(params["var"] + EPSILON)
    return (y * params["scale"] + params["bias"]).astype(x.dtype)


def layer_norm(params: Any, x: Any, epsilon: float = EPSILON) -> Any:
    """Over the last dimension."""
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, axis=-1, keepdims=True)
    var = jnp.mean(jnp.square(wide - mean), axis=-1, keepdims=True)
    y = (wide - mean) * jax.lax.rsqrt(var + epsilon)
    return (y * params["scale"] + params["bias"]).astype(x.dtype)


def split_heads(x: Any, heads: int) -> Any:
    """(batch, tokens, heads * size) to (batch, heads, tokens, size)."""
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, heads, width // heads).transpose(0, 2, 1, 3)


def merge_heads(x: Any) -> Any:
    """(batch, heads, tokens, size) to (batch, tokens, heads * size)."""
    batch, heads, tokens, size = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, tokens, heads * size)


def attention(query: Any, key: Any, value: Any, mask: Any = None) -> Any:
    """Scaled dot products of (batch, heads, tokens, size); `mask` is true where allowed."""
    scores = jnp.einsum("bhqd,bhkd->bhqk", query, key).astype(jnp.float32)
    scores = scores / np.float32(np.sqrt(query.shape[-1]))
    if mask is not None:
        scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
    shares = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("bhqk,bhkd->bhqd", shares, value)


def average_pool(x: Any) -> Any:
    """NHWC to (batch, channels)."""
    return jnp.mean(x, axis=(1, 2))
