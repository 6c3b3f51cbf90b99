"""The host block: register map, start and stop, errors, counters, interrupt."""

import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from hw.config import load
from hw.core.dma.layouts import WINDOW
from hw.core.host.control import ENGINE_FAULT, SETTLE_CYCLES
from hw.core.interfaces import ACTIVITY_BITS, FAULT
from hw.isa.host import (
    COUNTER_STRIDE,
    IDENTITY,
    VERSION,
    WINDOW_STRIDE,
    WINDOWS,
    Activity,
    Cause,
    Csr,
    Engine,
)
from verif.build import pack, unpack
from verif.host.axi_lite import Manager

CONFIG = load(os.environ["CONFIG"])
BUSY, DONE, ERROR = 1, 2, 4


async def _start(dut: Any) -> Manager:
    Clock(dut.clk, 10, "ns").start()
    for name in ("faults", "halted", "pc", "activities"):
        getattr(dut, name).value = 0
    dut.quiet.value = 1
    host = Manager(dut, "bus", random.Random(1))
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    return host


def _faults(**causes: tuple[Cause, int]) -> int:
    """One slot per engine, by the engines' names."""
    vector = 0
    for name, (cause, address) in causes.items():
        fault = pack(FAULT, {"cause": cause, "address": address})
        slot = pack(ENGINE_FAULT, {"valid": 1, "fault": fault})
        vector |= slot << ENGINE_FAULT.size * Engine[name]
    return vector


@cocotb.test()
async def registers(dut: Any) -> None:
    host = await _start(dut)
    assert await host.read(Csr.IDENTITY) == IDENTITY
    assert await host.read(Csr.VERSION) == VERSION
    assert await host.read_pair(Csr.FINGERPRINT) == CONFIG.fingerprint
    rng = random.Random(2)
    written = {address: rng.getrandbits(32)
               for address in (Csr.ENTRY, Csr.WATCHDOG, Csr.WATCHDOG + 4)}
    for window in range(WINDOWS):
        at = Csr.WINDOWS + window * WINDOW_STRIDE
        written |= {at + 4 * word: rng.getrandbits(32) for word in range(3)}
        written[at + 12] = rng.getrandbits(2)
    for address, value in written.items():
        await host.write(address, value)
    for address, value in written.items():
        assert await host.read(address) == value, hex(address)
    assert dut.entry.value == written[Csr.ENTRY]
    table = int(dut.windows.value)
    for number in range(WINDOWS):
        granted = unpack(WINDOW, table >> WINDOW.size * number)
        at = Csr.WINDOWS + number * WINDOW_STRIDE
        assert granted["base"] == written[at] | written[at + 4] << 32
        assert granted["size"] == written[at + 8]
        assert granted["readable"] | granted["writable"] << 1 == written[at + 12]
    await host.write(Csr.ENTRY, 0xAABBCCDD, strobe=0b0101)
    assert await host.read(Csr.ENTRY) == written[Csr.ENTRY] & 0xFF00FF00 | 0x00BB00DD
    await host.write(0xFFC, 1)
    assert await host.read(0xFFC) == 0


@cocotb.test()
async def runs_to_the_end(dut: Any) -> None:
    host = await _start(dut)
    assert dut.reset.value
    await host.write(Csr.INTERRUPT, 1)
    activities = [Activity.BUSY, Activity.SEMAPHORE, Activity.MEMORY, Activity.HAZARD,
                  Activity.OVERHEAD]
    dut.activities.value = sum(a << ACTIVITY_BITS * e for e, a in enumerate(activities))
    for run in range(2):
        await host.write(Csr.CONTROL, 1)
        assert await host.read(Csr.STATUS) == BUSY
        assert not dut.reset.value
        dut.pc.value = 77 + run
        await ClockCycles(dut.clk, 50 * (run + 1))
        assert not dut.interrupt.value
        dut.halted.value = 1
        await RisingEdge(dut.interrupt)
        dut.halted.value = 0
        assert await host.read(Csr.STATUS) == DONE
        cycles = await host.read_pair(Csr.CYCLES)
        assert 50 * (run + 1) <= cycles < 50 * (run + 1) + 40
        assert await host.read(Csr.PC) == 77 + run
        for engine, activity in enumerate(activities):
            counts = [await host.read_pair(Csr.COUNTERS + engine * COUNTER_STRIDE + a * 8)
                      for a in range(8)]
            assert counts[activity] == cycles == sum(counts)
        assert await host.read(Csr.INTERRUPT) == 3
        await host.write(Csr.INTERRUPT, 3)
        assert not dut.interrupt.value
        assert await host.read(Csr.INTERRUPT) == 1


@cocotb.test()
async def first_error_wins(dut: Any) -> None:
    """Of errors in one cycle the lowest engine's; the reset waits for the bus."""
    host = await _start(dut)
    await host.write(Csr.CONTROL, 1)
    dut.quiet.value = 0
    dut.faults.value = _faults(MATRIX=(Cause.ILLEGAL, 0x1234), STORE=(Cause.WINDOW, 0xFFFF_FFFF))
    await RisingEdge(dut.clk)
    dut.faults.value = _faults(SEQUENCER=(Cause.TRAP, 1))
    await RisingEdge(dut.clk)
    await ReadOnly()
    assert dut.stop.value
    await RisingEdge(dut.clk)
    dut.faults.value = 0
    assert await host.read(Csr.STATUS) == BUSY
    await host.write(Csr.CONTROL, 1)
    dut.quiet.value = 1
    await ClockCycles(dut.clk, SETTLE_CYCLES - 3)
    dut.quiet.value = 0
    await ClockCycles(dut.clk, 20)
    assert not dut.reset.value
    dut.quiet.value = 1
    await ClockCycles(dut.clk, SETTLE_CYCLES + 2)
    assert dut.reset.value
    assert await host.read(Csr.STATUS) == ERROR
    assert await host.read(Csr.CAUSE) == Cause.WINDOW | Engine.STORE << 8
    assert await host.read(Csr.CAUSE_ADDRESS) == 0xFFFF_FFFF


@cocotb.test()
async def watchdog_and_stop(dut: Any) -> None:
    host = await _start(dut)
    await host.write(Csr.WATCHDOG, 123)
    dut.pc.value = 9
    await host.write(Csr.CONTROL, 1)
    await ClockCycles(dut.clk, 150)
    assert await host.read(Csr.STATUS) == ERROR
    assert await host.read(Csr.CAUSE) == Cause.WATCHDOG
    assert await host.read(Csr.CAUSE_ADDRESS) == 9
    assert await host.read_pair(Csr.CYCLES) == 124
    await host.write(Csr.WATCHDOG, 0)
    await host.write(Csr.CONTROL, 1)
    await ClockCycles(dut.clk, 200)
    assert await host.read(Csr.STATUS) == BUSY
    await host.write(Csr.CONTROL, 2)
    await ClockCycles(dut.clk, 20)
    assert await host.read(Csr.STATUS) == ERROR
    assert await host.read(Csr.CAUSE) == Cause.NONE
