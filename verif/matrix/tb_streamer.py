"""The activation streamer: what is launched, when, and with which operands."""

import random
from collections import deque
from typing import Any

import cocotb
import numpy as np

from hw.core.interfaces import FAULT, read_port
from hw.core.matrix.nest import multiply_job, row_flags
from hw.core.matrix.pe import ACTIVATION
from hw.core.matrix.streamer import launched_row
from hw.isa.host import ACCUMULATOR_BASE, Activity, Cause
from verif.build import pack, unpack
from verif.matrix.bench import (
    Agents,
    Memory,
    ReadPort,
    Source,
    factor,
    machine,
    pack_lanes,
    random_operands,
    request_layout,
    reset,
    unpack_lanes,
)

IDLE = {"jobs__valid": 0, "port__request__ready": 0, "port__response__valid": 0,
        "accumulators__request__ready": 0, "accumulators__response__valid": 0, "loads": 0,
        "complete__valid": 0, "stop": 0}
LATENCY = 9
"""Cycles from a launch to its completion, as the testbench plays the array."""


class Array:
    """Completes what is launched, announces loads now and then, and records the rows."""

    def __init__(self, dut: Any) -> None:
        self._dut, self._config = dut, machine()
        self._pipeline: deque[int | None] = deque([None] * LATENCY)
        self._entering = False
        self.loads = 0
        self.rows: list[dict[str, Any]] = []
        self.activities = [0] * len(Activity)

    def drive(self) -> None:
        self.loads += random.random() < 0.1
        self._dut.loads.value = self.loads % 64
        payload = self._pipeline.popleft()
        self._dut.complete__valid.value = payload is not None
        if payload is not None:
            self._dut.complete__payload.value = payload

    def sample(self) -> None:
        dut = self._dut
        if self._entering:
            lanes = unpack_lanes(int(dut.activations.value), ACTIVATION.size,
                                 self._config.array_rows)
            self.rows[-1]["lanes"] = [unpack(ACTIVATION, lane) for lane in lanes]
        self._entering = bool(int(dut.launched__valid.value))
        requested = int(dut.accumulators__request__valid.value)
        self.activities[int(dut.activity.value)] += 1
        if not self._entering:
            assert not requested
            self._pipeline.append(None)
            return
        payload = int(dut.launched__payload.value)
        row = unpack(launched_row(self._config), payload)
        under_way = [unpack(launched_row(self._config), other)
                     for other in self._pipeline if other is not None]
        assert not row["exists"] or row["row"] not in [
            other["row"] for other in under_way if other["exists"]]
        self._pipeline.append(payload)
        old = self._address() if requested else None
        self.rows.append({**row, "loads": self.loads, "old": old})

    def _address(self) -> int:
        bytes_ = self._config.accumulator_row_bytes
        payload = int(self._dut.accumulators__request__payload.value)
        request = unpack(request_layout(read_port(bytes_)), payload)
        assert request["size"] == bytes_
        return request["address"]


def random_job(memory: Memory, ticket: int) -> tuple[int, list[dict[str, Any]]]:
    """A job, and what each of its rows is to be."""
    config = machine()
    integer, accumulate, swap = (random.randint(0, 1) for _ in range(3))
    k = random.randint(0, config.array_rows)
    bounds = [random.choice([0, 1, 2, 3]), random.randint(1, 3), 1, random.choice([1, 1, 2])]
    strides = [random.randint(-9, 9) * 2 for _ in range(4)]
    steps = [random.choice([0, 1, 2]) for _ in range(4)]
    base, first = random.randint(100, 400) * 2, random.randint(0, config.accumulator_rows - 20)
    flags = {"accumulate": accumulate, "swap": swap, "ticket": ticket % 64, "k": k,
             "integer": integer}
    job = pack(multiply_job(config), {
        "activation": base, "row": first, "bounds": pack_lanes(bounds, 32),
        "activation_strides": pack_lanes(strides, 32), "row_strides": pack_lanes(steps, 32),
        "flags": pack(row_flags(config), flags),
    })
    size = 1 if integer else 2
    rows: list[dict[str, Any]] = []
    for index in np.ndindex(*bounds[::-1]):
        address = base + int(np.dot(index[::-1], strides))
        row = first + int(np.dot(index[::-1], steps))
        offset = ACCUMULATOR_BASE + row * config.accumulator_row_bytes
        rows.append({
            "row": row, "exists": 1, "old": offset if accumulate else None, "integer": integer,
            "operands": [memory.read(address + i * size, size) for i in range(k)],
        })
    rows = rows or [{"exists": 0, "old": None, "integer": 0, "operands": []}]
    for number, wanted in enumerate(rows):
        wanted |= {"last": int(number == len(rows) - 1), "swap": int(swap and number == 0),
                   "ticket": ticket}
    return job, rows


