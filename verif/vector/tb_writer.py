"""The output streams against those of the golden model."""

import os
import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from numpy.typing import NDArray

from hw.config import load
from hw.core.interfaces import FAULT
from hw.core.vector.parameters import STREAM_PARAMETERS
from hw.core.vector.writer import DEPTH, Kind
from hw.isa.host import Cause
from hw.isa.kernel import OutputStream
from hw.isa.params import INPUT_STREAMS, StreamParam
from hw.isa.state import MachineState
from verif.build import unpack
from verif.vector import groups, nests
from verif.vector.bench import WritePort

CONFIG = load(os.environ["CONFIG"])
LANES = CONFIG.lanes
KERNELS = 80
Result = tuple[Any, NDArray[np.uint32]]
"""A `Kind` and a group."""


class WriterBench:
    """Pushes results as the pipeline would, at any time that fewer than `DEPTH` are pending."""

    def __init__(self, dut: Any) -> None:
        self.dut, self.machine, self.copy = dut, MachineState(CONFIG), MachineState(CONFIG)
        self.ports = [WritePort(dut, f"memory__{i}", self.copy.local, 4 * LANES) for i in (0, 1)]
        self.fault: dict[str, int] = {}

    async def reset(self) -> None:
        for name in ("load", "push", "enable"):
            getattr(self.dut, name).value = 0
        Clock(self.dut.clk, 10, "ns").start()
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 2)
        self.dut.rst.value = 0

    async def load(self, parameters: list[nests.Parameters]) -> None:
        vector = 0
        for i, stream in enumerate(parameters):
            nests.to_machine(self.machine, INPUT_STREAMS + i, stream)
            vector |= nests.to_vector(stream) << (STREAM_PARAMETERS.size * i)
        self.dut.parameters.value = vector
        self.dut.load.value = 1
        await self.step(None)
        self.dut.load.value = 0
        self.dut.parameters.value = random.getrandbits(2 * STREAM_PARAMETERS.size)

    async def step(self, result: Result | None) -> bool:
        """One cycle; returns whether a result has left."""
        self.dut.push.value = int(result is not None)
        self.dut.enable.value = int(random.random() < 0.9)
        if result is not None:
            self.dut.kind.value = result[0].value
            self.dut.data.value = groups.to_vector(result[1])
        for port in self.ports:
            port.drive()
        await ReadOnly()
        completed = bool(self.dut.completed.value)
        self.fault = unpack(FAULT, int(self.dut.fault.value))
        for port in self.ports:
            port.observe()
        await RisingEdge(self.dut.clk)
        return completed

    async def send(self, results: list[Result]) -> None:
        pending, sent, idle = 0, 0, 0
        while (pending or sent < len(results)) and not self.fault["cause"]:
            push = sent < len(results) and pending < DEPTH and random.random() < 0.8
            completed = await self.step(results[sent] if push else None)
            pending += push - completed
            sent += push
            idle = 0 if completed or push else idle + 1
            assert idle < 200, f"{pending} results do not leave"


def _random_group() -> NDArray[np.uint32]:
    rng = np.random.default_rng(random.getrandbits(32))
    kinds: list[NDArray[Any]] = [
        rng.integers(0, 1 << 32, LANES), rng.integers(-300, 300, LANES),
        (rng.standard_normal(LANES) * 100).astype(np.float32).view(np.uint32)]
    return kinds[random.randrange(3)].astype(np.int64).astype(np.uint32)


def _golden(machine: MachineState, results: list[Result]) -> None:
    streams = [OutputStream(machine, INPUT_STREAMS + i) for i in (0, 1)]
    indices = np.zeros(LANES, np.uint32)
    for kind, group in results:
        if kind is Kind.INDICES:
            indices = group
        elif kind is Kind.SCATTERED:
            p = streams[1].p
            signed = indices.view(np.int32).astype(np.int64)
            stride = int(np.array(p[StreamParam.STRIDE0], np.uint32).view(np.int32))
            streams[1].store(p[StreamParam.BASE] + signed * stride, signed >= 0, group)
        else:
            streams[kind.value].write(group[None, :])


def _results(count: int, *, scatter: bool) -> list[Result]:
    results: list[Result] = []
    for _ in range(count):
        kind = random.choice([Kind.STREAM0, Kind.SCATTERED if scatter else Kind.STREAM1])
        if kind is Kind.SCATTERED:
            indices = np.array([random.randint(-10, 40) for _ in range(LANES)], np.int32)
            results.append((Kind.INDICES, indices.view(np.uint32)))
        results.append((kind, _random_group()))
    return results


@cocotb.test()
async def random_results(dut: Any) -> None:
    """Both streams interleaved, and scattered results; they may overwrite each other."""
    bench = WriterBench(dut)
    await bench.reset()
    for _ in range(KERNELS):
        scatter = random.random() < 0.4
        for port in bench.ports:
            port.refused = random.choice([0.0, 0.4])
        streams = [nests.random_nest(CONFIG, range(1024), is_output=True) for _ in range(2)]
        if scatter:
            streams[1][StreamParam.BASE] = 2048
        await bench.load(streams)
        lengths = [len(OutputStream(bench.machine, INPUT_STREAMS + i).base) for i in (0, 1)]
        results = _results(min(lengths[0], 1000 if scatter else lengths[1], 20), scatter=scatter)
        _golden(bench.machine, results)
        await bench.send(results)
        assert not bench.fault["cause"], f"{streams}: {bench.fault}"
        wrong = np.flatnonzero(bench.copy.local.data != bench.machine.local.data)
        assert not len(wrong), f"{streams}: {len(wrong)} bytes differ, the first at {wrong[0]:#x}"


@cocotb.test()
async def ends(dut: Any) -> None:
    """A result beyond the end of its stream is an error, not before all others are written."""
    bench = WriterBench(dut)
    await bench.reset()
    parameters = dict.fromkeys(StreamParam, 0) | {
        StreamParam.N0: LANES, StreamParam.STRIDE0: 4,
        **dict.fromkeys(list(StreamParam)[4:8], 1), StreamParam.STRIDE1: 4 * LANES,
    }
    await bench.load([parameters | {StreamParam.BOUND1: 3}, parameters])
    results: list[Result] = [(Kind.STREAM0, _random_group()) for _ in range(4)]
    _golden(bench.machine, results[:3])
    await bench.send(results)
    assert bench.fault["cause"] == Cause.ILLEGAL
    assert np.array_equal(bench.copy.local.data, bench.machine.local.data)
