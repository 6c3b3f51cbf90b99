"""Chains of convolutions for the tests of how they are cut, and what these have in common."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import jax
import numpy as np
import pytest
from ml_dtypes import bfloat16

from compiler.pipeline import Options, compile_module
from hw.config import load
from verif.codegen.harness import execute
from verif.compiler.models import export

Array = np.ndarray[Any, Any]
NUMBERS = ("NHWC", "HWIO", "NHWC")


def draw(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32).astype(bfloat16)


def conv(x: Any, size: int, outputs: int, stride: int = 1, dilation: int = 1,
         padding: str = "SAME") -> Any:
    return jax.lax.conv_general_dilated(
        x, draw(size, size, x.shape[-1], outputs), (stride, stride), padding,
        rhs_dilation=(dilation, dilation), dimension_numbers=NUMBERS)


def depthwise(x: Any, stride: int = 1, dilation: int = 1, padding: str = "SAME") -> Any:
    return jax.lax.conv_general_dilated(
        x, draw(3, 3, 1, x.shape[-1]), (stride, stride), padding,
        rhs_dilation=(dilation, dilation), dimension_numbers=NUMBERS,
        feature_group_count=x.shape[-1])


def inverted(x: Any, **window: Any) -> Any:
    """Expansion, depthwise convolution, projection, and the input again where it fits."""
    y = jax.numpy.clip(conv(x, 1, 3 * x.shape[-1]), 0, 6)
    y = conv(jax.numpy.clip(depthwise(y, **window), 0, 6), 1, x.shape[-1])
    return x + y if x.shape == y.shape else y


def recorded(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """The second arguments of a function of the pass `bands`, from now on: how chains are cut."""
    passes, found = import_module("compiler.passes.bands"), list[int]()
    cut = getattr(passes, name)

    def noted(chain: Any, size: int, *rest: Any) -> None:
        found.append(size)
        cut(chain, size, *rest)

    monkeypatch.setattr(passes, name, noted)
    return found


def assert_same_bits(function: Any, arguments: Sequence[Array]) -> None:
    """Fused and operation by operation, on the tiny machine."""
    module = export(function, *arguments)
    fused, plain = (execute(compile_module(module, load("tiny"), Options(fusion=fusion)), arguments)
                    for fusion in ("full", "none"))
    assert [r.tobytes() for r in fused] == [r.tobytes() for r in plain]
