"""The walk over a body's strips and repeats, with Amaranth's simulator."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.sim import Simulator

from hw.config import TINY
from hw.core.vector.fetch import Fetch

KERNELS = 60
MANY = 400
"""Operations of a kernel that are checked, at most."""


@dataclass
class Entry:
    """A repeat of the next `length` entries, or an operation known by its position."""

    length: int = 0
    count: int = 0


@dataclass
class Kernel:
    groups: int
    strip: int
    body: list[Entry] = field(default_factory=list)

    def operations(self) -> list[tuple[int, int]]:
        """(position, groups) in order."""
        result, remaining = [], self.groups
        while remaining > 0:
            groups = min(self.strip, remaining)
            result += [(position, groups) for position in self._block(0, len(self.body))]
            remaining -= groups
        return result

    def _block(self, start: int, end: int) -> list[int]:
        positions, at = [], start
        while at < end:
            entry = self.body[at]
            at += 1
            if entry.length:
                positions += self._block(at, at + entry.length) * entry.count
                at += entry.length
            else:
                positions.append(at - 1)
        return positions


def _random_kernel(rng: np.random.Generator) -> Kernel:
    kernel = Kernel(int(rng.integers(0, 20)), int(rng.integers(1, 9)))
    _append(kernel.body, rng, int(rng.integers(1, 5)), 0)
    return kernel


def _append(body: list[Entry], rng: np.random.Generator, length: int, depth: int) -> None:
    for _ in range(length):
        entry = Entry()
        body.append(entry)
        if depth < 4 and rng.random() < 0.4:
            start = len(body)
            _append(body, rng, int(rng.integers(1, 3)), depth + 1)
            entry.length, entry.count = len(body) - start, int(rng.integers(0, 4))


async def _walk(ctx: Any, dut: Fetch, kernel: Kernel, half: int, rng: np.random.Generator
                ) -> list[tuple[int, int]]:
    ctx.set(dut.kernel, {"groups": kernel.groups, "length": len(kernel.body), "buffer": half})
    ctx.set(dut.strip, kernel.strip)
    ctx.set(dut.load, 1)
    await ctx.tick()
    ctx.set(dut.load, 0)
    got: list[tuple[int, int]] = []
    while not ctx.get(dut.done) and len(got) < MANY:
        address = ctx.get(dut.address)
        assert address >> 6 == half or address & 63 == len(kernel.body)
        position = min(address & 63, len(kernel.body) - 1)
        entry = kernel.body[position]
        ctx.set(dut.entry, {"usage": {"repeat": int(entry.length > 0)}, "opcode": position,
                            "length": entry.length, "count": entry.count})
        ready = int(rng.random() < 0.7)
        ctx.set(dut.operation.ready, ready)
        operation = ctx.get(dut.operation.payload)
        if ready and ctx.get(dut.operation.valid):
            got.append((operation.entry.opcode, operation.groups))
        await ctx.tick()
    return got


def test_random_bodies(rng: np.random.Generator) -> None:
    dut = Fetch(TINY)

    async def testbench(ctx: Any) -> None:
        for number in range(KERNELS):
            kernel = _random_kernel(rng)
            got = await _walk(ctx, dut, kernel, number % 2, rng)
            assert got == kernel.operations()[:MANY], kernel

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def test_illegal_kernel_is_empty() -> None:
    dut = Fetch(TINY)

    async def testbench(ctx: Any) -> None:
        ctx.set(dut.kernel, {"groups": 5, "length": 1, "illegal": 1})
        ctx.set(dut.strip, 4)
        ctx.set(dut.load, 1)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.done)
        assert not ctx.get(dut.operation.valid)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
