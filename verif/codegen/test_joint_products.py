"""Products of one factor that are combined: made side by side, the same bits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.pipeline import Options, compile_module
from hw.config import load
from verif.codegen.contraction_reference import random
from verif.codegen.harness import execute
from verif.compiler.models import export

ROWS, K = 24, 40


def _gated(x: Any, gate: Any, up: Any) -> Any:
    return jax.nn.relu(x @ gate) * (x @ up) + 1


def _stored_too(x: Any, gate: Any, up: Any) -> Any:
    gated = x @ gate
    return gated, gated - x @ up


@pytest.mark.parametrize("function", [_gated, _stored_too])
@pytest.mark.parametrize("columns", [16, 48, 20, 272])
def test_bits(function: Any, columns: int, rng: np.random.Generator) -> None:
    x, *weights = (random(rng, shape, "bfloat16")
                   for shape in ((ROWS, K), (K, columns), (K, columns)))
    with_constants = lambda x: function(x, *map(jnp.asarray, weights))  # noqa: E731
    exported, config = export(with_constants, x), load("tiny")
    programs = [compile_module(exported, config, Options(fusion=level))
                for level in ("none", "full")]
    for plain, joint in zip(*(execute(program, [x]) for program in programs), strict=True):
        assert plain.tobytes() == joint.tobytes()


def test_only_whole_tiles_are_joined(rng: np.random.Generator) -> None:
    """The gated product needs no way through memory."""
    def explained(columns: int) -> int:
        x, gate, up = (random(rng, shape, "bfloat16")
                       for shape in ((ROWS, K), (K, columns), (K, columns)))
        module = export(lambda x: _gated(x, jnp.asarray(gate), jnp.asarray(up)), x)
        program = compile_module(module, load("tiny"), Options(explain=True))
        return len(program.notes["fusion"])

    assert explained(48) < explained(50)
