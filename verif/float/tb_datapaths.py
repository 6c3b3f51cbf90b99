"""All float datapaths on the same operands, one pair a cycle."""

import os
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from numpy.typing import NDArray

from hw.isa.numerics import Bits
from verif.float.datapaths import GOLDEN, LATENCY
from verif.float.operands import conversions, pairs

COUNT = int(os.environ["COUNT"])


async def outputs(dut: Any, a: Bits, b: Bits) -> NDArray[np.uint32]:
    """(cycles, functions): `results` in each cycle, in the first of which a[0], b[0] go in."""
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    raw = bytearray()
    size = 4 * len(GOLDEN)
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        dut.a.value, dut.b.value = x, y
        await ReadOnly()
        raw += int(dut.results.value).to_bytes(size, "little")
        await RisingEdge(dut.clk)
    return np.frombuffer(bytes(raw), np.uint32).reshape(-1, len(GOLDEN))


@cocotb.test()
async def equal_to_golden(dut: Any) -> None:
    rng = np.random.default_rng(COUNT)
    a, b = pairs(rng, COUNT)
    single = conversions(rng, COUNT)
    halves = rng.permutation(1 << 16)[:COUNT].astype(np.uint32)
    a = np.concatenate([a, single, halves, np.zeros(4, np.uint32)])
    b = np.concatenate([b, np.zeros(len(a) - len(b), np.uint32)])
    results = await outputs(dut, a, b)
    for (name, golden), got in zip(GOLDEN.items(), results.T, strict=True):
        latency = LATENCY[name]
        want = golden(a, b)[:-latency]
        wrong = np.nonzero(got[latency:] != want)[0]
        if len(wrong):
            i = wrong[0]
            raise AssertionError(f"{name}({a[i]:#010x}, {b[i]:#010x}): got "
                                 f"{got[i + latency]:#010x}, want {want[i]:#010x}; "
                                 f"{len(wrong)} of {len(want)} wrong")
