"""The register file against a list."""

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hw.core.sequencer.registers import REGISTER_WRITE
from hw.isa.host import REGISTERS
from verif.build import pack


@cocotb.test()
async def random_accesses(dut: Any) -> None:
    """Zero after each reset, register 0 always; a read sees the write of its cycle."""
    Clock(dut.clk, 10, "ns").start()
    rng = random.Random(1)
    for _ in range(3):
        dut.rst.value, dut.write.value = 1, 0
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        values = [0] * REGISTERS
        for _ in range(500):
            index, value = rng.randrange(REGISTERS), rng.getrandbits(32)
            valid = rng.random() < 0.3
            dut.write.value = pack(REGISTER_WRITE, {"valid": valid, "index": index, "value": value})
            if valid and index:
                values[index] = value
            read = [rng.choice([index, rng.randrange(REGISTERS)]) for _ in range(2)]
            dut.indices.value = read[0] | read[1] << 5
            await ReadOnly()
            found = int(dut.values.value)
            assert [found & 0xFFFFFFFF, found >> 32] == [values[r] for r in read]
            await RisingEdge(dut.clk)
