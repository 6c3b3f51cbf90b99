"""Semaphores against counters in Python, all ports at once."""

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hw.core.sequencer.semaphores import OVERFLOW, SEMAPHORE_OPERATION
from hw.isa.host import SEMAPHORE_MAX, SEMAPHORES, Engine
from verif.build import pack, unpack


def _port(dut: Any, kind: str, engine: int, name: str) -> Any:
    return getattr(dut, f"{kind}__{engine}__{name}")


async def _reset(dut: Any) -> None:
    Clock(dut.clk, 10, "ns").start()
    for kind in ("waits", "posts"):
        for engine in Engine:
            _port(dut, kind, engine, "valid").value = 0
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0


async def _cycle(dut: Any, requests: dict[tuple[str, int], tuple[int, int]]
                 ) -> list[tuple[str, int]]:
    """Shows the requests for one cycle; returns which ports were served."""
    for kind in ("waits", "posts"):
        for engine in Engine:
            semaphore, n = requests.get((kind, engine), (0, 0))
            _port(dut, kind, engine, "valid").value = int((kind, engine) in requests)
            _port(dut, kind, engine, "payload").value = pack(
                SEMAPHORE_OPERATION, {"semaphore": semaphore, "n": n})
    await ReadOnly()
    served = [port for port in requests if _port(dut, *port, "ready").value]
    assert len(served) <= 1
    return served


@cocotb.test()
async def random_operations(dut: Any) -> None:
    await _reset(dut)
    rng = random.Random(1)
    counters = [0] * SEMAPHORES
    requests: dict[tuple[str, int], tuple[int, int]] = {}
    done = 0
    for _ in range(4000):
        for kind in ("waits", "posts"):
            for engine in Engine:
                if rng.random() < 0.2:
                    requests.setdefault(
                        (kind, engine), (rng.randrange(4), rng.choice([0, 1, 2, 5])))
        served = await _cycle(dut, requests)
        possible = [(kind, e) for (kind, e), (s, n) in requests.items()
                    if kind == "posts" or counters[s] >= n]
        assert bool(served) == bool(possible)
        for port in served:
            semaphore, n = requests.pop(port)
            counters[semaphore] += n if port[0] == "posts" else -n
            assert counters[semaphore] >= 0
            done += 1
        await RisingEdge(dut.clk)
    assert done > 1000


@cocotb.test()
async def overflow(dut: Any) -> None:
    """65535 is the most; one more is reported with poster and semaphore and changes nothing."""
    await _reset(dut)
    for engine, n, over in ((1, SEMAPHORE_MAX, 0), (3, 1, 1)):
        assert await _cycle(dut, {("posts", engine): (9, n)})
        found = unpack(OVERFLOW, int(dut.overflow.value))
        assert found["valid"] == over
        if over:
            assert (found["engine"], found["semaphore"]) == (3, 9)
        await RisingEdge(dut.clk)
    assert await _cycle(dut, {("waits", 2): (9, SEMAPHORE_MAX)})
    await RisingEdge(dut.clk)
    assert not await _cycle(dut, {("waits", 2): (9, 1)})
    await RisingEdge(dut.clk)
