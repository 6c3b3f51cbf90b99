"""Groups that are equal to an earlier one but for places: the program is as if all were new."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from compiler.codegen import groups, replay
from compiler.codegen.commands import Command
from compiler.codegen.context import Context
from compiler.codegen.interface import interface
from compiler.codegen.lower import Lowering
from compiler.codegen.replay import Replay
from compiler.codegen.replay_key import Region
from compiler.errors import Location
from compiler.frontend.load import load as load_model
from compiler.ir.ops import HloOp, main_function
from compiler.passes import optimise
from compiler.pipeline import Options, compile_module
from hw.config import load
from hw.isa.host import Engine
from verif.codegen.chains import conv, draw, inverted
from verif.compiler.models import export, floats, integers, jax

BF16 = {"dtype": bfloat16}


def layers(x: Any, *weights: Any) -> Any:
    for weight in weights:
        x = jax.nn.relu(x @ weight)
    return x


def constants(x: Any) -> Any:
    """Equal layers with other constants, scalar ones and arrays."""
    for seed in (1, 2, 2):
        x = jax.nn.relu(x @ floats(24, 24, seed=seed, dtype=bfloat16)) * bfloat16(seed)
    return x + floats(24, seed=3, dtype=bfloat16)


def slices_of_one(x: Any) -> Any:
    """The same parts of two operands, and other parts of one."""
    pairs = ((0, 8), (8, 16), (16, 24), (0, 0))
    parts = [(x[n : n + 8] * 2 + x[m : m + 8]).sum(1) for n, m in pairs]
    return jax.numpy.stack(parts)


def steps(x: Any, w: Any) -> Any:
    """An unrolled recurrence whose states are stored in one tensor."""
    def step(state: Any, x: Any) -> tuple[Any, Any]:
        state = jax.numpy.tanh(state @ w + x)
        return state, state

    return jax.lax.scan(step, jax.numpy.zeros((4, 16), np.float32), x, unroll=6)[1]


def updates(x: Any, rows: Any) -> Any:
    """In place, one row after the other."""
    for n in range(5):
        x = jax.lax.dynamic_update_slice(x, rows[n : n + 1] + 1, (2 * n, 0))
    return x


def attention(q: Any, k: Any, v: Any) -> Any:
    return jax.nn.softmax(q @ k.transpose(0, 2, 1), -1) @ v


def tables(x: Any, where: Any) -> Any:
    """Reads by computed addresses."""
    for _ in range(3):
        x = jax.numpy.take(x, where, axis=0) + 1
    return x


CASES: dict[str, tuple[Any, list[Any]]] = {
    "layers": (layers, [floats(20, 32, **BF16), *[floats(32, 32, seed=n, **BF16)
                                                  for n in range(1, 5)]]),
    "constants": (constants, [floats(9, 24, **BF16)]),
    "slices": (slices_of_one, [floats(32, 24)]),
    "steps": (steps, [floats(12, 4, 16), floats(16, 16)]),
    "updates": (updates, [floats(12, 40), floats(5, 40)]),
    "attention": (attention, [floats(6, 40, 16, seed=n, **BF16) for n in range(3)]),
    "tables": (tables, [floats(30, 12), integers(30, low=0, high=30)]),
    "bands": (lambda x: inverted(inverted(x)), [draw(1, 24, 24, 10)]),
    "strided_bands": (lambda x: conv(jax.nn.relu(conv(x, 3, 16, 2)), 3, 16), [draw(1, 97, 80, 8)]),
    "reductions": (lambda x: [x[n].max(0) for n in range(4)], [floats(4, 20, 30)]),
    "running_sums": (lambda x: [jax.lax.reduce_window(
        x[n], np.float32(0), jax.lax.add, (5,), (1,), ((4, 0),)) for n in range(3)],
                     [floats(3, 20)]),
}


def _compiled(name: str, config: str, fusion: str) -> bytes:
    function, arguments = CASES[name]
    return compile_module(export(function, *arguments), load(config),
                          Options(fusion=fusion)).to_bytes()


@pytest.mark.parametrize("fusion", ["none", "full"])
@pytest.mark.parametrize("config", ["tiny", "default"])
@pytest.mark.parametrize("name", CASES)
def test_the_program_is_the_same(name: str, config: str, fusion: str,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = _compiled(name, config, fusion)
    monkeypatch.setattr(Replay, "generate",
                        lambda self, group: groups.generate(self._context, group))
    assert replayed == _compiled(name, config, fusion)


@pytest.mark.parametrize("name, least", [
    ("layers", 1), ("slices", 1), ("updates", 3), ("bands", 6)])
def test_equal_groups_are_generated_once(name: str, least: int, monkeypatch: pytest.MonkeyPatch
                                         ) -> None:
    made: list[HloOp] = []
    asked: list[HloOp] = []
    generate, all_of = groups.generate, Replay.generate

    def generated(context: Context, group: HloOp) -> None:
        made.append(group)
        generate(context, group)

    def counted(self: Replay, group: HloOp) -> None:
        asked.append(group)
        all_of(self, group)

    monkeypatch.setattr(replay, "generate", generated)
    monkeypatch.setattr(Replay, "generate", counted)
    _compiled(name, "tiny", "full")
    assert len(asked) - len(made) >= least, (len(asked), len(made))


def test_what_touches_other_memory_is_not_replayed() -> None:
    """A command whose bytes belong to nothing that is known to move."""
    location = Location()
    inside, outside = ((3, first, first + 64) for first in (0, 1000))

    def load_to(address: int, *reads: tuple[int, ...]) -> Command:
        return Command(Engine.LOAD, (0,), address, {}, reads, ((8, address, address + 64),), 1, 1,
                       location)

    tensors = [Region(3, 0, 64, 0), Region(8, 256, 512, 256)]

    def steps_of(*events: Command) -> Sequence[Any] | None:
        return replay._Record(tensors, events, 64).steps

    assert steps_of(load_to(256, inside)) is not None
    assert steps_of(load_to(256, outside)) is None
    assert steps_of(load_to(480, inside)) is None
    assert steps_of(load_to(256, inside, inside)) is None


def test_nothing_is_replayed_from_before_constants_have_moved() -> None:
    """What has been given up since then may have had other constants."""
    arguments = CASES["layers"][1]
    loaded = load_model(export(
        lambda *a: layers(*a) + floats(32, dtype=bfloat16), *arguments))
    optimise(loaded.module)
    main, machine = main_function(loaded.module), load("tiny")
    context = Context(machine)
    lowering = Lowering(context, main, on_chip=True, explain=False)
    ends = interface(main, (), lowering.in_place)
    context.places.update(zip(main.body.block.args, ends.inputs, strict=True))
    begin = lowering._mark()
    lowering.main(ends.wanted)
    assert lowering._replay._records
    assert len(context.constants)
    lowering._rewind(begin)
    assert not lowering._replay._records
