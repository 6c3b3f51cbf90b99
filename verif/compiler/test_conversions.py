"""Conversions around slices and concatenations: the same bits, narrow elements moved."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.networks.traffic import predict
from compiler.pipeline import Options, compile_module
from hw.config import load
from hw.isa.program import Program
from verif.codegen.contraction_reference import random
from verif.codegen.harness import execute
from verif.compiler.models import export


def _rotate(x: Any) -> Any:
    """The two halves of a rotary embedding."""
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = [first * 0.6 - second * 0.8, second * 0.6 + first * 0.8]
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def _kept_wide(x: Any) -> Any:
    wide = x.astype(jnp.float32)
    return wide[:, :16], jnp.concatenate([wide * 3, wide], axis=0)


def _program(function: Any, x: Any, fusion: str) -> Program:
    return compile_module(export(function, x), load("tiny"), Options(fusion=fusion))


@pytest.mark.parametrize("function", [_rotate, _kept_wide])
def test_bits(function: Any, rng: np.random.Generator) -> None:
    x = random(rng, (24, 32), "bfloat16")
    programs = [_program(function, x, level) for level in ("none", "full")]
    for plain, fused in zip(*(execute(program, [x]) for program in programs), strict=True):
        assert plain.tobytes() == fused.tobytes()


def test_both_halves_are_made_together(rng: np.random.Generator) -> None:
    """What they are made of is loaded once."""
    x = random(rng, (512, 64), "bfloat16")
    assert predict(_program(_rotate, x, "full"), [x]).bytes_read <= 2.1 * x.nbytes


def test_nothing_wide_is_stored(rng: np.random.Generator) -> None:
    """The workspace holds the two halves at most, in bf16."""
    x = random(rng, (512, 64), "bfloat16")
    assert _program(_rotate, x, "full").workspace_bytes <= x.nbytes