def check(got: dict[str, Any], want: dict[str, Any]) -> None:
    assert {key: got[key] for key in ("exists", "last", "old")} == {
        key: want[key] for key in ("exists", "last", "old")}
    assert not want["exists"] or got["row"] == want["row"]
    assert {lane["swap"] for lane in got["lanes"]} == {want["swap"]}
    if want["swap"]:
        assert got["loads"] == want["ticket"]
    mask = 0x1FF if want["integer"] else 0x3FFFF
    for lane, bits in zip(got["lanes"], want["operands"], strict=False):
        assert lane["factor"] & mask == factor(bits, want["integer"]) & mask


class Loads(Array):
    """Announces a load only when the next swap is due for it."""

    def __init__(self, dut: Any, wanted: list[dict[str, Any]]) -> None:
        super().__init__(dut)
        self._wanted = wanted

    def drive(self) -> None:
        before = self.loads
        super().drive()
        swap = next((row for row in self._wanted[len(self.rows):] if row["swap"]), None)
        due = swap is not None and before < swap["ticket"]
        self.loads = min(self.loads, before + due)
        self._dut.loads.value = self.loads % 64


@cocotb.test()
async def launches_rows(dut: Any) -> None:
    config = machine()
    np.random.seed(random.getrandbits(32))
    await reset(dut, **IDLE)
    memory = Memory(config, refusal=0.2)
    memory.scratchpad[:] = random_operands(len(memory.scratchpad) // 2).view(np.uint8)
    jobs, want, ticket = [], [], 0
    for _ in range(120):
        ticket += random.randint(0, 1)
        job, rows = random_job(memory, ticket)
        jobs.append(job)
        want += rows
    array = Loads(dut, want)
    agents = Agents(dut, [Source(dut, "jobs", jobs, 0.7), array,
                          ReadPort(dut, "port", 2 * config.array_rows, memory)])
    await agents.until(lambda: len(array.rows) == len(want), 30000)
    for _ in range(LATENCY + 1):
        await agents.step()
    for got, row in zip(array.rows, want, strict=True):
        check(got, row)
    assert array.activities[Activity.BUSY] == sum(row["exists"] for row in want)
    assert array.activities[Activity.HAZARD]
    assert array.activities[Activity.MEMORY]


@cocotb.test()
@cocotb.parametrize(cause=[Cause.MISALIGNED, Cause.LOCAL])
async def faults_after_the_rows_before(dut: Any, cause: Cause) -> None:
    """A job of two good rows and a bad one: the good ones are launched, then it is reported."""
    config = machine()
    await reset(dut, **IDLE)
    misaligned = cause is Cause.MISALIGNED
    first = 5 if misaligned else config.accumulator_rows - 2
    job = pack(multiply_job(config), {
        "activation": 100, "row": first, "flags": pack(row_flags(config), {"k": 2}),
        "bounds": pack_lanes([2, 2, 1, 1], 32),
        "activation_strides": pack_lanes([0, 3 if misaligned else 2, 0, 0], 32),
        "row_strides": pack_lanes([1, 2, 0, 0], 32),
    })
    end = ACCUMULATOR_BASE + config.accumulator_bytes
    array = Array(dut)
    agents = Agents(dut, [Source(dut, "jobs", [job]), array,
                          ReadPort(dut, "port", 2 * config.array_rows, Memory(config))])
    await agents.until(lambda: int(dut.fault__valid.value) == 1, 100)
    assert unpack(FAULT, int(dut.fault__payload.value)) == {
        "cause": cause, "address": 103 if misaligned else end}
    for _ in range(20):
        await agents.step()
    assert [row["row"] for row in array.rows] == [first, first + 1]


@cocotb.test()
async def stops(dut: Any) -> None:
    config = machine()
    memory = Memory(config)
    await reset(dut, **IDLE)
    array = Array(dut)
    port = ReadPort(dut, "port", 2 * config.array_rows, memory)
    agents = Agents(dut, [
        Source(dut, "jobs", [random_job(memory, 0)[0] for _ in range(5)]), array, port])
    dut.stop.value = 1
    for _ in range(30):
        await agents.step()
    assert not array.rows
    assert not port.accepted
