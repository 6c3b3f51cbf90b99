"""Rounds of steps in loops of the sequencer: less text, and the same work in the same order."""

from math import prod
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from compiler.codegen import emit, rounds
from compiler.codegen.commands import Command, Repeat
from compiler.codegen.emit_loops import MASK
from compiler.codegen.emit_rounds import Setting, settings
from compiler.codegen.rounds import Growth, Rounds, find_rounds
from compiler.codegen.synchronise import Step
from compiler.codegen.synchronise import synchronise as synchronised
from compiler.errors import Location
from hw.config import AcceleratorConfig, load
from hw.isa.host import Engine
from hw.isa.scalar import LoopInstruction
from verif.codegen.chains import conv, draw
from verif.codegen.executed import Done, executed
from verif.codegen.harness import build, execute
from verif.compiler.models import floats, jax

HERE = Location()
HELD = {Engine.VECTOR: {0: 0, 1: 0, 2: 5}}
"""Parameters before the loop."""
OPCODE = LoopInstruction.OPCODE


def wide_product(x: Any, w: Any, bias: Any) -> Any:
    return jax.nn.relu(x @ w + bias)


def long_product(x: Any, w: Any) -> Any:
    return (x @ w).sum(1)


def of_few_channels(x: Any) -> Any:
    return jax.nn.relu(conv(x, 5, 20, 2))


CASES: dict[str, tuple[Any, list[Any]]] = {
    "columns": (wide_product, [floats(16, 24, dtype=bfloat16), floats(24, 160, dtype=bfloat16),
                               floats(160, seed=1)]),
    "k": (long_product, [floats(40, 400, dtype=bfloat16), floats(400, 24, dtype=bfloat16)]),
    "elements": (lambda x, y: x * y + 1, [floats(64, 256), floats(64, 256, seed=1)]),
    "packed": (of_few_channels, [draw(1, 33, 30, 3)]),
    "twice": (lambda x, w: wide_product(wide_product(x, w, 1.0), w.T, 2.0),
              [floats(16, 24, dtype=bfloat16), floats(24, 160, dtype=bfloat16)]),
}


