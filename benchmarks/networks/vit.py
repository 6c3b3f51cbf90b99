"""ViT-Tiny (Touvron et al. 2021, DeiT-Ti): pre-norm encoder over patches and a class token."""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.networks.layers import (
    Draw,
    attention,
    dense,
    layer_norm,
    merge_heads,
    split_heads,
)
from benchmarks.networks.network import Network

EPSILON = 1e-6


def vit(image: int = 224, patch: int = 16, width: int = 192, depth: int = 12, heads: int = 3,
        classes: int = 1000, batch: int = 1) -> Network:
    """Images (batch, image, image, 3) to logits (batch, classes); timm publishes 1.26 GMAC."""
    draw = Draw(3)
    patches = (image // patch) ** 2
    params = {
        "patch": {"filters": draw.filters(patch, 3, width), "bias": draw.normal(width, std=0.02)},
        "class": draw.normal(1, 1, width, std=0.02),
        "position": draw.normal(1, 1 + patches, width, std=0.02),
        "layers": [_layer(draw, width) for _ in range(depth)],
        "norm": draw.norm(width),
        "head": draw.dense(width, classes)}

    def forward(params: Any, images: Any) -> Any:
        x = embed(params, images, patch)
        for layer in params["layers"]:
            x = encoder_layer(layer, x, heads)
        return dense(params["head"], layer_norm(params["norm"], x[:, 0], EPSILON))

    return Network(name="vit_tiny", function=forward, params=params,
                   inputs=[draw.normal(batch, image, image, 3)])


def _layer(draw: Draw, width: int) -> Any:
    return {"norm1": draw.norm(width), "qkv": draw.dense(width, 3 * width),
            "out": draw.dense(width, width, 0.25), "norm2": draw.norm(width),
            "up": draw.dense(width, 4 * width), "down": draw.dense(4 * width, width, 0.25)}


def embed(params: Any, images: Any, patch: int) -> Any:
    """(batch, image, image, 3) to (batch, 1 + patches, width)."""
    x = jax.lax.conv_general_dilated(
        images, params["patch"]["filters"], (patch, patch), "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC")) + params["patch"]["bias"]
    batch, rows, columns, width = x.shape
    x = x.reshape(batch, rows * columns, width)
    first = jnp.broadcast_to(params["class"], (batch, 1, width))
    return jnp.concatenate([first, x], axis=1) + params["position"]


def encoder_layer(params: Any, x: Any, heads: int) -> Any:
    """(batch, tokens, width) to the same."""
    qkv = dense(params["qkv"], layer_norm(params["norm1"], x, EPSILON))
    query, key, value = (split_heads(part, heads) for part in jnp.split(qkv, 3, axis=-1))
    x = x + dense(params["out"], merge_heads(attention(query, key, value)))
    hidden = dense(params["up"], layer_norm(params["norm2"], x, EPSILON))
    return x + dense(params["down"], jax.nn.gelu(hidden, approximate=False))
