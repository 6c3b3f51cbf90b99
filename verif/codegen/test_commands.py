"""Order, semaphores and places of random command lists."""

from collections.abc import Sequence

import numpy as np
import pytest

from compiler.codegen import dependences
from compiler.codegen.allocate import Arena, Constants
from compiler.codegen.commands import (
    LOCAL,
    Body,
    Command,
    Interval,
    Stream,
    kernel,
    kernel_form,
)
from compiler.codegen.schedule import schedule
from compiler.codegen.synchronise import Step, synchronise
from compiler.codegen.workspace import Workspace
from compiler.errors import CompileError, Location
from hw.config import TINY
from hw.isa.dtypes import DType
from hw.isa.host import Engine

ENGINES = (Engine.LOAD, Engine.STORE, Engine.MATRIX, Engine.VECTOR)


def random_commands(rng: np.random.Generator, count: int) -> list[Command]:
    def intervals(most: int) -> tuple[Interval, ...]:
        found = []
        for _ in range(int(rng.integers(0, most + 1))):
            first = int(rng.integers(0, 60))
            space = LOCAL if rng.random() < 0.7 else 4
            end = first + int(rng.integers(1, 12))
            pitch = int(rng.integers(2, 5))
            stripe = (pitch, int(rng.integers(1, pitch))) if rng.random() < 0.5 else ()
            found.append((space, first, end, *stripe))
        return tuple(found)
    return [
        Command(ENGINES[int(rng.integers(4))], (0,), None, {}, intervals(3), intervals(1),
                int(rng.integers(1, 50)), int(rng.integers(0, 50)), Location())
        for _ in range(count)]


def conflict(a: Command, b: Command) -> bool:
    """Whether two commands touch a byte that one of them writes."""
    pairs = [(x, y) for x in a.writes for y in (*b.reads, *b.writes)]
    pairs += [(x, y) for x in a.reads for y in b.writes]
    return any(x[0] == y[0] and not bytes_of(x).isdisjoint(bytes_of(y)) for x, y in pairs)


def bytes_of(interval: Interval) -> set[int]:
    _, first, end, *stripe = interval
    pitch, width = stripe or (1, 1)
    return {a for a in range(first, end) if (a - first) % pitch < width}


def execution_order(steps: Sequence[Step], rng: np.random.Generator) -> list[Command]:
    """The commands as engines that advance in an order of chance finish them."""
    queues = {e: [s for s in steps if s.command.engine is e] for e in ENGINES}
    posted = dict.fromkeys([(p, c) for p in ENGINES for c in ENGINES], 0)
    order: list[Command] = []
    while any(queues.values()):
        ready = [e for e, queue in queues.items()
                 if queue and all(posted[p, e] > 0 for p in queue[0].waits)]
        assert ready, "deadlock"
        engine = ready[int(rng.integers(len(ready)))]
        step = queues[engine].pop(0)
        for producer in step.waits:
            posted[producer, engine] -= 1
        for consumer in step.posts:
            posted[engine, consumer] += 1
        order.append(step.command)
    assert not any(posted.values()), "a post without its wait"
    return order


@pytest.mark.parametrize("most_writers", [2, dependences.MOST_WRITERS])
@pytest.mark.parametrize("count", [2, 10, 80])
def test_conflicting_commands_stay_in_order(count: int, most_writers: int, rng: np.random.Generator,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependences, "MOST_WRITERS", most_writers)
    for _ in range(15):
        commands = random_commands(rng, count)
        waits_for = dependences.dependences(commands)
        order = schedule(commands, waits_for, 16)
        assert sorted(order) == list(range(count))
        for engine in ENGINES:
            own = [p for p in order if commands[p].engine is engine]
            assert own == sorted(own)
        done = execution_order(synchronise(commands, waits_for, order), rng)
        at = {id(command): position for position, command in enumerate(done)}
        for i, first in enumerate(commands):
            for second in commands[i + 1:]:
                if conflict(first, second):
                    assert at[id(first)] < at[id(second)]


def test_an_engine_waits_for_another_one_once() -> None:
    """Each waits for what its engine does not know to be finished: bytes, or what followed them."""
    a, b, c = ((LOCAL, i, i + 1) for i in range(3))

    def command(engine: Engine, read: Interval, write: Interval) -> Command:
        return Command(engine, (0,), None, {}, (read,), (write,), 5, 0, Location())

    commands = [
        command(Engine.LOAD, (1, 0, 1), a), command(Engine.LOAD, (1, 1, 2), b),
        command(Engine.VECTOR, b, c), command(Engine.VECTOR, b, c), command(Engine.VECTOR, a, c),
        command(Engine.LOAD, (1, 2, 3), b), command(Engine.VECTOR, b, c)]
    assert dependences.dependences(commands) == [[], [], [1], [], [], [3], [5]]


