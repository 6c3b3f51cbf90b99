"""The weight loader: what reaches the array, and when."""

import random
from typing import Any

import cocotb
import numpy as np

from hw.core.interfaces import FAULT
from hw.core.matrix.fetcher import load_job
from hw.core.matrix.pe import WEIGHT, weight_load
from hw.core.matrix.transposer import tile_layout
from hw.isa.host import Cause
from verif.build import pack, unpack
from verif.matrix.bench import (
    Agents,
    Memory,
    ReadPort,
    Source,
    factor,
    machine,
    random_operands,
    reset,
    unpack_lanes,
)

IDLE = {"jobs__valid": 0, "port__request__ready": 0, "port__response__valid": 0, "swaps": 0,
        "stop": 0}


class Feed:
    """Records what is fed, and makes tiles active some time after they have been loaded."""

    def __init__(self, dut: Any, tickets: list[int]) -> None:
        self._dut, self._tickets = dut, tickets
        self._columns = machine().array_cols
        self.fed: list[int] = []
        self.swaps = self.done = 0
        self._launched = False

    def drive(self) -> None:
        self.swaps += self._launched
        self._dut.swaps.value = self.swaps % 64
        # The next swap comes after all tiles that wait for those before; it is launched in this
        # cycle, while the last of them may lack this cycle's column, and counted in the next one.
        needed = sum(ticket <= self.swaps for ticket in self._tickets)
        self._launched = self.done == needed and random.random() < 0.5

    def sample(self) -> None:
        vector = int(self._dut.weights.value)
        layout = weight_load(self._columns)
        if unpack(layout, vector)["load"]:
            tile = len(self.fed) // self._columns
            assert self.swaps == self._tickets[tile], f"tile {tile} after {self.swaps} swaps"
            self.fed.append(vector)
        self.done += int(self._dut.done.value)
        # `done` comes with the last column but one.
        assert self.done == (len(self.fed) + 1) // self._columns


def random_tile(memory: Memory, ticket: int) -> tuple[int, list[list[int]]]:
    """A job, and the expected `WEIGHT` of each row of each column."""
    config = machine()
    rows, columns = config.array_rows, config.array_cols
    integer, transposed = random.randint(0, 1), random.randint(0, 1)
    diagonal = random.random() < 0.3
    k, n = random.randint(1, rows), random.randint(1, columns)
    size = 1 if integer else 2
    base, stride = random.randint(500, 900) * size, random.randint(-20, 20) * size

    def weight(r: int, c: int) -> int:
        if r >= k or c >= n or (diagonal and r != c):
            return pack(WEIGHT, {"factor": 0, "raw": 1})
        line, element = (c, r) if transposed else (r, c)
        bits = memory.read(base + line * stride + element * size, size)
        return pack(WEIGHT, {"factor": factor(bits, integer), "raw": integer})

    tile = pack(tile_layout(config), {"k": k, "n": n, "integer": integer,
                                       "diagonal": diagonal, "ticket": ticket})
    job = pack(load_job(config), {
        "base": base, "stride": stride, "transposed": transposed, "tile": tile})
    return job, [[weight(r, c) for r in range(rows)] for c in range(columns)]


@cocotb.test()
async def feeds_tiles(dut: Any) -> None:
    config = machine()
    np.random.seed(random.getrandbits(32))
    await reset(dut, **IDLE)
    memory = Memory(config, refusal=0.2)
    memory.scratchpad[:] = random_operands(len(memory.scratchpad) // 2).view(np.uint8)
    jobs: list[int] = []
    want: list[list[int]] = []
    tickets: list[int] = []
    for number in range(100):
        # Some tiles are replaced before they are used: they wait for the same swap.
        tickets.append(min(number, tickets[-1] + random.choice([0, 1, 1])) if tickets else 0)
        job, columns = random_tile(memory, tickets[-1] % 64)
        jobs.append(job)
        want += columns
    feed = Feed(dut, tickets)
    agents = Agents(dut, [
        Source(dut, "jobs", jobs, 0.5), feed,
        ReadPort(dut, "port", 2 * max(config.array_rows, config.array_cols), memory)])
    await agents.until(lambda: len(feed.fed) == len(want), 20000)
    layout = weight_load(config.array_cols)
    for number, (vector, column) in enumerate(zip(feed.fed, want, strict=True)):
        got = [unpack(layout, lane) for lane in unpack_lanes(vector, layout.size, len(column))]
        assert {lane["tag"] for lane in got} == {number % config.array_cols}
        for lane, weight in zip(got, column, strict=True):
            if weight >> (WEIGHT.size - 1):
                # Of an int8 only the number counts.
                lane["weight"] &= 0x1FF | 1 << (WEIGHT.size - 1)
                weight &= 0x1FF | 1 << (WEIGHT.size - 1)
            assert lane["weight"] == weight, f"column {number}"


@cocotb.test()
async def misaligned(dut: Any) -> None:
    """The second row is at an odd address: one is fetched, then nothing any more."""
    config = machine()
    await reset(dut, **IDLE)
    tile = pack(tile_layout(config), {"k": 4, "n": 2, "integer": 0})
    job = pack(load_job(config), {"base": 100, "stride": 0x80000003, "tile": tile})
    port = ReadPort(dut, "port", 2 * max(config.array_rows, config.array_cols), Memory(config))
    agents = Agents(dut, [Source(dut, "jobs", [job]), port])
    await agents.until(lambda: int(dut.fault__valid.value) == 1, 100)
    fault = unpack(FAULT, int(dut.fault__payload.value))
    assert fault == {"cause": Cause.MISALIGNED, "address": (100 + 0x80000003) & 0xFFFFFFFF}
    for _ in range(20):
        await agents.step()
    assert port.accepted == 1


@cocotb.test()
async def stops(dut: Any) -> None:
    config = machine()
    memory = Memory(config)
    await reset(dut, **IDLE)
    port = ReadPort(dut, "port", 2 * max(config.array_rows, config.array_cols), memory)
    source = Source(dut, "jobs", [random_tile(memory, 0)[0] for _ in range(3)])
    agents = Agents(dut, [source, port])
    dut.stop.value = 1
    for _ in range(30):
        await agents.step()
    assert port.accepted == 0
