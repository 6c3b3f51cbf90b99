"""Loops: what is taken out of them, which are unrolled, and what unrolled ones become."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from compiler.frontend import Model, load
from compiler.ir.ops import HloOp, main_function
from compiler.passes import SIMPLIFYING
from compiler.passes.carries import carries
from compiler.passes.unroll import BUDGET, find_counter, unroll
from compiler.pipeline import Options, compile_module
from compiler.reference import evaluate
from hw.config import TINY
from verif.codegen.harness import Array, execute
from verif.compiler.models import export, floats, integers, jax, module

jnp, lax = jax.numpy, jax.lax


def simplified(function: Callable[..., Any], *arguments: Any, budget: int = BUDGET) -> Model:
    model = load(export(function, *arguments), narrow_64=True)
    for simplify in SIMPLIFYING:
        if simplify is unroll:
            unroll(model.module, budget)
        else:
            simplify(model.module)
    model.module.verify()
    return model


def operations(model: Model, kind: str) -> list[HloOp]:
    return [op for op in main_function(model.module).walk()
            if isinstance(op, HloOp) and op.kind == kind]


def assert_same_bits(function: Callable[..., Any], arguments: Sequence[Array]) -> None:
    """The unrolled program and the rolled one."""
    unrolled, rolled = (
        execute(compile_module(export(function, *arguments), TINY, Options(
            narrow_64=True, unroll_budget=budget)), arguments) for budget in (BUDGET, 0))
    for mine, theirs in zip(unrolled, rolled, strict=True):
        assert mine.tobytes() == theirs.tobytes()


def lstm(xs: Any, h: Any, c: Any, wx: Any, wh: Any, b: Any, reverse: bool = False) -> Any:
    def step(carry: Any, x: Any) -> Any:
        h, c = carry
        i, f, o, u = jnp.split(x @ wx + h @ wh + b, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(u)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h
    return lax.scan(step, (h, c), xs, reverse=reverse)


def lstm_arguments(steps: int, batch: int, hidden: int) -> list[Array]:
    return [floats(steps, batch, hidden), floats(batch, hidden, seed=1),
            floats(batch, hidden, seed=2), floats(hidden, 4 * hidden, seed=3),
            floats(hidden, 4 * hidden, seed=4), floats(4 * hidden, seed=5)]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_is_its_steps_and_one_product_of_all_inputs(reverse: bool) -> None:
    arguments = lstm_arguments(6, 2, 8)
    model = simplified(partial(lstm, reverse=reverse), *arguments)
    dots = operations(model, "dot_general")
    assert sorted(op.tensor.shape for op in dots) == [(2, 32)] * 6 + [(6, 2, 32)]
    for kind in ("while", "dynamic_slice", "dynamic_update_slice"):
        assert not operations(model, kind)
    (stacked,) = operations(model, "concatenate")
    assert len(stacked.operands) == 6
    (cell,) = (v for v in evaluate(model.module, arguments)[-1:])
    expected = jax.tree.leaves(partial(lstm, reverse=reverse)(*arguments))
    np.testing.assert_allclose(cell, expected[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_unrolling_changes_no_bit(reverse: bool) -> None:
    assert_same_bits(partial(lstm, reverse=reverse), lstm_arguments(5, 2, 8))


def test_products_of_many_rows_stay_alone() -> None:
    model = simplified(lstm, *lstm_arguments(3, 16, 8))
    assert len(operations(model, "dot_general")) == 6


def test_stacked_layers_read_their_neighbours_states() -> None:
    def function(xs: Any, w: Any) -> Any:
        for _ in range(2):
            _, xs = lax.scan(lambda h, x: (jnp.tanh(h + x @ w), h), xs[0] * 0, xs)
        return xs
    arguments = [floats(4, 2, 8), floats(8, 8, seed=1)]
    assert len(operations(simplified(function, *arguments), "dot_general")) == 2
    assert_same_bits(function, arguments)


@pytest.mark.parametrize("function", [
    lambda x: lax.fori_loop(0, 4, lambda i, c: c * 2 + i, x),
    lambda x: lax.fori_loop(3, -2, lambda i, c: c * 2 + i, x),
    lambda x: lax.fori_loop(2, 5, lambda i, c: lax.fori_loop(
        0, i, lambda j, d: d + j * i, c), x),
    lambda x: lax.while_loop(lambda c: c[0] > 0, lambda c: (c[0] - 3, c[1] + c[0]), (10, x))[1],
    lambda x: lax.while_loop(lambda c: c[0] <= 20, lambda c: (5 + c[0], c[1] + c[0]), (0, x)),
    lambda x: lax.while_loop(lambda c: c[0] != 8, lambda c: (c[0] + 2, c[1] - c[0]), (0, x)),
    lambda x: lax.fori_loop(0, 3, lambda i, c: lax.cond(
        c[0, 0] > i, lambda v: v - i, lambda v: v + c, c), x),
    lambda x: lax.map(lambda row: jnp.cumsum(row) + row.max(), x),
    lambda x: lax.scan(lambda c, r: (c + r, (c, r * 2)), x[0], x)[1],
])
def test_loops_that_count_are_unrolled(function: Callable[..., Any]) -> None:
    x = integers(3, 5)
    model = simplified(function, x)
    assert not operations(model, "while")
    expected = [np.asarray(r) for r in jax.tree.leaves(function(x))]
    for mine, theirs in zip(evaluate(model.module, [x]), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert_same_bits(function, [x])


@pytest.mark.parametrize("function", [
    lambda x: lax.fori_loop(0, x[0, 0], lambda i, c: c * 2 + i, x),
    lambda x: lax.while_loop(lambda c: c.max() < 100, lambda c: c * 2 + 9, x),
    lambda x: lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] * 2 + 1, c[1] * 2), (0, x)),
    lambda x: lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] - 1, c[1] * 2), (0, x)),
    lambda x: lax.fori_loop(0, 100_000, lambda i, c: c + i, x),
])
def test_other_loops_run_on_the_machine(function: Callable[..., Any]) -> None:
    assert operations(simplified(function, integers(2, 2, low=1)), "while")


def test_a_budget_of_operations_limits_unrolling() -> None:
    def function(x: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < 10, lambda c: (c[0] + 1, -c[1] * 3), (0, x))
    # Each round counts, negates and multiplies.
    assert operations(simplified(function, floats(3), budget=29), "while")
    assert not operations(simplified(function, floats(3), budget=30), "while")


def test_a_loop_of_no_round_is_its_start() -> None:
    model = simplified(lambda x: lax.fori_loop(4, 4, lambda i, c: c * i, x), integers(3))
    assert len(list(main_function(model.module).body.block.ops)) == 1


def test_what_a_loop_hands_on_unchanged_is_used_from_outside() -> None:
    def function(x: Any, w: Any, n: Any) -> Any:
        return lax.fori_loop(0, n, lambda i, c: (jnp.tanh(c[0] @ c[1]) + i, c[1]), (x, w))
    arguments = [floats(2, 4), floats(4, 4, seed=1), np.array(3, np.int32)]
    model = load(export(function, *arguments))
    expected = evaluate(model.module, arguments)
    carries(model.module)
    model.module.verify()
    (loop,) = operations(model, "while")
    assert len(loop.results) == 2  # the counter and the state
    assert all(v.type != main_function(model.module).args[1].type for v in loop.operands)
    for mine, theirs in zip(evaluate(model.module, arguments), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_counter_is_found_from_either_side() -> None:
    text = module("""    %z = stablehlo.constant dense<7> : tensor<i32>
    %r:2 = stablehlo.while(%i = %z, %c = %a) : tensor<i32>, tensor<4xf32> cond {
      %b = stablehlo.constant dense<-1> : tensor<i32>
      %p = stablehlo.compare LE, %b, %i, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %p : tensor<i1>
    } do {
      %s = stablehlo.constant dense<-2> : tensor<i32>
      %n = stablehlo.add %s, %i : tensor<i32>
      stablehlo.return %n, %c : tensor<i32>, tensor<4xf32>
    }""").replace("return %r :", "return %r#1 :")
    (loop,) = operations(load(text), "while")
    counter = find_counter(loop)
    assert counter is not None
    assert counter.values(100) == [7, 5, 3, 1, -1]
    assert counter.values(4) is None


def test_updates_that_leave_a_gap_stay_updates() -> None:
    def function(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, c: lax.dynamic_update_slice(
            c, c[:1] + i, (2 * i, 0)), x)
    x = floats(7, 4)
    assert len(operations(simplified(function, x), "dynamic_update_slice")) == 3
    assert_same_bits(function, [x])


def test_known_starts_are_moved_inside() -> None:
    def function(x: Any) -> Any:
        part = lax.dynamic_slice(x, (np.int32(5), np.int32(-3)), (3, 2))
        return lax.dynamic_update_slice(x, part, (np.int32(-9), np.int32(99)))
    x = floats(6, 4)
    model = simplified(function, x)
    assert not operations(model, "dynamic_slice")
    (out,) = evaluate(model.module, [x])
    np.testing.assert_array_equal(out, function(x))
    assert_same_bits(function, [x])


def test_a_whole_update_replaces_everything() -> None:
    model = simplified(lambda x, y: lax.dynamic_update_slice(x, y, (0, 0)) + x,
                       floats(2, 3), floats(2, 3, seed=1))
    assert not operations(model, "dynamic_update_slice")
