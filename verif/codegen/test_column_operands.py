"""Scale and shift of result columns: loaded for several blocks at a time."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from compiler.codegen import column_operands
from hw.isa.host import Engine
from verif.codegen.executed import executed
from verif.codegen.harness import assert_close, build, execute
from verif.compiler.models import floats, jax

jnp = jax.numpy
BF16 = ml_dtypes.bfloat16


def affine(x: Any, w: Any, scale: Any, shift: Any) -> Any:
    return jnp.matmul(x, w, preferred_element_type=np.float32) * scale + shift


def arguments(rows: int, k: int, columns: int) -> list[Any]:
    return [floats(rows, k, dtype=BF16), floats(k, columns, seed=1, dtype=BF16),
            floats(columns, seed=2), floats(columns, seed=3)]


# Blocks along columns, along rows, along both with a short last one.
@pytest.mark.parametrize("shape", [(16, 24, 700), (700, 16, 12), (90, 24, 310)])
def test_values(shape: tuple[int, int, int]) -> None:
    given = arguments(*shape)
    x, w, scale, shift = (a.astype(np.float32) for a in given)
    assert_close(execute(build(affine, given), given), [x @ w * scale + shift])


def loads() -> int:
    program = build(affine, arguments(16, 24, 700))
    return sum(done.is_work and done.engine is Engine.LOAD for done in executed(program))


def test_blocks_share_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = loads()
    monkeypatch.setattr(column_operands, "BLOCKS", 1)
    # Operands of the product are loaded in slabs of their own.
    assert shared < loads() * 3 // 4
