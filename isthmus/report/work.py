"""What each command moves and computes, from the instruction stream alone.

Local memory counts in blocks of 64 bytes.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hw.isa.dma import DmaForm, Load
from hw.isa.dtypes import DType
from hw.isa.encoding import Instruction
from hw.isa.host import ACCUMULATOR_BASE, Engine
from hw.isa.matrix import LoadWeights, Multiply
from hw.isa.params import (
    INPUT_STREAMS,
    LEVELS,
    OUTPUT_STREAMS,
    DmaParam,
    MatrixParam,
    StreamParam,
    input_stream,
)
from hw.isa.state import MASK32, MachineState, nest_indices
from hw.isa.vector import STREAM_OPERAND, Run
from sim.trace import Step

BLOCK = 64
Blocks = NDArray[np.int32]
NOTHING: Blocks = np.zeros(0, np.int32)


@dataclass
class Work:
    """One command: DRAM bytes, multiply-accumulates, scratchpad blocks."""

    pc: int
    bytes_read: int = 0
    bytes_written: int = 0
    macs: int = 0
    reads: list[Blocks] = field(default_factory=list)
    writes: list[Blocks] = field(default_factory=list)


class Accounts:
    """Collects the work of each engine's commands, in order, while a `Model` runs."""

    def __init__(self, state: MachineState) -> None:
        self.state = state
        self.work: dict[Engine, list[Work]] = {engine: [] for engine in Engine}
        self._shadow = self._active = (0, 0, 1)
        self._kernel: tuple[Work, int, set[int]] | None = None

    def add(self, step: Step) -> None:
        """Accounts for a step; to be called as `Model.observer`."""
        instruction, work = step.instruction, Work(step.pc)
        if step.engine is not instruction.target:
            return  # the sequencer has dispatched it
        if isinstance(instruction, DmaForm):
            self._transfer(instruction, step, work)
        elif isinstance(instruction, LoadWeights):
            self._load_weights(instruction, step, work)
        elif isinstance(instruction, Multiply):
            self._multiply(instruction, step, work)
        elif isinstance(instruction, Run):
            self._kernel = work, instruction.length, set()
        elif instruction.is_body:
            self._body(instruction)
        if instruction.RETIRES:
            self.work[step.engine].append(work)

    def _transfer(self, instruction: DmaForm, step: Step, work: Work) -> None:
        dram_type, local_type = instruction.types()
        moved = instruction.transfer(self.state, step.a, step.b)
        length = max(moved.last - moved.first, 0)
        count = int(np.count_nonzero(moved.valid)) * length * dram_type.size
        p = self.state.params[step.engine]
        touched = blocks(
            step.b, tuple(p[DmaParam.BOUND1 : DmaParam.BOUND1 + LEVELS]),
            tuple(p[DmaParam.LSTRIDE1 : DmaParam.LSTRIDE1 + LEVELS]), moved.n0 * local_type.size,
            self.state.config.scratchpad_bytes)
        if isinstance(instruction, Load):
            work.bytes_read, work.writes = count, [touched]
        else:
            work.bytes_written, work.reads = count, [touched]

    def _load_weights(self, instruction: LoadWeights, step: Step, work: Work) -> None:
        p, size = self.state.params[Engine.MATRIX], 1 if instruction.integer else 2
        k, n = p[MatrixParam.K], p[MatrixParam.N]
        self._shadow = k, n, size
        rows, columns = (n, k) if instruction.transposed else (k, n)
        work.reads = [blocks(step.a, (rows,), (p[MatrixParam.WSTRIDE],), columns * size,
                             self.state.config.scratchpad_bytes)]

    def _multiply(self, instruction: Multiply, step: Step, work: Work) -> None:
        if instruction.swap:
            self._active = self._shadow
        k, n, size = self._active
        p = self.state.params[Engine.MATRIX]
        bounds = tuple(p[MatrixParam.BOUND1 : MatrixParam.BOUND1 + LEVELS])
        work.macs = int(np.prod(bounds)) * k * n
        work.reads = [blocks(step.a, bounds,
                             tuple(p[MatrixParam.ASTRIDE1 : MatrixParam.ASTRIDE1 + LEVELS]),
                             k * size, self.state.config.scratchpad_bytes)]

    def _body(self, instruction: Instruction) -> None:
        if self._kernel is None:
            return
        work, left, used = self._kernel
        used |= _streams(instruction)
        self._kernel = (work, left - 1, used) if left > 1 else None
        if self._kernel is None:
            for stream in sorted(used):
                side = work.reads if stream < INPUT_STREAMS else work.writes
                side.append(self._stream(stream))

    def _stream(self, number: int) -> Blocks:
        p = self.state.params[Engine.VECTOR]
        at = {name: p[input_stream(number, name)] for name in StreamParam}
        lanes = min(max(_signed(at[StreamParam.N0]), 0), self.state.config.lanes)
        reach = max(lanes - 1, 0) * _signed(at[StreamParam.STRIDE0])
        size = DType(min(at[StreamParam.TYPE], DType.ADDR)).size
        bounds = tuple(at[StreamParam(StreamParam.BOUND1 + level)] for level in range(LEVELS))
        strides = tuple(at[StreamParam(StreamParam.STRIDE1 + level)] for level in range(LEVELS))
        return blocks((at[StreamParam.BASE] + min(reach, 0)) & MASK32, bounds, strides,
                      (abs(reach) + size) if lanes else 0, self.state.config.scratchpad_bytes)


def _streams(instruction: Instruction) -> set[int]:
    """Streams an instruction of a body uses: inputs from 0, outputs after them."""
    codes = [instruction.value(name) for name in ("va", "vb", "vc") if name in instruction.FIELDS]
    used = {code - STREAM_OPERAND for code in codes
            if STREAM_OPERAND <= code < STREAM_OPERAND + INPUT_STREAMS}
    if "vd" in instruction.FIELDS:
        target = instruction.value("vd") - STREAM_OPERAND
        used |= {INPUT_STREAMS + target} if 0 <= target < OUTPUT_STREAMS else set()
    extra = {"gather": {INPUT_STREAMS - 1}, "scatter": {INPUT_STREAMS + 1}}
    return used | extra.get(instruction.MNEMONIC, set())


@lru_cache(maxsize=4096)
def blocks(base: int, bounds: tuple[int, ...], strides: tuple[int, ...], row_bytes: int,
           scratchpad_bytes: int) -> Blocks:
    """Numbers of the scratchpad blocks that a nest of rows touches."""
    if base >= ACCUMULATOR_BASE or not row_bytes or 0 in bounds:
        return NOTHING
    index = nest_indices(list(bounds), Engine.LOAD)
    starts = base + sum(index[level] * _signed(stride) for level, stride in enumerate(strides))
    return _covered(np.asarray(starts), row_bytes, -(-scratchpad_bytes // BLOCK))


def _covered(starts: NDArray[np.int64], row_bytes: int, count: int) -> Blocks:
    first = np.clip(starts // BLOCK, 0, count)
    end = np.clip((starts + row_bytes - 1) // BLOCK + 1, 0, count)
    changes = np.bincount(first, minlength=count + 1) - np.bincount(end, minlength=count + 1)
    return np.flatnonzero(np.cumsum(changes)[:count] > 0).astype(np.int32)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value
