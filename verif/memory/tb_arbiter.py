"""The bank arbiter: what it grants is free of conflicts, complete and fair."""

import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

PORTS, BANKS, NEVER_REFUSED = (int(os.environ[name]) for name in
                               ("PORTS", "BANKS", "NEVER_REFUSED"))


def random_need(port: int, density: float) -> int:
    """One bank or two neighbours. The ports that are never refused stay out of each other's way,
    as one engine's read and write do."""
    if random.random() >= density:
        return 0
    if port < NEVER_REFUSED:
        return 1 << port
    first = random.randrange(BANKS)
    return 1 << first | random.choice((0, 1 << (first + 1) % BANKS))


def check(needs: list[int], grant: int) -> None:
    granted = [port for port, need in enumerate(needs) if need and grant >> port & 1]
    taken = 0
    for port in granted:
        assert not taken & needs[port], f"ports {granted} of {needs} collide"
        taken |= needs[port]
    for port, need in enumerate(needs):
        rivals = [other for i, other in enumerate(needs) if i != port]
        assert port in granted or any(need & other for other in rivals) or not need, (
            f"port {port} of {needs} refused for nothing")
    assert granted or not any(needs), "nobody goes ahead"


@cocotb.test()
async def grants_are_sound_and_fair(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    for density in (0.2, 0.6, 1.0):
        needs, waited = [0] * PORTS, [0] * PORTS
        for _ in range(1500):
            needs = [need or random_need(port, density) for port, need in enumerate(needs)]
            dut.need.value = sum(need << (BANKS * port) for port, need in enumerate(needs))
            await ReadOnly()
            grant = int(dut.grant.value)
            check(needs, grant)
            assert all(grant >> port & 1 for port in range(NEVER_REFUSED) if needs[port])
            for port, need in enumerate(needs):
                refused = need and not grant >> port & 1
                waited[port] = waited[port] + 1 if refused else 0
                needs[port] = need if refused else 0
            # Behind the ports that are never refused, a wait has no bound.
            if not NEVER_REFUSED:
                assert max(waited) <= 2 * PORTS, waited
            await RisingEdge(dut.clk)
