"""An input stream against the streams of the golden model."""

import os
import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly, RisingEdge
from numpy.typing import NDArray

from hw.config import load
from hw.core.interfaces import FAULT
from hw.core.vector.input_stream import INDEX_DEPTH
from hw.core.vector.parameters import STREAM_PARAMETERS
from hw.isa.dtypes import DType
from hw.isa.host import Cause
from hw.isa.kernel import InputStream
from hw.isa.params import StreamParam
from hw.isa.state import MachineState
from verif.build import unpack
from verif.vector import groups, nests
from verif.vector.bench import ReadPort

CONFIG = load(os.environ["CONFIG"])
LANES = CONFIG.lanes
STREAM = 3
WALKS = 120
LONGEST = 40
"""Groups taken of one walk, at most."""
PATIENCE = 400
"""Cycles within which a group arrives, whatever the back-pressure."""


class StreamBench:
    """Loads walks, takes groups at random, and answers the stream's reads."""

    def __init__(self, dut: Any) -> None:
        self.dut, self.machine = dut, MachineState(CONFIG)
        rng = np.random.default_rng(random.getrandbits(32))
        self.machine.local.data[:] = rng.integers(0, 256, len(self.machine.local.data))
        self.port = ReadPort(dut, "memory", self.machine.local, 4 * LANES)
        self.got: list[NDArray[np.uint32]] = []
        self.taken = False
        self.waited = 0

    async def reset(self) -> None:
        for name in ("load", "enable", "take", "gather", "indices__write"):
            getattr(self.dut, name).value = 0
        self.port.drive()
        self.port.answers.append(None)
        Clock(self.dut.clk, 10, "ns").start()
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 2)
        self.dut.rst.value = 0

    async def load(self, parameters: nests.Parameters, *, gather: bool = False) -> None:
        nests.to_machine(self.machine, STREAM, parameters)
        self.dut.parameters.value = nests.to_vector(parameters)
        self.dut.load.value, self.dut.gather.value = 1, int(gather)
        await self.step(take=False)
        self.dut.load.value = 0
        # From here on a snapshot counts.
        self.dut.parameters.value = random.getrandbits(STREAM_PARAMETERS.size)
        self.got.clear()

    async def step(self, *, take: bool) -> None:
        """One cycle, in which a group is taken if wanted and available."""
        self.port.drive()
        self.dut.enable.value = int(random.random() < 0.9)
        await FallingEdge(self.dut.clk)
        available = bool(self.dut.available.value)
        self.waited = 0 if available else self.waited + 1
        self.dut.take.value = int(take and available)
        await ReadOnly()
        if self.taken:
            self.got.append(groups.from_vector(int(self.dut.data.value), LANES))
        self.taken = take and available
        self.port.observe()
        await RisingEdge(self.dut.clk)

    async def collect(self, count: int) -> NDArray[np.uint32]:
        eagerness = random.choice([0.3, 1.0, 1.0])
        self.waited = 0
        while len(self.got) < count:
            assert self.waited < PATIENCE, (
                f"{len(self.got)} of {count} groups arrived, "
                f"failure {unpack(FAULT, int(self.dut.failure.value))}")
            more = len(self.got) + self.taken < count
            await self.step(take=more and random.random() < eagerness)
        return np.array(self.got, np.uint32).reshape(count, LANES)

    async def failure(self) -> dict[str, int]:
        for _ in range(PATIENCE):
            await self.step(take=False)
        await ReadOnly()
        failure = unpack(FAULT, int(self.dut.failure.value))
        await RisingEdge(self.dut.clk)
        return failure


@cocotb.test()
async def random_walks(dut: Any) -> None:
    """Groups of random nests, the end of those walked to their end, and reloading midway."""
    bench = StreamBench(dut)
    await bench.reset()
    for _ in range(WALKS):
        bench.port.refused = random.choice([0.0, 0.0, 0.4])
        parameters = nests.random_nest(CONFIG, range(4096), is_output=False)
        await bench.load(parameters)
        golden = InputStream(bench.machine, STREAM)
        count = min(len(golden.base), random.randint(0, LONGEST))
        expected = golden.read(count)
        dut._log.debug(f"{count} groups of {parameters}")
        got = await bench.collect(count)
        assert np.array_equal(got, expected), f"{parameters}: expected {expected}, got {got}"
        if count == len(golden.base) and random.random() < 0.3:
            assert (await bench.failure())["cause"] == Cause.ILLEGAL


@cocotb.test()
async def gathers(dut: Any) -> None:
    """Elements at indices, negative ones included."""
    bench = StreamBench(dut)
    await bench.reset()
    for _ in range(20):
        bench.port.refused = random.choice([0.0, 0.4])
        dtype = DType(random.randrange(8))
        stride = dtype.size * random.randint(-3, 5)
        parameters = nests.random_nest(CONFIG, range(4096), is_output=False) | {
            StreamParam.TYPE: dtype, StreamParam.STRIDE0: stride & 0xFFFFFFFF,
            StreamParam.BASE: 2048 // dtype.size * dtype.size,
        }
        await bench.load(parameters, gather=True)
        indices = np.random.default_rng(random.getrandbits(32)).integers(
            -20, 100, (5, LANES)).astype(np.int32).view(np.uint32)
        golden = InputStream(bench.machine, STREAM)
        signed = indices.view(np.int32).astype(np.int64)
        expected = golden.fetch(2048 + signed * stride, signed >= 0)
        got = await _gather(bench, indices)
        assert np.array_equal(got, expected), f"{parameters}: expected {expected}, got {got}"


async def _gather(bench: StreamBench, indices: NDArray[np.uint32]) -> NDArray[np.uint32]:
    sent = 0
    while len(bench.got) < len(indices):
        pending = sent - len(bench.got) - bench.taken
        write = sent < len(indices) and pending < INDEX_DEPTH
        bench.dut.indices__write.value = int(write)
        if write:
            bench.dut.indices__data.value = groups.to_vector(indices[sent])
            sent += 1
        assert bench.waited < PATIENCE, f"{len(bench.got)} groups arrived"
        await bench.step(take=random.random() < 0.8)
    bench.dut.indices__write.value = 0
    return np.array(bench.got)


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """One group a cycle from the second cycle after the first request on."""
    bench = StreamBench(dut)
    await bench.reset()
    parameters = dict.fromkeys(StreamParam, 0) | {
        StreamParam.N0: LANES, StreamParam.STRIDE0: 4, StreamParam.BOUND1: 50,
        StreamParam.STRIDE1: 4 * LANES, **dict.fromkeys(list(StreamParam)[5:8], 1),
    }
    await bench.load(parameters)
    for _ in range(2):
        bench.dut.enable.value = 1
        await FallingEdge(dut.clk)
        bench.port.observe()
        await RisingEdge(dut.clk)
        bench.port.drive()
    for number in range(50):
        dut.take.value = 1
        await FallingEdge(dut.clk)
        assert dut.available.value, f"group {number} is late"
        bench.port.observe()
        await RisingEdge(dut.clk)
        bench.port.drive()
