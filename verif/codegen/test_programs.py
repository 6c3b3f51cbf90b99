"""Compiled programs on the golden model: against JAX, and against themselves compiled otherwise."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from verif.codegen.cases import ALL, AWKWARD
from verif.codegen.harness import Array, assert_close, build, execute, run
from verif.compiler.cases import Case
from verif.compiler.models import floats, jax, results

BF16_STEPS = 2.0**17
"""f32 operands of a contraction are rounded to bf16 under the default precision."""
TRANSCENDENTAL = ("exponential", "tanh", "logistic", "log", "power", "rsqrt", "sqrt", "erfc",
                  "divide", "exponential_minus_one")


def _arguments(case: Case) -> list[Array]:
    return [np.asarray(a) for a in case.arguments]


def _assert_same_bits(got: list[Array], expected: list[Array]) -> None:
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("case", ALL, ids=str)
def test_operation_against_jax(case: Case) -> None:
    arguments = _arguments(case)
    contracts = case.operation in ("dot_general", "convolution")
    assert_close(run(case.function, arguments), results(case.function, *arguments),
                 BF16_STEPS if contracts else 64)


@pytest.mark.parametrize("case", AWKWARD[::3], ids=str)
def test_fusion_and_order_of_execution_do_not_change_a_bit(case: Case) -> None:
    arguments = _arguments(case)
    fused = execute(build(case.function, arguments), arguments, seed=1)
    _assert_same_bits(run(case.function, arguments, fusion="none", seed=2), fused)


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=str)
def test_what_a_reduction_makes_of_a_stored_product_has_the_same_bits(dtype: Any) -> None:
    def normalised(x: Any, w: Any) -> Any:
        total = x + x @ w
        wide = total.astype(np.float32)
        return total, (wide * wide).sum(1)
    arguments = [floats(20, 24, dtype=dtype), floats(24, 24, seed=1, dtype=dtype)]
    _assert_same_bits(*(run(normalised, arguments, fusion=level) for level in ("full", "none")))


@pytest.mark.parametrize("case", AWKWARD[1::4], ids=str)
def test_other_machines_of_the_same_lanes_give_the_same_bits(case: Case) -> None:
    """A quarter of the scratchpad means other tiles."""
    from hw.config import TINY
    arguments = _arguments(case)
    small = TINY.replace(name="small", scratchpad_bytes=8192, strip_groups=16)
    _assert_same_bits(run(case.function, arguments, small), run(case.function, arguments))


@pytest.mark.parametrize("case", [c for c in ALL if c.operation in TRANSCENDENTAL], ids=str)
def test_software_special_functions_give_the_bits_of_the_unit(case: Case) -> None:
    arguments = _arguments(case)
    _assert_same_bits(run(case.function, arguments, "tiny-nosfu"),
                      run(case.function, arguments, "tiny"))


def test_a_large_machine_has_wider_lanes_and_still_the_right_answer() -> None:
    def function(x: Any) -> Any:
        return jax.nn.softmax(x, -1), x.T.sum(0), x * 2
    x = floats(50, 70)
    assert_close(run(function, [x], "default"), results(function, x))
