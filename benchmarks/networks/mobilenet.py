"""MobileNetV2 (Sandler et al. 2018), width 1.0: inverted residuals with depthwise convolutions."""

from typing import Any

import jax

from benchmarks.networks.layers import Draw, average_pool, batch_norm, conv, dense
from benchmarks.networks.network import Network

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
          (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of the first block: table 2 of the paper."""
STEM = 32
LAST = 1280
RESIDUAL_SCALE = 0.5


def mobilenet_v2(image: int = 224, stages: tuple[tuple[int, int, int, int], ...] = STAGES,
                 last: int = LAST, classes: int = 1000, batch: int = 1) -> Network:
    """Images (batch, image, image, 3) to logits (batch, classes); 0.30 GMAC in the paper."""
    draw = Draw(2)
    blocks, channels = [], STEM
    for expansion, outputs, count, _ in stages:
        for _ in range(count):
            blocks.append(_block(draw, channels, expansion, outputs))
            channels = outputs
    params = {"stem": _conv_norm(draw, 3, 3, STEM), "blocks": blocks,
              "last": _conv_norm(draw, 1, channels, last), "head": draw.dense(last, classes)}
    strides = [stride if number == 0 else 1
               for _, _, count, stride in stages for number in range(count)]

    def forward(params: Any, images: Any) -> Any:
        x = jax.nn.relu6(_apply(params["stem"], images, 2))
        for block, stride in zip(params["blocks"], strides, strict=True):
            x = inverted_residual(block, x, stride)
        x = jax.nn.relu6(_apply(params["last"], x))
        return dense(params["head"], average_pool(x))

    return Network(name="mobilenet_v2", function=forward, params=params,
                   inputs=[draw.normal(batch, image, image, 3)])


def _conv_norm(draw: Draw, size: int, inputs: int, outputs: int, scale: float = 1.0) -> Any:
    return {"filters": draw.filters(size, inputs, outputs),
            "norm": draw.batch_norm(outputs, scale)}


def _block(draw: Draw, inputs: int, expansion: int, outputs: int) -> Any:
    hidden = inputs * expansion
    block = {"depthwise": _conv_norm(draw, 3, 1, hidden),
             "project": _conv_norm(draw, 1, hidden, outputs, RESIDUAL_SCALE)}
    if expansion > 1:
        block["expand"] = _conv_norm(draw, 1, inputs, hidden)
    return block


def _apply(params: Any, x: Any, stride: int = 1, groups: int = 1) -> Any:
    return batch_norm(params["norm"], conv(params["filters"], x, stride, groups))


def inverted_residual(params: Any, x: Any, stride: int) -> Any:
    """Expand 1x1, depthwise 3x3, project 1x1 without activation; a sum where shapes allow it."""
    y = jax.nn.relu6(_apply(params["expand"], x)) if "expand" in params else x
    y = jax.nn.relu6(_apply(params["depthwise"], y, stride, groups=y.shape[-1]))
    y = _apply(params["project"], y)
    return x + y if x.shape == y.shape else y
