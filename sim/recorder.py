"""What `sim/harness/recorder.h` notes while the RTL runs, and the trace that follows from it."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hw.isa import decode
from hw.isa.encoding import Instruction
from hw.isa.host import Activity, Engine
from hw.isa.program import Program
from hw.isa.sync import Wait
from sim.spans import build
from sim.trace import Segment, Step, Steps, Trace

EVENT = np.dtype([("cycle", "<u4"), ("value", "<u4"), ("engine", "u1"), ("kind", "u1"),
                  ("unused", "<u2")])
"""One note; the layout of the C++ side's `Event`."""
ACTIVITY, DISPATCHED, TAKEN, RETIRED = range(4)
"""Kinds of notes: what the engine does from this cycle on, the sequencer has put a command into
its queue, the command at the head has left the queue, the oldest unfinished work is finished."""

_VISIBLE = {
    "host.counters": ("running",),
    "sequencer": ("pc", "activity"),
    # One module for all four queues: identical ones are emitted once, under the first one's name.
    "load_queue": ("activity", "retire", "input__valid", "input__ready"),
    "load_queue.fifo": ("r_en", "r_rdy"),
}
"""Signals the recorder reads, by module."""


def visible() -> str:
    """Lines of a Verilator control file that keep these signals."""
    return "\n".join(f'public_flat_rd -module "top.{module}" -var "{name}"'
                     for module, names in _VISIBLE.items() for name in names)


def trace(program: Program, events: NDArray[np.void], cycles: int) -> Trace:
    """The trace of a run of `cycles` cycles."""
    activities = {engine: segments(_of(events, engine, ACTIVITY), cycles) for engine in Engine}
    decoded: dict[int, Instruction] = {}
    steps = Steps()
    for engine in Engine:
        for pc in np.unique(_of(events, engine, DISPATCHED)["value"]).tolist():
            decoded[pc] = decode(int(program.text[pc]))
    for engine in tuple(Engine)[1:]:
        steps[engine] = list(_steps(engine, events, decoded, cycles))
        steps[Engine.SEQUENCER] += [
            Step(Engine.SEQUENCER, step.instruction, step.pc, step.dispatched, step.dispatched,
                 step.dispatched + 1) for step in steps[engine]]
    steps[Engine.SEQUENCER].sort(key=lambda step: step.dispatched)
    return build(program, cycles, steps, activities, measured=True)


def segments(changes: NDArray[np.void], cycles: int) -> list[Segment]:
    """Runs of one activity, from its changes."""
    starts = [*changes["cycle"].tolist(), cycles]
    return [(start, min(end, cycles), Activity(code))
            for (start, end), code in zip(pairwise(starts), changes["value"].tolist(), strict=True)
            if start < min(end, cycles)]


def _of(events: NDArray[np.void], engine: Engine, kind: int) -> NDArray[np.void]:
    return events[(events["engine"] == engine) & (events["kind"] == kind)]


def _steps(engine: Engine, events: NDArray[np.void], decoded: dict[int, Instruction],
           cycles: int) -> Iterator[Step]:
    """Commands leave the queue, and work finishes, in the order of dispatch."""
    dispatched = _of(events, engine, DISPATCHED)
    taken = [*_of(events, engine, TAKEN)["cycle"].tolist()]
    retired = iter(_of(events, engine, RETIRED)["cycle"].tolist())
    free = 0
    for (at, pc), left in zip(dispatched[["cycle", "value"]].tolist(), taken, strict=False):
        instruction = decoded[pc]
        head = max(at + 1, free)
        free = left + 1
        if isinstance(instruction, Wait):
            yield Step(engine, instruction, pc, at, head, left + 1)
        elif instruction.RETIRES:
            # A program that was stopped leaves work unfinished.
            yield Step(engine, instruction, pc, at, left, next(retired, cycles - 1) + 1)
        else:
            yield Step(engine, instruction, pc, at, left, left + 1)
