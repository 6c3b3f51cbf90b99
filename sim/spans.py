"""From the steps of a run to its trace.

A simulator notes `Step`s, one for each instruction. From them follow `Span`s, which do not overlap
within an engine: engines finish their work in order, so the time from the end of one piece of work
to the end of the next belongs to the latter, from when the engine has taken it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.isa.asm import disassemble
from hw.isa.host import Activity, Engine
from hw.isa.program import Program
from hw.isa.sync import Post, Set, Wait
from hw.isa.vector import Run
from sim.source import Names
from sim.trace import Segment, Span, Step, Steps, Trace

SHORT_STALL = 8
"""Cycles up to which a stall of the sequencer is drawn as part of its work."""
_STALLS = {Activity.SEMAPHORE: "wait", Activity.MEMORY: "instruction fetch",
           Activity.HAZARD: "queue full", Activity.OVERHEAD: "drain"}


def build(program: Program, cycles: int, steps: Steps,
          activities: Mapping[Engine, Sequence[Segment]] | None = None, *,
          measured: bool = False) -> Trace:
    """The trace of a run; activities that were not measured follow from the steps."""
    whole = {engine: list(_kernels(steps[engine])) for engine in Engine}
    if activities is None:
        activities = {engine: _segments(_painted(engine, found, cycles))
                      for engine, found in whole.items()}
    names = Names(program)
    spans = _sequencer_spans(names, whole[Engine.SEQUENCER], activities[Engine.SEQUENCER])
    for engine in tuple(Engine)[1:]:
        spans += _spans(names, whole[engine], cycles)
    return Trace(cycles, measured, whole, spans, activities)


def _kernels(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps with each kernel's body in the step of its `run`."""
    stream = iter(steps)
    for step in stream:
        if isinstance(step.instruction, Run):
            for _ in range(step.instruction.length):
                last = next(stream, step)
                step = replace(step, finished=max(step.finished, last.finished),
                               busy=max(step.busy, last.busy))
        yield step


def _spans(names: Names, steps: Iterable[Step], cycles: int) -> list[Span]:
    """Spans of a queue's engine. Posts take no time; neighbouring `set`s are one span."""
    spans: list[Span] = []
    free = 0
    for step in steps:
        start, end = max(step.taken, free), min(step.finished, cycles)
        passed = isinstance(step.instruction, Wait) and end - start <= 1
        if end <= start or passed or isinstance(step.instruction, Post):
            continue
        free = end
        span = _span(names, step, start, end)
        if spans and _continues(spans[-1], span):
            span = replace(span, start=spans[-1].start, pc=spans[-1].pc, detail={
                "parameters": spans[-1].detail["parameters"] + 1})
            spans.pop()
        spans.append(span)
    return spans


def _span(names: Names, step: Step, start: int, end: int) -> Span:
    instruction = step.instruction
    detail: dict[str, Any] = {"parameters": 1}
    if not isinstance(instruction, Set):
        detail = {"instruction": disassemble(instruction), "dispatched": step.dispatched,
                  "taken": step.taken, "finished": step.finished}
    if isinstance(instruction, Wait):
        detail["semaphore"] = instruction.semaphore
    return Span(step.engine, names(step.pc), instruction.MNEMONIC, step.pc, start, end,
                detail)


def _continues(before: Span, span: Span) -> bool:
    same = (before.kind, before.name) == (span.kind, span.name) == (Set.MNEMONIC, before.name)
    return same and span.start - before.end <= 1


def _sequencer_spans(names: Names, steps: Sequence[Step], segments: Iterable[Segment]
                     ) -> list[Span]:
    """Runs of instructions of one origin, and the longer stalls between them."""
    starts = np.array([step.finished - 1 for step in steps])
    pcs = [step.pc for step in steps]
    spans: list[Span] = []
    for start, end, activity in segments:
        if activity is Activity.IDLE:
            continue
        at = int(np.searchsorted(starts, end))
        pc = pcs[min(at, len(pcs) - 1)] if activity is not Activity.BUSY else pcs[max(at - 1, 0)]
        stall = activity is not Activity.BUSY and end - start > SHORT_STALL
        kind = _STALLS[activity] if stall else "dispatch"
        span = Span(Engine.SEQUENCER, names(pc), kind, pc, start, end)
        before = spans[-1] if spans else None
        if before and before.end == start and (before.name, before.kind) == (span.name, kind):
            span = replace(span, start=before.start, pc=before.pc)
            spans.pop()
        spans.append(span)
    return spans


def _painted(engine: Engine, steps: Sequence[Step], cycles: int) -> NDArray[np.uint8]:
    """The activity of every cycle as the steps imply it; work hides what lies beneath it."""
    during = np.full(cycles, Activity.IDLE, np.uint8)
    waiting = Activity.MEMORY if engine in (Engine.LOAD, Engine.STORE) else Activity.OVERHEAD
    for step in steps:
        if step.instruction.target is not engine:
            during[step.taken : step.finished] = Activity.HAZARD
        elif isinstance(step.instruction, Wait):
            during[step.taken : step.finished] = Activity.SEMAPHORE
        elif engine is Engine.SEQUENCER:
            during[step.taken : step.finished] = Activity.OVERHEAD
    for step in steps:
        if engine is not Engine.SEQUENCER and not isinstance(step.instruction, Wait | Post):
            during[step.taken : step.finished] = waiting
    for step in steps:
        during[step.busy[0] : step.busy[1]] = Activity.BUSY
    if engine is Engine.SEQUENCER and steps:
        # Fetches its first instruction, and at `halt` waits for the others.
        during[: steps[0].taken] = Activity.MEMORY
        during[steps[-1].finished :] = Activity.OVERHEAD
    return during


def _segments(during: NDArray[np.uint8]) -> list[Segment]:
    edges = np.flatnonzero(np.diff(during)) + 1
    starts, ends = [0, *edges.tolist()], [*edges.tolist(), len(during)]
    return [(start, end, Activity(int(during[start])))
            for start, end in zip(starts, ends, strict=True) if start < end]
