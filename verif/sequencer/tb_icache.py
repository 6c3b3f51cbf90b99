"""The instruction cache under random jumps, behind a bus of random speed."""

import os
import random
from collections import deque
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hw.config import load
from hw.core.dma.layouts import WINDOW
from hw.core.interfaces import axi_read
from hw.isa.host import Cause
from verif.build import pack, unpack

CONFIG = load(os.environ["CONFIG"])
BASE = 0x4000_0000
WORDS = CONFIG.icache_bytes // 8 * 3 + 5
_CHANNELS = axi_read(CONFIG).members
AR = _CHANNELS["ar"].signature.members["payload"].shape
R = _CHANNELS["r"].signature.members["payload"].shape


def _word(index: int) -> int:
    return index * 0x9E3779B97F4A7C15 & (2**64 - 1)


TEXT = b"".join(_word(index).to_bytes(8, "little") for index in range(WORDS))


class Bus:
    """Answers bursts in order, some cycles later."""

    def __init__(self, dut: Any, rng: random.Random, latency: int, pace: float) -> None:
        self.dut, self.rng, self.latency, self.pace = dut, rng, latency, pace
        self.beats: deque[tuple[int, int, bool]] = deque()
        self.cycle = self.total = 0

    def drive(self) -> None:
        self.dut.bus__ar__ready.value = int(self.rng.random() < self.pace)
        due = bool(self.beats) and self.beats[0][0] <= self.cycle and self.rng.random() < self.pace
        self.dut.bus__r__valid.value = int(due)
        if due:
            _, offset, last = self.beats[0]
            data = TEXT[offset : offset + CONFIG.bus_bytes]
            self.dut.bus__r__payload.value = pack(
                R, {"data": int.from_bytes(data, "little"), "last": last})

    def observe(self) -> None:
        dut = self.dut
        if dut.bus__r__valid.value:
            self.beats.popleft()
        if dut.bus__ar__valid.value and dut.bus__ar__ready.value:
            burst = unpack(AR, int(dut.bus__ar__payload.value))
            first, count = burst["address"] - BASE, burst["length"] + 1
            assert first >= 0
            assert first + (count - 1) * CONFIG.bus_bytes < len(TEXT)
            self.beats.extend(
                (self.cycle + self.latency, first + i * CONFIG.bus_bytes, i == count - 1)
                for i in range(count))
            self.total += count
        self.cycle += 1


async def _start(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    dut.window.value = pack(WINDOW, {"base": BASE, "size": len(TEXT), "readable": 1})
    dut.rst.value, dut.run.value, dut.read.value, dut.bus__r__valid.value = 1, 1, 0, 0
    await RisingEdge(dut.clk)
    dut.rst.value = 0


async def _cycle(dut: Any, bus: Bus) -> tuple[bool, int, int]:
    """One cycle; whether the wanted word is ready, its error, and the word taken before."""
    bus.drive()
    await ReadOnly()
    outputs = bool(dut.ready.value), int(dut.error.value), int(dut.word.value)
    bus.observe()
    await RisingEdge(dut.clk)
    return outputs


async def _take(dut: Any, bus: Bus, pc: int) -> bool:
    """Waits for the word at pc; whether there is one."""
    dut.pc.value, dut.read.value = pc, 1
    for _ in range(3000):
        ready, error, _ = await _cycle(dut, bus)
        if ready:
            assert error in (Cause.NONE, Cause.FETCH)
            return error == Cause.NONE
    raise AssertionError(f"word {pc} never came")


@cocotb.test()
async def random_walks(dut: Any) -> None:
    rng = random.Random(1)
    await _start(dut)
    bus = Bus(dut, rng, 1, 1)
    pc = 0
    for _ in range(150):
        bus.latency, bus.pace = rng.choice([1, 10, 60]), rng.choice([0.3, 1])
        pc = rng.choice([pc + rng.randrange(-30, 30), rng.randrange(WORDS + 40), WORDS - 3,
                         pc + CONFIG.icache_bytes // 8]) & 0xFFFFFFFF
        for _ in range(rng.choice([1, 3, 40])):
            exists = await _take(dut, bus, pc)
            assert exists == (pc < WORDS)
            dut.read.value = 0
            word = (await _cycle(dut, bus))[2]
            assert not exists or word == _word(pc), f"word {pc}"
            pc = (pc + 1) & 0xFFFFFFFF


@cocotb.test()
async def keeps_up(dut: Any) -> None:
    """Straight-line code that is new streams at the rate of the bus or of the sequencer."""
    rng = random.Random(1)
    await _start(dut)
    bus = Bus(dut, rng, 40, 1)
    await _take(dut, bus, 0)
    begin, count = bus.cycle, 200
    for pc in range(count):
        await _take(dut, bus, pc)
    least = max(count, count * 8 // CONFIG.bus_bytes)
    assert bus.cycle - begin <= least * 1.05 + 10
    assert bus.total * CONFIG.bus_bytes <= (count + 10 * 8) * 8