def test_readers_of_a_column_wait_for_its_writer_only() -> None:
    """Columns of two bytes in lines of eight. What is written in full is waited for by all."""
    whole, *columns = (LOCAL, 0, 64), *((LOCAL, n, 58 + n, 8, 2) for n in (0, 2, 4))

    def command(engine: Engine, reads: tuple[Interval, ...], write: Interval) -> Command:
        return Command(engine, (0,), None, {}, reads, (write,), 5, 0, Location())

    sums = [(LOCAL, 100 + n, 101 + n) for n in range(4)]
    written = [command(Engine.VECTOR, (), column) for column in columns]
    read = [command(Engine.MATRIX, (c,), at) for c, at in zip(columns, sums[:3], strict=True)]
    last = [command(Engine.LOAD, (), whole), command(Engine.MATRIX, (columns[1],), sums[3])]
    found = dependences.dependences([*written, *read, *last])
    assert found == [[], [], [], [0], [1], [2], [2, 5], [6]]


def test_a_kernel_form_has_a_place_for_each_stream() -> None:
    body = Body((0,), (7,), 1)

    def stream(base: int, levels: tuple[tuple[int, int], ...]) -> Stream:
        return Stream(base, 4, 4, levels, DType.F32)

    def placed(first: int, second: int) -> Command:
        return kernel(TINY, 2, body, {0: stream(first, ((2, 16),))},
                      {0: stream(second, ((2, 64),))}, 4, Location())

    form = kernel_form(TINY, 2, body, {0: stream(0, ((2, 16),))}, {0: stream(0, ((2, 64),))}, 4)
    for places in ((0, 256), (512, 128)):
        made, expected = form.at(places, Location()), placed(*places)
        assert list(made.parameters.items()) == list(expected.parameters.items())
        assert (made.words, made.cycles) == (expected.words, expected.cycles)
        assert made.reads == ((LOCAL, places[0], places[0] + 32),)
        assert made.writes == ((LOCAL, places[1], places[1] + 80, 64, 16),)


def test_knowledge_through_a_third_engine_saves_a_semaphore() -> None:
    a, b, c = ((LOCAL, i, i + 1) for i in range(3))
    location = Location()
    commands = [
        Command(Engine.LOAD, (0,), None, {}, (), (a,), 5, 0, location),
        Command(Engine.MATRIX, (0,), None, {}, (a,), (b,), 5, 0, location),
        Command(Engine.VECTOR, (0,), None, {}, (a, b), (c,), 5, 0, location),
    ]
    waits_for = dependences.dependences(commands)
    steps = synchronise(commands, waits_for, schedule(commands, waits_for, 16))
    assert [step.waits for step in steps] == [[], [Engine.LOAD], [Engine.MATRIX]]


def test_arena_gives_live_buffers_places_of_their_own(rng: np.random.Generator) -> None:
    arena = Arena("scratchpad", 4096, 16)
    live: dict[int, int] = {}
    for _ in range(500):
        if live and rng.random() < 0.5:
            address = list(live)[int(rng.integers(len(live)))]
            arena.free(address)
            del live[address]
            continue
        size = int(rng.integers(1, 300))
        try:
            address = arena.allocate(size, Location())
        except CompileError:
            assert sum(live.values()) > 4096 // 4
            continue
        assert address % 16 == 0
        assert address + size <= 4096
        assert all(address + size <= a or a + n <= address for a, n in live.items())
        live[address] = size


def test_a_freed_buffer_is_reused_as_late_as_possible() -> None:
    arena = Arena("scratchpad", 1024, 16)
    addresses = []
    for _ in range(8):
        addresses.append(arena.allocate(128, Location()))
        arena.free(addresses[-1])
    assert len(set(addresses)) == 8


def test_what_a_rising_limit_adds_is_used_last() -> None:
    arena = Arena("scratchpad", 1024, 16)
    arena.limit = 512
    for expected, limit in [(0, 512), (128, 512), (256, 512), (384, 512), (0, 1024), (128, 1024)]:
        arena.limit = limit
        address = arena.allocate(128, Location())
        arena.free(address)
        assert address == expected
    addresses = []
    for _ in range(6):
        addresses.append(arena.allocate(128, Location()))
        arena.free(addresses[-1])
    assert addresses == [256, 384, 512, 640, 768, 896]


def test_a_buffer_that_does_not_fit_names_the_memory_and_the_remedy() -> None:
    with pytest.raises(CompileError, match=r"scratchpad of 1024.*larger"):
        Arena("scratchpad", 1024, 16).allocate(2000, Location())


def test_workspace_reuses_and_merges_what_is_freed() -> None:
    workspace = Workspace()
    first, second, third = (workspace.allocate(100) for _ in range(3))
    workspace.free(first, 100)
    workspace.free(second, 100)
    assert workspace.allocate(256) == first
    assert workspace.allocate(64) > third
    assert workspace.size == 3 * 128 + 64


def test_equal_constants_are_stored_once() -> None:
    constants = Constants()
    assert constants.add(b"abcd") == constants.add(b"abcd") == 0
    assert constants.add(b"efgh") == 64
    assert len(constants.data) == 68
