"""Plans of dot products: what fits, what stays in the scratchpad, and that bits do not depend on
it."""

from dataclasses import replace

import numpy as np
import pytest

from compiler.codegen.contraction_cost import Bounds, Plan, Shape, room
from compiler.codegen.contraction_plan import choose
from hw.config import load
from verif.codegen.contraction_reference import dot_general, execute, mlir_type, random

CONFIG = load("tiny")


def _shape(rows: int, k: int, columns: int, k_contiguous: bool = True) -> Shape:
    return Shape(1, rows, columns, k, (4, 4), 2, 4, (k_contiguous, False))


def _plan(shape: Shape) -> Plan:
    plan = choose(CONFIG, shape, CONFIG.scratchpad_bytes)
    assert plan is not None
    return plan


def test_part_of_a_large_operand_stays() -> None:
    shape = _shape(32, 512, 64)
    plan = _plan(shape)
    assert plan.held is not None
    assert 0 < plan.held < shape.k
    assert room(CONFIG, shape, plan) <= CONFIG.scratchpad_bytes
    streamed = plan._replace(resident=("none", "none"), held=None)
    assert Bounds(CONFIG, shape).loads(plan) < Bounds(CONFIG, shape).loads(streamed)


def test_a_small_operand_stays_as_a_whole() -> None:
    assert _plan(_shape(32, 128, 64)).held is None


def test_depths_cover_k() -> None:
    plan = Plan(32, 32, 8, rows_outer=True, resident=("strip", "none"), first_depths=(4, 4),
                last_depth=16, held=24)
    depths = plan.depths(62)
    assert depths == [4, 4, 8, 8, 8, 8, 6, 16]
    starts = [sum(depths[:n]) for n in range(len(depths))]
    assert [plan.is_held(start, 62) for start in starts] == [False] * 6 + [True] * 2


def test_the_last_slab_is_deep_when_the_epilogue_is_long() -> None:
    short = _shape(64, 512, 256)
    plan, slow = (_plan(replace(short, epilogue_cycles=cycles)) for cycles in (1, 20))
    assert max(slow.last_depth, slow.depth) > max(plan.last_depth, plan.depth)


@pytest.mark.parametrize("rows, k, columns", [(32, 512, 64), (64, 256, 64), (128, 512, 64)])
@pytest.mark.parametrize("k_contiguous", [True, False])
def test_bits(rows: int, k: int, columns: int, k_contiguous: bool, rng: np.random.Generator
              ) -> None:
    """Operands of which a part stays and a part is loaded again."""
    assert _plan(_shape(rows, k, columns)).held is not None
    lhs = random(rng, (rows, k) if k_contiguous else (k, rows), "float32")
    rhs = random(rng, (k, columns), "float32")
    contracting = ((1,) if k_contiguous else (0,), (0,))
    expected = dot_general(lhs, rhs, ((), ()), contracting)
    kinds = mlir_type(lhs), mlir_type(rhs), mlir_type(expected)
    text = f"""
func.func @main(%a: {kinds[0]}, %b: {kinds[1]}) -> {kinds[2]} {{
  %0 = stablehlo.dot_general %a, %b, contracting_dims = [{contracting[0][0]}] x [0]
      : ({kinds[0]}, {kinds[1]}) -> {kinds[2]}
  return %0 : {kinds[2]}
}}"""
    (found,) = execute(text, [lhs, rhs], "tiny")
    assert found.tobytes() == expected.tobytes()
