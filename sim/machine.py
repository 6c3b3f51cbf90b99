"""The compiled RTL of a machine with its DRAM, as a Python object: registers, clock, statistics.

No Python runs while the clock does. DRAM is the caller's numpy array, shared without copying.
"""

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.isa.host import Csr
from sim import recorder
from sim.cache import ROOT, cached, fingerprint
from sim.verilator import Model, compile_model, tool_versions
from sim.verilog import TOP, to_verilog

DRAM_BASE = 1 << 32
"""Bus address of the first byte of DRAM; above 4 GiB so that all address bits matter."""

_HARNESS = ROOT / "sim" / "harness"
_SLICE_CYCLES = 200_000
"""Cycles between two returns to Python, where an interrupt from the keyboard is noticed."""
_PROTOCOL_ERRORS = {
    1: "a burst crosses a 4 KiB boundary",
    2: "`last` is not on the last beat of a write burst",
    3: "a channel changed or dropped a payload that was waiting",
}


class SimulationError(RuntimeError):
    """The hardware broke a rule of the bus, or did not answer; a defect of the design."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Timing of the DRAM behind the AXI port."""

    latency_cycles: int = 40
    """From the acceptance of a read address to its first beat, of a last write beat to its
    response."""
    bytes_per_cycle: float | None = None
    """Average transfer rate of each direction; None is a full beat every cycle."""
    shared: bool = False
    """Reads and writes share `bytes_per_cycle`."""
    stall_seed: int = 0
    """Non-zero: a quarter of all handshakes are held back at random, repeatable by this seed."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Totals since the machine was created."""

    cycles: int
    bytes_read: int
    bytes_written: int
    """Bytes with their strobe set."""
    seconds: float
    """Time spent in `run`."""
    seconds_evaluating: float
    """Part of `seconds` inside Verilator's evaluation; 0 unless profiling."""


class _Options(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_uint64), ("size", ctypes.c_uint64), ("latency", ctypes.c_uint64),
        ("bytes_per_cycle", ctypes.c_double), ("shared", ctypes.c_uint32),
        ("stall_seed", ctypes.c_uint32),
    )


class _Statistics(ctypes.Structure):
    _fields_ = (
        ("cycles", ctypes.c_uint64), ("bytes_read", ctypes.c_uint64),
        ("bytes_written", ctypes.c_uint64), ("seconds", ctypes.c_double),
        ("seconds_evaluating", ctypes.c_double),
    )


