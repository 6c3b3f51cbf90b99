"""Tensors that stay on chip: what reaches DRAM, and that nothing else changes."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from xdsl.dialects.builtin import f32
from xdsl.ir import Block

import isthmus
from benchmarks.networks.layers import attention
from benchmarks.networks.network import Array
from benchmarks.networks.traffic import predict
from compiler.codegen import residency, rooms
from compiler.codegen.residents import Resident
from hw.isa.program import Program
from verif.codegen.harness import build, execute

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
RNG_SEED = 7


def drawn(*shape: int) -> Array:
    return np.random.default_rng(RNG_SEED).standard_normal(shape).astype(BFLOAT16)


def compiled(function: Callable[..., Any], arguments: list[Array], bind: Mapping[str, Array],
             **options: Any) -> Program:
    text = jax.jit(function).lower(*arguments, *bind.values()).as_text()
    return isthmus.compile(text, bind=dict(bind), **options)


def stored(function: Callable[..., Any], arguments: list[Array], **options: Any) -> int:
    """Bytes written to DRAM."""
    return predict(compiled(function, arguments, {}, **options), arguments).bytes_written


def moved(function: Callable[..., Any], arguments: list[Array],
          bind: Mapping[str, Array], **options: Any) -> float:
    """Bytes loaded and stored over those of arguments, weights and result."""
    program = compiled(function, arguments, bind, **options)
    result = jax.eval_shape(function, *arguments, *bind.values())
    needed = sum(a.nbytes for a in (*arguments, *bind.values()))
    needed += result.size * result.dtype.itemsize
    return predict(program, arguments).bytes / needed


def heads(q: Any, k: Any, v: Any) -> Any:
    return attention(q, k, v, jnp.ones((1, 1, 1, q.shape[2]), bool))


def mlp(x: Any, up: Any, down: Any) -> Any:
    return jax.nn.gelu(x @ up, approximate=False) @ down


def test_scores_of_attention_never_visit_dram() -> None:
    arguments = [drawn(1, 8, 128, 64) for _ in range(3)]
    assert stored(heads, arguments) == arguments[0].nbytes
    assert stored(heads, arguments, fusion="none") >= 8 * arguments[0].nbytes
    # Keys and values are read again for each slice of rows.
    assert moved(heads, arguments, {}) <= 1.55


def test_hidden_layer_that_fits_stays_on_chip() -> None:
    bind = {"arg1": drawn(256, 1024), "arg2": drawn(1024, 256)}
    assert moved(mlp, [drawn(64, 256)], bind) <= 1.05


def test_constants_of_several_depthwise_convolutions_are_loaded_once() -> None:
    """The kernel, and what is added to the sums."""
    def twice(x: Any, kernel: Any, shift: Any) -> Any:
        for _ in range(2):
            x = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=x.shape[-1])
            x = jax.nn.relu(x + shift)
        return x

    bind = {"arg1": drawn(3, 3, 1, 2048), "arg2": drawn(2048)}
    assert moved(twice, [drawn(1, 4, 4, 2048)], bind) <= 1.01


def test_weights_of_an_unrolled_loop_are_loaded_once() -> None:
    def steps(x: Any, w: Any) -> Any:
        return jax.lax.scan(lambda h, _: (jnp.tanh(h @ w), None), x, None, length=8)[0]

    assert moved(steps, [drawn(16, 128)], {"arg1": drawn(128, 128)}) <= 1.05


@pytest.mark.parametrize("function", [heads, mlp], ids=["attention", "mlp"])
@pytest.mark.parametrize("config", ["tiny", "tiny-nosfu"])
def test_results_keep_their_bits(function: Callable[..., Any], config: str) -> None:
    arguments = [drawn(1, 3, 20, 12) for _ in range(3)] if function is heads else [
        drawn(70, 24), drawn(24, 56), drawn(56, 20)]
    programs = [compiled(function, arguments, {}, config=config, fusion=fusion)
                for fusion in ("full", "none")]
    fused, unfused = (isthmus.run(p, arguments).outputs[0] for p in programs)
    assert fused.tobytes() == unfused.tobytes()


def test_a_trial_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contractions with little room are made once before the program is."""
    programs = []
    for most in (1 << 30, 1):
        monkeypatch.setattr(rooms, "SHORT", most)
        programs.append(compiled(mlp, [drawn(64, 256)],
                                 {"arg1": drawn(256, 1024), "arg2": drawn(1024, 256)}))
    untried, tried = programs
    assert tried.text.tobytes() == untried.text.tobytes()
    assert tried.constants == untried.constants
    assert tried.workspace_bytes == untried.workspace_bytes


