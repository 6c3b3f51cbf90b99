"""GPT-2 small (Radford et al. 2019): prefill of a prompt, and one decoding step with a cache."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.networks.layers import (
    Draw,
    attention,
    dense,
    layer_norm,
    merge_heads,
    split_heads,
)
from benchmarks.networks.network import Network

WIDTH, LAYERS, HEADS, VOCABULARY, POSITIONS = 768, 12, 12, 50257, 1024


def _params(draw: Draw, width: int, layers: int, vocabulary: int, positions: int) -> Any:
    gain = 1 / (2 * layers)  # of what a layer adds to the residual, as in the paper

    def layer() -> Any:
        return {"norm1": draw.norm(width), "qkv": draw.dense(width, 3 * width),
                "out": draw.dense(width, width, gain), "norm2": draw.norm(width),
                "up": draw.dense(width, 4 * width), "down": draw.dense(4 * width, width, gain)}

    return {"word": draw.normal(vocabulary, width, std=0.05),
            "position": draw.normal(positions, width, std=0.05),
            "layers": [layer() for _ in range(layers)], "norm": draw.norm(width)}


def prefill(tokens: int = 128, width: int = WIDTH, layers: int = LAYERS, heads: int = HEADS,
            vocabulary: int = VOCABULARY, positions: int = POSITIONS, batch: int = 1) -> Network:
    """Token numbers (batch, tokens) to logits of the last one, and every key and value.

    85 M weights in layers and 39 M in the head: 11.2 GMAC with attention.
    """
    draw = Draw(5)
    params = _params(draw, width, layers, vocabulary, positions)

    def forward(params: Any, ids: Any) -> tuple[Any, Any]:
        x = params["word"][ids] + params["position"][: ids.shape[1]]
        allowed = jnp.tril(jnp.ones((ids.shape[1], ids.shape[1]), bool))
        caches = []
        for layer in params["layers"]:
            query, key, value = projections(layer, x, heads)
            caches.append((key, value))
            x = rest_of_layer(layer, x, attention(query, key, value, allowed))
        return logits(params, x[:, -1]), caches

    return Network(name="gpt2_prefill", function=forward, params=params,
                   inputs=[draw.tokens(batch, tokens, vocabulary=vocabulary)],
                   untouched_bytes=(positions - tokens) * 2 * width)


def decode(cached: int = 512, width: int = WIDTH, layers: int = LAYERS, heads: int = HEADS,
           vocabulary: int = VOCABULARY, positions: int = POSITIONS, batch: int = 1) -> Network:
    """One token (batch, 1), its position (an int32 scalar) and caches to logits and the caches.

    A cache is (batch, heads, cached, size), a key and a value cache for each layer, donated. The
    new token takes the last row, so that attention spans `cached` tokens.
    """
    draw = Draw(6)
    params = _params(draw, width, layers, vocabulary, positions)
    shape = (batch, heads, cached, width // heads)
    caches = [draw.normal(*shape) for _ in range(2 * layers)]
    token = draw.tokens(batch, 1, vocabulary=vocabulary)
    position = np.array(cached - 1, np.int32)
    # The new rows replace what is not read, so a cache costs its size read and one row written.
    kept = sum(cache.nbytes for cache in caches) * (cached - 1) // cached

    def forward(params: Any, token: Any, position: Any, *caches: Any) -> tuple[Any, Any]:
        x = params["word"][token] + jax.lax.dynamic_slice_in_dim(params["position"], position, 1)
        allowed = jnp.arange(cached) <= position
        updated = []
        for number, layer in enumerate(params["layers"]):
            query, key, value = projections(layer, x, heads)
            keys = jax.lax.dynamic_update_slice(
                caches[2 * number], key, (0, 0, position, 0))
            values = jax.lax.dynamic_update_slice(
                caches[2 * number + 1], value, (0, 0, position, 0))
            updated += [keys, values]
            x = rest_of_layer(layer, x, attention(query, keys, values, allowed))
        return logits(params, x[:, -1]), updated

    return Network(name="gpt2_decode", function=forward, params=params,
                   inputs=[token, position, *caches], donated=tuple(range(2, 2 + 2 * layers)),
                   untouched_bytes=kept + (positions - 1) * 2 * width)


def projections(params: Any, x: Any, heads: int) -> list[Any]:
    """(batch, tokens, width) to queries, keys and values (batch, heads, tokens, size)."""
    qkv = dense(params["qkv"], layer_norm(params["norm1"], x))
    return [split_heads(part, heads) for part in jnp.split(qkv, 3, axis=-1)]


def rest_of_layer(params: Any, x: Any, mixed: Any) -> Any:
    """Everything after attention."""
    x = x + dense(params["out"], merge_heads(mixed))
    hidden = dense(params["up"], layer_norm(params["norm2"], x))
    return x + dense(params["down"], jax.nn.gelu(hidden, approximate=True))


def logits(params: Any, x: Any) -> Any:
    """(batch, width) to (batch, vocabulary), with the embedding's matrix."""
    return layer_norm(params["norm"], x) @ params["word"].T
