"""A vector unit between a command queue and local memory, both in Python."""

import random
from collections import deque
from collections.abc import Iterable
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.interfaces import COMMAND, FAULT
from hw.isa.encoding import OPCODE_BITS, Instruction
from hw.isa.host import ACCUMULATOR_BASE, Activity
from hw.isa.state import LocalMemory
from hw.isa.vector import Run
from verif.build import pack, unpack

READ_LATENCY = 2
Command = tuple[Instruction, int]
"""An instruction and its operand a."""


class Port:
    """Local memory's side of one port; refuses a share of the requests."""

    def __init__(self, dut: Any, name: str, memory: LocalMemory, signature: Any) -> None:
        self.request = signature.members["request"].signature.members["payload"].shape
        self.memory, self.refused = memory, 0.0
        prefix = f"{name}__request__"
        self.valid, self.ready = (getattr(dut, prefix + end) for end in ("valid", "ready"))
        self.payload = getattr(dut, prefix + "payload")

    def drive(self) -> None:
        self.ready.value = int(random.random() >= self.refused)

    def accepted(self) -> dict[str, int] | None:
        if not (self.valid.value and self.ready.value):
            return None
        return unpack(self.request, int(self.payload.value))

    def place(self, request: dict[str, int]) -> slice:
        first, size = request["address"], request["size"]
        if first >= ACCUMULATOR_BASE:
            first += self.memory.scratchpad_bytes - ACCUMULATOR_BASE
        assert first + size <= len(self.memory.data), f"access outside of memory: {request}"
        return slice(first, first + size)


class ReadPort(Port):
    def __init__(self, dut: Any, name: str, memory: LocalMemory, width: int) -> None:
        super().__init__(dut, name, memory, interfaces.read_port(width))
        self.response_valid = getattr(dut, f"{name}__response__valid")
        self.response_data = getattr(dut, f"{name}__response__data")
        self.answers: deque[int | None] = deque([None] * READ_LATENCY)

    def drive(self) -> None:
        super().drive()
        answer = self.answers.popleft()
        self.response_valid.value = int(answer is not None)
        # Whatever stands there otherwise must not matter.
        self.response_data.value = (random.getrandbits(len(self.response_data))
                                    if answer is None else answer)

    def observe(self) -> int:
        request = self.accepted()
        answer = None
        if request is not None:
            answer = int.from_bytes(self.memory.data[self.place(request)].tobytes(), "little")
        self.answers.append(answer)
        return int(request is not None)


class WritePort(Port):
    def __init__(self, dut: Any, name: str, memory: LocalMemory, width: int) -> None:
        super().__init__(dut, name, memory, interfaces.write_port(width))
        self.width = width

    def observe(self) -> int:
        request = self.accepted()
        if request is not None:
            data = request["data"].to_bytes(self.width, "little")[:request["size"]]
            place = self.place(request)
            for offset, value in enumerate(data):
                self.memory.data[place.start + offset] = value
        return int(request is not None)


class Bench:
    """Feeds commands, answers accesses, counts retirements, activities and the cycle.

    Args:
        refused: share of requests to memory that are refused; `gaps`: share of cycles without
            a command, though there is one.
    """

    def __init__(self, dut: Any, config: AcceleratorConfig, memory: LocalMemory, *,
                 refused: float = 0.0, gaps: float = 0.0) -> None:
        self.dut, self.gaps, self.refused = dut, gaps, refused
        width = 4 * config.lanes
        # Writes come first: what is accepted in the same cycle is read as it was before.
        self.ports: list[ReadPort | WritePort] = [
            ReadPort(dut, f"stream{i}", memory, width) for i in range(4)]
        self.ports += [WritePort(dut, f"stream_out{i}", memory, width) for i in range(2)]
        self.commands: deque[int] = deque()
        self.cycle = self.accesses = 0
        self.retired: list[int] = []
        """Cycles of the retirements."""
        self.started = 0
        """Cycle in which the first `run` was accepted."""
        self.activity = dict.fromkeys(Activity, 0)
        self.fault: tuple[int, int] | None = None

    def add(self, commands: Iterable[Command]) -> None:
        self.commands.extend(
            pack(COMMAND, {"word": op.encode(), "a": a}) for op, a in commands)

    async def reset(self) -> None:
        self.dut.stop.value = 0
        self.dut.commands__valid.value = 0
        for port in self.ports:
            port.refused = self.refused
            port.drive()
            if isinstance(port, ReadPort):
                port.answers.append(None)
        Clock(self.dut.clk, 10, "ns").start()
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 2)
        self.dut.rst.value = 0

    async def step(self) -> None:
        """One cycle."""
        offered = bool(self.commands) and random.random() >= self.gaps
        self.dut.commands__valid.value = int(offered)
        if offered:
            self.dut.commands__payload.value = self.commands[0]
        for port in self.ports:
            port.drive()
        await ReadOnly()
        if offered and self.dut.commands__ready.value:
            self._accept(self.commands.popleft())
        self.accesses += sum(port.observe() for port in self.ports)
        self._record()
        await RisingEdge(self.dut.clk)
        self.cycle += 1

    def _accept(self, command: int) -> None:
        word = unpack(COMMAND, command)["word"]
        if word % (1 << OPCODE_BITS) == Run.OPCODE and not self.started:
            self.started = self.cycle

    def _record(self) -> None:
        dut = self.dut
        self.activity[Activity(int(dut.activity.value))] += 1
        if dut.retire.value:
            self.retired.append(self.cycle)
        if dut.fault__valid.value and self.fault is None:
            fields = unpack(FAULT, int(dut.fault__payload.value))
            self.fault = fields["cause"], fields["address"]

    async def run(self, kernels: int, limit: int = 100_000) -> None:
        """Until so many kernels have retired in all, or a fault."""
        while len(self.retired) < kernels and self.fault is None:
            assert self.cycle < limit, f"{len(self.retired)} kernels in {self.cycle} cycles"
            await self.step()