class Machine:
    """One machine after reset. Usable as a context manager, which frees it.

    Args:
        config: the machine.
        dram: the DRAM's bytes at bus address `DRAM_BASE`, a multiple of 64 long. Accesses
            outside are answered with an AXI decode error.
        waveform: a `.vcd` or `.fst` file to record; FST needs Debian's liblz4-dev, zlib1g-dev.
        profile: measure the time in Verilator's evaluation.
        record: note what the engines do, for `events`; such a machine is built on its own.
        design: hardware to simulate instead of the accelerator; it has the same ports.

    Raises:
        ToolError: the model cannot be built.
    """

    def __init__(
        self, config: AcceleratorConfig, dram: NDArray[np.uint8], *, memory: Memory | None = None,
        waveform: str | Path | None = None, profile: bool = False, record: bool = False,
        design: wiring.Component | None = None,
    ) -> None:
        memory = memory or Memory()
        if dram.dtype != np.uint8 or not dram.flags.c_contiguous or dram.size % 64:
            raise ValueError("dram must be contiguous bytes, a multiple of 64 of them")
        trace = Path(waveform).suffix.lstrip(".") if waveform else ""
        if trace not in ("", "vcd", "fst"):
            raise ValueError(f"waveform {waveform}: name a .vcd or .fst file")
        text = to_verilog(design) if design is not None else _accelerator(config)
        self._library = _library(text, config.bus_bytes, trace, record)
        self._dram = dram
        options = _Options(
            DRAM_BASE, dram.size, memory.latency_cycles,
            float(memory.bytes_per_cycle or config.bus_bytes), memory.shared, memory.stall_seed)
        self._handle = ctypes.c_void_p(self._library.machine_new(
            ctypes.byref(options), ctypes.c_void_p(dram.ctypes.data),
            os.fsencode(waveform or ""), int(profile)))

    def __enter__(self) -> "Machine":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model and completes the waveform file."""
        if self._handle:
            self._library.machine_delete(self._handle)
        self._handle = ctypes.c_void_p()

    def write_csr(self, address: int, value: int) -> None:
        """Writes a 32-bit host register over AXI4-Lite."""
        self._access(self._library.machine_write(self._handle, address, value), address)

    def read_csr(self, address: int) -> int:
        """Reads a 32-bit host register over AXI4-Lite."""
        value = ctypes.c_uint32()
        status = self._library.machine_read(self._handle, address, ctypes.byref(value))
        self._access(status, address)
        return value.value

    def read_csr64(self, address: int) -> int:
        """Reads a pair of registers, low word first."""
        return self.read_csr(address) | self.read_csr(address + 4) << 32

    def write_csr64(self, address: int, value: int) -> None:
        """Writes a pair of registers, low word first."""
        self.write_csr(address, value & 0xFFFFFFFF)
        self.write_csr(address + 4, value >> 32)

    def run(self, max_cycles: int) -> bool:
        """Clocks the machine until its interrupt is high; False when `max_cycles` came first."""
        while max_cycles > 0:
            status = self._library.machine_run(self._handle, min(max_cycles, _SLICE_CYCLES))
            if status == 0:
                return True
            if status == 2:
                code = self._library.machine_protocol_error(self._handle)
                raise SimulationError(f"AXI protocol error: {_PROTOCOL_ERRORS[code]}")
            max_cycles -= _SLICE_CYCLES
        return False

    def statistics(self) -> Statistics:
        raw = _Statistics()
        self._library.machine_statistics(self._handle, ctypes.byref(raw))
        return Statistics(**{name: getattr(raw, name) for name, _ in raw._fields_})

    def events(self) -> NDArray[np.void]:
        """What was noted in the last run, as `recorder.EVENT`; only of a machine that records."""
        count = ctypes.c_uint64()
        first = self._library.machine_events(self._handle, ctypes.byref(count))
        size = count.value * recorder.EVENT.itemsize
        return np.frombuffer(ctypes.string_at(first, size) if size else b"", recorder.EVENT)

    def _access(self, status: int, address: int) -> None:
        if status:
            answer = "did not answer" if status == 1 else "answered with a bus error"
            names = {int(csr): csr.name for csr in Csr}
            raise SimulationError(f"host register {names.get(address, hex(address))} {answer}")


def build(config: AcceleratorConfig) -> None:
    """Makes sure that the machine's model is in the cache; minutes for a large one."""
    _library(_accelerator(config), config.bus_bytes, "", False)


@cache
def _library(verilog: str, bus_bytes: int, trace: str, record: bool) -> ctypes.CDLL:
    headers = tuple(map(str, sorted(_HARNESS.glob("*.h"))))
    library = ctypes.CDLL(str(compile_model(Model(
        verilog=verilog, sources=(str(_HARNESS / "harness.cpp"),), headers=headers, shared=True,
        # Faster than -O3, which unrolls straight-line code that no longer fits the caches.
        trace=trace, optimize="-O1", control=recorder.visible() if record else "",
        compiler_flags=(f"-DMACHINE_BUS_BYTES={bus_bytes}", f"-DMACHINE_RECORD={int(record)}",
                        f"-I{_HARNESS}"),
        verilator_flags=("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert"),
    ), jobs=int(os.environ.get("ISTHMUS_JOBS", len(os.sched_getaffinity(0)))))))
    library.machine_new.restype = ctypes.c_void_p
    for name in ("machine_run", "machine_write", "machine_read", "machine_protocol_error"):
        getattr(library, name).restype = ctypes.c_uint32
    if record:
        library.machine_events.restype = ctypes.c_void_p
    library.machine_delete.argtypes = [ctypes.c_void_p]
    library.machine_run.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    library.machine_write.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32]
    return library


def _accelerator(config: AcceleratorConfig) -> str:
    """The machine's Verilog, kept by the hardware's sources: elaborating it takes a while."""
    files = [ROOT / "hw" / "config.py", *sorted((ROOT / "hw" / "isa").rglob("*.py")),
             *sorted((ROOT / "hw" / "core").rglob("*.py"))]
    sources = [path.read_bytes() for path in files]
    key = fingerprint(tool_versions(), config.name, str(config.fingerprint), *sources)

    def build(directory: Path) -> None:
        from hw.core.top import Accelerator  # elaborated only when the cache has no Verilog

        (directory / f"{TOP}.v").write_text(to_verilog(Accelerator(config)))

    return (cached("verilog", key, build) / f"{TOP}.v").read_text()
