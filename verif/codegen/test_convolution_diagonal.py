"""Depthwise convolutions that vector unit and array share."""

from typing import Any

import jax
import numpy as np
import pytest
from ml_dtypes import bfloat16

from compiler.codegen import convolution_depthwise, convolution_diagonal, convolution_taps
from compiler.pipeline import Options, compile_module
from hw.config import load as load_config
from sim import model
from verif.codegen.harness import execute
from verif.compiler.models import export

Array = np.ndarray[Any, Any]
SHAPES = {
    "square": ((1, 6, 6, 8), (3, 3), 1, 1),
    "strided": ((2, 9, 7, 18), (3, 3), 2, 1),
    "dilated": ((1, 12, 12, 10), (3, 2), 1, 2),
    "few_rows": ((1, 2, 3, 23), (2, 2), 1, 1),
    "many_rows": ((1, 24, 24, 7), (3, 3), 1, 1),
    "line": ((2, 9, 12), (3,), 1, 1),
}


def layer(shape: tuple[int, ...], size: tuple[int, ...], stride: int, dilation: int
          ) -> tuple[Any, Array]:
    """Bound weights, a bias for each feature, and a clamp."""
    rng = np.random.default_rng(0)
    channels, n = shape[-1], len(size)
    weights, bias, argument = (rng.standard_normal(s, np.float32).astype(bfloat16)
                               for s in ((*size, 1, channels), (channels,), shape))
    numbers = ("NHWC", "HWIO", "NHWC") if n == 2 else ("NWC", "WIO", "NWC")

    def function(x: Any) -> Any:
        y = jax.lax.conv_general_dilated(
            x, weights, (stride,) * n, "SAME", rhs_dilation=(dilation,) * n,
            dimension_numbers=numbers, feature_group_count=channels)
        return jax.numpy.clip(y + bias, 0, 6)

    return function, argument


def run(function: Any, argument: Array, config: str, blocks: int, monkeypatch: pytest.MonkeyPatch
        ) -> tuple[Array, int]:
    """The result with so many blocks of features on the array, and those it had."""
    made = []

    def shares(machine: Any, conv: Any, work: Any) -> list[int]:
        width = convolution_diagonal.block_width(machine)
        made.append(min(blocks, -(-conv.features // width)))
        assert work.after_array is not None
        return made[-1:]

    monkeypatch.setattr(convolution_depthwise, "_shares", shares)
    program = compile_module(export(function, argument), load_config(config))
    (found,) = execute(program, [argument])
    return found, made[0]


@pytest.mark.parametrize("config", ["tiny", "fpga"])
@pytest.mark.parametrize("name", SHAPES)
def test_bits(name: str, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with some or all features on the array as with none."""
    function, argument = layer(*SHAPES[name])
    expected, none = run(function, argument, config, 0, monkeypatch)
    assert none == 0
    for blocks in (1, 2, 99):
        found, used = run(function, argument, config, blocks, monkeypatch)
        assert used > 0
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_infinity(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays with its feature: weights beside the diagonal do not exist."""
    function, argument = layer(*SHAPES["square"])
    argument[0, 2, 2, 1] = np.inf
    found, _ = run(function, argument, "tiny", blocks, monkeypatch)
    assert np.isfinite(np.delete(found, 1, axis=-1).astype(np.float32)).all()


@pytest.mark.parametrize("name", ["square", "dilated", "line"])
def test_sums_begin_with_the_shift(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast math saves the instruction that adds it; not when something else becomes of the sums."""
    shifted, argument = layer(*SHAPES[name])
    issues: list[int] = []
    body = convolution_taps.taps_body

    def noted(*args: Any, **options: Any) -> Any:
        made = body(*args, **options)
        issues.append(made.body.issues)
        return made

    def squared(x: Any) -> Any:
        return jax.numpy.square(shifted(x))

    monkeypatch.setattr(convolution_depthwise, "taps_body", noted)
    taps = int(np.prod(SHAPES[name][1]))
    for function, fast, saved in ((shifted, True, True), (shifted, False, False),
                                  (squared, True, False)):
        issues.clear()
        program = compile_module(export(function, argument), load_config("tiny"),
                                 Options(fast_math=fast))
        (found,) = execute(program, [argument])
        assert (issues[-1] == taps) is saved
        np.testing.assert_allclose(found.astype(np.float32),
                                   np.asarray(function(argument), np.float32),
                                   rtol=0.05, atol=0.05)


CYCLES = {
    "14x14x384": ((1, 14, 14, 384), 1, 34_300),
    "56x56x144": ((1, 56, 56, 144), 1, 158_800),
    "112x112x96_strided": ((1, 112, 112, 96), 2, 188_100),
}


@pytest.mark.parametrize("name", CYCLES)
def test_cycles(name: str) -> None:
    """1 % above what was reached: about half of what the vector unit takes alone, or what the bus
    allows."""
    shape, stride, limit = CYCLES[name]
    function, argument = layer(shape, (3, 3), stride, 1)
    program = compile_module(export(function, argument), load_config("default"),
                             Options(fast_math=True))
    assert model.run(program).cycles <= limit