def test_groups_are_explained_with_cycles_and_places() -> None:
    program = compiled(mlp, [drawn(64, 256)], {"arg1": drawn(256, 512), "arg2": drawn(512, 64)},
                       explain=True)
    first = next(line for line in program.notes["fusion"] if "dot_general" in line)
    assert "erfc" in first
    assert "matrix" in first
    assert "1 of 1 results on chip" in first


def test_a_large_hidden_layer_is_multiplied_slice_by_slice() -> None:
    """512 KB of scratchpad hold the input and a third of the hidden layer."""
    def block(x: Any, up: Any, down: Any) -> Any:
        return x + mlp(x, up, down)

    x, bind = drawn(128, 512), {"arg1": drawn(512, 3072), "arg2": drawn(3072, 512)}
    assert moved(block, [x], bind, fast_math=True) <= 1.15
    assert moved(block, [x], bind) > 1.3


@pytest.mark.parametrize("seed", range(3))
def test_a_sum_takes_the_place_of_what_is_added(seed: int) -> None:
    """Both would not fit; the same bits as without anything on chip, in any order of engines."""
    def blocks(x: Any, w: Any) -> Any:
        for _ in range(3):
            x = x + x @ w
        return x

    arguments = [drawn(96, 96), drawn(96, 96) / BFLOAT16.type(16)]
    program, plain = (build(blocks, arguments, fusion=fusion) for fusion in ("full", "none"))
    assert execute(program, arguments, seed)[0].tobytes() == \
        execute(plain, arguments)[0].tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_residents_that_never_meet_are_placed_as_if_alone(seed: int) -> None:
    """In the order that suits each set, wherever it is in the program."""
    rng, later, room = np.random.default_rng(seed), 20, [100] * 40
    values = Block(arg_types=[f32] * 12).args
    drawn = [(int(first), int(first + life), int(size)) for first, life, size in zip(
        rng.integers(0, 9, 12), rng.integers(1, 9, 12), rng.integers(5, 20, 12), strict=True)]
    sets = [[Resident(value, begin + first, begin + last, size, size)
             for value, (first, last, size) in zip(values[n::2], drawn[n::2], strict=True)]
            for n, begin in ((0, 0), (1, later))]
    wanted = [0] * len(room)
    alone = [residency._compact(residency._placed(one, {}, room), room, wanted) for one in sets]
    both = residency._compact(residency._placed([*sets[1], *sets[0]], {}, room), room, wanted)
    assert both == alone[0] | alone[1]


def test_what_lives_while_there_is_little_room_is_placed_first() -> None:
    """As in residual blocks that are multiplied in slices: a block's sums become the input of a
    convolution, which has the least room and makes what the next slices are made of."""
    room = [88 if n % 10 == 0 else 98 for n in range(31)]
    lives = [(begin, begin + 9, 40) for begin in (0, 10, 20)]  # a convolution's result
    lives += [(begin + 2, begin + 10, 46) for begin in (0, 10, 20)]  # sums
    lives += [(begin + n, begin + n + 1, 10) for begin in (0, 10, 20) for n in (1, 3, 5, 7)]
    values = Block(arg_types=[f32] * len(lives)).args
    residents = [Resident(value, first, last, size, size * max(2, last - first - 2))
                 for value, (first, last, size) in zip(values, lives, strict=True)]
    residents.sort(key=lambda r: (-r.gain, r.first))
    assert residency._chosen(residents, room, [0] * len(room)).keys() == set(residents)