@pytest.mark.parametrize("config", ["tiny", "default"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_is_done_in_the_same_order(name: str, config: str,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    function, arguments = CASES[name]
    steps: list[Step] = []

    def noted(*given: Any) -> list[Step]:
        steps.extend(found := synchronised(*given))
        return found

    monkeypatch.setattr(emit, "synchronise", noted)
    done = executed(build(function, arguments, load(config)))
    assert_parameters_hold(steps, done)
    monkeypatch.setattr(emit, "find_rounds", lambda _: iter(()))
    without = executed(build(function, arguments, load(config)))
    assert [d[:-1] for d in done] == [d[:-1] for d in without]


def assert_parameters_hold(steps: list[Step], done: list[Done]) -> None:
    work = [d.parameters for d in done if d.is_work]
    for step in steps:
        command = step.command
        count = len(command.words) * (prod(command.repeat.counts) if command.repeat else 1)
        for held in work[:count]:
            assert all(held[number] == value & MASK
                       for number, value in command.parameters.items())
        del work[:count]
    assert not work


def test_text_is_shorter_and_results_keep_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    function, arguments = CASES["columns"]
    with_loops = build(function, arguments)
    monkeypatch.setattr(emit, "find_rounds", lambda _: iter(()))
    without = build(function, arguments)
    assert len(with_loops.text) < len(without.text) * 3 // 4
    got, expected = (execute(program, arguments) for program in (with_loops, without))
    assert [r.tobytes() for r in got] == [r.tobytes() for r in expected]


def command(address: int, *, engine: Engine = Engine.MATRIX, b: int | None = None,
            parameters: dict[int, int] | None = None, repeat: Repeat | None = None,
            opcode: int = 0x50) -> Command:
    """One that loads weights, unless it is told otherwise."""
    return Command(engine, (opcode | address << 32,), b, parameters or {}, (), (), 1, 1, HERE,
                   repeat=repeat)


def found(*commands: Command) -> list[Rounds]:
    return list(find_rounds([Step(command) for command in commands]))


def test_steps_whose_numbers_grow_evenly_are_one_loop() -> None:
    steps = [command(at, b=at // 4) for n in range(9) for at in (64 * n, 1000 + 32 * n)]
    (one,) = found(*steps)
    assert (one.first, one.length, one.count) == (0, 2, 9)
    assert one.growths == (Growth((64,), 16, ()), Growth((32,), 8, ()))


def test_a_round_ends_where_numbers_grow_by_another_amount() -> None:
    addresses = [*range(0, 640, 64), *range(5000, 5320, 32)]
    first, second = found(*map(command, addresses))
    assert (first.count, second.count) == (10, 10)


def test_what_waits_or_is_of_another_kind_is_not_in_the_loop() -> None:
    steps = [Step(command(64 * n)) for n in range(24)]
    steps[12].waits.append(Engine.LOAD)
    assert [(r.first, r.end) for r in find_rounds(steps)] == [(0, 12), (13, 24)]


def test_numbers_that_no_register_is_added_to_do_not_grow() -> None:
    bodies = [(0x70 | 4 << 32, 0x80 | n << 32) for n in range(12)]
    assert not found(*(Command(Engine.VECTOR, words, None, {}, (), (), 1, 1, HERE)
                       for words in bodies))


def test_few_steps_are_not_worth_a_loop() -> None:
    assert not found(*map(command, range(0, 64 * 3, 64)))


def test_there_is_a_register_for_each_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [command(at * at + n * (at + 1)) for n in range(6) for at in range(9)]
    assert not [r for r in found(*steps) if r.length == 9]
    monkeypatch.setattr(rounds, "MOST_GROWTHS", 9)
    assert [r.length for r in found(*steps)] == [9]


def test_short_rounds_are_taken_when_they_repeat_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five columns of a row, all of whose columns begin anew with the next row."""
    steps = [command(1000 * row + 64 * column) for row in range(4) for column in range(5)]
    monkeypatch.setattr(rounds, "LEAST_SAVED", 1)
    assert [r.length for r in found(*steps)] == [1] * 4
    monkeypatch.setattr(rounds, "ENOUGH", 6)
    assert [r.length for r in found(*steps)] == [5]


@pytest.fixture
def kernels() -> tuple[Step, ...]:
    """Of a round: a base that grows, a bound that two kernels set to and fro, a type that stays."""
    return tuple(Step(command(0, engine=Engine.VECTOR, parameters=p)) for p in (
        {0: 64, 1: 7, 2: 3}, {0: 96, 1: 9, 2: 3}))


def test_parameters_are_written_where_they_change(kernels: tuple[Step, ...]) -> None:
    plan = settings(kernels, [Growth((0,), 0, ((0, 64),))] * 2, HELD)
    vector = Engine.VECTOR
    assert plan.before == [Setting(vector, 2, 3, 0)]
    assert plan.written == [[Setting(vector, 0, 64, 64), Setting(vector, 1, 7, 0)],
                            [Setting(vector, 0, 96, 64), Setting(vector, 1, 9, 0)]]
    assert {s.number: s.value for s in plan.last} == {0: 96, 1: 9, 2: 3}


def test_what_the_round_before_has_left_is_not_written(kernels: tuple[Step, ...]) -> None:
    """The second kernel's base is that of the first one in the next round."""
    plan = settings(kernels, [Growth((0,), 0, ((0, 32),))] * 2, HELD)
    assert Setting(Engine.VECTOR, 0, 64, 32) in plan.before
    assert [s.number for s in plan.written[0]] == [1]


def test_of_a_step_that_is_alone_on_its_engine_only_what_grows_is_written(
        kernels: tuple[Step, ...]) -> None:
    plan = settings(kernels[:1], [Growth((0,), 0, ((0, 64),))], {Engine.VECTOR: {0: 0, 1: 7, 2: 5}})
    assert plan.written == [[Setting(Engine.VECTOR, 0, 64, 64)]]
    assert plan.before == [Setting(Engine.VECTOR, 2, 3, 0)]  # the bound holds already
    assert {s.number for s in plan.last} == {0, 2}


def test_the_loop_over_columns_fits_the_instruction_cache() -> None:
    config: AcceleratorConfig = load("fpga")
    program = build(*CASES["columns"], config)
    longest = max(int(word) >> 18 & 0x3FFF for word in program.text if word & 0xFF == OPCODE)
    assert longest * 8 <= config.icache_bytes // 2


def test_a_loop_that_ends_a_program_leaves_parameters_known() -> None:
    """What follows rounds counts on what they have left: values of the last round."""
    x, w = floats(16, 24, dtype=bfloat16), floats(24, 160, dtype=bfloat16)
    program = build(lambda a, b: (jax.nn.relu(a @ b), jax.numpy.tanh(a @ b)), [x, w])
    got = execute(program, [x, w])
    exact = x.astype(np.float32) @ w.astype(np.float32)
    np.testing.assert_allclose(np.asarray(got[0], np.float32), np.maximum(exact, 0),
                               atol=0.3, rtol=0.02)
