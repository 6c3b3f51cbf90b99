"""Instructions of the load and the store DMA."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.isa.dtypes import DType, from_lane, storage, to_lane
from hw.isa.encoding import Instruction, bits, imm, instruction, rs1, rs2
from hw.isa.host import Cause, Engine
from hw.isa.params import LEVELS, DmaParam
from hw.isa.state import MASK32, Fault, MachineState, nest_indices

CONVERSIONS = {(DType.F32, DType.BF16), (DType.BF16, DType.F32)}
"""(DRAM type, local type) pairs that differ."""


@dataclass(frozen=True)
class Transfer:
    """A transfer's rows. Arrays have one entry per row, in the order of the nest."""

    dram: NDArray[np.int64]
    """Window offset of element 0."""
    local: NDArray[np.int64]
    """Local address of element 0."""
    valid: NDArray[np.bool_]
    """Whether the outer levels are inside their valid ranges."""
    first: int
    last: int
    """Elements first <= i < last of a valid row are copied."""
    n0: int


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


@dataclass(frozen=True)
class DmaForm(Instruction):
    """A nest of rows between DRAM offset x[rs1] + imm of a window and local address x[rs2]."""

    window: int = bits(8, 3)
    rs1: int = rs1()
    rs2: int = rs2()
    dram_type: int = bits(23, 4, "dtype")
    local_type: int = bits(27, 4, "dtype")
    indexed: int = bits(31, 1)
    imm: int = imm()

    def types(self) -> tuple[DType, DType]:
        """The DRAM and the local element type."""
        codes = (self.dram_type, self.local_type)
        if max(codes) < DType.ADDR and (codes[0] == codes[1] or codes in CONVERSIONS):
            return DType(codes[0]), DType(codes[1])
        raise Fault(Cause.ILLEGAL, self.target, self.encode(), f"transfer types {codes}")

    def transfer(self, machine: MachineState, dram: int, local: int) -> Transfer:
        """The rows this command moves."""
        p = machine.params[self.target]
        bounds = p[DmaParam.BOUND1 : DmaParam.BOUND1 + LEVELS]
        index = nest_indices(bounds, self.target)
        steps = index[0]
        valid = np.ones(index.shape[1], np.bool_)
        if self.indexed:
            addresses = p[DmaParam.INDEX_BASE] + 4 * np.arange(bounds[0], dtype=np.int64)
            listed = machine.local.read(addresses, DType.S32, self.target)
            listed = listed.view(np.int32).astype(np.int64)
            steps = listed[index[0]]
            valid &= steps >= 0
        d = dram + steps * _signed(p[DmaParam.DSTRIDE1])
        at = local + index[0] * _signed(p[DmaParam.LSTRIDE1])
        for level in range(1, LEVELS):
            d = d + index[level] * _signed(p[DmaParam.DSTRIDE1 + level])
            at = at + index[level] * _signed(p[DmaParam.LSTRIDE1 + level])
        for level in range(LEVELS):
            valid &= index[level] >= p[DmaParam.LO1 + level]
            valid &= index[level] < p[DmaParam.HI1 + level]
        n0 = p[DmaParam.N0]
        first, last = p[DmaParam.LO0], min(p[DmaParam.HI0], n0)
        return Transfer(d & MASK32, at & MASK32, valid & (first < last), first, last, n0)

    def dram_elements(self, machine: MachineState, t: Transfer, dtype: DType, write: bool
                      ) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
        """The window as elements, and the element numbers (valid rows, last - first)."""
        window = machine.windows[self.window]
        start = (t.dram[t.valid] + t.first * dtype.size) & MASK32
        if len(start):
            if np.any(bad := start % dtype.size != 0):
                address = int(start[bad][0])
                raise Fault(Cause.MISALIGNED, self.target, address, f"window offset {address:#x}")
            length = (t.last - t.first) * dtype.size
            for address in (int(start.max()), int(start.min())):
                window.check(address, address + length - 1, write, self.target)
        usable = len(window.data) // dtype.size * dtype.size
        elements = window.data[:usable].view(storage(dtype))
        return elements, start[:, None] // dtype.size + np.arange(max(t.last - t.first, 0))


def _convert(raw: NDArray[np.unsignedinteger], source: DType, target: DType
             ) -> NDArray[np.unsignedinteger]:
    return raw if source is target else from_lane(to_lane(raw, source), target)


@instruction("ld", 0x40, engine=Engine.LOAD, retires=True)
class Load(DmaForm):
    """Copies a nest of rows from DRAM to the scratchpad; invalid elements become the padding."""

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        source, target = self.types()
        t = self.transfer(machine, a, b)
        rows = np.full((len(t.local), t.n0), 0, storage(target))
        rows[:] = np.array(machine.params[Engine.LOAD][DmaParam.PAD] & MASK32).astype(
            storage(target))
        elements, index = self.dram_elements(machine, t, source, write=False)
        if index.size:
            rows[t.valid, t.first : t.last] = _convert(elements[index], source, target)
        addresses = t.local[:, None] + np.arange(t.n0, dtype=np.int64) * target.size
        machine.local.write(addresses, rows, target, Engine.LOAD, accumulators=False)


@instruction("st", 0x41, engine=Engine.STORE, retires=True)
class Store(DmaForm):
    """Copies a nest of rows from local memory to DRAM; invalid elements are skipped."""

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        target, source = self.types()
        t = self.transfer(machine, a, b)
        elements, index = self.dram_elements(machine, t, target, write=True)
        if not index.size:
            return
        columns = np.arange(t.first, t.last, dtype=np.int64) * source.size
        raw = machine.local.read(t.local[t.valid][:, None] + columns, source, Engine.STORE)
        elements[index] = _convert(raw, source, target)
