"""Local memory against a byte array: every port, every cycle, exact latency."""

import os
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from hw.config import load
from hw.core.interfaces import read_port, write_port
from hw.core.memory.local_memory import MEMORY_FAULT
from hw.core.memory.ports import ACCUMULATORS, SCRATCHPAD, Port, read_ports, write_ports
from verif.build import pack, unpack

CONFIG = load(os.environ["CONFIG"])
ACCUMULATOR_BASE = 0x8000_0000
READ_LATENCY = 2
MEMORY = {
    SCRATCHPAD: np.zeros(CONFIG.scratchpad_bytes, np.uint8),
    ACCUMULATORS: np.zeros(CONFIG.accumulator_bytes, np.uint8),
}
"""What the DUT holds; like the DUT's, the contents outlive a test."""


@dataclass
class Request:
    address: int
    size: int
    data: bytes = b""


@dataclass
class Lane:
    """Testbench side of one port."""

    port: Port
    request: Any
    """Requests to make, one after the other; None is an idle cycle."""
    current: Request | None = None
    waited: int = 0
    longest_wait: int = 0
    accepted: int = 0
    expected: deque[tuple[int, bytes | None]] = field(default_factory=deque)
    """(cycle, bytes) of the responses to come; None when undefined."""


class Bench:
    """Drives every port from its source of requests and checks every output in every cycle."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.memory = MEMORY
        self.lanes: list[Lane] = []
        self.reads = {port.name for port in read_ports(CONFIG)}
        self.cycle = 0
        self.fault: tuple[int, int] | None = None

    def add(self, port: Port, requests: Iterator[Request | None]) -> Lane:
        lane = Lane(port, requests)
        self.lanes.append(lane)
        return lane

    def handle(self, lane: Lane, name: str) -> Any:
        return getattr(self.dut, f"{lane.port.name}__{name}")

    async def run(self, cycles: int) -> None:
        for _ in range(cycles):
            for lane in self.lanes:
                self._drive(lane)
            await ReadOnly()
            self._check_fault()
            done = [lane for lane in self.lanes if self._accepted(lane)]
            for lane in self.lanes:
                if lane.port.name in self.reads:
                    self._check_response(lane)
            faults = [(lane.port.engine, lane.current.address) for lane in done
                      if lane.current and self._place(lane) is None and lane.current.size]
            self.fault = min(faults, key=lambda f: f[0], default=None)
            # All reads of a cycle see the memory before the writes of that cycle.
            for lane in sorted(done, key=lambda lane: lane.port.name not in self.reads):
                self._perform(lane)
            await RisingEdge(self.dut.clk)
            self.cycle += 1

    def _drive(self, lane: Lane) -> None:
        if lane.current is None:
            lane.current = next(lane.request, None)
            lane.waited = 0
            self.handle(lane, "request__valid").value = int(lane.current is not None)
            if lane.current is not None:
                self.handle(lane, "request__payload").value = self._payload(lane)

    def _payload(self, lane: Lane) -> int:
        current = lane.current
        assert current is not None
        values = {"address": current.address, "size": current.size}
        if lane.port.name not in self.reads:
            values["data"] = int.from_bytes(current.data, "little")
        signature = (read_port if lane.port.name in self.reads else write_port)(
            lane.port.width_bytes).members["request"].signature
        layout = signature.members["payload"].shape
        return pack(layout, values)

    def _accepted(self, lane: Lane) -> bool:
        if lane.current is None:
            return False
        if self.handle(lane, "request__ready").value == 1:
            return True
        lane.waited += 1
        lane.longest_wait = max(lane.longest_wait, lane.waited)
        return False

    def _place(self, lane: Lane) -> slice | None:
        """The bytes of the current request within its memory; None when it has to fault."""
        assert lane.current is not None
        address = lane.current.address
        kind = ACCUMULATORS if address >= ACCUMULATOR_BASE else SCRATCHPAD
        first = address % ACCUMULATOR_BASE
        last = first + lane.current.size
        inside = last <= len(self.memory[kind]) and lane.port.reach & kind
        return slice(first, last) if inside else None

    def _perform(self, lane: Lane) -> None:
        request, place = lane.current, self._place(lane)
        assert request is not None
        kind = ACCUMULATORS if request.address >= ACCUMULATOR_BASE else SCRATCHPAD
        if lane.port.name in self.reads:
            data = None if place is None else self.memory[kind][place].tobytes()
            lane.expected.append((self.cycle + READ_LATENCY, data))
        elif place is not None:
            self.memory[kind][place] = np.frombuffer(request.data, np.uint8)[: request.size]
        lane.accepted += 1
        lane.current = None

    def _check_response(self, lane: Lane) -> None:
        due = bool(lane.expected) and lane.expected[0][0] == self.cycle
        assert self.handle(lane, "response__valid").value == due, (lane.port.name, self.cycle)
        if due:
            data = lane.expected.popleft()[1]
            if data:
                raw = int(self.handle(lane, "response__data").value)
                got = raw.to_bytes(lane.port.width_bytes, "little")[: len(data)]
                assert got == data, (lane.port.name, self.cycle, got.hex(), data.hex())

    def _check_fault(self) -> None:
        fault = unpack(MEMORY_FAULT, int(self.dut.fault.value))
        assert fault["valid"] == (self.fault is not None), self.cycle
        if self.fault is not None:
            assert (fault["engine"], fault["address"]) == self.fault, self.cycle


def random_requests(port: Port, *, idle: float, wrong: float) -> Iterator[Request | None]:
    """Requests of any alignment; half of them in a small region where all ports meet.

    Ports that are never refused access whole rows, and leave others a cycle now and then.
    """
    if port.never_refused:
        yield from random_rows(port, max(idle, 0.3))
    while True:
        if random.random() < idle:
            yield None
            continue
        memory = random.choice([m for m in (SCRATCHPAD, ACCUMULATORS) if m & port.reach])
        size = random.choice((port.width_bytes, random.randint(0, port.width_bytes)))
        capacity = (CONFIG.scratchpad_bytes if memory == SCRATCHPAD
                    else CONFIG.accumulator_bytes)
        span = random.choice((capacity, 4 * CONFIG.line_bytes))
        address = random.randint(0, span - size)
        if random.random() < wrong:
            address = random.choice((capacity - size + random.randint(1, 8),
                                     random.randint(capacity, ACCUMULATOR_BASE - 1)))
        if memory == ACCUMULATORS or (random.random() < wrong and size):
            address |= ACCUMULATOR_BASE
        yield Request(address, size, random.randbytes(port.width_bytes))


def random_rows(port: Port, idle: float) -> Iterator[Request | None]:
    while True:
        row = random.randrange(CONFIG.accumulator_rows)
        yield None if random.random() < idle else Request(
            ACCUMULATOR_BASE + row * port.width_bytes, port.width_bytes,
            random.randbytes(port.width_bytes))


def linear(start: int, step: int, size: int) -> Iterator[Request | None]:
    address = start
    while True:
        yield Request(address % (CONFIG.scratchpad_bytes - 2 * CONFIG.line_bytes), size)
        address += step


def all_ports() -> list[Port]:
    return [*read_ports(CONFIG), *write_ports(CONFIG)]


async def prepared(dut: Any) -> Bench:
    bench = Bench(dut)
    for port in all_ports():
        getattr(dut, f"{port.name}__request__valid").value = 0
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    return bench


async def random_run(dut: Any, cycles: int, idle: Callable[[], float], wrong: float) -> Bench:
    bench = await prepared(dut)
    for port in all_ports():
        bench.add(port, random_requests(port, idle=idle(), wrong=wrong))
    await bench.run(cycles)
    for lane in bench.lanes:
        assert lane.accepted > cycles // 100, lane.port.name
        if lane.port.never_refused:
            assert lane.longest_wait == 0, lane.port.name
        assert lane.longest_wait <= 4 * len(bench.lanes), (lane.port.name, lane.longest_wait)
    return bench


@cocotb.test()
async def reads_what_was_written(dut: Any) -> None:
    await random_run(dut, 1500, lambda: random.uniform(0, 0.9), wrong=0)


@cocotb.test()
async def serves_every_port_under_full_load(dut: Any) -> None:
    await random_run(dut, 700, lambda: 0, wrong=0)


@cocotb.test()
async def reports_accesses_outside(dut: Any) -> None:
    await random_run(dut, 700, lambda: 0.8, wrong=0.1)


@cocotb.test()
async def two_linear_streams_collide_once(dut: Any) -> None:
    """After a collision one is at the even lines when the other one is at the odd lines."""
    ports = {port.name: port for port in read_ports(CONFIG)}
    line = CONFIG.line_bytes
    for distance in (0, 64):
        bench = await prepared(dut)
        first = bench.add(ports["stream0"], linear(0, line, 4))
        second = bench.add(ports["stream1"], linear(distance * line, line, 4))
        await bench.run(400)
        assert first.accepted + second.accepted >= 2 * 400 - 1


@cocotb.test()
async def strides_do_not_stay_in_a_bank(dut: Any) -> None:
    """Two matrices whose rows are all banks, or a power of two of them, apart: at most every
    second access of the later port waits, where rows of one bank would alternate for ever."""
    ports = {port.name: port for port in read_ports(CONFIG)}
    for factor in (1, 2, 4):
        bench = await prepared(dut)
        step = factor * CONFIG.line_bytes * CONFIG.scratchpad_banks
        first = bench.add(ports["activations"], linear(0, step, 4))
        second = bench.add(ports["weights"], linear(8 * step, step, 4))
        await bench.run(400)
        assert first.accepted + second.accepted > 600, (first.accepted, second.accepted)


@cocotb.test()
async def a_hot_bank_starves_nobody(dut: Any) -> None:
    """All scratchpad readers and writers hammer one bank; each gets a fair part of it."""
    bench = await prepared(dut)
    ports = [port for port in read_ports(CONFIG) if port.reach & SCRATCHPAD]
    for port in ports:
        bench.add(port, linear(0, 0, 4))
    await bench.run(400)
    for lane in bench.lanes:
        assert lane.longest_wait <= 2 * len(ports) + 2, (lane.port.name, lane.longest_wait)
    assert sum(lane.accepted for lane in bench.lanes) == 400
