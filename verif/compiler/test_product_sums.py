"""Fast math: the sum of two products as one product."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from compiler.frontend import Model, load
from compiler.ir.ops import HloOp, main_function
from compiler.ir.types import tensor_of
from compiler.passes import optimise
from compiler.pipeline import Options, compile_module
from hw.config import TINY
from verif.codegen.harness import execute
from verif.compiler.models import export, floats, jax

BF16 = ml_dtypes.bfloat16
ROWS, FIRST, SECOND, COLUMNS = 16, 32, 64, 96
Y, X = floats(ROWS, FIRST, dtype=BF16), floats(ROWS, SECOND, seed=1, dtype=BF16)
BIAS = floats(COLUMNS, seed=4)
WEIGHTS = {"arg2": floats(FIRST, COLUMNS, seed=2, dtype=BF16) / BF16(8),
           "arg3": floats(SECOND, COLUMNS, seed=3, dtype=BF16) / BF16(8)}
FACTOR_BYTES = Y.nbytes + X.nbytes


def shortcut(y: Any, x: Any, w: Any, v: Any) -> Any:
    """Both products rounded before they are added, one with a bias."""
    wide = jax.numpy.float32
    other = (jax.numpy.matmul(y, w, preferred_element_type=wide) + BIAS).astype(y.dtype)
    return jax.nn.relu(other.astype(wide) + jax.numpy.matmul(
        jax.numpy.tanh(x), v, preferred_element_type=wide)).astype(y.dtype)


def shared(y: Any, x: Any, w: Any, v: Any) -> Any:
    """One of the products is a result as well."""
    wide = jax.numpy.float32
    other = jax.numpy.matmul(x, v, preferred_element_type=wide)
    return jax.numpy.matmul(y, w, preferred_element_type=wide) + other, other


def products(function: Any, *, relaxed: bool = True, scratchpad_bytes: int = 1 << 20,
             bind: bool = True) -> list[int]:
    """The extent that each product contracts."""
    model: Model = load(export(function, Y, X, *WEIGHTS.values()), bind=WEIGHTS if bind else {})
    optimise(model.module, relaxed=relaxed, scratchpad_bytes=scratchpad_bytes)
    return [tensor_of(inner.operands[0]).shape[-1]
            for op in main_function(model.module).body.block.ops
            if isinstance(op, HloOp) and op.kind == "fused"
            for inner in op.bodies[0].ops
            if isinstance(inner, HloOp) and inner.kind == "dot_general"]


def test_both_are_summed_in_one_product() -> None:
    assert products(shortcut) == [FIRST + SECOND]


def test_results_on_the_machine_are_close_to_exact() -> None:
    program = compile_module(export(shortcut, Y, X, *WEIGHTS.values()), TINY,
                             Options(fast_math=True, bind=WEIGHTS))
    (result,) = execute(program, [Y, X])
    assert_close(result, Y, X)


def assert_close(result: Any, *factors: Any) -> None:
    """`shortcut` of two left factors was computed."""
    y, x, w, v = (np.asarray(a, np.float32) for a in (*factors, *WEIGHTS.values()))
    exact = np.maximum(y @ w + np.tanh(x) @ v + BIAS, 0)
    np.testing.assert_allclose(np.asarray(result, np.float32), exact, atol=0.03, rtol=0.02)


@pytest.mark.parametrize("changed", [
    {"relaxed": False}, {"scratchpad_bytes": FACTOR_BYTES}, {"bind": False}],
    ids=["bits_are_kept", "no_room", "weights_are_arguments"])
def test_otherwise_there_are_two_products(changed: dict[str, Any]) -> None:
    assert sorted(products(shortcut, **changed)) == [FIRST, SECOND]


def test_a_product_that_others_read_stays_by_itself() -> None:
    assert sorted(products(shared)) == [FIRST, SECOND]


def test_large_left_factors_are_read_apart() -> None:
    """Putting them together would take more of the scratchpad than the weights that stay do."""
    y, x = floats(8 * ROWS, FIRST, dtype=BF16), floats(8 * ROWS, SECOND, seed=1, dtype=BF16)
    exported = export(shortcut, y, x, *WEIGHTS.values())
    model = load(exported, bind=WEIGHTS)
    optimise(model.module, relaxed=True, scratchpad_bytes=32 << 10)
    (product,) = (op for op in main_function(model.module).walk()
                  if isinstance(op, HloOp) and op.kind == "dot_general")
    assert [tensor_of(v).shape[-1] for v in product.operands] == [FIRST, SECOND, COLUMNS]
    program = compile_module(exported, TINY, Options(fast_math=True, bind=WEIGHTS))
    (result,) = execute(program, [y, x])
    assert_close(result, y, x)
