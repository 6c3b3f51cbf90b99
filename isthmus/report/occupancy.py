"""Bytes of the scratchpad in use over time.

As the compiler allocated them where it noted that; otherwise bytes that hold a value which is
still to be read: from the first write to the last read before the next write.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.isa.host import Engine
from hw.isa.program import Program
from isthmus.report.work import BLOCK, Blocks, Work
from sim.trace import Step, Trace

ALLOCATED = "scratchpad"
"""Key of `Program.notes`: [instruction, bytes allocated from there on] pairs, in order."""

Cycles = NDArray[np.int64]
Access = tuple[int, int, bool, Blocks]
"""Start, end, whether it writes, blocks."""
Level = tuple[int, int]
"""(cycle, bytes from then on)."""


@dataclass(frozen=True)
class Occupancy:
    """Bytes in use over time."""

    levels: Sequence[Level]
    allocated: bool
    """As noted by the compiler, not derived from accesses."""

    @property
    def peak(self) -> int:
        return max((level for _, level in self.levels), default=0)


def occupancy(program: Program, trace: Trace, work: dict[Engine, list[Work]]) -> Occupancy:
    """The scratchpad during a run."""
    noted = program.notes.get(ALLOCATED)
    if noted:
        return Occupancy(_allocated(noted, trace), True)
    return Occupancy(_live(_accesses(trace, work), trace.cycles), False)


def _allocated(noted: Iterable[Sequence[int]], trace: Trace) -> list[Level]:
    """The first time an instruction from there on is dispatched, the note holds."""
    dispatched = sorted((step.pc, step.finished) for step in trace.steps[Engine.SEQUENCER])
    pcs = np.array([pc for pc, _ in dispatched])
    levels = []
    for pc, size in noted:
        at = int(np.searchsorted(pcs, pc))
        if at < len(dispatched):
            levels.append((dispatched[at][1], int(size)))
    return sorted(levels, key=lambda level: level[0])


def _accesses(trace: Trace, work: dict[Engine, list[Work]]) -> list[Access]:
    """In the order of their starts, reads before the writes of the same command."""
    found: list[Access] = []
    for engine, accounts in work.items():
        steps = [step for step in trace.steps[engine] if step.instruction.RETIRES]
        for step, account in zip(steps, accounts, strict=False):
            found += _of(step, False, account.reads) + _of(step, True, account.writes)
    return sorted(found, key=lambda access: (access[0], access[2]))


def _of(step: Step, writes: bool, sides: Sequence[Blocks]) -> list[Access]:
    return [(step.taken, step.finished, writes, touched) for touched in sides if len(touched)]


def _live(accesses: Sequence[Access], cycles: int) -> list[Level]:
    """A value lives from its first write to the last read before the next write."""
    count = 1 + max((int(touched[-1]) for *_, touched in accesses), default=0)
    born, read = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    changes: Counter[int] = Counter()
    for start, end, writes, touched in accesses:
        if writes:
            over = touched[read[touched] >= 0]
            _close(born[over], read[over], changes)
            read[over] = born[over] = -1
            new = touched[born[touched] < 0]
            born[new] = start
        else:
            known = touched[born[touched] >= 0]
            read[known] = np.maximum(read[known], end)
    _close(born[read >= 0], read[read >= 0], changes)
    levels, level = [(0, 0)], 0
    for cycle in sorted(changes):
        level += changes[cycle] * BLOCK
        levels.append((min(cycle, cycles), level))
    return levels


def _close(born: Cycles, read: Cycles, changes: Counter[int]) -> None:
    """Ends the lives of values."""
    for sign, cycles in ((1, born), (-1, read)):
        for cycle, count in zip(*np.unique(cycles, return_counts=True), strict=True):
            changes[int(cycle)] += sign * int(count)
