"""Traces: spans and activities of a run, predicted and measured, and the file made of them."""

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from hw.config import TINY
from hw.isa.asm import assemble, encode
from hw.isa.host import Activity, Engine
from hw.isa.program import INPUT_WINDOW, OUTPUT_WINDOW, Program, Tensor
from isthmus import api
from sim import chrome, loader, model, rtl
from sim.result import Result
from sim.source import label
from sim.trace import Span
from verif.sim.test_model import RANGES, kernels, products, transfers

BYTES = 1 << 14
PRODUCTS, KERNELS = "model.mlir:3:9", "dir/model.mlir:5:9 (jit(f)/tanh)"
INPUTS = [np.ones(BYTES // 4, np.float32)]


def _program() -> Program:
    """Loads, products and kernels, the last ones behind a semaphore."""
    early = "\n".join([RANGES, transfers("load", 512, 1, 0, 3), "post load, 1, 1"])
    middle = "\n".join(["wait matrix, 1, 1", products(10, 32), "post matrix, 2, 1"])
    late = "\n".join(["wait vector, 2, 1", kernels(["fadd v0, s0, k0", "fmul d0, v0, v0"], 64, 3),
                      "post vector, 3, 1", "wait store, 3, 1", transfers("store", 256, 1, 0, 2)])
    parts = [encode(assemble(part)) for part in (early, middle, late + "\nhalt")]
    text = np.array([word for part in parts for word in part], np.uint64)
    sources = [(0, PRODUCTS), (len(parts[0]) + len(parts[1]), KERNELS)]
    tensors = [Tensor(name, "f32", (BYTES // 4,), window, 0)
               for name, window in (("in", INPUT_WINDOW), ("out", OUTPUT_WINDOW))]
    return Program(TINY, text, b"", tensors[:1], tensors[1:], BYTES, BYTES, sources=sources,
                   notes={"operations": {PRODUCTS: ["dot_general", "reshape", "add"]}})


@pytest.fixture(scope="module")
def program() -> Program:
    return _program()


@pytest.fixture(scope="module", params=["model", "rtl"])
def result(program: Program, request: pytest.FixtureRequest) -> Result:
    return api.run(program, INPUTS, sim=request.param, trace=True)


def _by_engine(spans: Any) -> dict[Engine, list[Span]]:
    found: dict[Engine, list[Span]] = defaultdict(list)
    for span in spans:
        found[span.engine].append(span)
    return found


def test_spans_do_not_overlap(result: Result) -> None:
    assert result.trace is not None
    found = _by_engine(result.trace.spans)
    assert set(found) == set(Engine)
    for spans in found.values():
        assert spans[0].start >= 0
        assert spans[-1].end <= result.cycles
        assert all(span.start < span.end for span in spans)
        assert all(before.end <= after.start for before, after in pairwise(spans))


def test_activities_cover_every_cycle(result: Result) -> None:
    assert result.trace is not None
    for segments in result.trace.activities.values():
        assert segments[0][0] == 0
        assert segments[-1][1] == result.cycles
        assert all(before[1] == after[0] for before, after in pairwise(segments))


def test_each_piece_of_work_has_its_span(result: Result) -> None:
    assert result.trace is not None
    kinds = [span.kind for span in result.trace.spans]
    assert (kinds.count("ld"), kinds.count("st"), kinds.count("run")) == (3, 2, 3)
    assert kinds.count("matmul") == 10
    blocked = {span.engine for span in result.trace.spans
               if span.kind == "wait" and span.end - span.start > 50}
    assert {Engine.MATRIX, Engine.VECTOR, Engine.STORE} <= blocked


def test_measured_activities_are_the_counters(program: Program) -> None:
    result = api.run(program, INPUTS, sim="rtl", trace=True)
    assert result.trace is not None
    assert result.trace.measured
    for engine, segments in result.trace.activities.items():
        counts = dict.fromkeys(Activity, 0)
        for start, end, activity in segments:
            counts[activity] += end - start
        assert counts == result.stalls[engine]


def test_both_simulators_see_the_same_work(program: Program) -> None:
    measured, predicted = (api.run(program, INPUTS, sim=sim, trace=True).trace
                           for sim in ("rtl", "model"))
    assert measured is not None
    assert predicted is not None
    for engine in tuple(Engine)[1:]:
        assert [step.pc for step in measured.steps[engine]] == [
            step.pc for step in predicted.steps[engine]]
        ends = [(a.finished, b.finished) for a, b in zip(
            measured.steps[engine], predicted.steps[engine], strict=True)
            if a.instruction.RETIRES]
        assert all(abs(a - b) <= 0.05 * measured.cycles for a, b in ends)


def test_tracing_changes_nothing(program: Program) -> None:
    assert model.run(program).cycles == model.run(program, trace=True).cycles
    plain, traced = (api.run(program, INPUTS, sim="rtl", trace=trace) for trace in (False, True))
    assert plain.trace is None
    assert plain.cycles == traced.cycles
    assert plain.stalls == traced.stalls


def test_a_second_run_has_its_own_notes(program: Program) -> None:
    options = rtl.Options(trace=True)
    with rtl.RtlSimulator(TINY, loader.window_sizes(program), options) as simulator:
        windows = loader.grant(program, simulator.memories)
        loader.fill(program, INPUTS, windows)
        simulator.grant(windows)
        noted = []
        for _ in range(2):
            simulator.run()
            noted.append(simulator.machine.events())
    assert len(noted[0])
    assert np.array_equal(noted[0], noted[1])


def test_golden_has_no_time(program: Program) -> None:
    with pytest.raises(ValueError, match="golden knows no time"):
        api.run(program, INPUTS, trace=True)


def test_file(result: Result) -> None:
    assert result.trace is not None
    document = json.loads(chrome.to_json(result.trace, {"scratchpad bytes": [(0, 0), (9, 64)]}))
    events = document["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X", "C"}
    tracks = {(event["pid"], event["tid"]): event["args"]["name"]
              for event in events if event["name"] == "thread_name"}
    assert sorted(set(tracks.values())) == sorted(engine.name.lower() for engine in Engine)
    spans: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            assert {"name", "cat", "ts", "dur"} <= event.keys()
            spans[event["pid"], event["tid"]].append(event)
    assert set(spans) == set(tracks)
    for (process, _), track in spans.items():
        assert all(a["ts"] + a["dur"] <= b["ts"] for a, b in pairwise(track))
        if process == 1:
            assert sum(event["dur"] for event in track) == result.cycles
    work = {event["name"] for event in spans[0, Engine.VECTOR] if event["cat"] == "run"}
    assert work == {"tanh model.mlir:5"}
    work = {event["name"] for event in spans[0, Engine.MATRIX] if event["cat"] == "matmul"}
    assert work == {"dot_general + add model.mlir:3"}


@pytest.mark.parametrize("source, expected", [
    ("m.mlir:3:1", "dot_general + add + tanh + 1 more m.mlir:3"),
    ("dir/m.mlir:4:1", "transpose m.mlir:4"),
    ("m.mlir:9:1 (jit(f)/jit(main)/exp)", "exp m.mlir:9"),
    ("m.mlir:9:1", "m.mlir:9"),
    ("<input>", "<input>"),
])
def test_names(source: str, expected: str) -> None:
    program = _program()
    program.notes["operations"] = {
        "m.mlir:3:1": ["stablehlo.dot_general", "reshape", "add", "tanh", "convert"],
        "dir/m.mlir:4:1": ["transpose", "reshape"]}
    assert label(program, source) == expected
