"""The suite of networks: published work at full size, and correct results at small sizes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isthmus
from benchmarks.networks import (
    NETWORKS,
    PRODUCTS,
    bert,
    gpt2,
    llama,
    lstm,
    mobilenet,
    product,
    resnet,
    unet,
    vit,
)
from benchmarks.networks.measure import check
from benchmarks.networks.network import Network, count_macs
from benchmarks.networks.traffic import predict

BLOCK = llama.Shape(width=64, heads=4, kv_heads=2, size=16, hidden=128)
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 24, 1, 1))

SMALL: dict[str, Callable[[], Network]] = {
    "resnet18": lambda: resnet.resnet(18, image=32, width=8, classes=10),
    "resnet50": lambda: resnet.resnet(50, image=32, width=8, classes=10),
    "mobilenet": lambda: mobilenet.mobilenet_v2(32, STAGES, last=64, classes=10),
    "vit": lambda: vit.vit(image=32, patch=8, width=48, depth=2, classes=10),
    "bert": lambda: bert.bert(tokens=16, layers=1, width=48, heads=3, hidden=96, vocabulary=100,
                              positions=32),
    "gpt2_prefill": lambda: gpt2.prefill(16, 48, 2, 3, vocabulary=100, positions=32),
    "gpt2_decode": lambda: gpt2.decode(32, 48, 2, 3, vocabulary=100, positions=32),
    "llama_prefill": lambda: llama.prefill(16, BLOCK),
    "llama_decode": lambda: llama.decode(32, BLOCK),
    "lstm_batch1": lambda: lstm.lstm(1, steps=4, width=32, hidden=32),
    "lstm_batch16": lambda: lstm.lstm(16, steps=4, width=32, hidden=32),
    "unet": lambda: unet.unet_block(size=8, channels=64),
    "product": lambda: product.product(64, 32, 48),
}

PUBLISHED = {"resnet18": 1.814, "resnet50": 4.089, "mobilenet_v2": 0.301, "vit_tiny": 1.26}
"""GMAC of one image: torchvision's tables for the first three, timm's for the last."""


@pytest.mark.parametrize("name", SMALL)
def test_results_agree_with_jax(name: str) -> None:
    network = SMALL[name]()
    program = isthmus.compile(network.module, config="default", bind=network.weights)
    assert len(program.inputs) == len(network.inputs)
    check(network, isthmus.run(program, network.inputs).outputs)


@pytest.mark.parametrize("name", SMALL)
def test_fusion_keeps_every_bit(name: str) -> None:
    network = SMALL[name]()
    outputs = [
        isthmus.run(isthmus.compile(network.module, config="tiny", bind=network.weights,
                                    fusion=fusion), network.inputs).outputs
        for fusion in ("full", "none")]
    for fused, unfused in zip(*outputs, strict=True):
        assert fused.tobytes() == unfused.tobytes()


@pytest.mark.parametrize("name", SMALL)
def test_fast_math_stays_within_the_tolerance(name: str) -> None:
    network = SMALL[name]()
    program = isthmus.compile(network.module, config="tiny", bind=network.weights, fast_math=True)
    check(network, isthmus.run(program, network.inputs).outputs)


@pytest.mark.parametrize("name", SMALL)
def test_tolerance_is_above_bfloat16_s_own_error(name: str) -> None:
    network = SMALL[name]()
    check(network, network.reference(np.float32))


@pytest.mark.parametrize("name", PUBLISHED)
def test_macs_are_the_published_ones(name: str) -> None:
    assert NETWORKS[name]().macs / 1e9 == pytest.approx(PUBLISHED[name], rel=0.01)


def test_macs_of_a_scan_count_every_step() -> None:
    def steps(x: jax.Array, matrix: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda carry, _: (carry @ matrix, None), x, None, length=5)[0]

    traced = jax.jit(steps).trace(jnp.ones((2, 3)), jnp.ones((3, 3)))
    assert count_macs(traced.jaxpr.jaxpr) == 5 * 2 * 3 * 3


def test_cache_costs_one_reading_and_one_row() -> None:
    network = SMALL["llama_decode"]()
    row, position = 2 * BLOCK.width, 4
    cache = 2 * BLOCK.kv_heads * BLOCK.size * 2
    weights = sum(array.nbytes for array in network.weights.values())
    expected = weights + 2 * row + position + 32 * cache + cache
    assert network.compulsory_bytes == expected


def test_donated_caches_alias_their_results() -> None:
    assert SMALL["llama_decode"]().module.count("tf.aliasing_output") == 2


@pytest.mark.parametrize("name", ["product_64x64x64", "product_256x64x2048"])
def test_predicted_bytes_are_at_least_the_compulsory_ones(name: str) -> None:
    network = PRODUCTS[name]()
    program = isthmus.compile(network.module)
    predicted = predict(program, network.inputs)
    assert predicted.bytes_read + predicted.bytes_written >= network.compulsory_bytes
    assert predicted.cycles >= network.limit(256, 16)
