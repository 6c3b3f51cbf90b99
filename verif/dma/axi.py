"""A DRAM behind the stream-shaped AXI4 channels, which also watches the protocol."""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.read_issue import BEATS_PER_BURST
from verif.build import pack, unpack

PAGE = 4096
SLAVE_ERROR = 2


@dataclass
class Region:
    """Bytes of a granted window at a bus address."""

    base: int
    data: NDArray[np.uint8]


@dataclass
class Dram:
    """Memory of the windows; what lies outside reads as noise and must not be written."""

    regions: list[Region]
    bad_beats: set[int] = field(default_factory=set)
    """Addresses of beats that the bus answers with an error."""

    def read(self, address: int, size: int) -> bytes:
        result = bytearray(random.randbytes(size))
        touched = False
        for region in self.regions:
            first = max(address, region.base)
            last = min(address + size, region.base + len(region.data))
            if first < last:
                touched = True
                result[first - address : last - address] = region.data[
                    first - region.base : last - region.base].tobytes()
        assert touched, f"read of {address:#x} touches no window"
        return bytes(result)

    def write(self, address: int, data: bytes, strobe: int) -> None:
        for lane, value in enumerate(data):
            if strobe >> lane & 1:
                self._write_byte(address + lane, value)

    def _write_byte(self, address: int, value: int) -> None:
        for region in self.regions:
            if 0 <= address - region.base < len(region.data):
                region.data[address - region.base] = value
                return
        raise AssertionError(f"write of {address:#x} is outside all windows")


class Channel:
    """One channel of a port: payload layout, handshake, stability while stalled."""

    def __init__(self, dut: Any, name: str, signature: Any) -> None:
        self.name = name
        self.layout = signature.members["payload"].shape
        self.valid, self.ready, self.payload = (
            getattr(dut, f"{name}__{part}") for part in ("valid", "ready", "payload"))
        self._stalled: int | None = None

    def offer(self, values: dict[str, int] | None) -> None:
        self.valid.value = int(values is not None)
        if values is not None:
            self.payload.value = pack(self.layout, values)

    def taken(self) -> bool:
        """What the testbench offered has been taken."""
        return bool(self.valid.value == 1 and self.ready.value == 1)

    def got(self) -> dict[str, int] | None:
        """What the design has handed over in this cycle; fails if it changed while it waited."""
        if self.valid.value != 1:
            assert self._stalled is None, f"{self.name}: valid withdrawn"
            return None
        payload = int(self.payload.value)
        assert self._stalled in (None, payload), f"{self.name}: payload changed while stalled"
        accepted = self.ready.value == 1
        self._stalled = None if accepted else payload
        return unpack(self.layout, payload) if accepted else None


@dataclass
class Traffic:
    """How the memory behaves: cycles of latency, and the chance that a handshake waits."""

    latency: int = 40
    stall: float = 0.0

    def ready(self) -> bool:
        return random.random() >= self.stall


def check_burst(burst: dict[str, int], bus_bytes: int) -> None:
    address, size = burst["address"], (burst["length"] + 1) * bus_bytes
    assert address % bus_bytes == 0, f"burst at {address:#x} is unaligned"
    assert address // PAGE == (address + size - 1) // PAGE, f"burst at {address:#x} crosses 4 KiB"


