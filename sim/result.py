"""What a run of a program yields, whichever simulator ran it."""

from dataclasses import dataclass, field

from hw.isa.host import Activity, Engine
from sim.loader import Array
from sim.trace import Trace

Stalls = dict[Engine, dict[Activity, int]]
"""Cycles of each engine by what it did; each engine's numbers add up to the cycles of the run."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Outputs in the order of the program's results, and what it cost."""

    outputs: list[Array]
    """Empty for the timing model, which computes no data."""
    cycles: int = 0
    """From start to halt; 0 for the golden model, which knows no time."""
    stalls: Stalls = field(default_factory=dict)
    dram_bytes_read: int = 0
    dram_bytes_written: int = 0
    instructions: int = 0
    """Instructions executed; 0 where the simulator does not count them."""
    seconds: float = 0.0
    """Time the simulator took."""
    seconds_evaluating: float = 0.0
    """Of these, inside the evaluation of the hardware; 0 unless profiling."""
    trace: Trace | None = None
    """What every engine did when, if asked for."""


def stall_table(stalls: Stalls) -> str:
    """One line per engine: the share of each activity, adding up to 100 %."""
    header = "engine    " + "".join(f"{activity.name.lower():>11}" for activity in Activity)
    lines = [header + f"{'total':>11}"]
    for engine, counts in stalls.items():
        total = sum(counts.values()) or 1
        shares = [100 * counts.get(activity, 0) / total for activity in Activity]
        cells = "".join(f"{share:10.1f}%" for share in (*shares, sum(shares)))
        lines.append(f"{engine.name.lower():10}{cells}")
    return "\n".join(lines)
