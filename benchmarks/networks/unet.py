"""A block of a diffusion U-Net: DDPM (Ho et al. 2020), the 16x16 level with attention."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.networks.layers import EPSILON, Draw, attention, conv, dense
from benchmarks.networks.network import Network


def unet_block(size: int = 16, channels: int = 256, heads: int = 1, groups: int = 32,
               batch: int = 1) -> Network:
    """An image (batch, size, size, channels) and its time step (batch,) int32 to the same shape.

    Residual block with time embedding, then self-attention over the pixels: 0.40 GMAC by default.
    """
    draw = Draw(10)
    embedding = 2 * channels

    def layer(gain: float = 2.0) -> Any:
        filters = draw.normal(3, 3, channels, channels, std=float(np.sqrt(gain / 9 / channels)))
        return {"norm": draw.norm(channels), "filters": filters,
                "bias": draw.normal(channels, std=0.02)}

    params = {
        "time1": draw.dense(channels // 2, embedding),
        "time2": draw.dense(embedding, embedding),
        "time3": draw.dense(embedding, channels), "conv1": layer(), "conv2": layer(),
        "norm": draw.norm(channels), "out": draw.dense(channels, channels),
        **{name: draw.dense(channels, channels) for name in ("query", "key", "value")}}

    def forward(params: Any, image: Any, time: Any) -> Any:
        embedded = time_embedding(params, time, channels // 2, image.dtype)
        x = residual_block(params, image, embedded, groups)
        return attention_block(params, x, heads, groups)

    return Network(name="unet_block", function=forward, params=params,
                   inputs=[draw.normal(batch, size, size, channels),
                           draw.tokens(batch, vocabulary=1000)])


def group_norm(params: Any, x: Any, groups: int) -> Any:
    """Over the pixels and the channels of a group, in float32."""
    batch, height, width, channels = x.shape
    wide = x.astype(jnp.float32).reshape(batch, height, width, groups, channels // groups)
    mean = jnp.mean(wide, axis=(1, 2, 4), keepdims=True)
    var = jnp.mean(jnp.square(wide - mean), axis=(1, 2, 4), keepdims=True)
    y = ((wide - mean) * jax.lax.rsqrt(var + EPSILON)).reshape(x.shape)
    return (y * params["scale"] + params["bias"]).astype(x.dtype)


def time_embedding(params: Any, time: Any, width: int, dtype: Any) -> Any:
    """Time steps (batch,) to (batch, 4 * width): sines and cosines, then two matrices."""
    half = width // 2
    frequency = np.exp(-np.log(10000.0) * np.arange(half) / half).astype(np.float32)
    angle = time[:, None].astype(jnp.float32) * frequency
    waves = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1).astype(dtype)
    return dense(params["time2"], jax.nn.silu(dense(params["time1"], waves)))


def residual_block(params: Any, x: Any, embedded: Any, groups: int) -> Any:
    """Two normalised 3x3 convolutions around the addition of the time embedding."""
    first, second = params["conv1"], params["conv2"]
    y = jax.nn.silu(group_norm(first["norm"], x, groups))
    y = conv(first["filters"], y) + first["bias"]
    y = y + dense(params["time3"], jax.nn.silu(embedded))[:, None, None, :]
    y = jax.nn.silu(group_norm(second["norm"], y, groups))
    return x + conv(second["filters"], y) + second["bias"]


def attention_block(params: Any, x: Any, heads: int, groups: int) -> Any:
    """Self-attention over the pixels, added to the image."""
    batch, height, width, channels = x.shape
    normed = group_norm(params["norm"], x, groups).reshape(batch, height * width, channels)
    query, key, value = (
        dense(params[name], normed).reshape(batch, height * width, heads, -1).transpose(0, 2, 1, 3)
        for name in ("query", "key", "value"))
    mixed = attention(query, key, value).transpose(0, 2, 1, 3)
    return x + dense(params["out"], mixed.reshape(x.shape))
