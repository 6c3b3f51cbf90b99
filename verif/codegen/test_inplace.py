"""Updates in place: the bytes they move, and the bits of programs that copy instead."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from compiler.codegen.interface import Donation
from compiler.codegen.lower import Lowered, lower
from compiler.frontend import load
from compiler.ir.ops import main_function
from compiler.passes import optimise
from compiler.pipeline import Options, compile_module
from hw.config import TINY
from hw.isa.host import Engine
from hw.isa.program import INPUT_WINDOW, OUTPUT_WINDOW, Program
from verif.codegen.harness import Array, execute
from verif.codegen.moved import moved
from verif.compiler.models import export, floats, integers, jax, module, results

jnp, lax = jax.numpy, jax.lax
CACHE, ROW = floats(1, 24, 32), floats(1, 1, 32, seed=1)
CACHE_BYTES, ROW_BYTES = CACHE.nbytes, ROW.nbytes


def scalar(value: int) -> Array:
    return np.array(value, np.int32)


def attend(keys: Any, values: Any, x: Any, position: Any) -> Any:
    keys = lax.dynamic_update_slice(keys, x * 2, (0, position, 0))
    values = lax.dynamic_update_slice(values, x + 1, (0, position, 0))
    allowed = jnp.arange(keys.shape[1]) <= position
    scores = jnp.where(allowed, jnp.einsum("bqd,bkd->bqk", x, keys), -jnp.inf)
    return jnp.einsum("bqk,bkd->bqd", jax.nn.softmax(scores), values), keys, values


def lowered(function: Callable[..., Any], arguments: Sequence[Array], donate: Sequence[int]
            ) -> Lowered:
    model = load(export(function, *arguments, donate=donate), narrow_64=True)
    optimise(model.module)
    return lower(main_function(model.module), TINY, [
        Donation(n, a.alias) for n, a in enumerate(model.arguments) if a.donated])


def program(function: Callable[..., Any], arguments: Sequence[Array],
            donate: Sequence[int] = (), unroll_budget: int = 0) -> Program:
    return compile_module(export(function, *arguments, donate=donate), TINY,
                          Options(narrow_64=True, unroll_budget=unroll_budget))


def assert_same(function: Callable[..., Any], arguments: Sequence[Array], donate: Sequence[int]
                ) -> Program:
    """Donating changes no bit of any result, nor the caller's arrays."""
    before = [a.copy() for a in arguments]
    donated = program(function, arguments, donate)
    got = execute(donated, arguments)
    for mine, theirs in zip(got, execute(program(function, arguments), arguments), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    for array, copy in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    return donated


@pytest.mark.parametrize("position", [0, 7, 23, 40, -3])
def test_a_donated_cache_is_read_once_and_gets_one_row(position: int) -> None:
    arguments = [CACHE, floats(1, 24, 32, seed=2), ROW, scalar(position)]
    donated = assert_same(attend, arguments, (0, 1))
    assert [t.window for t in donated.outputs] == [OUTPUT_WINDOW, INPUT_WINDOW, INPUT_WINDOW]
    assert [t.offset for t in donated.outputs[1:]] == [t.offset for t in donated.inputs[:2]]
    code = lowered(attend, arguments, (0, 1))
    assert moved(code, Engine.STORE, INPUT_WINDOW) == 2 * ROW_BYTES
    assert moved(code, Engine.LOAD, INPUT_WINDOW) <= 2 * CACHE_BYTES + 4 * ROW_BYTES
    assert code.workspace_bytes < CACHE_BYTES


def test_a_stretch_of_updates_is_one_chain() -> None:
    def function(cache: Any, x: Any, i: Any) -> Any:
        for shift in range(3):
            cache = lax.dynamic_update_slice(cache, x + shift, (0, i + shift, 0))
        return cache.reshape(24, 32)[None]
    arguments = [CACHE, ROW, scalar(5)]
    assert_same(function, arguments, (0,))
    code = lowered(function, arguments, (0,))
    assert moved(code, Engine.STORE, INPUT_WINDOW) == 3 * ROW_BYTES
    code = lowered(function, arguments, ())
    assert moved(code, Engine.STORE, OUTPUT_WINDOW) == CACHE_BYTES + 3 * ROW_BYTES


@pytest.mark.parametrize("function", [
    lambda cache, x: (jnp.concatenate([x @ x, x + 1]), cache @ x),
    lambda cache, x: (jnp.concatenate([x @ x, x @ cache[:8]]), jnp.exp(x)),
    lambda cache, x: (jnp.concatenate([jnp.exp(x), cache[:8]]), x * 2),
])
def test_parts_are_not_made_where_an_argument_is_read_later(function: Callable[..., Any]) -> None:
    """The pieces of a concatenation are written before it."""
    assert_same(function, [floats(16, 8), floats(8, 8, seed=1)], (0,))


def test_what_is_needed_afterwards_is_kept() -> None:
    def function(cache: Any, x: Any, i: Any) -> Any:
        new = lax.dynamic_update_slice(cache, x, (0, i, 0))
        return new, new - cache[:, ::-1]
    assert_same(function, [CACHE, ROW, scalar(5)], (0,))


@pytest.mark.parametrize("function", [
    lambda a, b: (b, a), lambda a, b: (a, a + b), lambda a, b: (b * 2, a[::-1] + b),
    lambda a, b: (a + b, a - b), lambda a, b: (a[::-1], b + 1), lambda a, b: (a * 2 + a, b),
    lambda a, b: (a.T.reshape(6, 5), a + b.sum()),
    lambda a, b: (a + a.sum(0), jnp.exp(b)),
])
def test_donated_arguments_of_any_use(function: Callable[..., Any]) -> None:
    arguments = [floats(6, 5), floats(6, 5, seed=1)]
    donated = assert_same(function, arguments, (0, 1))
    assert sorted(t.offset for t in donated.outputs) == sorted(t.offset for t in donated.inputs)


def test_elementwise_work_is_done_where_the_argument_lies() -> None:
    code = lowered(lambda p, g: p - 0.1 * g, [floats(64), floats(64, seed=1)], (0,))
    assert (code.workspace_bytes, code.output_bytes) == (0, 0)


def test_a_donor_without_alias_gives_its_buffer_to_its_update() -> None:
    text = module(
        "    %0 = stablehlo.constant dense<0> : tensor<i32>\n"
        "    %r = stablehlo.dynamic_update_slice %a, %b, %i : "
        "(tensor<9xf32>, tensor<2xf32>, tensor<i32>) -> tensor<9xf32>",
        "%a: tensor<9xf32> {jax.buffer_donor = true}, %b: tensor<2xf32>, %i: tensor<i32>",
        "tensor<9xf32>")
    compiled = compile_module(text, TINY)
    assert compiled.outputs[0].window == INPUT_WINDOW
    (out,) = execute(compiled, [floats(9), np.ones(2, np.float32), scalar(4)])
    np.testing.assert_array_equal(out, np.concatenate([floats(9)[:4], [1, 1], floats(9)[6:]]))


def decode_loop(cache: Any, x: Any, count: Any) -> Any:
    def step(i: Any, carry: Any) -> Any:
        cache, x = carry
        cache = lax.dynamic_update_slice(cache, x, (0, i, 0))
        return cache, x + cache.sum(1, keepdims=True)
    return lax.fori_loop(0, count, step, (cache, x))


@pytest.mark.parametrize("donate", [(), (0,)])
def test_a_loop_updates_what_it_carries_in_place(donate: tuple[int, ...]) -> None:
    cache, row = integers(1, 24, 32), integers(1, 1, 32, seed=1)
    for count in (0, 3, 30):
        arguments = [cache, row, scalar(count)]
        got = execute(program(decode_loop, arguments, donate), arguments)
        for mine, theirs in zip(got, results(decode_loop, *arguments), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    code = lowered(decode_loop, [cache, row, scalar(3)], donate)
    window = INPUT_WINDOW if donate else OUTPUT_WINDOW
    # Without donation the cache is copied once, before the loop; the new row is next to it.
    begin = 0 if donate else CACHE_BYTES + 2 * ROW_BYTES
    assert moved(code, Engine.STORE, window) - begin == ROW_BYTES
    assert code.workspace_bytes < CACHE_BYTES


def test_values_that_change_places_in_a_loop() -> None:
    def function(a: Any, b: Any, count: Any) -> Any:
        return lax.fori_loop(0, count, lambda i, c: (c[1], c[0] + c[1], c[2], c[1] * i),
                             (a, b, a + b, b))
    arguments = [integers(4, 5), integers(4, 5, seed=1), scalar(5)]
    for donate in ((), (0, 1)):
        got = execute(program(function, arguments, donate), arguments)
        for mine, theirs in zip(got, results(function, *arguments), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_notes_tell_how_good_the_workspace_is() -> None:
    memory = program(lambda x: jnp.exp(x.T).T[::-1].T.sum(0), [floats(40, 50)]).notes["memory"]
    assert memory["workspace_bytes"] >= memory["lower_bound_bytes"]
    assert memory["workspace_bytes"] <= 1.05 * memory["lower_bound_bytes"] + 64
