"""Explains a difference between golden and RTL: which instruction, where, which bits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.isa.asm import listing
from hw.isa.dma import Store
from hw.isa.dtypes import DType
from hw.isa.host import ACCUMULATOR_BASE
from hw.isa.state import Window
from sim.golden import Command, Golden

NEIGHBOURS = 4


@dataclass(frozen=True)
class Written:
    """The store that wrote an element of DRAM, and the local element it came from."""

    pc: int
    local: int
    dtype: DType


class Tracer:
    """Runs a program on the golden model and remembers who wrote what.

    Args:
        window: the DRAM window and byte offset the question is about.
    """

    def __init__(self, config: AcceleratorConfig, text: NDArray[np.uint64],
                 windows: dict[int, Window], window: int, offset: int) -> None:
        self.window, self.offset = window, offset
        self.written: Written | None = None
        self.origin = -1
        self.golden = Golden(config, text, windows, self._observe)
        self._before = self.golden.state.local.data.copy()
        self._changed_by = np.full(len(self._before), -1, np.int64)
        self.golden.run()

    def _observe(self, command: Command) -> None:
        if isinstance(command.instruction, Store):
            self._observe_store(command, command.instruction)
        data = self.golden.state.local.data
        self._changed_by[data != self._before] = command.pc
        self._before[:] = data

    def _observe_store(self, command: Command, store: Store) -> None:
        dram_type, local_type = store.types()
        rows = store.transfer(self.golden.state, command.a, command.b)
        if store.window != self.window:
            return
        element = (self.offset - rows.dram) // dram_type.size
        hit = rows.valid & (element >= rows.first) & (element < rows.last)
        if np.any(hit):
            row = int(np.flatnonzero(hit)[-1])
            local = int(rows.local[row] + element[row] * local_type.size)
            self.written = Written(command.pc, local, dram_type)
            self.origin = int(self._changed_by[self._flat(local)])

    def _flat(self, address: int) -> int:
        if address >= ACCUMULATOR_BASE:
            return address - ACCUMULATOR_BASE + self.golden.state.local.scratchpad_bytes
        return address


def first_difference(expected: NDArray[np.uint8], got: NDArray[np.uint8]) -> int | None:
    """Offset of the first byte that differs."""
    different = np.flatnonzero(expected != got)
    return int(different[0]) if len(different) else None


def explain(config: AcceleratorConfig, text: NDArray[np.uint64], windows: dict[int, Window],
            window: int, expected: NDArray[np.uint8], got: NDArray[np.uint8]) -> str:
    """A report on the first difference in a window.

    Args:
        windows: the windows as they were before the program ran; changed by the call.
        expected, got: the window's bytes after golden and after the other simulator.
    """
    offset = first_difference(expected, got)
    if offset is None:
        return f"window {window}: no difference"
    tracer = Tracer(config, text, windows, window, offset)
    written = tracer.written
    if written is None:
        return f"window {window} offset {offset:#x}: differs, but no store of the program wrote it"
    size = written.dtype.size
    start = offset - offset % size
    bits = [int.from_bytes(side[start : start + size].tobytes(), "little")
            for side in (expected, got)]
    lines = [
        f"window {window} offset {start:#x}, {written.dtype.name.lower()} element "
        f"{start // size}: expected {bits[0]:#0{2 * size + 2}x}, got {bits[1]:#0{2 * size + 2}x} "
        f"({int(np.count_nonzero(expected != got))} bytes differ in all)",
        f"stored by instruction {written.pc} from local address {written.local:#x}:",
        _around(text, written.pc),
    ]
    if tracer.origin >= 0:
        lines += [f"which instruction {tracer.origin} had changed last:",
                  _around(text, tracer.origin)]
    return "\n".join(lines)


def _around(text: NDArray[np.uint64], pc: int) -> str:
    first = max(pc - NEIGHBOURS, 0)
    return listing((int(word) for word in text[first : pc + NEIGHBOURS + 1]), first, pc)
