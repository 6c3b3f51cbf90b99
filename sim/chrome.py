"""A trace as JSON for Perfetto (ui.perfetto.dev) and chrome://tracing.

The format knows time in microseconds only: one microsecond is one cycle.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hw.isa.host import Engine
from sim.trace import Segment, Span, Trace

PROCESSES = ("instructions", "activity")
"""Groups of tracks: what each engine works on, and what it does in each cycle."""

Series = Mapping[str, Sequence[tuple[int, int]]]
"""Values over time, by name: (cycle, value from then on)."""


def document(trace: Trace, counters: Series | None = None) -> dict[str, Any]:
    """The whole file as an object to serialise."""
    return {
        "displayTimeUnit": "ns",
        "otherData": {"unit": "1 us is 1 cycle", "cycles": trace.cycles,
                      "source": "RTL, measured" if trace.measured else "timing model, predicted"},
        "traceEvents": [*_tracks(trace), *map(_span, trace.spans), *_activities(trace),
                        *_counters(counters or {})],
    }


def to_json(trace: Trace, counters: Series | None = None) -> bytes:
    """The file's bytes."""
    return json.dumps(document(trace, counters), separators=(",", ":")).encode()


def _tracks(trace: Trace) -> Iterator[dict[str, Any]]:
    suffix = "measured" if trace.measured else "predicted"
    for process, name in enumerate(PROCESSES):
        yield _metadata("process_name", process, 0, {"name": f"{name} ({suffix})"})
        yield _metadata("process_sort_index", process, 0, {"sort_index": process})
        for engine in Engine:
            yield _metadata("thread_name", process, engine, {"name": engine.name.lower()})
            yield _metadata("thread_sort_index", process, engine, {"sort_index": int(engine)})


def _metadata(kind: str, process: int, thread: int, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": int(thread), "args": arguments}


def _span(span: Span) -> dict[str, Any]:
    waits = span.kind not in ("dispatch", "set") and "instruction" not in span.detail
    name = span.kind if waits or span.kind == "wait" else span.name
    return {"ph": "X", "name": name, "cat": span.kind, "pid": 0, "tid": int(span.engine),
            "ts": span.start, "dur": span.end - span.start,
            "args": {"operation": span.name, "pc": span.pc, **span.detail}}


def _activities(trace: Trace) -> Iterator[dict[str, Any]]:
    for engine, segments in trace.activities.items():
        yield from (_activity(engine, segment) for segment in segments)


def _activity(engine: Engine, segment: Segment) -> dict[str, Any]:
    start, end, activity = segment
    name = activity.name.lower()
    return {"ph": "X", "name": name, "cat": name, "pid": 1, "tid": int(engine),
            "ts": start, "dur": end - start}


def _counters(counters: Series) -> Iterator[dict[str, Any]]:
    for name, values in counters.items():
        yield from ({"ph": "C", "name": name, "pid": 0, "ts": cycle, "args": {name: value}}
                    for cycle, value in values)
