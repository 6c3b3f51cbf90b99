"""The roofline, and the lines a run is reported in."""

from dataclasses import dataclass

from hw.isa.program import Program
from sim.result import Result, stall_table

MACS, BYTES = "macs", "dram_bytes"
"""Keys of `Program.notes`: multiply-accumulates, and DRAM bytes every implementation moves."""


@dataclass(frozen=True)
class Roofline:
    """Lower bounds on a program's cycles."""

    compute_cycles: float
    memory_cycles: float

    @property
    def limit(self) -> float:
        return max(self.compute_cycles, self.memory_cycles)

    @property
    def bound(self) -> str:
        return "compute" if self.compute_cycles >= self.memory_cycles else "memory"


def roofline(program: Program, bytes_per_cycle: float | None = None) -> Roofline:
    """The limits of a program's machine: max(MACs / (R*C), bytes / DRAM bytes per cycle)."""
    config = program.config
    return Roofline(
        program.notes[MACS] / config.macs_per_cycle,
        program.notes[BYTES] / (bytes_per_cycle or config.bus_bytes))


def describe(program: Program, result: Result) -> str:
    """Cycles against the roofline, traffic, stalls and simulation speed, several lines."""
    limits = roofline(program)
    lines = [
        f"{result.cycles:,} cycles, roofline {limits.limit:,.0f} ({limits.bound} bound), "
        f"ratio {limits.limit / max(result.cycles, 1):.1%}",
    ]
    if result.dram_bytes_read:
        lines.append(f"DRAM: {result.dram_bytes_read:,} bytes read, "
                     f"{result.dram_bytes_written:,} written")
    if result.seconds:
        lines.append(f"simulated in {result.seconds:.2f} s, "
                     f"{result.cycles / result.seconds:,.0f} cycles/s")
    if result.stalls:
        lines.append(stall_table(result.stalls))
    return "\n".join(lines)
