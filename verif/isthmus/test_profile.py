"""What a profile counts: cycles, bytes and products of each operation, and bytes in use."""

import numpy as np
import pytest

from hw.config import TINY
from hw.isa.host import Engine
from hw.isa.program import Program
from isthmus import api
from isthmus.report.attribution import ENGINES, NOBODY
from isthmus.report.occupancy import Occupancy, occupancy
from isthmus.report.profile import Profile
from isthmus.report.work import BLOCK, Work, blocks
from sim.spans import build
from sim.trace import Step, Steps, Trace
from verif.isthmus.conftest import INPUTS


def test_every_cycle_counts_once(profiled: Profile) -> None:
    cycles = sum(operation.exposed for operation in profiled.operations)
    assert cycles + profiled.idle == profiled.trace.cycles == profiled.result.cycles
    for operation in profiled.operations:
        assert operation.stalled <= operation.exposed
        assert max(operation.busy.values()) <= operation.active <= sum(operation.busy.values())


def test_busy_cycles_are_those_of_the_engines(profiled: Profile) -> None:
    for engine in ENGINES:
        busy = int(np.count_nonzero(profiled.during[engine] != NOBODY))
        assert sum(operation.busy[engine] for operation in profiled.operations) == busy
        assert profiled.during[engine].max() < len(profiled.operations)


def test_products_are_those_of_the_model(profiled: Profile) -> None:
    assert profiled.macs == profiled.program.notes["macs"] == 24 * 20 * 16 + 24 * 12 * 20
    assert 0 < profiled.utilisation < 1


def test_bytes_are_those_on_the_bus(layers: Program, profiled: Profile) -> None:
    assert profiled.bytes_written >= 24 * 12 * 4
    assert profiled.bytes_read >= sum(array.nbytes for array in INPUTS)
    if profiled.trace.measured:
        assert profiled.result.dram_bytes_written == profiled.bytes_written
        text = 8 * len(layers.text)
        assert profiled.result.dram_bytes_read >= profiled.bytes_read + text


def test_scratchpad_is_never_overfull(profiled: Profile) -> None:
    assert 0 < profiled.occupancy.peak <= TINY.scratchpad_bytes
    assert profiled.occupancy.levels[-1][1] == 0
    cycles = [cycle for cycle, _ in profiled.occupancy.levels]
    assert cycles == sorted(cycles)


@pytest.mark.parametrize("base, bounds, strides, row, expected", [
    (0, (1,), (0,), 64, [0]),
    (60, (1,), (0,), 8, [0, 1]),
    (0, (3,), (128,), 4, [0, 2, 4]),
    (256, (2, 2), (64, 0x1_0000_0000 - 128), 64, [2, 3, 4, 5]),
    (0, (2, 0), (64, 64), 64, []),
    (0x8000_0000, (1,), (0,), 64, []),
])
def test_blocks(base: int, bounds: tuple[int, ...], strides: tuple[int, ...], row: int,
                expected: list[int]) -> None:
    assert blocks(base, bounds, strides, row, 4096).tolist() == expected


def _live(work: list[tuple[int, int, list[int], list[int]]]) -> Occupancy:
    """Occupancy of commands of one engine: (taken, finished, blocks read, blocks written)."""
    program = api.compile("func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> "
                          "{\n return %x : tensor<4xf32> }", config="tiny")
    load = next(step.instruction for step in _trace(program).steps[Engine.LOAD]
                if step.instruction.RETIRES)
    steps = Steps()
    for taken, finished, _, _ in work:
        steps.add(Step(Engine.LOAD, load, 0, taken, taken, finished, (taken, finished)))
    accounts = [Work(0, reads=[np.array(reads, np.int32)], writes=[np.array(writes, np.int32)])
                for _, _, reads, writes in work]
    return occupancy(program, build(program, 100, steps), {Engine.LOAD: accounts})


def _trace(program: Program) -> Trace:
    trace = api.run(program, [], sim="model", trace=True).trace
    assert trace is not None
    return trace


def test_a_value_lives_from_write_to_last_read() -> None:
    found = _live([(10, 20, [], [3, 4]), (20, 30, [3], []), (30, 40, [3], []), (50, 60, [], [3])])
    assert list(found.levels) == [(0, 0), (10, BLOCK), (40, 0)]
    assert not found.allocated


def test_a_buffer_that_is_written_again_holds_another_value() -> None:
    found = _live([(10, 20, [], [1]), (20, 25, [1], []), (30, 40, [], [1]), (40, 50, [1], [])])
    assert list(found.levels) == [(0, 0), (10, BLOCK), (25, 0), (30, BLOCK), (50, 0)]


def test_the_compilers_own_figures_come_first(layers: Program) -> None:
    last = len(layers.text) - 1
    noted = {**layers.notes, "scratchpad": [[0, 100], [last, 40]]}
    program = Program(**{**vars(layers), "notes": noted})
    found = occupancy(program, _trace(program), {})
    assert found.allocated
    assert found.peak == 100
    assert [size for _, size in found.levels] == [100, 40]
