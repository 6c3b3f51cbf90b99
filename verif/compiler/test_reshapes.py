"""Work between two reshapes: the same bits in the shape around them, in fewer groups."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler import passes
from compiler.passes.reshapes import reshapes
from compiler.pipeline import Options, compile_module
from hw.config import load
from hw.isa.program import Program
from verif.codegen.contraction_reference import random
from verif.codegen.harness import execute
from verif.compiler.models import export

GROUPS = 6


def group_norm(x: Any) -> Any:
    """Of (pixels, channels), then silu."""
    wide = x.astype(jnp.float32).reshape(x.shape[0], GROUPS, -1)
    mean = jnp.mean(wide, axis=(0, 2), keepdims=True)
    deviation = wide - mean
    variance = jnp.mean(jnp.square(deviation), axis=(0, 2), keepdims=True)
    y = (deviation * jax.lax.rsqrt(variance + 1e-5)).reshape(x.shape)
    return jax.nn.silu((y * jnp.arange(x.shape[1]) / 8 + 0.5).astype(x.dtype))


def by_rows(x: Any) -> Any:
    """One factor for each row and each group of channels, and one for the channels of a group."""
    split = x.reshape(4, -1, GROUPS, x.shape[1] // GROUPS)
    channels = jnp.arange(split.shape[3], dtype=x.dtype)
    maxima = jnp.max(split, axis=3, keepdims=True)
    return jnp.exp((split - maxima) * channels).reshape(x.shape) + x


def transposed(x: Any) -> Any:
    """A broadcast that is no view of spread channels: left as it is."""
    split = x.reshape(x.shape[0], GROUPS, -1)
    factors = jnp.sum(split, axis=0)
    square = jnp.broadcast_to(factors.T[: GROUPS, :][None], (x.shape[0], GROUPS, GROUPS))
    return (split[:, :, :GROUPS] * square).reshape(x.shape[0], -1)


def _program(function: Any, x: Any, monkeypatch: pytest.MonkeyPatch, *, moved: bool) -> Program:
    with monkeypatch.context() as patch:
        if not moved:
            patch.setattr(passes, "SIMPLIFYING",
                          tuple(p for p in passes.SIMPLIFYING if p is not reshapes))
        return compile_module(export(function, x), load("tiny"), Options())


@pytest.mark.parametrize("function", [group_norm, by_rows, transposed])
def test_bits(function: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    x = random(rng, (16, 96), "bfloat16")
    results = [execute(_program(function, x, monkeypatch, moved=moved), [x])
               for moved in (True, False)]
    assert results[0][0].tobytes() == results[1][0].tobytes()


def test_against_the_model(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    x = random(rng, (16, 96), "bfloat16")
    (result,) = execute(_program(group_norm, x, monkeypatch, moved=True), [x])
    expected = np.asarray(jax.jit(group_norm)(x))
    np.testing.assert_allclose(result.astype(np.float32), expected.astype(np.float32),
                               rtol=2**-7, atol=2**-7)


def test_nothing_is_stored_in_between(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
                                      ) -> None:
    """Without on-chip room a pixel's normalised channels would go through DRAM, in f32."""
    x = random(rng, (2048, 96), "bfloat16")
    after, before = (_program(group_norm, x, monkeypatch, moved=moved).workspace_bytes
                     for moved in (True, False))
    assert after < x.nbytes < 2 * x.nbytes <= before
