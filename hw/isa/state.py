"""The architectural state of the machine, as the instructions' `execute` sees it."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.isa.dtypes import DType, storage
from hw.isa.host import (
    ACCUMULATOR_BASE,
    LOOP_DEPTH,
    REGISTERS,
    SEMAPHORE_MAX,
    SEMAPHORES,
    WINDOWS,
    Cause,
    Engine,
)
from hw.isa.params import PARAMETER_COUNT, VECTOR_REGISTERS

MASK32 = 0xFFFFFFFF
Addresses = NDArray[np.int64]


class Fault(Exception):  # noqa: N818 - the machine's term
    """The machine stops with an error."""

    def __init__(self, cause: Cause, engine: Engine, address: int, detail: str) -> None:
        who = engine.name.lower()
        super().__init__(f"{cause.name.lower()} error in the {who} engine: {detail}")
        self.cause, self.engine, self.address = cause, engine, address & MASK32


@dataclass
class Window:
    """A region of DRAM the host has granted: its bytes and the rights to them."""

    data: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    readable: bool = False
    writable: bool = False

    def check(self, first: int, last: int, write: bool, engine: Engine) -> None:
        """Faults unless bytes first..last may be accessed."""
        allowed = self.writable if write else self.readable
        if not allowed or first < 0 or last >= len(self.data):
            verb = "write" if write else "read"
            raise Fault(Cause.WINDOW, engine, first, f"{verb} of window bytes {first}..{last}")


NEST_LIMIT = 1 << 23
"""Longest address nest the model walks; on the machine a longer one runs into the watchdog."""


def nest_indices(bounds: list[int], engine: Engine) -> NDArray[np.int64]:
    """Loop indices of a nest, fastest level first: (levels, product of the bounds).

    Raises:
        Fault: cause watchdog for a nest too long to be meant.
    """
    if math.prod(bounds) > NEST_LIMIT:
        raise Fault(Cause.WATCHDOG, engine, 0, f"nest of {math.prod(bounds)} steps")
    if 0 in bounds:
        return np.zeros((len(bounds), 0), np.int64)
    return np.indices(bounds[::-1], np.int64).reshape(len(bounds), -1)[::-1]


class LocalMemory:
    """Scratchpad and accumulators: one flat byte array behind two address ranges."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.scratchpad_bytes = config.scratchpad_bytes
        self.accumulator_bytes = config.accumulator_bytes
        self.data = np.zeros(config.scratchpad_bytes + config.accumulator_bytes, np.uint8)

    @property
    def scratchpad(self) -> NDArray[np.uint8]:
        return self.data[: self.scratchpad_bytes]

    @property
    def accumulators(self) -> NDArray[np.uint32]:
        """All accumulator words, in row order."""
        return self.data[self.scratchpad_bytes:].view(np.uint32)

    def locate(
        self, addresses: Addresses, dtype: DType, engine: Engine, *, accumulators: bool = True
    ) -> Addresses:
        """Element indices, in an array of `dtype`'s storage, of elements at byte addresses.

        Raises:
            Fault: misaligned, or outside the memories the access may use.
        """
        addresses = addresses & MASK32
        if np.any(bad := addresses % dtype.size != 0):
            first = int(addresses[bad].flat[0])
            raise Fault(Cause.MISALIGNED, engine, first, f"local address {first:#x}")
        in_scratchpad = addresses < self.scratchpad_bytes
        in_accumulators = (addresses >= ACCUMULATOR_BASE) & (
            addresses < ACCUMULATOR_BASE + self.accumulator_bytes) & accumulators
        if not np.all(inside := in_scratchpad | in_accumulators):
            first = int(addresses[~inside].flat[0])
            raise Fault(Cause.LOCAL, engine, first, f"local address {first:#x}")
        shift = self.scratchpad_bytes - ACCUMULATOR_BASE
        return np.where(in_scratchpad, addresses, addresses + shift) // dtype.size

    def read(self, addresses: Addresses, dtype: DType, engine: Engine, *,
             accumulators: bool = True) -> NDArray[np.unsignedinteger]:
        """Raw elements at byte addresses."""
        index = self.locate(addresses, dtype, engine, accumulators=accumulators)
        return self.data.view(storage(dtype))[index]

    def write(self, addresses: Addresses, raw: NDArray[np.unsignedinteger], dtype: DType,
              engine: Engine, *, accumulators: bool = True) -> None:
        """Writes raw elements; of equal addresses the last one counts."""
        index = self.locate(addresses, dtype, engine, accumulators=accumulators)
        self.data.view(storage(dtype))[index] = raw


@dataclass
class Loop:
    """An entry of the hardware loop stack."""

    start: int
    end: int
    remaining: int


@dataclass
class Tile:
    """A weight tile; PEs outside `k` rows and `n` columns pass partial sums through, and in a
    `diagonal` one those with k != n as well."""

    weights: NDArray[np.unsignedinteger]
    """(k, n) raw elements."""
    integer: bool
    diagonal: bool = False


class MachineState:
    """Everything a program can observe or change, but the queues' contents."""

    def __init__(self, config: AcceleratorConfig, windows: dict[int, Window] | None = None) -> None:
        self.config = config
        self.x = [0] * REGISTERS
        self.pc = 0
        self.halted = False
        self.loops: list[Loop] = []
        self.semaphores = [0] * SEMAPHORES
        self.local = LocalMemory(config)
        self.windows = [Window() for _ in range(WINDOWS)]
        for index, window in (windows or {}).items():
            self.windows[index] = window
        self.params = {engine: [0] * count for engine, count in PARAMETER_COUNT.items()}
        nothing = np.zeros((0, 0), np.uint16)
        self.shadow = Tile(nothing, False)
        self.active = Tile(nothing, False)
        shape = (VECTOR_REGISTERS, config.strip_groups, config.lanes)
        self.v = np.zeros(shape, np.uint32)
        self.pending: PendingKernel | None = None

    def set_register(self, index: int, value: int) -> None:
        if index:
            self.x[index] = value & MASK32

    def post(self, semaphore: int, amount: int, engine: Engine) -> None:
        total = self.semaphores[semaphore] + amount
        if total > SEMAPHORE_MAX:
            raise Fault(Cause.SEMAPHORE, engine, semaphore, f"semaphore {semaphore} overflows")
        self.semaphores[semaphore] = total

    def push_loop(self, loop: Loop) -> None:
        if len(self.loops) == LOOP_DEPTH:
            raise Fault(Cause.LOOP, Engine.SEQUENCER, self.pc, "loops nested too deeply")
        self.loops.append(loop)

    def advance(self) -> None:
        """The pc to the next instruction in sequence, closing or repeating loops."""
        self.pc = (self.pc + 1) & MASK32
        while self.loops and self.loops[-1].end == self.pc:
            top = self.loops[-1]
            top.remaining -= 1
            if top.remaining:
                self.pc = top.start
                return
            self.loops.pop()


@dataclass
class PendingKernel:
    """A vector kernel whose body is being captured."""

    length: int
    groups: int
    body: list[tuple[object, int]] = field(default_factory=list)
    """(instruction, count) pairs; the count is `rep`'s."""
