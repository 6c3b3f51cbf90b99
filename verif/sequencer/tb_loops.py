"""The loop stack against `MachineState.advance`."""

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hw.config import TINY
from hw.core.sequencer.loops import LOOP
from hw.isa.host import LOOP_DEPTH
from hw.isa.state import Loop, MachineState
from verif.build import pack


async def _arrive(dut: Any, at: int, rng: random.Random) -> int:
    """Arrives at `at`, holding back the commit for a while; where it goes on."""
    dut.arrive.value, dut.at.value = 1, at
    while True:
        commit = rng.random() < 0.5
        dut.commit.value = int(commit)
        await ReadOnly()
        settled, next_pc = bool(dut.settled.value), int(dut.next_pc.value)
        # Before it is settled, loops close whether or not there is a commit.
        done = commit and settled
        await RisingEdge(dut.clk)
        dut.commit.value = 0
        if done:
            dut.arrive.value = 0
            return next_pc


@cocotb.test()
async def random_nests(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    rng = random.Random(1)
    for name in ("arrive", "commit", "push", "fetch_pc", "in_flight"):
        getattr(dut, name).value = 0
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    state = MachineState(TINY)
    deepest = 0
    for _ in range(4000):
        await ReadOnly()
        assert bool(dut.full.value) == (len(state.loops) == LOOP_DEPTH)
        await RisingEdge(dut.clk)
        if rng.random() < 0.4 and len(state.loops) < LOOP_DEPTH:
            # Ends are close together, so that loops often end at one place.
            start = (state.pc + 1) & 0xFFFFFFFF
            loop = Loop(start, (start + rng.randrange(1, 4)) & 0xFFFFFFFF, rng.randrange(1, 4))
            state.push_loop(loop)
            state.pc = start
            dut.push.value = 1
            dut.loop.value = pack(LOOP, vars(loop))
            await RisingEdge(dut.clk)
            dut.push.value = 0
        else:
            at = (state.pc + 1) & 0xFFFFFFFF
            state.advance()
            assert await _arrive(dut, at, rng) == state.pc
        deepest = max(deepest, len(state.loops))
        if rng.random() < 0.02:
            state.pc = rng.choice([0xFFFFFFFD, rng.randrange(100)])
    assert deepest == LOOP_DEPTH
