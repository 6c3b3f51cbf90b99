"""Convolutions whose input stays on chip, and the cycles of key layers on the timing model."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from ml_dtypes import bfloat16

from compiler.codegen import convolution_operands, readable
from compiler.pipeline import Options, compile_module
from hw.config import load as load_config
from sim import model
from verif.codegen.harness import build, execute
from verif.compiler.models import export

Array = np.ndarray[Any, Any]


def conv(x: Any, w: Any, stride: int = 1, pad: int = 1, groups: int = 1) -> Any:
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups)


def bf16(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, np.float32).astype(bfloat16)


@pytest.mark.parametrize("stride, pad, size", [
    (1, 1, 3), (2, 1, 3), (1, 0, 3), (1, 2, 5), (2, 3, 4)])
def test_input_on_chip(stride: int, pad: int, size: int, rng: np.random.Generator,
                       monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits as through DRAM; without padding the windows are read where they lie."""
    def function(x: Any, first: Any, second: Any) -> Any:
        return conv(jax.nn.relu(conv(x, first)), second, stride, pad)

    arguments = [bf16(rng, 2, 9, 8, 6), bf16(rng, 3, 3, 6, 6), bf16(rng, size, size, 6, 10)]
    copies = []
    copy = convolution_operands.WindowActivations._copy_tile

    def counted(self: Any, *args: Any) -> None:
        copies.append(args)
        copy(self, *args)

    monkeypatch.setattr(convolution_operands.WindowActivations, "_copy_tile", counted)
    (found,) = execute(build(function, arguments), arguments)
    assert bool(copies) == bool(pad)
    monkeypatch.setattr(readable, "reads_on_chip", lambda *_: False)
    (expected,) = execute(build(function, arguments), arguments)
    assert found.tobytes() == expected.tobytes()


def layer(height: int, inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1
          ) -> tuple[Callable[[Any], Any], Array]:
    """A convolution with bound weights, a scale and a bias for each feature, and a rectifier."""
    rng = np.random.default_rng(0)
    weights = bf16(rng, size, size, inputs // groups, outputs)
    scale, bias = (rng.standard_normal(outputs, np.float32) for _ in range(2))

    def function(x: Any) -> Any:
        y = conv(x, weights, stride, size // 2, groups) * scale + bias
        return jax.nn.relu(y.astype(x.dtype))

    return function, bf16(rng, 1, height, height, inputs)


LAYERS = {
    "stem": (layer(224, 3, 64, 7, 2), 520_000),
    "3x3": (layer(28, 128, 128, 3), 460_000),
    "3x3_strided": (layer(56, 128, 128, 3, 2), 461_000),
    "3x3_few_rows": (layer(7, 512, 512, 3), 461_000),
    "1x1": (layer(14, 1024, 256, 1), 205_000),
    "1x1_strided": (layer(56, 256, 512, 1, 2), 406_000),
    "depthwise": (layer(14, 384, 384, 3, 1, 384), 62_000),
}
"""Cycles on `default`, 1 % above what was reached."""


@pytest.mark.parametrize("name", LAYERS)
def test_cycles(name: str) -> None:
    (function, argument), limit = LAYERS[name]
    program = compile_module(export(function, argument), load_config("default"), Options())
    assert model.run(program).cycles <= limit
