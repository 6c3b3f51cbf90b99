"""Chains in slices of channels: the same bits as operation by operation."""

from importlib import import_module
from typing import Any

import jax
import numpy as np
import pytest
from ml_dtypes import bfloat16

from compiler.pipeline import compile_module
from hw.config import load as load_config
from verif.codegen.chains import (
    NUMBERS,
    assert_same_bits,
    conv,
    depthwise,
    draw,
    inverted,
    recorded,
)
from verif.compiler.models import export


def twice(x: Any) -> Any:
    """Two depthwise convolutions between expansion and projection."""
    y = jax.numpy.clip(conv(x, 1, 4 * x.shape[-1]), 0, 6)
    y = jax.nn.relu(depthwise(jax.nn.relu(depthwise(y)), stride=2))
    return conv(y, 1, x.shape[-1])


def pooled(x: Any) -> Any:
    y = jax.lax.reduce_window(jax.nn.relu(conv(x, 3, 48)), np.array(-np.inf, bfloat16),
                              jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
    return conv(y, 1, 12)


CHAINS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "inverted": (lambda x: inverted(abs(x)), (1, 11, 13, 16)),
    "strided": (lambda x: inverted(abs(x), stride=2), (1, 15, 15, 16)),
    "last_slice_is_narrow": (lambda x: inverted(abs(x), stride=2), (1, 11, 11, 28)),
    "twice": (lambda x: twice(abs(x)), (1, 12, 12, 12)),
    "last_stage_is_depthwise": (lambda x: twice(abs(x)), (1, 13, 10, 12)),
    "pooled": (lambda x: pooled(abs(x)), (1, 18, 17, 6)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, shape = CHAINS[name]
    found = recorded(monkeypatch, "cut_channels")
    assert_same_bits(function, [draw(*shape)])
    assert found


def test_integers_and_weights_that_are_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    shapes = (1, 18, 16, 16), (1, 1, 16, 48), (3, 3, 1, 48), (1, 1, 48, 16)
    arguments = [rng.integers(-9, 9, shape, np.int8) for shape in shapes]

    def product(x: Any, weights: Any, groups: int = 1) -> Any:
        y = jax.lax.conv_general_dilated(
            x, weights, (1, 1), "SAME", dimension_numbers=NUMBERS, feature_group_count=groups,
            preferred_element_type=np.int32)
        return jax.numpy.clip(y, -99, 99).astype(np.int8)

    def function(x: Any, expansion: Any, kernel: Any, projection: Any) -> Any:
        return product(product(product(jax.numpy.abs(x), expansion), kernel, 48), projection)

    found = recorded(monkeypatch, "cut_channels")
    assert_same_bits(function, arguments)
    assert found


def features_first(x: Any) -> Any:
    y = jax.lax.conv_general_dilated(x, draw(3, 3, 8, 8), (1, 1), "SAME",
                                     dimension_numbers=("NHWC", "HWIO", "NCHW"))
    y = jax.numpy.pad(jax.nn.relu(y), ((0, 0), (1, 1), (1, 1), (1, 1)))
    return jax.nn.relu(y * y + 1)


def batched(x: Any) -> Any:
    y = jax.numpy.einsum("bik,bkj->bij", x, x)
    return jax.nn.relu(jax.numpy.pad(y, ((0, 0), (1, 1), (1, 1))) + 1)


def joined(x: Any) -> Any:
    y = jax.numpy.concatenate([jax.numpy.einsum("bik,bkj->bij", x, x), x @ draw(8, 8)], 2)
    return jax.nn.relu(y) + 1


@pytest.mark.parametrize(("function", "shape"), [
    (features_first, (1, 8, 8, 8)), (batched, (3, 8, 8)), (joined, (3, 8, 8))])
def test_results_that_are_not_made_inside_others(function: Any, shape: tuple[int, ...]) -> None:
    """Of a product with batch dimensions, or with features first."""
    assert_same_bits(function, [draw(*shape)])


def test_slices_are_made_in_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing between the operations visits DRAM or is copied on chip."""
    from benchmarks.networks.traffic import predict
    copies, runs = import_module("compiler.codegen.copies"), list[int]()
    monkeypatch.setattr(copies, "copy_runs", lambda *arguments: runs.append(arguments[2]))
    found, argument = recorded(monkeypatch, "cut_channels"), draw(1, 14, 14, 96)
    program = compile_module(
        export(lambda x: conv(depthwise(jax.nn.relu(conv(jax.nn.relu(x), 1, 576))), 1, 96),
               argument),
        load_config("default"))
    assert found
    assert not runs
    weights = (2 * 96 * 576 + 9 * 576) * 2
    assert predict(program, [argument]).bytes < 1.1 * (2 * argument.nbytes + weights)