class ReadBus:
    """AR and R. Call `drive` at the start and `observe` at the end of every cycle."""

    def __init__(self, dut: Any, config: AcceleratorConfig, dram: Dram, traffic: Traffic) -> None:
        members = interfaces.axi_read(config).members
        self.ar = Channel(dut, "axi__ar", members["ar"].signature)
        self.r = Channel(dut, "axi__r", members["r"].signature.flip())
        self.config, self.dram, self.traffic = config, dram, traffic
        self.beats: deque[tuple[int, dict[str, int]]] = deque()
        self.offered: dict[str, int] | None = None
        self.in_flight = self.beats_in_flight = self.issued = self.delivered = 0

    def drive(self, cycle: int) -> None:
        self.ar.ready.value = int(self.traffic.ready())
        due = self.offered is None and self.beats and self.beats[0][0] <= cycle
        if due and self.traffic.ready():
            self.offered = self.beats.popleft()[1]
        self.r.offer(self.offered)

    def observe(self, cycle: int) -> None:
        if self.offered is not None and self.r.taken():
            self.in_flight -= self.offered["last"]
            self.beats_in_flight -= 1
            self.delivered += 1
            self.offered = None
        if burst := self.ar.got():
            check_burst(burst, self.config.bus_bytes)
            self.issued += 1
            self.in_flight += 1
            self.beats_in_flight += burst["length"] + 1
            assert self.in_flight <= self.config.outstanding_bursts
            assert self.beats_in_flight <= BEATS_PER_BURST * self.config.outstanding_bursts
            for beat in range(burst["length"] + 1):
                self._schedule(cycle, burst, beat)

    def _schedule(self, cycle: int, burst: dict[str, int], beat: int) -> None:
        width = self.config.bus_bytes
        address = burst["address"] + beat * width
        self.beats.append((cycle + self.traffic.latency, {
            "data": int.from_bytes(self.dram.read(address, width), "little"),
            "response": SLAVE_ERROR if address in self.dram.bad_beats else 0,
            "last": int(beat == burst["length"]),
        }))

    @property
    def idle(self) -> bool:
        return self.in_flight == 0


class WriteBus:
    """AW, W and B. Call `drive` at the start and `observe` at the end of every cycle."""

    def __init__(self, dut: Any, config: AcceleratorConfig, dram: Dram, traffic: Traffic) -> None:
        members = interfaces.axi_write(config).members
        self.aw = Channel(dut, "axi__aw", members["aw"].signature)
        self.w = Channel(dut, "axi__w", members["w"].signature)
        self.b = Channel(dut, "axi__b", members["b"].signature.flip())
        self.config, self.dram, self.traffic = config, dram, traffic
        self.announced: deque[dict[str, int]] = deque()
        self.beat = self.delivered = 0
        self.bad = False
        self.responses: deque[tuple[int, dict[str, int]]] = deque()
        self.offered: dict[str, int] | None = None
        self.in_flight = self.issued = 0

    def drive(self, cycle: int) -> None:
        self.aw.ready.value = int(self.traffic.ready())
        # A slave may wait for the address, and this one always does.
        self.w.ready.value = int(bool(self.announced) and self.traffic.ready())
        if self.offered is None and self.responses and self.responses[0][0] <= cycle:
            self.offered = self.responses.popleft()[1]
        self.b.offer(self.offered)

    def observe(self, cycle: int) -> None:
        if self.offered is not None and self.b.taken():
            self.in_flight -= 1
            self.offered = None
        if beat := self.w.got():
            self._write(cycle, beat)
        if burst := self.aw.got():
            check_burst(burst, self.config.bus_bytes)
            self.announced.append(burst)
            self.issued += 1
            self.in_flight += 1
            assert self.in_flight <= self.config.outstanding_bursts

    def _write(self, cycle: int, beat: dict[str, int]) -> None:
        burst = self.announced[0]
        width = self.config.bus_bytes
        address = burst["address"] + self.beat * width
        assert beat["last"] == (self.beat == burst["length"]), "last in the wrong place"
        self.bad |= address in self.dram.bad_beats
        self.dram.write(address, beat["data"].to_bytes(width, "little"), beat["strobe"])
        self.delivered += 1
        self.beat += 1
        if beat["last"]:
            self.announced.popleft()
            self.responses.append(
                (cycle + self.traffic.latency, {"response": SLAVE_ERROR if self.bad else 0}))
            self.beat, self.bad = 0, False

    @property
    def idle(self) -> bool:
        return self.in_flight == 0 and not self.announced
