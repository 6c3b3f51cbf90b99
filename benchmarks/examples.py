"""The examples: cycles against the roofline, the model, compile time and simulation speed."""

import time
from collections.abc import Iterable
from pathlib import Path

import isthmus
from benchmarks.suite import Row, benchmark
from examples.run import EXAMPLES, read
from hw.isa.program import Program
from isthmus.report import roofline
from sim import model, rtl
from sim.loader import Array

FOLDER = Path(__file__).parents[1] / "examples"


def compiled(name: str, config: str) -> tuple[Program, list[Array], float]:
    """An example's program, its first batch of inputs, and the seconds compiling took."""
    weights, data = read(FOLDER / name)
    begin = time.perf_counter()
    program = isthmus.compile(FOLDER / name / "model.mlir", config=config, bind=weights)
    seconds = time.perf_counter() - begin
    return program, [data.inputs[: program.inputs[0].shape[0]]], seconds


@benchmark("examples")
def measure() -> Iterable[Row]:
    """Each example on `default`."""
    for name in EXAMPLES:
        program, inputs, seconds = compiled(name, "default")
        cycles = rtl.run(program, inputs).cycles
        predicted = model.run(program, inputs).cycles
        share = 100 * roofline(program).limit / cycles
        yield Row(f"{name}: share of the roofline", share, "%", detail=f"{cycles:,} cycles")
        yield Row(f"{name}: sim.model off the RTL", 100 * abs(predicted / cycles - 1), "%", 5.0,
                  at_least=False)
        asked = 5.0 if name == "digits" else None
        yield Row(f"{name}: compile time", seconds, "s", asked, at_least=False)


@benchmark("simulation")
def speed() -> Iterable[Row]:
    """Cycles simulated per second while the digits network runs, and the harness's share."""
    for config, asked in (("fpga", 100_000.0), ("default", 30_000.0)):
        program, inputs, _ = compiled("digits", config)
        rtl.run(program, inputs)
        result = rtl.run(program, inputs)
        yield Row(f"simulation speed, {config}", result.cycles / result.seconds, "cycles/s", asked)
        profiled = rtl.run(program, inputs, rtl.Options(profile=True))
        overhead = profiled.seconds / profiled.seconds_evaluating - 1
        yield Row(f"harness beside a bare evaluation loop, {config}", 100 * overhead, "%", 10.0,
                  at_least=False)
