"""Runs programs on the RTL: the host's side of the machine's registers, over `sim.machine`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from hw.config import AcceleratorConfig
from hw.isa.host import COUNTER_STRIDE, IDENTITY, WINDOW_STRIDE, Activity, Cause, Csr, Engine
from hw.isa.program import Program, ProgramError
from hw.isa.state import Fault, Window
from sim import loader, recorder
from sim.machine import DRAM_BASE, Machine, Memory, SimulationError
from sim.result import Result, Stalls

DEFAULT_CYCLES = 1_000_000_000
_PAGE = 4096
_BUSY, _ERROR = 1, 4


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to simulate; the defaults are the conditions of all published measurements."""

    memory: Memory = field(default_factory=Memory)
    waveform: str | Path | None = None
    max_cycles: int = DEFAULT_CYCLES
    """The machine's watchdog; a program that runs longer faults with cause WATCHDOG."""
    profile: bool = False
    trace: bool = False
    """Note what every engine does when; that machine is built on its own."""


class RtlSimulator:
    """The simulated machine as a host sees it: windows, start, status, counters.

    Args:
        config: the machine.
        sizes: bytes of each DRAM window the host will grant, by window number.

    The arrays in `memories` are the windows' bytes, views of one DRAM array.
    """

    def __init__(self, config: AcceleratorConfig, sizes: Mapping[int, int],
                 options: Options | None = None) -> None:
        self.config = config
        self.options = options or Options()
        self._offsets, total = _place(sizes)
        self.dram = np.zeros(total, np.uint8)
        self.memories = {index: self.dram[offset : offset + sizes[index]]
                         for index, offset in self._offsets.items()}
        self.machine = Machine(
            config, self.dram, memory=self.options.memory, waveform=self.options.waveform,
            profile=self.options.profile, record=self.options.trace)
        self._check_identity()

    def __enter__(self) -> "RtlSimulator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.machine.close()

    def _check_identity(self) -> None:
        found = self.machine.read_csr(Csr.IDENTITY)
        if found != IDENTITY:
            raise SimulationError(f"identity register holds {found:#x}, not {IDENTITY:#x}")
        fingerprint = self.machine.read_csr64(Csr.FINGERPRINT)
        if fingerprint != self.config.fingerprint:
            raise SimulationError(f"the hardware is not a {self.config.name!r} machine")

    def grant(self, windows: Mapping[int, Window]) -> None:
        """Gives the machine its windows; their memory must be that of `memories`."""
        for index, window in windows.items():
            at = Csr.WINDOWS + index * WINDOW_STRIDE
            self.machine.write_csr64(at, DRAM_BASE + self._offsets[index])
            self.machine.write_csr(at + 8, len(window.data))
            self.machine.write_csr(at + 12, window.readable | window.writable << 1)

    def run(self, entry: int = 0) -> int:
        """Runs the program in window 0 from instruction `entry`; the cycles it took.

        Raises:
            Fault: the program ended with an error.
            SimulationError: the machine missed its own watchdog.
        """
        machine, limit = self.machine, self.options.max_cycles
        machine.write_csr(Csr.ENTRY, entry)
        machine.write_csr64(Csr.WATCHDOG, limit)
        machine.write_csr(Csr.INTERRUPT, 0b11)
        machine.write_csr(Csr.CONTROL, 1)
        # An engine may take a while to let its bus transactions end after the watchdog.
        if not machine.run(limit + 100_000):
            raise SimulationError(f"no interrupt {limit} cycles after start")
        status = machine.read_csr(Csr.STATUS)
        if status & _BUSY:
            raise SimulationError("interrupt from a machine that is still busy")
        if status & _ERROR:
            raise self._fault()
        return machine.read_csr64(Csr.CYCLES)

    def stalls(self) -> Stalls:
        """The activity counters of the last run."""
        return {
            engine: {
                activity: self.machine.read_csr64(
                    Csr.COUNTERS + engine * COUNTER_STRIDE + activity * 8)
                for activity in Activity
            }
            for engine in Engine
        }

    def _fault(self) -> Fault:
        word = self.machine.read_csr(Csr.CAUSE)
        pc = self.machine.read_csr(Csr.PC)
        address = self.machine.read_csr(Csr.CAUSE_ADDRESS)
        cause, engine = Cause(word & 0xF), Engine(word >> 8 & 7)
        return Fault(cause, engine, address, f"at {address:#x}, sequencer at instruction {pc}")


def run(program: Program, inputs: Sequence[loader.Array], options: Options | None = None) -> Result:
    """Runs a program on the RTL of its configuration.

    Raises:
        InputError: the inputs do not match the program.
        Fault: the program ended with an error.
    """
    if not len(program.text):
        raise ProgramError("the program has no instructions")
    with RtlSimulator(program.config, loader.window_sizes(program), options) as simulator:
        windows = loader.grant(program, simulator.memories)
        loader.fill(program, inputs, windows)
        simulator.grant(windows)
        before = simulator.machine.statistics()
        begin = time.perf_counter()
        cycles = simulator.run()
        seconds = time.perf_counter() - begin
        after = simulator.machine.statistics()
        traced = options is not None and options.trace
        return Result(
            outputs=loader.outputs(program, windows), cycles=cycles, stalls=simulator.stalls(),
            dram_bytes_read=after.bytes_read - before.bytes_read,
            dram_bytes_written=after.bytes_written - before.bytes_written, seconds=seconds,
            seconds_evaluating=after.seconds_evaluating - before.seconds_evaluating,
            trace=recorder.trace(program, simulator.machine.events(), cycles) if traced else None,
        )


def _place(sizes: Mapping[int, int]) -> tuple[dict[int, int], int]:
    """Offset of each window in DRAM, page-aligned with a page between, and the DRAM's size."""
    offsets, end = {}, _PAGE
    for index, size in sizes.items():
        offsets[index] = end
        end += -(-size // _PAGE) * _PAGE + _PAGE
    return offsets, end
