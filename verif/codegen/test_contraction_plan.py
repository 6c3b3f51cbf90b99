"""Plans of dot products: what fits, what stays in the scratchpad, and that bits do not depend on
it."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from compiler.codegen.contraction_cost import Bounds, room
from compiler.codegen.contraction_plan import _candidates, _fitted, _least, _tilings, choose
from compiler.codegen.contraction_shape import Plan, Shape
from compiler.pipeline import Options, compile_module
from hw.config import load
from verif.codegen.contraction_reference import dot_general, execute, mlir_type, random
from verif.codegen.harness import execute as execute_program
from verif.compiler.models import export

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


def test_a_steady_product_has_few_slabs() -> None:
    """With both factors on chip all depths cost the same, but each slab has its text."""
    steady = replace(_shape(64, 64, 64), steady=True, on_chip=(True, True))
    assert _plan(steady).depth == 64


@pytest.mark.parametrize("shape", [
    _shape(64, 512, 256), _shape(1, 512, 256), replace(_shape(8, 96, 40), batch=3),
    replace(_shape(64, 64, 64), on_chip=(True, False))], ids=str)
def test_the_search_stops_at_a_bound_that_misses_nothing(shape: Shape) -> None:
    room_left = CONFIG.scratchpad_bytes // 2
    bounds = Bounds(CONFIG, shape)
    plans = [fitted for tiling in _tilings(CONFIG, shape)
             for plan in _candidates(CONFIG, shape, tiling)
             for fitted in _fitted(CONFIG, shape, plan, room_left)]
    assert len(plans) > 20
    for cost in (bounds.busiest, bounds.bound):
        assert _least(bounds, cost, 20, room_left) == sorted(plans, key=cost)[:20]


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


def test_weights_come_in_pieces_where_room_is_short() -> None:
    """More of the activations stays beside them."""
    shape = replace(_shape(48, 384, 256), dram_bytes=(2, 2), result_bytes=2, epilogue_bytes=4,
                    epilogue_cycles=8, in_panels=True)
    plan = _plan(shape)
    assert plan.piece is not None
    assert room(CONFIG, shape, plan) <= CONFIG.scratchpad_bytes
    assert room(CONFIG, shape, plan._replace(piece=None)) > CONFIG.scratchpad_bytes


def _gated(x: Any, weights: Any) -> Any:
    gate, up = jnp.split(weights, 2, axis=1)
    return jax.nn.silu(x @ gate) * (x @ up)


def _with_residual(x: Any, weights: Any) -> Any:
    return jnp.tanh(x @ weights) + x[:, : weights.shape[1]]


@pytest.mark.parametrize("function", [_gated, _with_residual])
@pytest.mark.parametrize("is_constant", [True, False])
def test_bits_of_weights_in_pieces(function: Any, is_constant: bool, rng: np.random.Generator,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan | None] = []

    def choosing(*args: Any) -> Plan | None:
        plans.append(choose(*args))
        return plans[-1]

    monkeypatch.setattr("compiler.codegen.contraction_dot.choose", choosing)
    x, weights = (random(rng, shape, "bfloat16") for shape in ((48, 384), (384, 256)))
    inputs = [x] if is_constant else [x, weights]
    module = export((lambda x: function(x, jnp.asarray(weights))) if is_constant else function,
                    *inputs)
    full, plain = (execute_program(compile_module(module, CONFIG, Options(fusion=level)), inputs)
                   for level in ("full", "none"))
    assert any(plan is not None and plan.piece is not None for plan in plans)
    assert full[0].tobytes() == plain[0].tobytes()
