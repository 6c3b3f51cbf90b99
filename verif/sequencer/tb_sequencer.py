"""The sequencer in lock-step with the meaning of its instructions."""

import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock

from hw.config import load
from hw.isa.asm import assemble, listing
from hw.isa.host import Cause
from verif.sequencer.bench import Bench
from verif.sequencer.generator import program
from verif.sequencer.reference import Run, execute

CONFIG = load(os.environ["CONFIG"])
STEPS = 150


def _compare(text: list[int], expected: Run, got: Run) -> None:
    count = len(expected.pcs)
    for step, (want, have) in enumerate(zip(expected.pcs, got.pcs, strict=False)):
        assert want == have, f"pc {have} instead of {want} at step {step}\n{listing(text)}"
    events = min(len(expected.events), len(got.events))
    for number in range(events):
        due, done = expected.events[number], got.events[number]
        assert due == done, f"event {number}: {done} instead of {due}\n{listing(text)}"
    if expected.fault or expected.halted:
        assert len(got.pcs) == count
        assert len(got.events) == len(expected.events)
    assert (got.fault, got.halted) == (expected.fault, expected.halted), listing(text)


@cocotb.test()
async def random_programs(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    rng = random.Random(int(os.environ["SEED"]))
    ends = set()
    for _ in range(int(os.environ["PROGRAMS"])):
        text = program(rng, CONFIG, rng.choice([6, 20, 40, 120]))
        entry = rng.choice([0, 0, 0, 3])
        expected = execute(CONFIG, text, entry, STEPS)
        bench = Bench(dut, CONFIG, rng, pace=rng.choice([1, 1, 0.5]),
                      latency=rng.choice([1, 8, 40]))
        count = len(expected.pcs)
        open_end = not (expected.fault or expected.halted)
        got = await bench.execute(text, entry, visits=count if open_end else None)
        _compare(text, expected, got)
        ends.add(expected.fault[0] if expected.fault else expected.halted)
    assert ends >= {True, False, Cause.ILLEGAL, Cause.FETCH}, ends


@cocotb.test()
async def fetch_bus_error(dut: Any) -> None:
    """An error of the bus counts when its line is reached, not when it is fetched ahead."""
    Clock(dut.clk, 10, "ns").start()
    words = [w.encode() for w in assemble("addi x1, x1, 1\n" * 20 + "halt")]
    bench = Bench(dut, CONFIG, random.Random(1), bad_beat=16 * 8 // CONFIG.bus_bytes)
    run = await bench.execute(words)
    assert run.fault == (Cause.BUS, 16 * 8)
    assert run.pcs == list(range(17))


async def _cycles(dut: Any, source: str, first: int, last: int) -> int:
    """Cycles between two arrivals, the program in the cache already (it runs twice)."""
    text = [w.encode() for w in assemble(f"loop x0, {len(assemble(source))}, 2\n{source}halt")]
    bench = Bench(dut, CONFIG, random.Random(1))
    await bench.execute(text)
    times = dict(zip(bench.run.pcs, bench.times, strict=True))
    return times[last] - times[first]


@cocotb.test()
async def timing(dut: Any) -> None:
    """What `hw.timing` counts on: cycles between the starts of instructions 1 and last."""
    Clock(dut.clk, 10, "ns").start()
    line = "addi x1, x1, 1\n" * 10
    cases = {
        "straight": (line, 1, 11, 10),
        "dispatch": ("set load, x1, n0\n" * 10 + "nop\n", 1, 11, 10),
        "not taken": ("bne x1, x1, 1\n" * 4 + line, 1, 5, 4),
        "taken": ("beq x1, x1, 2\nnop\n" * 4 + line, 1, 9, 10),
        "multiply": ("mul x2, x1, x1\n" * 2 + line, 1, 3, 6),
        "divide": ("divu x2, x1, x1\n" * 2 + line, 1, 3, 68),
        "load": ("lds x2, x0, 0\n" * 2 + line, 1, 3, 6),
        "store": ("sts x0, x2, 0\n" * 2 + line, 1, 3, 2),
        "loop": ("loop x0, 4, 10\n" + "addi x1, x1, 1\n" * 4 + "nop\n" * 6, 1, 6, 41),
        "nested": ("loop x0, 5, 3\nloop x0, 4, 10\n" + "addi x1, x1, 1\n" * 4 + "nop\n" * 6,
                   1, 7, 1 + 3 * 41 + 3),
    }
    measured = {name: await _cycles(dut, source, first, last)
                for name, (source, first, last, _) in cases.items()}
    wrong = {name: cycles for name, cycles in measured.items() if cycles != cases[name][3]}
    assert not wrong, wrong
