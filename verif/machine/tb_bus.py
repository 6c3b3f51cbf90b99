"""The read arbiter between two random managers and a random memory."""

import os
import random
from collections import deque
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hw.config import load
from hw.core.interfaces import axi_read
from verif.build import pack, unpack

CONFIG = load(os.environ["CONFIG"])
_CHANNELS = axi_read(CONFIG).members
AR = _CHANNELS["ar"].signature.members["payload"].shape
R = _CHANNELS["r"].signature.members["payload"].shape
MANAGERS = ("fetch", "load")


class Bench:
    """Beats carry their burst's address and their number, so that each is known by its data."""

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self.dut, self.rng, self.pace = dut, rng, 0.5
        self.asking: dict[str, dict[str, int] | None] = dict.fromkeys(MANAGERS)
        self.owed: dict[str, deque[tuple[int, bool]]] = {name: deque() for name in MANAGERS}
        self.beats: deque[tuple[int, bool]] = deque()
        self.offered: tuple[int, bool] | None = None
        self.held: int | None = None
        self.asked = 0

    def _chance(self) -> int:
        return int(self.rng.random() < self.pace)

    def _port(self, manager: str, name: str) -> Any:
        return getattr(self.dut, f"{manager}__{name}")

    def drive(self, more: bool) -> None:
        for name in MANAGERS:
            if self.asking[name] is None and more and self._chance():
                self.asked += 1
                self.asking[name] = {"address": self.asked << 8, "length": self.rng.randrange(6)}
            burst = self.asking[name]
            self._port(name, "ar__valid").value = int(burst is not None)
            self._port(name, "ar__payload").value = pack(AR, burst or {})
            self._port(name, "r__ready").value = self._chance()
        if self.offered is None and self.beats and self._chance():
            self.offered = self.beats.popleft()
        self.dut.bus__ar__ready.value = self._chance()
        self.dut.bus__r__valid.value = int(self.offered is not None)
        data, last = self.offered or (0, False)
        self.dut.bus__r__payload.value = pack(R, {"data": data, "last": last})

    def observe(self) -> None:
        for name in MANAGERS:
            self._observe_manager(name)
        if self._port("bus", "r__valid").value and self._port("bus", "r__ready").value:
            self.offered = None
        valid, payload = self._port("bus", "ar__valid").value, int(
            self._port("bus", "ar__payload").value)
        assert self.held is None or (valid and payload == self.held), "an address was withdrawn"
        self.held = payload if valid and not self._port("bus", "ar__ready").value else None
        if valid and self.held is None:
            burst = unpack(AR, payload)
            self.beats.extend(self._beats(burst))

    def _beats(self, burst: dict[str, int]) -> list[tuple[int, bool]]:
        count = burst["length"] + 1
        return [(burst["address"] + i, i == count - 1) for i in range(count)]

    def _observe_manager(self, name: str) -> None:
        burst = self.asking[name]
        if burst and self._port(name, "ar__ready").value:
            self.owed[name].extend(self._beats(burst))
            self.asking[name] = None
        if self._port(name, "r__valid").value and self._port(name, "r__ready").value:
            beat = unpack(R, int(self._port(name, "r__payload").value))
            assert (beat["data"], bool(beat["last"])) == self.owed[name].popleft()


@cocotb.test()
async def random_bursts(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    bench = Bench(dut, random.Random(1))
    dut.rst.value = 1
    bench.drive(False)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    for cycle in range(6000):
        if cycle % 200 == 0:
            bench.pace = bench.rng.choice([0.1, 0.5, 1])
        bench.drive(cycle < 5000)
        await ReadOnly()
        bench.observe()
        assert not (dut.quiet.value and any(bench.owed.values()))
        await RisingEdge(dut.clk)
    assert bench.asked > 500
    assert not any(bench.owed.values())
    assert dut.quiet.value
