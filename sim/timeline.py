"""The engines' clocks: when each piece of work starts, lets the next one start, and is finished."""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.dma import DmaForm
from hw.isa.encoding import Instruction
from hw.isa.host import Engine
from hw.isa.matrix import LoadWeights, Multiply
from hw.isa.params import LEVELS, VECTOR_STRIP, DmaParam, MatrixParam
from hw.isa.state import nest_indices
from hw.isa.vector import Run
from hw.timing import Memory
from sim.traffic import Traffic

BRANCH_CYCLES = 2
"""Extra cycles of a taken branch."""
EXTRA_CYCLES = {
    "lds": 2, "sts": 2, "mul": 2, "muli": 2, "divu": 33, "divui": 33, "remu": 33, "remui": 33,
}
"""Cycles beyond one of the sequencer's longer instructions."""
MULTIPLIES_AHEAD = 2
"""`matmul` commands that wait for the one before them."""
DISPATCH_LATENCY = 2
"""From dispatch to the head of an empty queue."""

Parameters = dict[int, list[int]]


@dataclass
class Capture:
    """A kernel whose body is still coming."""

    length: int
    groups: int
    body: list[tuple[Instruction, int]] = field(default_factory=list)


class Timelines:
    """Clocks of the four engines.

    Attributes:
        ready: by engine, the first cycle in which it can take its next command.
        busy: by engine, first cycle and end of the work accounted for last.
    """

    def __init__(self, config: AcceleratorConfig, params: Parameters, memory: Memory) -> None:
        self.config, self.params, self.memory = config, params, memory
        self.ready = dict.fromkeys((Engine.LOAD, Engine.STORE, Engine.MATRIX, Engine.VECTOR), 0)
        self.busy = dict.fromkeys(self.ready, (0, 0))
        self._finished = dict(self.ready)
        self._data_free = {Engine.LOAD: 0, Engine.STORE: 0}
        self._answered = {Engine.LOAD: 0, Engine.STORE: 0}
        self._loader_free = self._feed_free = self._tile_ready = 0.0
        self._shadow_taken = self._rows_free = 0
        self._begun: deque[int] = deque([0] * MULTIPLIES_AHEAD, MULTIPLIES_AHEAD)
        self._row_written = np.zeros(config.accumulator_rows, np.int64)
        self._kernel_free = 0
        self._stored, self._loaded = Traffic(), Traffic()
        self._activations, self._weights = Traffic(), Traffic()
        self._capture: Capture | None = None

    def idle_from(self, engine: Engine) -> int:
        """The cycle from which everything the engine has taken is finished and visible."""
        return self._finished[engine]

    @property
    def loads_until(self) -> int:
        """The cycle until which the loads taken so far use the bus."""
        return self._data_free[Engine.LOAD]

    def delay_loads(self, cycle: int, beats: int) -> None:
        """Something else uses the bus; it costs loads that use it, too."""
        if self.loads_until > cycle:
            self._data_free[Engine.LOAD] += beats

    def work(self, engine: Engine, instruction: Instruction, a: int, b: int, at: int) -> None:
        """Accounts for a command taken in cycle `at`."""
        if isinstance(instruction, DmaForm):
            self._transfer(engine, instruction, a, at)
        elif isinstance(instruction, LoadWeights):
            self._load_weights(instruction, at)
        elif isinstance(instruction, Multiply):
            self._multiply(instruction, b, at)
        else:
            self._kernel(instruction, a, at)

    def _finish(self, engine: Engine, cycle: int) -> None:
        self._finished[engine] = max(self._finished[engine], cycle)

    def _transfer(self, engine: Engine, instruction: DmaForm, dram: int, at: int) -> None:
        p = self.params[engine]
        dram_type, local_type = instruction.types()
        rows, valid = self._rows(p)
        length = max(min(p[DmaParam.HI0], p[DmaParam.N0]) - p[DmaParam.LO0], 0)
        beats = timing.transfer_beats(
            self.config, valid, length * dram_type.size, dram, p[DmaParam.DSTRIDE1])
        fill = timing.fill_cycles(self.config, rows, valid, p[DmaParam.N0] * local_type.size,
                                  length * local_type.size)
        rate = min(1.0, self.memory.bytes_per_cycle / self.config.bus_bytes)
        first = at + timing.TRANSFER_START
        latency = self.memory.latency if engine is Engine.LOAD and valid else 0
        start = max(first + latency + timing.DMA_LATENCY, self._data_free[engine])
        # Only so many bursts are in flight, across transfers: short rows wait for earlier ones.
        interval = timing.burst_interval(self.config, self.memory.latency)
        answered = max(self._answered[engine], first) + math.ceil(valid * interval)
        self._answered[engine] = answered
        done = max(start + max(math.ceil(beats / rate) + fill, rows), answered)
        self._data_free[engine] = done
        (self._stored if engine is Engine.STORE else self._loaded).add(start, done, beats)
        self.busy[engine] = max(start, done - math.ceil(beats / rate)), done
        ahead = timing.requests_ahead(self.config, self.memory.latency)
        self.ready[engine] = max(first + rows, done - latency - ahead)
        response = self.memory.latency if engine is Engine.STORE else 0
        self._finish(engine, done + response + timing.DMA_RETIRE)

    @staticmethod
    def _rows(p: list[int]) -> tuple[int, int]:
        """Rows of a transfer, and how many of them are inside the valid ranges."""
        bounds = p[DmaParam.BOUND1 : DmaParam.BOUND1 + LEVELS]
        inside = [max(min(p[DmaParam.HI1 + i], bound) - p[DmaParam.LO1 + i], 0)
                  for i, bound in enumerate(bounds)]
        return math.prod(bounds), math.prod(inside)

    def _load_weights(self, instruction: LoadWeights, at: int) -> None:
        p = self.params[Engine.MATRIX]
        rows = p[MatrixParam.N] if instruction.transposed else p[MatrixParam.K]
        start = max(at, self._loader_free)
        pace = self._pace(int(start), int(start) + rows, self._stored, self._activations)
        fetching = rows * pace
        self._weights.add(int(start), math.ceil(start + fetching), rows)
        fetched = start + timing.WEIGHT_FETCH_LATENCY + fetching
        # Fed to the array column by column once the tile before it has been made active.
        begun = max(fetched, self._shadow_taken, self._feed_free)
        self._tile_ready = self._feed_free = begun + self.config.array_cols
        self._loader_free = max(start + fetching, begun - self.config.array_cols)
        # What counts as work of the matrix unit are rows of products, not weights.
        ready = math.ceil(self._tile_ready)
        self.busy[Engine.MATRIX] = ready, ready
        self.ready[Engine.MATRIX] = int(start) + 1
        self._finish(Engine.MATRIX, ready)

    def _multiply(self, instruction: Multiply, row: int, at: int) -> None:
        rows = self._accumulator_rows(row)
        # Some wait behind the one that streams; the weight loads behind them are seen in time.
        at = max(at, self._begun[0])
        start = max(at + timing.MATMUL_START, self._rows_free)
        if instruction.swap:
            start = max(start, math.ceil(self._tile_ready))
            self._shadow_taken = start
        pace = self._pace(start, start + len(rows), self._stored)
        launches = self._launches(rows, start, pace)
        self._rows_free = int(launches[-1]) + 1 if len(launches) else start + 1
        self.busy[Engine.MATRIX] = start, self._rows_free
        self._activations.add(start, self._rows_free, len(launches))
        self._begun.append(start)
        self.ready[Engine.MATRIX] = at + 1
        self._finish(Engine.MATRIX, self._rows_free + timing.array_latency(self.config))

    def _accumulator_rows(self, first: int) -> NDArray[np.int64]:
        p = self.params[Engine.MATRIX]
        index = nest_indices(p[MatrixParam.BOUND1 : MatrixParam.BOUND1 + LEVELS], Engine.MATRIX)
        rows = np.full(index.shape[1], first, np.int64)
        for level in range(LEVELS):
            rows += index[level] * p[MatrixParam.CSTRIDE1 + level]
        return rows % self.config.accumulator_rows

    def _pace(self, start: int, end: int, *rivals: Traffic) -> float:
        """Cycles per access of a port that is refused when one of its rivals is in its bank."""
        met = sum(rival.rate(start, end) for rival in rivals)
        return 1 / (1 - timing.refused(self.config, met))

    def _launches(self, rows: NDArray[np.int64], start: int, pace: float) -> NDArray[np.int64]:
        """Launch cycles: `pace` cycles a row, none while its accumulators are in flight."""
        latency = timing.array_latency(self.config)
        launches = start + (np.arange(len(rows)) * pace).astype(np.int64)
        distinct = len(np.unique(rows)) == len(rows)
        if not distinct or np.any(self._row_written[rows] > launches):
            cycle = start
            for i, row in enumerate(rows):
                cycle = max(cycle, int(self._row_written[row]))
                launches[i] = cycle
                self._row_written[row] = cycle + latency
                cycle += 1
        self._row_written[rows] = launches + latency
        return launches

    def _kernel(self, instruction: Instruction, a: int, at: int) -> None:
        self.ready[Engine.VECTOR] = at + 1
        if isinstance(instruction, Run):
            self._capture = Capture(instruction.length, a)
            return
        assert self._capture is not None
        self._capture.body.append((instruction, a))
        if len(self._capture.body) == self._capture.length:
            self._run(self._capture, at + 1)
            self._capture = None

    def _run(self, kernel: Capture, at: int) -> None:
        start = max(at, self._kernel_free)
        cycles = self._kernel_cycles(kernel, start) if kernel.groups else 0
        self._kernel_free = start + cycles
        self.busy[Engine.VECTOR] = start, self._kernel_free
        # Two kernels are staged at the most: the next body waits for this one to start.
        self.ready[Engine.VECTOR] = max(self.ready[Engine.VECTOR], start + 1)
        self._finish(Engine.VECTOR, self._kernel_free + timing.KERNEL_RETIRE)

    def _kernel_cycles(self, kernel: Capture, start: int) -> int:
        p = self.params[Engine.VECTOR]
        work = timing.kernel_work(self.config, p, kernel.body, kernel.groups, p[VECTOR_STRIP])
        end = start + work.cycles()
        reads = sum(rival.rate(start, end)
                    for rival in (self._stored, self._activations, self._weights))
        return work.cycles(reads, self._loaded.rate(start, end))
