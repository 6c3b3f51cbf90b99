"""ResNet (He et al. 2015) for images; depth 50 with the stride on the 3x3 convolution ("v1.5")."""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.networks.layers import Draw, average_pool, batch_norm, conv, dense
from benchmarks.networks.network import Network

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks in each of the four stages, by depth."""
EXPANSION = 4
"""Channels out of a bottleneck block over channels inside."""
RESIDUAL_SCALE = 0.5
"""Scale of the last normalisation of a block: keeps the sum of 16 blocks in range."""


def resnet(depth: int = 18, image: int = 224, width: int = 64, classes: int = 1000,
           batch: int = 1) -> Network:
    """Images (batch, image, image, 3) to logits (batch, classes).

    At 224 and width 64 torchvision publishes 1.81 GMAC for depth 18 and 4.09 for depth 50.
    """
    draw = Draw(depth)
    params = {"stem": _conv_norm(draw, 7, 3, width), "stages": [], "head": {}}
    channels, stages = width, []
    for stage, count in enumerate(STAGES[depth]):
        blocks = []
        for number in range(count):
            inner = width << stage
            outputs = inner * EXPANSION if depth >= 50 else inner
            reshapes = channels != outputs or (number == 0 and stage > 0)
            blocks.append(_block(draw, depth, channels, inner, outputs, reshapes))
            channels = outputs
        stages.append(blocks)
    params["stages"], params["head"] = stages, draw.dense(channels, classes)
    return Network(name=f"resnet{depth}", function=forward, params=params,
                   inputs=[draw.normal(batch, image, image, 3)])


def _conv_norm(draw: Draw, size: int, inputs: int, outputs: int, scale: float = 1.0) -> Any:
    return {"filters": draw.filters(size, inputs, outputs),
            "norm": draw.batch_norm(outputs, scale)}


def _block(draw: Draw, depth: int, inputs: int, inner: int, outputs: int, reshapes: bool) -> Any:
    if depth >= 50:
        convs = [_conv_norm(draw, 1, inputs, inner), _conv_norm(draw, 3, inner, inner),
                 _conv_norm(draw, 1, inner, outputs, RESIDUAL_SCALE)]
    else:
        convs = [_conv_norm(draw, 3, inputs, inner),
                 _conv_norm(draw, 3, inner, outputs, RESIDUAL_SCALE)]
    block = {"convs": convs}
    if reshapes:
        block["shortcut"] = _conv_norm(draw, 1, inputs, outputs)
    return block


def forward(params: Any, images: Any) -> Any:
    """Logits of NHWC images."""
    x = jax.nn.relu(conv_norm(params["stem"], images, 2))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1),
                              ((0, 0), (1, 1), (1, 1), (0, 0)))
    for stage, blocks in enumerate(params["stages"]):
        for number, block in enumerate(blocks):
            x = residual_block(block, x, 2 if stage > 0 and number == 0 else 1)
    return dense(params["head"], average_pool(x))


def conv_norm(params: Any, x: Any, stride: int = 1) -> Any:
    """A convolution and its normalisation."""
    return batch_norm(params["norm"], conv(params["filters"], x, stride))


def residual_block(params: Any, x: Any, stride: int) -> Any:
    """Basic block (two 3x3) or bottleneck (1x1, 3x3, 1x1); the first 3x3 has the stride."""
    strided = len(params["convs"]) - 2
    y = x
    for number, layer in enumerate(params["convs"]):
        y = conv_norm(layer, y, stride if number == strided else 1)
        if number < len(params["convs"]) - 1:
            y = jax.nn.relu(y)
    if "shortcut" in params:
        x = conv_norm(params["shortcut"], x, stride)
    return jax.nn.relu(x + y)
