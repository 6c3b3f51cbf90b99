"""What the testbenches of the matrix unit share: reset, streams, and local memory."""

import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from amaranth.lib import data, wiring
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.core.float.product import FACTOR
from hw.core.interfaces import read_port, write_port
from hw.isa.host import ACCUMULATOR_BASE
from verif.build import pack, unpack
from verif.matrix.variants import variant

Bytes = NDArray[np.uint8]
READ_LATENCY = 2


def machine() -> AcceleratorConfig:
    """The configuration under test."""
    return variant(os.environ["CONFIG"])


def pack_lanes(values: list[int], width: int) -> int:
    """The vector of an array of lanes, lane 0 in the lowest bits."""
    return sum((value & (1 << width) - 1) << lane * width for lane, value in enumerate(values))


def unpack_lanes(vector: int, width: int, count: int) -> list[int]:
    return [vector >> lane * width & (1 << width) - 1 for lane in range(count)]


async def reset(dut: Any, **idle: int) -> None:
    """Starts the clock and resets; `idle` are the inputs' values meanwhile."""
    for name, value in idle.items():
        getattr(dut, name).value = value
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0


def factor(bits: int, integer: int) -> int:
    """`FACTOR` of a bf16, or of the int8 in the low byte."""
    exponent, sign = bits >> 7 & 0xFF, bits >> 15
    magnitude = bits & 0x7F | 0x80 if exponent else 0
    signed = (bits & 0xFF) - (bits << 1 & 0x100)
    significand = signed if integer else magnitude
    return pack(FACTOR, {"significand": significand, "exponent": exponent, "sign": sign})


def random_operands(shape: int | tuple[int, ...]) -> NDArray[np.uint16]:
    """Mostly bf16 numbers of moderate size, some of them arbitrary bits."""
    bits = np.random.randint(0, 1 << 16, shape).astype(np.uint16)
    exponent = np.random.randint(110, 140, shape).astype(np.uint16) << 7
    moderate = np.random.random(shape) < 0.9
    return np.where(moderate, bits & 0x807F | exponent, bits).astype(np.uint16)


class Memory:
    """Scratchpad and accumulators as the ports of the unit see them.

    Args:
        refusal: chance that a request to the scratchpad is refused in a cycle.
    """

    def __init__(self, machine: AcceleratorConfig, refusal: float = 0.0) -> None:
        self.scratchpad: Bytes = np.zeros(machine.scratchpad_bytes, np.uint8)
        self.accumulators: Bytes = np.zeros(machine.accumulator_bytes, np.uint8)
        self.refusal = refusal

    def _locate(self, address: int) -> tuple[Bytes, int]:
        if address >= ACCUMULATOR_BASE:
            return self.accumulators, address - ACCUMULATOR_BASE
        return self.scratchpad, address

    def read(self, address: int, size: int) -> int:
        memory, offset = self._locate(address)
        assert offset + size <= len(memory), f"read of {size} bytes at {address:#x}"
        return int.from_bytes(memory[offset : offset + size].tobytes(), "little")

    def write(self, address: int, size: int, value: int) -> None:
        memory, offset = self._locate(address)
        assert offset + size <= len(memory), f"write of {size} bytes at {address:#x}"
        raw = value.to_bytes(len(memory), "little")[:size]
        memory[offset : offset + size] = np.frombuffer(raw, np.uint8)


def request_layout(port: wiring.Signature) -> data.StructLayout:
    """The payload of a memory port's requests."""
    layout: data.StructLayout = port.members["request"].signature.members["payload"].shape
    return layout


class ReadPort:
    """Serves one read port: in order, `READ_LATENCY` cycles after the acceptance."""

    def __init__(self, dut: Any, name: str, width_bytes: int, memory: Memory, *,
                 refusable: bool = True) -> None:
        self._request = getattr(dut, f"{name}__request__payload")
        self._valid = getattr(dut, f"{name}__request__valid")
        self._ready = getattr(dut, f"{name}__request__ready")
        self._response = getattr(dut, f"{name}__response__data")
        self._responding = getattr(dut, f"{name}__response__valid")
        self._layout = request_layout(read_port(width_bytes))
        self._memory, self._refusable = memory, refusable
        self._under_way: list[int | None] = [None] * READ_LATENCY
        self.accepted = 0

    def drive(self) -> None:
        """At the start of a cycle."""
        value = self._under_way.pop(0)
        self._responding.value = value is not None
        if value is not None:
            self._response.value = value
        refused = self._refusable and random.random() < self._memory.refusal
        self._ready.value = not refused

    def sample(self) -> None:
        """At its end."""
        if int(self._valid.value) and int(self._ready.value):
            request = unpack(self._layout, int(self._request.value))
            self.accepted += 1
            self._under_way.append(self._memory.read(request["address"], request["size"]))
        else:
            self._under_way.append(None)


class WritePort:
    """Serves one write port, which is never refused."""

    def __init__(self, dut: Any, name: str, width_bytes: int, memory: Memory) -> None:
        self._request = getattr(dut, f"{name}__request__payload")
        self._valid = getattr(dut, f"{name}__request__valid")
        self._ready = getattr(dut, f"{name}__request__ready")
        self._layout = request_layout(write_port(width_bytes))
        self._memory = memory

    def drive(self) -> None:
        self._ready.value = 1

    def sample(self) -> None:
        if int(self._valid.value):
            request = unpack(self._layout, int(self._request.value))
            self._memory.write(request["address"], request["size"], request["data"])


class Source:
    """Drives an input stream with a list of payloads; `chance` is that of a payload per cycle."""

    def __init__(self, dut: Any, name: str, payloads: list[int], chance: float = 1.0) -> None:
        self._payload = getattr(dut, f"{name}__payload")
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self.payloads, self._chance, self._offered = list(payloads), chance, False

    def drive(self) -> None:
        # A payload once offered stays until it is taken.
        self._offered = bool(self.payloads) and (self._offered or random.random() < self._chance)
        self._valid.value = self._offered
        if self._offered:
            self._payload.value = self.payloads[0]

    def sample(self) -> None:
        if self._offered and int(self._ready.value):
            self.payloads.pop(0)
            self._offered = False


class Sink:
    """Takes the payloads of an output stream, ready with `chance` in each cycle."""

    def __init__(self, dut: Any, name: str, chance: float = 1.0) -> None:
        self._payload = getattr(dut, f"{name}__payload")
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._chance = chance
        self.payloads: list[int] = []

    def drive(self) -> None:
        self._ready.value = random.random() < self._chance

    def sample(self) -> None:
        if int(self._valid.value) and int(self._ready.value):
            self.payloads.append(int(self._payload.value))


class Agents:
    """Steps the agents of a testbench together, a clock cycle at a time.

    All of them sample before any of them acts on memory in the order given: list readers before
    writers.
    """

    def __init__(self, dut: Any, agents: list[Any]) -> None:
        self._dut, self._agents, self.cycle = dut, agents, 0

    async def step(self) -> None:
        for agent in self._agents:
            agent.drive()
        await ReadOnly()
        for agent in self._agents:
            agent.sample()
        self.cycle += 1
        await RisingEdge(self._dut.clk)

    async def until(self, done: Callable[[], bool], limit: int) -> int:
        """Steps until `done()`; the number of cycles.

        Raises:
            AssertionError: `limit` cycles were not enough.
        """
        start = self.cycle
        while not done():
            assert self.cycle - start < limit, f"not done within {limit} cycles"
            await self.step()
        return self.cycle - start
