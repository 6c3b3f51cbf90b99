"""Left factors too large to be put together: each is read where it lies, the same bits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.frontend import load as load_model
from compiler.ir.ops import HloOp, main_function
from compiler.ops.contraction import left_count
from compiler.passes import optimise
from compiler.pipeline import Options, compile_module
from hw.config import load
from verif.codegen.contraction_reference import random
from verif.codegen.harness import execute
from verif.compiler.models import export

CONFIG = load("tiny")
ROWS, FIRST, SECOND = 64, 60, 108
Weights = tuple[Any, ...]


def _bias(joined: Any, weights: Weights) -> Any:
    return jax.nn.relu(joined @ weights[0] + jnp.arange(weights[0].shape[1], dtype=joined.dtype))


def _gated(joined: Any, weights: Weights) -> Any:
    return jax.nn.relu(joined @ weights[0]) * (joined @ weights[1])


def _added(joined: Any, weights: Weights) -> Any:
    """An operand of the epilogue that is as large as the result."""
    y = joined @ weights[0]
    return jnp.flip(y) - y


def _side_by_side(y: Any, x: Any) -> Any:
    return jnp.concatenate((y, x), -1)


def _strided(y: Any, x: Any) -> Any:
    """Every other row, in three dimensions."""
    return jnp.concatenate((y.reshape(8, -1, FIRST), x.reshape(16, -1, SECOND)[::2, ::2]), -1)


def _transposed(y: Any, x: Any) -> Any:
    return jnp.concatenate((jnp.exp(y), x.reshape(SECOND, -1).T, y), -1)


def _lefts(exported: Any) -> set[int]:
    """How many left factors the products have."""
    module = load_model(exported).module
    optimise(module, scratchpad_bytes=CONFIG.scratchpad_bytes, array_cols=CONFIG.array_cols)
    return {left_count(op.attrs) for op in main_function(module).walk()
            if isinstance(op, HloOp) and op.kind == "dot_general"}


@pytest.mark.parametrize("put_together,second_rows,count,function,columns,dtype", [
    (_side_by_side, 1, 2, _bias, 40, "bfloat16"), (_side_by_side, 1, 2, _bias, 12, "float32"),
    (_side_by_side, 1, 2, _gated, 16, "bfloat16"), (_strided, 4, 2, _added, 20, "bfloat16"),
    (_strided, 4, 2, _gated, 8, "float32"), (_transposed, 1, 3, _bias, 18, "bfloat16")])
def test_bits(function: Any, columns: int, put_together: Any, second_rows: int, count: int,
              dtype: str, rng: np.random.Generator) -> None:
    y, x = random(rng, (ROWS, FIRST), dtype), random(rng, (ROWS * second_rows, SECOND), dtype)
    k = put_together(y, x).shape[-1]
    weights = tuple(random(rng, (k, columns), dtype) for _ in range(2))
    exported = export(lambda y, x: function(put_together(y, x), tuple(map(jnp.asarray, weights))),
                      y, x)
    programs = [compile_module(exported, CONFIG, Options(fusion=level))
                for level in ("none", "full")]
    plain, apart = (execute(program, [y, x]) for program in programs)
    assert plain[0].tobytes() == apart[0].tobytes()
    assert _lefts(exported) == {count}


def test_what_fits_is_put_together(rng: np.random.Generator) -> None:
    y, x, w = (random(rng, shape, "bfloat16") for shape in ((8, FIRST), (8, SECOND),
                                                           (FIRST + SECOND, 16)))
    assert _lefts(export(lambda y, x: _bias(_side_by_side(y, x), (w,)), y, x)) == {1}
