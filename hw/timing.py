"""Cycles of the machine's work, from its configuration.

The figures are those of the hardware with nothing in its way: what happens when engines compete
for banks, the bus or semaphores is for `sim.model` to find out. Two numbers describe a command:
how long it occupies its engine, and how much later its results are visible.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hw.config import AcceleratorConfig

DEFAULT_LATENCY = 40
"""Cycles from a read request on the bus to its first beat."""
DMA_SETUP = 10
"""Cycles between two transfers of a DMA engine, parameter writes included."""
DMA_LATENCY = 12
"""Cycles a DMA engine adds to the memory's latency, first address to last write."""
BURST_BEATS = 16
"""Beats of the longest burst."""
MATRIX_LATENCY = 8
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
STREAM_LATENCY = 6
"""Cycles from a stream's first address to its first group."""


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


def chained_matmul_cycles(config: AcceleratorConfig, rows: int) -> int:
    """The same when the next `matmul` adds to the same accumulator rows."""
    return max(matmul_cycles(config, rows), array_latency(config))


def beats(config: AcceleratorConfig, row_bytes: int, offset: int = 0) -> int:
    """Bus beats of a contiguous row that starts at a DRAM offset."""
    return -(-(offset % config.bus_bytes + row_bytes) // config.bus_bytes)


def dma_cycles(config: AcceleratorConfig, rows: int, row_bytes: int,
               memory: Memory | None = None) -> int:
    """Cycles a transfer of aligned rows occupies a DMA engine. `row_bytes` counts in DRAM."""
    memory = memory or Memory.of(config)
    rate = min(1.0, memory.bytes_per_cycle / config.bus_bytes)
    return DMA_SETUP + int(rows * beats(config, row_bytes) / rate)


def dma_latency(config: AcceleratorConfig, memory: Memory | None = None) -> int:
    """Cycles from a transfer's last address to its data being visible."""
    memory = memory or Memory.of(config)
    return memory.latency + DMA_LATENCY


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
    return KERNEL_SETUP + STREAM_LATENCY + groups * per_group + filling
