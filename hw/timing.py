"""Cycles of the machine's work, from its configuration.

The figures are those of the hardware with nothing in its way: what happens when engines compete
for banks, the bus or semaphores is for `sim.model` to find out. Two numbers describe a command:
how long it occupies its engine, and how much later its results are visible.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from hw.config import AcceleratorConfig
from hw.isa.dtypes import DType
from hw.isa.encoding import Instruction
from hw.isa.host import ACCUMULATOR_BASE
from hw.isa.params import INPUT_STREAMS, StreamParam, input_stream
from hw.isa.vector import SPECIAL, STREAM_OPERAND

DEFAULT_LATENCY = 40
"""Cycles from a read request on the bus to its first beat."""
DMA_SETUP = 10
"""Cycles between two transfers of a DMA engine, parameter writes included."""
DMA_LATENCY = 5
"""Cycles a DMA engine adds to the memory's latency, first address to last write."""
BURST_BEATS = 16
"""Beats of the longest burst."""
MATRIX_LATENCY = 2
"""Cycles of the matrix unit around the array: operand fetch, skew registers, write back."""
ADD_STAGES = 2
"""Pipeline stages of the array's adder: D of the wavefront."""
PE_LATENCY = 4
"""Cycles from an activation at a PE to the partial sum below it."""
MATMUL_OVERHEAD = 2
"""Cycles between two matmul commands that follow each other without a hazard."""
KERNEL_SETUP = 8
"""Cycles from the end of a kernel to the first instruction of the next."""
LANE_LATENCY = 8
"""Cycles from a vector instruction's first group to its result."""
STREAM_LATENCY = 3
"""Cycles from a stream's first address to its first group."""
OUTPUT_LATENCY = 1
"""Cycles in which an output stream clamps a group."""


@dataclass(frozen=True)
class Memory:
    """DRAM as the bus sees it.

    Attributes:
        latency: cycles from a read request to its first beat.
        bytes_per_cycle: bandwidth of each direction; at most the bus width counts.
    """

    latency: int
    bytes_per_cycle: float

    @classmethod
    def of(cls, config: AcceleratorConfig, latency: int = DEFAULT_LATENCY) -> "Memory":
        """Memory as fast as the bus."""
        return cls(latency, config.bus_bytes)


def array_latency(config: AcceleratorConfig) -> int:
    """Cycles from the launch of an activation row to its sums being readable.

    A row of the same accumulators is not launched earlier.
    """
    skew = ADD_STAGES * (config.array_rows - 1) + config.array_cols - 1
    return skew + PE_LATENCY + MATRIX_LATENCY


def matmul_cycles(config: AcceleratorConfig, rows: int) -> int:
    """Cycles a `matmul` of so many rows occupies the array, next weights loading meanwhile."""
    return max(rows, config.array_rows, config.array_cols) + MATMUL_OVERHEAD


