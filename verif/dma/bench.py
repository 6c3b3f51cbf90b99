"""A DMA between a command queue, local memory and the bus, all of them in numpy."""

import random
from collections import deque
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.layouts import WINDOW
from hw.core.interfaces import COMMAND, FAULT
from hw.isa.host import ACCUMULATOR_BASE, Activity
from hw.isa.state import MachineState
from hw.isa.sync import Set
from verif.build import pack, unpack
from verif.dma.axi import Channel, Dram, ReadBus, Region, Traffic, WriteBus
from verif.dma.descriptors import Transfer

READ_LATENCY = 2
REST = 10
"""Idle cycles that end a run."""


class Port:
    """Local memory's side of one port: refuses at random, answers two cycles later."""

    def __init__(self, dut: Any, name: str, signature: Any, bench: "Bench") -> None:
        self.dut, self.name, self.bench = dut, name, bench
        self.request = Channel(dut, f"{name}__request", signature.members["request"].signature)
        self.answers: deque[tuple[int, int]] = deque()

    def drive(self, cycle: int) -> None:
        self.request.ready.value = int(self.bench.memory_traffic.ready())

    def locate(self, request: dict[str, int]) -> slice:
        state = self.bench.state
        first = request["address"]
        if first >= ACCUMULATOR_BASE:
            first += state.config.scratchpad_bytes - ACCUMULATOR_BASE
        assert first + request["size"] <= len(state.local.data), f"{self.name}: {request}"
        return slice(first, first + request["size"])


class ReadPort(Port):
    def drive(self, cycle: int) -> None:
        super().drive(cycle)
        due = bool(self.answers) and self.answers[0][0] == cycle
        getattr(self.dut, f"{self.name}__response__valid").value = int(due)
        if due:
            getattr(self.dut, f"{self.name}__response__data").value = self.answers.popleft()[1]

    def observe(self, cycle: int) -> None:
        if request := self.request.got():
            data = self.bench.state.local.data[self.locate(request)].tobytes()
            self.answers.append((cycle + READ_LATENCY, int.from_bytes(data, "little")))


class WritePort(Port):
    def observe(self, cycle: int) -> None:
        if (request := self.request.got()) and request["size"]:
            place = self.locate(request)
            data = request["data"].to_bytes(2 * self.bench.config.bus_bytes, "little")
            for offset, value in enumerate(data[: request["size"]]):
                self.bench.state.local.data[place.start + offset] = value


class Bench:
    """Runs commands on the DUT over `state`, which the bus and the local ports share."""

    def __init__(self, dut: Any, state: MachineState, bases: list[int], *, store: bool,
                 bus: Traffic, memory: Traffic, command_gap: float = 0.0) -> None:
        self.dut, self.state, self.config = dut, state, state.config
        self.dram = Dram([Region(base, window.data)
                          for base, window in zip(bases, state.windows, strict=True)])
        self.memory_traffic, self.command_gap = memory, command_gap
        self.bus: Any = (WriteBus if store else ReadBus)(dut, state.config, self.dram, bus)
        width = 2 * state.config.bus_bytes
        self.ports: list[Any] = [
            ReadPort(dut, "index", interfaces.read_port(4), self),
            ReadPort(dut, "read", interfaces.read_port(width), self) if store
            else WritePort(dut, "write", interfaces.write_port(width), self),
        ]
        self.queue: deque[dict[str, int]] = deque()
        self.offered: dict[str, int] | None = None
        self.cycle = self.finished_at = self.retired = self.transfers_taken = 0
        self.fault: dict[str, int] | None = None
        self.activity = dict.fromkeys(Activity, 0)
        self._commands = Channel(dut, "commands", _command_stream(state.config))
        self._bases = bases
        self.set_windows()

    def set_windows(self) -> None:
        """Grants the windows as they are in the machine's state."""
        vector = 0
        for number, (base, window) in enumerate(zip(self._bases, self.state.windows, strict=True)):
            vector |= pack(WINDOW, {
                "base": base, "size": len(window.data),
                "readable": int(window.readable), "writable": int(window.writable),
            }) << (WINDOW.size * number)
        self.dut.windows.value = vector

    def add(self, transfers: list[Transfer]) -> None:
        for transfer in transfers:
            self.queue.extend(transfer.commands())

    async def reset(self) -> None:
        self.dut.stop.value = 0
        self._commands.offer(None)
        for part in (self.bus, *self.ports):
            part.drive(self.cycle)
        Clock(self.dut.clk, 10, "ns").start()
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 2)
        self.dut.rst.value = 0

    async def step(self) -> None:
        if self.offered is None and self.queue and random.random() >= self.command_gap:
            self.offered = self.queue.popleft()
        self._commands.offer(self.offered)
        for part in (self.bus, *self.ports):
            part.drive(self.cycle)
        await ReadOnly()
        if self.offered is not None and self._commands.taken():
            self.transfers_taken += self.offered["word"] & 0xFF != Set.OPCODE
            self.offered = None
        self.retired += int(self.dut.retire.value)
        self.activity[Activity(int(self.dut.activity.value))] += 1
        if self.fault is None and self.dut.fault__valid.value == 1:
            self.fault = unpack(FAULT, int(self.dut.fault__payload.value))
        # Reads of a cycle see memory before the writes of that cycle.
        for part in (*self.ports, self.bus):
            part.observe(self.cycle)
        await RisingEdge(self.dut.clk)
        self.cycle += 1

    async def finish(self, transfers: int, *, limit: int) -> None:
        """Runs until so many transfers have retired, and a little longer."""
        start = self.cycle
        while self.retired < transfers:
            await self.step()
            assert self.fault is None, self.fault
            assert self.cycle - start < limit, f"{self.retired} of {transfers} retired"
        self.finished_at = self.cycle
        for _ in range(REST):
            await self.step()
        assert self.retired == transfers
        assert self.bus.idle
        assert self.dut.quiet.value == 1

    async def stop(self, *, limit: int) -> None:
        """Raises `stop`; the bus has to come to rest and nothing new may begin, but for an
        address that is already waiting for the bus."""
        self.dut.stop.value = 1
        start, issued, taken = self.cycle, self.bus.issued, self.transfers_taken
        await self.step()
        while not (self.bus.idle and self.dut.quiet.value == 1):
            await self.step()
            assert self.cycle - start < limit, "bus traffic does not end"
        for _ in range(20):
            await self.step()
            assert self.bus.idle
        assert self.bus.issued <= issued + 1
        assert self.transfers_taken == taken


def _command_stream(config: AcceleratorConfig) -> Any:
    member: Any = interfaces.engine(config)["commands"]
    assert member.signature.members["payload"].shape is COMMAND
    return member.signature


