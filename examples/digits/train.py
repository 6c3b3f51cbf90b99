"""Trains the network on scikit-learn's digits and exports it: `python -m examples.digits.train`.

The images are real: 1,797 handwritten digits of 8x8 pixels. Weights and activations
are bfloat16, sums are float32. `make sim` uses the committed result and needs neither
JAX nor scikit-learn.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from sklearn.datasets import load_digits

from examples.export import Array, export

SEED = 2024
BATCH = 32
HELD_OUT_BATCHES = 11
EPOCHS = 30
LEARNING_RATE = 2e-3

Parameters = list[Any]


def initial(key: Any) -> Parameters:
    """He-scaled weights, zero biases: three convolutions and two dense layers."""
    shapes = [(3, 3, 1, 16), (3, 3, 16, 32), (3, 3, 32, 64), (256, 64), (64, 10)]
    parameters: Parameters = []
    for shape, part in zip(shapes, jax.random.split(key, len(shapes)), strict=True):
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        parameters += [scale * jax.random.normal(part, shape), jnp.zeros(shape[-1])]
    return parameters


def convolution(x: Any, weights: Any, bias: Any, stride: int) -> Any:
    y = lax.conv_general_dilated(
        x, weights, (stride, stride), [(1, 1), (1, 1)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"), preferred_element_type=jnp.float32)
    return jax.nn.relu(y + bias).astype(jnp.bfloat16)


def dense(x: Any, weights: Any, bias: Any) -> Any:
    return jnp.dot(x, weights, preferred_element_type=jnp.float32) + bias


def network(images: Any, *parameters: Any) -> Any:
    """Class scores, float32 (batch, 10), of float32 images (batch, 8, 8), pixels 0 to 16."""
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = parameters
    x = (images / 16.0).astype(jnp.bfloat16)[..., None]
    x = convolution(x, w1, b1, stride=1)
    x = convolution(x, w2, b2, stride=1)
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = convolution(x, w3, b3, stride=2)
    x = x.reshape(len(x), -1)
    x = jax.nn.relu(dense(x, w4, b4)).astype(jnp.bfloat16)
    return dense(x, w5, b5)


def quantized(parameters: Parameters) -> Parameters:
    """Weights as bfloat16; biases stay float32, they are added to float32 sums."""
    return [p.astype(jnp.bfloat16) if p.ndim > 1 else p for p in parameters]


def loss(parameters: Parameters, images: Any, labels: Any) -> Any:
    scores = jax.nn.log_softmax(network(images, *quantized(parameters)))
    return -jnp.mean(jnp.take_along_axis(scores, labels[:, None], axis=1))


@jax.jit
def update(state: Any, images: Any, labels: Any, step: Any) -> Any:
    """One step of Adam."""
    parameters, mean, square = state
    gradient = jax.grad(loss)(parameters, images, labels)
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
    square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, square, gradient)
    rate = LEARNING_RATE * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    parameters = jax.tree.map(
        lambda p, m, s: p - rate * m / (jnp.sqrt(s) + 1e-8), parameters, mean, square)
    return parameters, mean, square


def train(images: Array, labels: Array, order: np.random.Generator) -> Parameters:
    parameters = initial(jax.random.key(SEED))
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state, step = (parameters, zeros, zeros), 0
    for _ in range(EPOCHS):
        shuffled = order.permutation(len(images))
        for first in range(0, len(images) - BATCH + 1, BATCH):
            chosen = shuffled[first : first + BATCH]
            step += 1
            state = update(state, images[chosen], labels[chosen], step)
    return quantized(state[0])


def main() -> None:
    order = np.random.default_rng(SEED)
    digits = load_digits()
    shuffled = order.permutation(len(digits.images))
    images, labels = digits.images[shuffled].astype(np.float32), digits.target[shuffled]
    held_out = HELD_OUT_BATCHES * BATCH
    parameters = train(images[held_out:], labels[held_out:], order)
    scores = network(images[:held_out], *parameters)
    accuracy = np.mean(np.argmax(scores, axis=1) == labels[:held_out])
    print(f"seed {SEED}: {accuracy:.2%} of {held_out} held-out images")
    export(Path(__file__).parent, network, images[:held_out], parameters, BATCH,
           labels=labels[:held_out].astype(np.int32))


if __name__ == "__main__":
    main()
