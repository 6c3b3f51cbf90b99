"""Golden against RTL on random programs: every window must end with the same bytes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.isa.program import TEXT_WINDOW
from hw.isa.state import Window
from sim.difference import explain
from sim.golden import Golden
from sim.machine import Memory
from sim.rtl import Options, RtlSimulator
from verif.programs.generator import RESULT_WINDOW, WINDOW_BYTES, RandomProgram, generate

TEXT_BYTES = 32768
WATCHDOG_CYCLES = 1_000_000
SIZES = {TEXT_WINDOW: TEXT_BYTES, 2: WINDOW_BYTES, 3: WINDOW_BYTES, RESULT_WINDOW: WINDOW_BYTES * 2}


@contextmanager
def simulator(config: AcceleratorConfig, *, stall_seed: int = 1, latency_cycles: int = 7,
              max_cycles: int = WATCHDOG_CYCLES) -> Iterator[RtlSimulator]:
    """A machine that runs many programs one after the other, on a memory that stalls at random."""
    memory = Memory(latency_cycles=latency_cycles, stall_seed=stall_seed)
    with RtlSimulator(config, SIZES, Options(memory=memory, max_cycles=max_cycles)) as machine:
        yield machine


def place(machine: RtlSimulator, text: NDArray[np.uint64],
          contents: dict[int, NDArray[np.uint8]], writable: Iterable[int] = (3, RESULT_WINDOW)
          ) -> dict[int, Window]:
    """Puts a program into the machine's DRAM and grants its windows."""
    everything = {TEXT_WINDOW: text.astype("<u8").view(np.uint8), **contents}
    windows = {}
    for number, content in everything.items():
        memory = machine.memories[number][: len(content)]
        memory[:] = content
        windows[number] = Window(memory, readable=True, writable=number in writable)
    machine.grant(windows)
    return windows


def run_golden(config: AcceleratorConfig, program: RandomProgram) -> dict[int, Window]:
    """The program's windows after the golden model."""
    windows = program.windows()
    Golden(config, program.text, windows).run()
    return windows


def difference(machine: RtlSimulator, program: RandomProgram) -> str | None:
    """Runs a program on both; a report if they differ.

    Raises:
        Fault: either machine stopped with an error.
    """
    expected = run_golden(machine.config, program)
    got = place(machine, program.text, program.contents)
    machine.run()
    for number in program.contents:
        if not np.array_equal(expected[number].data, got[number].data):
            report = explain(machine.config, program.text, program.windows(), number,
                             expected[number].data, got[number].data)
            return f"{machine.config.name}, seed {program.seed}: {report}"
    return None


def check(config: AcceleratorConfig, seeds: Iterable[int]) -> int:
    """Runs the programs of the seeds in lock-step; how many ran.

    Raises:
        AssertionError: with the report of the first difference.
    """
    count = 0
    with simulator(config) as machine:
        for seed in seeds:
            report = difference(machine, generate(config, seed))
            if report is not None:
                raise AssertionError(report)
            count += 1
    return count
