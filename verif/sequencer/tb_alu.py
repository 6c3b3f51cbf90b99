"""The scalar arithmetic against its meaning."""

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hw.core.sequencer.alu import CONDITIONS, DIVIDE_CYCLES, FUNCTIONS, MULTIPLY_CYCLES
from hw.isa.scalar import ALU, BRANCHES
from hw.isa.state import MASK32

CYCLES = {"mul": MULTIPLY_CYCLES, "divu": DIVIDE_CYCLES, "remu": DIVIDE_CYCLES}
EDGES = [0, 1, 2, 31, 32, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, MASK32]


def _operand(rng: random.Random) -> int:
    small = rng.getrandbits(rng.randrange(1, 33))
    return rng.choice([rng.choice(EDGES), rng.getrandbits(32), small])


@cocotb.test()
async def functions(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value, dut.start.value = 1, 0
    await RisingEdge(dut.clk)
    dut.rst.value, dut.start.value = 0, 1
    rng = random.Random(1)
    for number, name in enumerate(FUNCTIONS):
        for _ in range(40 if name in CYCLES else 150):
            a, b = _operand(rng), _operand(rng)
            dut.function.value, dut.a.value, dut.b.value = number, a, b
            cycles = 1
            await ReadOnly()
            while not dut.done.value:
                await RisingEdge(dut.clk)
                await ReadOnly()
                cycles += 1
            expected = ALU[name][1](a, b) & MASK32
            assert int(dut.result.value) == expected, f"{name} {a:#x} {b:#x}"
            assert cycles == CYCLES.get(name, 1)
            await RisingEdge(dut.clk)


@cocotb.test()
async def conditions(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 0
    rng = random.Random(1)
    for number, name in enumerate(CONDITIONS):
        for _ in range(100):
            a = _operand(rng)
            b = rng.choice([a, _operand(rng)])
            dut.condition.value, dut.a.value, dut.b.value = number, a, b
            await RisingEdge(dut.clk)
            assert bool(dut.holds.value) == BRANCHES[name][1](a, b), f"{name} {a:#x} {b:#x}"
