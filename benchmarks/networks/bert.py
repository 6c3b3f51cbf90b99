"""BERT-base encoder (Devlin et al. 2018): embeddings, post-norm layers, pooler."""

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

EPSILON = 1e-12


def bert(tokens: int = 128, layers: int = 2, width: int = 768, heads: int = 12,
         hidden: int = 3072, vocabulary: int = 30522, positions: int = 512,
         batch: int = 1) -> Network:
    """Token numbers and a mask, both int32 (batch, tokens), to hidden states and pooled output.

    Two of the twelve identical layers by default; a layer of 128 tokens is 0.93 GMAC.
    """
    draw = Draw(4)
    params = {
        "word": draw.normal(vocabulary, width), "position": draw.normal(positions, width),
        "type": draw.normal(2, width), "norm": draw.norm(width),
        "layers": [_layer(draw, width, hidden) for _ in range(layers)],
        "pooler": draw.dense(width, width)}
    ids = draw.tokens(batch, tokens, vocabulary=vocabulary)
    mask = np.ones((batch, tokens), np.int32)
    mask[:, -tokens // 8:] = 0  # the last eighth is padding
    row = 2 * width
    rows_read = len(np.unique(ids)) + tokens + 1
    unread = (vocabulary + positions + 2 - rows_read) * row

    def forward(params: Any, ids: Any, mask: Any) -> tuple[Any, Any]:
        x = params["word"][ids] + params["position"][: ids.shape[1]] + params["type"][0]
        x = layer_norm(params["norm"], x, EPSILON)
        allowed = (mask != 0)[:, None, None, :]
        for layer in params["layers"]:
            x = encoder_layer(layer, x, allowed, heads)
        return x, jnp.tanh(dense(params["pooler"], x[:, 0]))

    return Network(name="bert_base", function=forward, params=params, inputs=[ids, mask],
                   untouched_bytes=unread)


def _layer(draw: Draw, width: int, hidden: int) -> Any:
    return {"query": draw.dense(width, width), "key": draw.dense(width, width),
            "value": draw.dense(width, width), "out": draw.dense(width, width),
            "norm1": draw.norm(width), "up": draw.dense(width, hidden),
            "down": draw.dense(hidden, width), "norm2": draw.norm(width)}


def encoder_layer(params: Any, x: Any, allowed: Any, heads: int) -> Any:
    """(batch, tokens, width) to the same; `allowed` is true for keys that are no padding."""
    query, key, value = (split_heads(dense(params[name], x), heads)
                         for name in ("query", "key", "value"))
    mixed = merge_heads(attention(query, key, value, allowed))
    x = layer_norm(params["norm1"], x + dense(params["out"], mixed), EPSILON)
    hidden = jax.nn.gelu(dense(params["up"], x), approximate=False)
    return layer_norm(params["norm2"], x + dense(params["down"], hidden), EPSILON)
