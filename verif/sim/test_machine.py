"""The simulation harness, with a design whose behaviour is known: the DRAM model and its timing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hw.config import TINY, AcceleratorConfig, load
from sim.machine import DRAM_BASE, Machine, Memory, SimulationError
from verif.sim.copier import BREAK_LAST, DESTINATION, GO, LENGTH, RESPONSES, SOURCE, Copier

SIZE = 1 << 14
LIMIT = 5000
OUTSIDE = 1 << 20

Bytes = NDArray[np.uint8]


@contextmanager
def _machine(dram: Bytes, config: AcceleratorConfig = TINY, **memory: Any) -> Iterator[Machine]:
    with Machine(config, dram, memory=Memory(**memory), design=Copier(config)) as machine:
        yield machine


def _copy(machine: Machine, source: int, destination: int, beats: int) -> int:
    """Copies a burst; the cycles it took."""
    for register, value in ((SOURCE, source), (DESTINATION, destination), (LENGTH, beats - 1)):
        machine.write_csr(register, value)
    machine.write_csr(GO, 1)
    before = machine.statistics().cycles
    assert machine.run(LIMIT)
    return machine.statistics().cycles - before


@pytest.fixture
def dram(rng: np.random.Generator) -> Bytes:
    return rng.integers(0, 256, SIZE, np.uint8)


@pytest.mark.parametrize("name, bus_bytes", [("tiny", 4), ("tiny", 8), ("default", 16),
                                             ("large", 32), ("large", 64)])
def test_copies(dram: Bytes, name: str, bus_bytes: int) -> None:
    config = load(name).replace(bus_bytes=bus_bytes)
    before = dram.copy()
    beats = 4096 // bus_bytes if bus_bytes > 16 else 256
    with _machine(dram, config) as machine:
        _copy(machine, 0x1000 - beats * bus_bytes, 0x2000, beats)
        count = beats * bus_bytes
        statistics = machine.statistics()
        assert (statistics.bytes_read, statistics.bytes_written) == (count, count)
        assert machine.read_csr(RESPONSES) == 0
    before[0x2000 : 0x2000 + count] = before[0x1000 - count : 0x1000]
    assert np.array_equal(dram, before)


def test_random_stalls_keep_the_data(dram: Bytes) -> None:
    expected = dram[:2048].copy()
    with _machine(dram, stall_seed=7) as machine:
        slow = _copy(machine, 0, 0x2000, 256)
    assert np.array_equal(dram[0x2000:0x2800], expected)
    with _machine(dram) as machine:
        assert slow > 1.2 * _copy(machine, 0, 0x2000, 256)


def test_latency_counts_once_for_read_and_once_for_response(dram: Bytes) -> None:
    cycles = []
    for latency in (1, 41):
        with _machine(dram, latency_cycles=latency) as machine:
            cycles.append(_copy(machine, 0, 0x2000, 16))
    assert cycles[1] - cycles[0] == 2 * 40


@pytest.mark.parametrize("shared, rate", [(False, 4.0), (True, 2.0)])
def test_bandwidth(dram: Bytes, shared: bool, rate: float) -> None:
    with _machine(dram, bytes_per_cycle=4.0, shared=shared) as machine:
        cycles = _copy(machine, 0, 0x2000, 256) - 80
    assert cycles == pytest.approx(256 * 8 / rate, rel=0.02)


@pytest.mark.parametrize("source, destination, responses", [
    (OUTSIDE, 0, 0b0011), (0, OUTSIDE, 0b1100), (SIZE - 8, 0, 0),
])
def test_access_outside_is_a_decode_error(
    dram: Bytes, source: int, destination: int, responses: int
) -> None:
    before = dram.copy()
    with _machine(dram) as machine:
        _copy(machine, source, destination, 1)
        assert machine.read_csr(RESPONSES) == responses
    if destination == OUTSIDE:
        assert np.array_equal(dram, before)


def test_crossing_4k_is_reported(dram: Bytes) -> None:
    with _machine(dram) as machine, pytest.raises(SimulationError, match="4 KiB boundary"):
        _copy(machine, 0x1000 - 8, 0x2000, 2)


def test_wrong_last_is_reported(dram: Bytes) -> None:
    with _machine(dram) as machine:
        machine.write_csr(BREAK_LAST, 1)
        with pytest.raises(SimulationError, match="last"):
            _copy(machine, 0, 0x2000, 2)


def test_unknown_register_is_reported(dram: Bytes) -> None:
    with _machine(dram) as machine, pytest.raises(SimulationError, match="bus error"):
        machine.write_csr(0x800, 1)


def test_run_ends_at_the_limit(dram: Bytes) -> None:
    with _machine(dram) as machine:
        start = machine.statistics().cycles
        assert not machine.run(100)
        assert machine.statistics().cycles - start == 100


def test_bus_addresses_are_above_4_gib() -> None:
    assert DRAM_BASE == 1 << 32
