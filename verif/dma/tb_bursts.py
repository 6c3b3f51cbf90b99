"""The burst splitter: bursts cover their spans, in order, one a cycle."""

import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from hw.config import load
from hw.core.dma.bursts import BURST_BEATS, BurstSplitter
from verif.dma.axi import Channel, check_burst

CONFIG = load(os.environ["CONFIG"])
BUS = CONFIG.bus_bytes


def expected(span: dict[str, int]) -> list[dict[str, int]]:
    """The bursts of a span that is not empty."""
    first = span["address"] // BUS
    end = -(-(span["address"] + span["bytes"]) // BUS)
    stops = [*range((first // BURST_BEATS + 1) * BURST_BEATS, end, BURST_BEATS), end]
    starts = [first, *stops[:-1]]
    return [{"address": start * BUS, "length": stop - start - 1,
             "first": int(start == first), "final": int(stop == end)}
            for start, stop in zip(starts, stops, strict=True)]


def random_span() -> dict[str, int]:
    limit = random.choice((4, 100, 5000))
    return {"address": random.getrandbits(random.choice((13, 63))),
            "bytes": random.randint(1, limit)}


async def run(dut: Any, stall: float) -> int:
    """Sends random spans; returns the cycles that no burst was handed over."""
    signature = BurstSplitter(CONFIG).signature.members
    spans = Channel(dut, "spans", signature["spans"].signature)
    bursts = Channel(dut, "bursts", signature["bursts"].signature)
    spans.offer(None)
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
    to_send = [random_span() for _ in range(300)]
    to_come = [burst for span in to_send for burst in expected(span)]
    idle = 0
    while to_come:
        spans.offer(to_send[0] if to_send else None)
        bursts.ready.value = int(random.random() >= stall)
        await ReadOnly()
        if spans.taken():
            to_send.pop(0)
        if burst := bursts.got():
            check_burst(burst, BUS)
            assert burst == to_come.pop(0)
        else:
            idle += 1
        await RisingEdge(dut.clk)
    return idle


@cocotb.test()
async def covers_spans(dut: Any) -> None:
    await run(dut, stall=0.5)


@cocotb.test()
async def never_pauses(dut: Any) -> None:
    assert await run(dut, stall=0) == 1
