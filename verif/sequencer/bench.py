"""The surroundings of a sequencer in simulation: program memory, queues, semaphores, memory."""

import random
from collections import deque
from typing import Any

from cocotb.triggers import ReadOnly, RisingEdge

from hw.config import AcceleratorConfig
from hw.core.dma.layouts import WINDOW
from hw.core.interfaces import COMMAND, FAULT, axi_read, read_port, write_port
from hw.core.sequencer.semaphores import SEMAPHORE_OPERATION
from verif.build import pack, unpack
from verif.sequencer.reference import Run

WINDOW_BASE = 0x1_2345_6000


class Bench:
    """Runs one program and records what it does, cycle by cycle.

    Args:
        pace: probability that something is ready in a cycle.
        latency: cycles from a read address to its first beat.
        bad_beat: beat of the program that the bus answers with an error.
    """

    def __init__(self, dut: Any, config: AcceleratorConfig, rng: random.Random, *,
                 pace: float = 1.0, latency: int = 20, bad_beat: int | None = None) -> None:
        self.dut, self.config, self.rng = dut, config, rng
        self.pace, self.latency, self.bad_beat = pace, latency, bad_beat
        self.run = Run()
        self.cycle = 0
        self.times: list[int] = []
        """Cycle in which each entry of `run.pcs` was reached."""
        self.idle_after = 0
        self.text = b""
        self.beats: deque[tuple[int, int, bool]] = deque()
        self.responses: deque[tuple[int, int]] = deque()
        self.memory: dict[int, int] = {}
        self.ar = axi_read(config).members["ar"].signature.members["payload"].shape
        self.r = axi_read(config).members["r"].signature.members["payload"].shape
        self.read = read_port(4).members["request"].signature.members["payload"].shape
        self.write = write_port(4).members["request"].signature.members["payload"].shape

    async def execute(self, text: list[int], entry: int = 0, *, visits: int | None = None,
                      cycles: int = 40_000) -> Run:
        """Runs the program to a fault, its end, or for so many visits of instructions."""
        self.text = b"".join(word.to_bytes(8, "little") for word in text)
        dut = self.dut
        for handle in (dut.bus__r__valid, dut.scalar_read__response__valid, dut.stop):
            handle.value = 0
        dut.entry.value = entry
        dut.window.value = pack(WINDOW, {"base": WINDOW_BASE, "size": len(self.text),
                                         "readable": 1})
        dut.rst.value = 1
        await RisingEdge(dut.clk)
        dut.rst.value = 0
        while not (self.run.fault or self.run.halted):
            if visits is not None and len(self.run.pcs) >= visits:
                break
            assert self.cycle < cycles, f"nothing new after {self.run}"
            await self._cycle()
        return self.run

    async def _cycle(self) -> None:
        self._drive()
        await ReadOnly()
        self._observe()
        await RisingEdge(self.dut.clk)
        self.cycle += 1

    def _drive(self) -> None:
        dut = self.dut
        ready = [*(dut.__getattr__(f"commands__{i}__ready") for i in range(4)),
                 dut.waits__ready, dut.posts__ready, dut.bus__ar__ready,
                 dut.scalar_read__request__ready, dut.scalar_write__request__ready]
        for handle in ready:
            handle.value = int(self.rng.random() < self.pace)
        dut.idle.value = 0xF if self.cycle >= self.idle_after else self.rng.randrange(15)
        beat = bool(self.beats) and self.beats[0][0] <= self.cycle
        dut.bus__r__valid.value = int(beat and self.rng.random() < self.pace)
        if beat:
            dut.bus__r__payload.value = self._beat(*self.beats[0][1:])
        answer = bool(self.responses) and self.responses[0][0] == self.cycle
        dut.scalar_read__response__valid.value = int(answer)
        if answer:
            dut.scalar_read__response__data.value = self.responses.popleft()[1]

    def _beat(self, offset: int, last: bool) -> int:
        data = self.text[offset : offset + self.config.bus_bytes]
        bad = self.bad_beat == offset // self.config.bus_bytes
        return pack(self.r, {"data": int.from_bytes(data, "little"), "last": last,
                             "response": 2 * bad})

    def _taken(self, name: str) -> int | None:
        """The payload that is transferred in this cycle."""
        if getattr(self.dut, f"{name}__valid").value and getattr(self.dut, f"{name}__ready").value:
            return int(getattr(self.dut, f"{name}__payload").value)
        return None

    def _observe(self) -> None:
        dut, run = self.dut, self.run
        self._observe_bus()
        if self.cycle:
            if not run.pcs or run.pcs[-1] != int(dut.pc.value):
                self.times.append(self.cycle)
            run.visit(int(dut.pc.value))
        for engine in range(4):
            if (payload := self._taken(f"commands__{engine}")) is not None:
                command = unpack(COMMAND, payload)
                run.events.append(("command", engine + 1, *command.values()))
                self.idle_after = self.cycle + self.rng.randrange(10)
        for kind in ("wait", "post"):
            if (payload := self._taken(f"{kind}s")) is not None:
                run.events.append((kind, *unpack(SEMAPHORE_OPERATION, payload).values()))
        if (payload := self._taken("scalar_read__request")) is not None:
            address = unpack(self.read, payload)["address"]
            self.responses.append((self.cycle + 2, self.memory.get(address, 0)))
            run.events.append(("lds", address))
        if (payload := self._taken("scalar_write__request")) is not None:
            access = unpack(self.write, payload)
            self.memory[access["address"]] = access["data"]
            run.events.append(("sts", access["address"], access["data"]))
        if dut.fault__valid.value:
            fault = unpack(FAULT, int(dut.fault__payload.value))
            run.fault = (fault["cause"], fault["address"])
        run.halted = bool(dut.halted.value)

    def _observe_bus(self) -> None:
        if self.dut.bus__r__valid.value:
            assert self.dut.bus__r__ready.value, "an instruction beat was refused"
            self.beats.popleft()
        if (payload := self._taken("bus__ar")) is None:
            return
        burst = unpack(self.ar, payload)
        first, step = burst["address"] - WINDOW_BASE, self.config.bus_bytes
        last = first + burst["length"] * step
        assert 0 <= first <= last < len(self.text), f"fetch outside the window: {burst}"
        assert first % 4096 <= last % 4096, f"burst crosses 4 KiB: {burst}"
        start = self.cycle + self.latency
        self.beats.extend((start, offset, offset == last)
                          for offset in range(first, last + 1, step))
