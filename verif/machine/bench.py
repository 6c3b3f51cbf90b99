"""A whole machine between cocotbext-axi's bus models."""

import logging
import random
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.isa.asm import assemble
from hw.isa.host import WINDOW_STRIDE, Cause, Csr, Engine
from hw.isa.state import Window

PAGE = 4096
DRAM_PAGES = 64
BUSY, DONE, ERROR = 1, 2, 4
_DRIVEN = {"m_axi_ar": ("addr", "len"), "m_axi_aw": ("addr", "len"),
           "m_axi_w": ("data", "strb", "last"), "s_axil_b": ("resp",), "s_axil_r": ("data", "resp")}
"""Channels whose payload the machine drives."""


class Dram:
    """Memory from address 0; accesses beyond its end are answered with an error."""

    def __init__(self) -> None:
        self.data = np.zeros(PAGE * DRAM_PAGES, np.uint8)

    async def read(self, address: int, length: int) -> bytes:
        if address + length > len(self.data):
            raise IndexError(address)
        return self.data[address : address + length].tobytes()

    async def write(self, address: int, data: bytes) -> None:
        if address + len(data) > len(self.data):
            raise IndexError(address)
        self.data[address : address + len(data)] = np.frombuffer(data, np.uint8)


class Bench:
    """The host's view: windows are DRAM regions of 8 pages, by number."""

    def __init__(self, dut: Any, config: AcceleratorConfig, rng: random.Random,
                 pause: float = 0.3) -> None:
        logging.getLogger("cocotb").setLevel(logging.WARNING)
        self.dut, self.config = dut, config
        self.dram = Dram()
        self.axi = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, self.dram)
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk, dut.rst)
        channels = [
            self.axi.read_if.ar_channel, self.axi.read_if.r_channel,
            self.axi.write_if.aw_channel, self.axi.write_if.w_channel,
            self.axi.write_if.b_channel, self.host.write_if.aw_channel,
            self.host.write_if.w_channel, self.host.read_if.r_channel,
        ]
        for channel in channels:
            channel.set_pause_generator(_pauses(rng, pause))

    async def reset(self) -> None:
        Clock(self.dut.clk, 10, "ns").start()
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        for channel, payload in _DRIVEN.items():
            cocotb.start_soon(self._watch(channel, payload))
        await self.write(Csr.INTERRUPT, 1)

    async def _watch(self, channel: str, payload: tuple[str, ...]) -> None:
        """What the machine offers stays until it is taken."""
        offered: list[int] | None = None
        while True:
            await RisingEdge(self.dut.clk)
            valid, ready, *fields = (int(getattr(self.dut, f"{channel}{name}").value)
                                     for name in ("valid", "ready", *payload))
            assert offered is None or (valid and fields == offered), f"{channel} is not stable"
            offered = fields if valid and not ready else None

    async def write(self, address: int, value: int) -> None:
        await self.host.write_dword(address, value)

    async def read(self, address: int) -> int:
        return int(await self.host.read_dword(address))

    async def grant(self, number: int, size: int, rights: int, base: int | None = None
                    ) -> NDArray[np.uint8]:
        """Opens a window; its bytes."""
        start = PAGE * 8 * number if base is None else base
        at = Csr.WINDOWS + number * WINDOW_STRIDE
        for word, value in enumerate((start & 0xFFFFFFFF, start >> 32, size, rights)):
            await self.write(at + 4 * word, value)
        return self.dram.data[start : start + size]

    async def load(self, source: str) -> NDArray[np.uint64]:
        """Puts a program into window 0."""
        text = np.array([i.encode() for i in assemble(source)], np.uint64)
        window = await self.grant(0, text.nbytes, 1)
        window[:] = text.view(np.uint8)
        return text

    async def run(self, watchdog: int = 20_000) -> int:
        """Starts the machine and waits for its interrupt; the status."""
        await self.write(Csr.WATCHDOG, watchdog)
        await self.write(Csr.CONTROL, 1)
        timeout = ClockCycles(self.dut.clk, watchdog + 1000)
        assert await First(RisingEdge(self.dut.interrupt), timeout) is not timeout, "no interrupt"
        status = await self.read(Csr.STATUS)
        await self.write(Csr.INTERRUPT, 0b11)
        return status

    async def error(self) -> tuple[Cause, Engine, int]:
        cause = await self.read(Csr.CAUSE)
        return Cause(cause & 0xF), Engine(cause >> 8), await self.read(Csr.CAUSE_ADDRESS)

    def copies(self, numbers: dict[int, tuple[int, int]]) -> dict[int, Window]:
        """Windows for the golden model: size and rights by number."""
        return {
            n: Window(self.dram.data[PAGE * 8 * n :][:size].copy(), bool(rights & 1),
                      bool(rights & 2))
            for n, (size, rights) in numbers.items()
        }


def _pauses(rng: random.Random, probability: float) -> Iterator[bool]:
    while True:
        yield rng.random() < probability
