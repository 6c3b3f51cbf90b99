"""The whole machine: a program through all engines, every error, starting again."""

import os
import random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from hw.config import load
from hw.isa.host import COUNTER_STRIDE, Activity, Cause, Csr, Engine
from sim.golden import Golden
from verif.machine.bench import BUSY, DONE, ERROR, PAGE, Bench
from verif.machine.programs import ERRORS, IN, OUT, PIPELINE

CONFIG = load(os.environ["CONFIG"])
IN_BYTES, OUT_BYTES = 96, 128
BEYOND = 1 << 40


async def _started(dut: Any, seed: int = 1, pause: float = 0.3) -> Bench:
    bench = Bench(dut, CONFIG, random.Random(seed), pause)
    await bench.reset()
    return bench


async def _pipeline(bench: Bench, rng: np.random.Generator) -> None:
    """Runs PIPELINE on random data and compares DRAM with the golden model."""
    text = await bench.load(PIPELINE)
    inputs = await bench.grant(IN, IN_BYTES, 1)
    outputs = await bench.grant(OUT, OUT_BYTES, 2)
    values = rng.standard_normal(IN_BYTES // 2).astype(np.float32)
    inputs[:] = (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    outputs[:] = 0xEE
    windows = bench.copies({IN: (IN_BYTES, 1), OUT: (OUT_BYTES, 2)})
    Golden(CONFIG, text, windows).run()
    assert await bench.run() == DONE
    assert np.array_equal(outputs, windows[OUT].data)
    assert np.any(outputs != 0xEE)
    assert np.any(outputs.view(np.float32) > 0)


async def _counters_add_up(bench: Bench) -> None:
    cycles = await bench.read(Csr.CYCLES)
    for engine in Engine:
        at = Csr.COUNTERS + engine * COUNTER_STRIDE
        counts = [await bench.read(at + activity * 8) for activity in Activity]
        assert sum(counts) == cycles, engine
        assert counts[Activity.BUSY] > 0, engine


@cocotb.test()
async def all_engines(dut: Any) -> None:
    """Runs twice: the machine starts again after an end."""
    bench = await _started(dut)
    rng = np.random.default_rng(1)
    for _ in range(2):
        await _pipeline(bench, rng)
        await _counters_add_up(bench)


@cocotb.test()
async def errors(dut: Any) -> None:
    """Each cause, and after each the machine is as new."""
    bench = await _started(dut, pause=0.1)
    await bench.grant(IN, 64, 1)
    await bench.grant(7, PAGE, 1, base=BEYOND)
    for name, (source, cause, engine, address) in ERRORS.items():
        text = await bench.load(source)
        status = await bench.run(watchdog=3000)
        found = await bench.error()
        assert status == ERROR, name
        assert found[:2] == (Cause[cause], Engine[engine]), f"{name}: {found}"
        expected = int(text[0]) & 0xFFFFFFFF if address is None else address
        assert found[2] == expected, f"{name}: {found[2]:#x}"
    await _pipeline(bench, np.random.default_rng(2))


@cocotb.test()
async def illegal_words(dut: Any) -> None:
    bench = await _started(dut, pause=0)
    for word in (0, 0xFF, 0x1_0000_0001, 0x0000_0005_0000_050B, 0x0000_0000_0000_000B):
        window = await bench.grant(0, 16, 1)
        window[:] = np.array([1, word], np.uint64).view(np.uint8)
        assert await bench.run() == ERROR
        assert await bench.error() == (Cause.ILLEGAL, Engine.SEQUENCER, word & 0xFFFFFFFF)
        assert await bench.read(Csr.PC) == 1


@cocotb.test()
async def host_stops(dut: Any) -> None:
    """A stop in the middle of transfers leaves no burst behind; then the machine runs again."""
    bench = await _started(dut)
    source = PIPELINE.replace("halt", "beq x0, x0, again").replace("ld    1", "again: ld 1", 1)
    for delay in (5, 60, 113, 290):
        await bench.load(source)
        await bench.grant(IN, IN_BYTES, 1)
        await bench.grant(OUT, OUT_BYTES, 2)
        await bench.write(Csr.WATCHDOG, 0)
        await bench.write(Csr.CONTROL, 1)
        await ClockCycles(dut.clk, delay)
        assert await bench.read(Csr.STATUS) == BUSY
        await bench.write(Csr.CONTROL, 2)
        if not dut.interrupt.value:
            await RisingEdge(dut.interrupt)
        assert await bench.read(Csr.STATUS) == ERROR
        assert (await bench.error())[0] == Cause.NONE
        await bench.write(Csr.INTERRUPT, 0b11)
        await _pipeline(bench, np.random.default_rng(delay))