def beats(config: AcceleratorConfig, row_bytes: int, offset: int = 0) -> int:
    """Bus beats of a contiguous row that starts at a DRAM offset."""
    return -(-(offset % config.bus_bytes + row_bytes) // config.bus_bytes)


def dma_cycles(config: AcceleratorConfig, rows: int, row_bytes: int,
               memory: Memory | None = None) -> int:
    """Cycles a transfer of aligned rows occupies a DMA engine. `row_bytes` counts in DRAM."""
    row: float = beats(config, row_bytes)
    if memory is not None:
        row /= min(1.0, memory.bytes_per_cycle / config.bus_bytes)
    latency = DEFAULT_LATENCY if memory is None else memory.latency
    return DMA_SETUP + math.ceil(rows * max(row, burst_interval(config, latency)))


def dma_latency(memory: Memory | None = None) -> int:
    """Cycles from a transfer's last address to its data being visible."""
    return (DEFAULT_LATENCY if memory is None else memory.latency) + DMA_LATENCY


def kernel_cycles(config: AcceleratorConfig, groups: int, issues: int, *, special: int = 0,
                  strided_lanes: Sequence[int] = ()) -> int:
    """Cycles a vector kernel occupies the unit.

    Args:
        groups: groups of L elements.
        issues: vector instructions a group takes; `special` of them are special functions.
        strided_lanes: lanes fetched one by one, for each stream that is not contiguous.
    """
    slow = special * (config.lanes // config.sfu_lanes - 1)
    per_group = max(issues + slow, 1, *strided_lanes) if strided_lanes else max(issues + slow, 1)
    filling = LANE_LATENCY if groups >= config.strip_groups else LANE_LATENCY * issues
    return KERNEL_SETUP + STREAM_LATENCY + OUTPUT_LATENCY + groups * per_group + filling


BURST_TURNAROUND = 3
"""Cycles from a burst's last beat to the request that takes its place."""
TRANSFER_START = 4
"""Cycles from a transfer's command to its first request."""
FETCH_LATENCY = 5
"""Cycles from start to the first instruction, beside the memory's latency."""
DMA_RETIRE = 3
"""Cycles from a transfer's last beat (of a store: its response) to its end being known."""
BEATS_AHEAD = 4
"""Beats in flight per outstanding burst of the configuration."""
WEIGHT_FETCH_LATENCY = 5
"""Cycles from a `loadw` to its first row in the transposer."""
MATMUL_START = 3
"""Cycles from a `matmul` to its first row entering the array."""
KERNEL_RETIRE = 3
"""Cycles from a kernel's last write to its end being known."""
DEPENDENCE = LANE_LATENCY
"""Cycles from the issue of a group to that of a group that uses its result."""
SIMULATED_REPEATS = 4
"""Strips and repeats that are walked one by one; the rest take as long as the last of them."""


def transfer_beats(config: AcceleratorConfig, rows: int, row_bytes: int, offset: int, stride: int
                   ) -> int:
    """Beats of `rows` rows that start `stride` bytes apart, the first at a DRAM offset."""
    if stride % config.bus_bytes == 0:
        return rows * beats(config, row_bytes, offset)
    # Offsets within a beat are spread evenly.
    step = math.gcd(stride, config.bus_bytes)
    each = [beats(config, row_bytes, offset + step * i) for i in range(config.bus_bytes // step)]
    return math.ceil(rows * sum(each) / len(each))


def burst_interval(config: AcceleratorConfig, latency: int) -> float:
    """Least cycles from one burst's request to the next, as only so many may be in flight."""
    return (latency + BURST_TURNAROUND) / config.outstanding_bursts


def requests_ahead(config: AcceleratorConfig, latency: int) -> int:
    """Beats a DMA engine asks for before the first of them arrives."""
    return min(latency, BEATS_AHEAD * config.outstanding_bursts)


def fill_cycles(config: AcceleratorConfig, rows: int, valid: int, row_bytes: int,
                valid_bytes: int) -> int:
    """Cycles to write the padding of a load: whole rows and the ends of valid ones."""
    port = 2 * config.bus_bytes
    ends = math.ceil((row_bytes - valid_bytes) / port) if valid else 0
    return (rows - valid) * math.ceil(row_bytes / port) + valid * ends


class KernelTimer:
    """Walks a kernel's body as the issue stage does, in order, one group a cycle.

    Args:
        body: (instruction, repeat count) pairs.
    """

    def __init__(self, config: AcceleratorConfig, body: Sequence[tuple[Instruction, int]]) -> None:
        self.config, self.body = config, body
        self.cycle, self.vl = 0, 0
        self.moved: Counter[int] = Counter()
        self._written: dict[int, int] = {}

    def run(self, groups: int, strip: int) -> int:
        """Cycles from the first issue to the last one's result."""
        full, rest = divmod(groups, max(strip, 1))
        whole = partial(self._block, 0, len(self.body))
        self._repeat(full, strip, whole)
        self._repeat(1 if rest else 0, rest, whole)
        return self.cycle + LANE_LATENCY

    def _repeat(self, count: int, vl: int, once: Callable[[], None]) -> None:
        self.vl = vl
        lengths = [0]
        for _ in range(min(count, SIMULATED_REPEATS)):
            before, moved = self.cycle, self.moved.copy()
            once()
            lengths.append(self.cycle - before)
        rest = max(count - SIMULATED_REPEATS, 0)
        if rest:
            for stream, now in list(self.moved.items()):
                self.moved[stream] = now + rest * (now - moved[stream])
            shift = rest * lengths[-1]
            self.cycle += shift
            self._written = {v: at + shift for v, at in self._written.items()}

    def _block(self, start: int, end: int) -> None:
        at = start
        while at < end:
            op, count = self.body[at]
            at += 1
            if op.MNEMONIC == "rep":
                length = op.value("length")
                self._repeat(count, self.vl, partial(self._block, at, at + length))
                at += length
            else:
                self._issue(op)

    def _issue(self, op: Instruction) -> None:
        codes = {op.value(name) for name in ("va", "vb", "vc") if name in op.FIELDS}
        start = max([self.cycle, *(self._written.get(code, 0) for code in codes)])
        cycles = self.vl * self._steps(op)
        for code in codes:
            if STREAM_OPERAND <= code < STREAM_OPERAND + INPUT_STREAMS:
                self.moved[code - STREAM_OPERAND] += self.vl
        vd = op.value("vd") if "vd" in op.FIELDS else STREAM_OPERAND + 1
        if vd >= STREAM_OPERAND:
            self.moved[INPUT_STREAMS + vd - STREAM_OPERAND] += self.vl
        else:
            # Group g of the user comes at least as long after group g of the maker.
            self._written[vd] = start + DEPENDENCE + cycles - self.vl
        self.cycle = start + cycles

    def _steps(self, op: Instruction) -> int:
        """Issue cycles of one group."""
        if op.MNEMONIC in SPECIAL:
            return self.config.lanes // self.config.sfu_lanes
        if op.MNEMONIC == "gather":
            return self.config.lanes + 4
        if op.MNEMONIC == "scatter":
            return max(self.config.lanes, 2)
        return 2 if op.MNEMONIC == "trans" else 1


def refused(config: AcceleratorConfig, rivals: float) -> float:
    """Share of an access's attempts at the scratchpad that fail, rivals making so many accesses
    per cycle: banks are interleaved pseudo-randomly, so each meets it in one of `banks` cases."""
    return min(rivals / config.scratchpad_banks, 0.5)


@dataclass(frozen=True)
class KernelWork:
    """What a kernel does, apart from what others do meanwhile.

    Attributes:
        issue: cycles from its first issue to its last result, memory never refusing an access.
        accesses: memory accesses of each stream, outputs after inputs; and, in `crowded`, of
            those in the scratchpad only.
    """

    config: AcceleratorConfig
    issue: int
    accesses: dict[int, int]
    crowded: frozenset[int]

    def cycles(self, reads: float = 0.0, writes: float = 0.0) -> int:
        """Cycles from the launch to the last write.

        Args:
            reads, writes: accesses per cycle that other engines make to the scratchpad meanwhile.
        """
        working, met = float(self.issue), {True: reads, False: writes}
        for stream, count in self.accesses.items():
            port, alone = stream < INPUT_STREAMS, stream not in self.crowded
            # A stream waits for those of lower numbers, and all wait for the other engines.
            moving = count / (1 - (0 if alone else refused(self.config, met[port])))
            met[port] += 0 if alone else count / max(self.issue, count)
            working = max(working, moving + LANE_LATENCY)
        return STREAM_LATENCY + OUTPUT_LATENCY + math.ceil(working)


def kernel_work(config: AcceleratorConfig, params: Sequence[int],
                body: Sequence[tuple[Instruction, int]], groups: int, strip: int) -> KernelWork:
    """A kernel's work.

    Args:
        params: the vector unit's parameters; body: (instruction, repeat count) pairs.
    """
    timer = KernelTimer(config, body)
    issue = timer.run(groups, strip)
    accesses = {stream: count * _group_accesses(config, params, stream)
                for stream, count in sorted(timer.moved.items())}
    return KernelWork(config, issue, accesses, frozenset(
        stream for stream in accesses if _in_scratchpad(params, stream)))


def _in_scratchpad(params: Sequence[int], stream: int) -> bool:
    """A stream that accesses the scratchpad, not generated and not in the accumulators."""
    return (params[input_stream(stream, StreamParam.BASE)] < ACCUMULATOR_BASE
            and params[input_stream(stream, StreamParam.TYPE)] != DType.ADDR)


def _group_accesses(config: AcceleratorConfig, params: Sequence[int], stream: int) -> int:
    """Memory accesses of one full group of a stream: one, unless its lanes are strided."""
    stride0 = params[input_stream(stream, StreamParam.STRIDE0)]
    size = DType(min(params[input_stream(stream, StreamParam.TYPE)], DType.ADDR)).size
    n0 = params[input_stream(stream, StreamParam.N0)]
    return 1 if stride0 in (0, size) else min(max(n0, 1), config.lanes)
