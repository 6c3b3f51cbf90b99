"""The order of dispatch.

The sequencer dispatches in order and waits while the queue of the engine it wants is full. A
small simulation of the engines estimates when each command starts; dispatching in that order
lets every engine have its work in its queue in time. The order of each engine's commands stays.

Estimates drift. A command is therefore not dispatched so early that its engine's queue might
still be full of earlier ones while other engines wait for theirs: what precedes, in program
order, the commands that fill its queue goes first.
"""

from collections.abc import Sequence

from compiler.codegen.commands import Command
from hw.isa.host import Engine

SET_UP = {Engine.LOAD: 2, Engine.STORE: 7, Engine.MATRIX: 0, Engine.VECTOR: 12}
"""Typical entries of a queue for a command's parameters and semaphores."""

LEAD = {Engine.LOAD: 4096, Engine.STORE: 0, Engine.MATRIX: 0, Engine.VECTOR: 0}
"""Cycles by which a command is dispatched before it is expected to start. The array's work is
often late, and holds up the sequencer; loads must not wait for that."""


def schedule(commands: Sequence[Command], waits_for: Sequence[Sequence[int]], queue_depth: int
             ) -> list[int]:
    """Positions of the commands in order of dispatch; what a command waits for comes first.

    Args:
        queue_depth: entries of each engine's queue.
    """
    free: dict[Engine, int] = dict.fromkeys(Engine, 0)
    last: dict[Engine, int] = dict.fromkeys(Engine, 0)
    lookahead = {engine: _Lookahead(queue_depth) for engine in Engine}
    times: list[int] = []
    latest: list[int] = [0]
    visible: list[int] = []
    for position, (command, others) in enumerate(zip(commands, waits_for, strict=True)):
        engine = command.engine
        ahead = lookahead[engine].add(position, command.entries + SET_UP[engine])
        start, time = free[engine], max(last[engine], latest[ahead])
        for other in others:
            if visible[other] > start:
                start = visible[other]
            if times[other] > time:
                time = times[other]
        last[engine] = time = max(time, start - LEAD[engine])
        times.append(time)
        latest.append(max(time, latest[-1]))
        free[engine] = end = start + command.cycles
        visible.append(end + command.latency)
    return sorted(range(len(commands)), key=times.__getitem__)


class _Lookahead:
    """An engine's commands by the queue entries they take."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.positions: list[int] = []
        self.filled: list[int] = [0]
        self._first = 0

    def add(self, position: int, entries: int) -> int:
        """Adds a command; returns the first one that may still be queued when it is."""
        positions, filled = self.positions, self.filled
        total = filled[-1] + entries
        positions.append(position)
        filled.append(total)
        # It only moves on: the search starts where the last one ended.
        first = self._first
        while filled[first] < total - self.depth:
            first += 1
        self._first = first
        return positions[min(first, len(positions) - 1)]
