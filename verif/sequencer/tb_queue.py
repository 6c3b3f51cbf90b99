"""A command queue between a random source and a random engine."""

import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hw.config import load
from hw.core.interfaces import COMMAND
from hw.core.sequencer.queue import PENDING_POSTS
from hw.core.sequencer.semaphores import SEMAPHORE_OPERATION
from hw.isa.encoding import decode
from hw.isa.host import Activity
from hw.isa.sync import Post, Wait
from verif.build import pack, unpack
from verif.sequencer.generator import make

CONFIG = load(os.environ["CONFIG"])
LOAD = make("ld").encode()


class Bench:
    """Sends words through the queue; `seen` is what comes out, in order: words, and
    ("wait"|"post", semaphore, n)."""

    def __init__(self, dut: Any, rng: random.Random) -> None:
        self.dut, self.rng = dut, rng
        self.seen: list[Any] = []
        self.issued = self.retired = 0
        self.grant = self.accept = self.retire = self.supply = 0.5
        self.activity = Activity.IDLE

    async def reset(self) -> None:
        Clock(self.dut.clk, 10, "ns").start()
        self.dut.rst.value, self.dut.stop.value, self.dut.input__valid.value = 1, 0, 0
        await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def send(self, words: list[int], cycles: int) -> list[int]:
        """Clocks the queue; returns the words that it has not taken."""
        left = list(words)
        for _ in range(cycles):
            offered = bool(left) and self._chance(self.supply)
            self._drive(left[0] if offered else None)
            await ReadOnly()
            if offered and self.dut.input__ready.value:
                left.pop(0)
            self._observe()
            await RisingEdge(self.dut.clk)
        return left

    def _chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def _drive(self, word: int | None) -> None:
        dut = self.dut
        dut.input__valid.value = int(word is not None)
        dut.input__payload.value = pack(COMMAND, {"word": word or 0, "a": 7, "b": 9})
        dut.commands__ready.value = int(self._chance(self.accept))
        dut.waits__ready.value = dut.posts__ready.value = 0
        if self._chance(self.grant):
            dut.waits__ready.value = dut.posts__ready.value = 1
        retiring = self.retired < self.issued and self._chance(self.retire)
        self.retired += retiring
        dut.retire.value = int(retiring)
        dut.engine_activity.value = self.activity

    def _observe(self) -> None:
        dut = self.dut
        if dut.commands__valid.value and dut.commands__ready.value:
            command = unpack(COMMAND, int(dut.commands__payload.value))
            assert (command["a"], command["b"]) == (7, 9)
            self.issued += decode(command["word"]).RETIRES
            self.seen.append(command["word"])
        for kind in ("wait", "post"):
            port = f"{kind}s__"
            if getattr(dut, port + "valid").value and getattr(dut, port + "ready").value:
                payload = int(getattr(dut, port + "payload").value)
                semaphore, n = unpack(SEMAPHORE_OPERATION, payload).values()
                self.seen.append((kind, semaphore, n, self.retired))


def _random_word(rng: random.Random, number: int) -> int:
    name = rng.choice(["ld", "set", "wait", "post"])
    values = {"ld": {"imm": number}, "set": {"engine": 1, "imm": number},
              "wait": {"engine": 1, "semaphore": number % 32, "n": number},
              "post": {"engine": 1, "semaphore": number % 32, "n": number}}[name]
    return make(name, **values).encode()


@cocotb.test()
async def random_commands(dut: Any) -> None:
    rng = random.Random(1)
    bench = Bench(dut, rng)
    await bench.reset()
    words = [_random_word(rng, number) for number in range(1500)]
    left = words
    while left:
        bench.grant, bench.accept, bench.retire, bench.supply = (
            rng.choice([0.05, 0.5, 1]) for _ in range(4))
        left = await bench.send(left, 100)
    bench.grant = bench.accept = bench.retire = 1
    await bench.send([], 100)
    assert dut.idle.value
    _check_order(words, bench.seen)
    _check_posts(words, bench.seen)


def _check_order(words: list[int], seen: list[Any]) -> None:
    """All but posts come out in order."""
    expected: list[Any] = []
    for instruction in map(decode, words):
        if isinstance(instruction, Wait):
            expected.append(("wait", instruction.semaphore, instruction.n))
        elif not isinstance(instruction, Post):
            expected.append(instruction.encode())
    assert [s if isinstance(s, int) else s[:3] for s in seen
            if isinstance(s, int) or s[0] == "wait"] == expected


def _check_posts(words: list[int], seen: list[Any]) -> None:
    """Posts come out in order, each after the work before it has retired."""
    work, expected = 0, []
    for instruction in map(decode, words):
        work += instruction.RETIRES
        if isinstance(instruction, Post):
            expected.append((instruction.semaphore, instruction.n, work))
    posts = [s[1:] for s in seen if not isinstance(s, int) and s[0] == "post"]
    assert [post[:2] for post in posts] == [post[:2] for post in expected]
    assert all(have[2] >= want[2] for have, want in zip(posts, expected, strict=True))


@cocotb.test()
async def posts_do_not_block(dut: Any) -> None:
    """Behind unfinished work eight posts are put aside; a ninth holds up what follows."""
    bench = Bench(dut, random.Random(1))
    await bench.reset()
    bench.grant = bench.accept = bench.supply = 1
    bench.retire = 0
    post = make("post", engine=1, semaphore=3, n=1).encode()
    assert not await bench.send([LOAD, *[post] * PENDING_POSTS, LOAD], 20)
    assert bench.seen == [LOAD, LOAD]
    assert not dut.idle.value
    assert not await bench.send([post, LOAD], 20)
    assert bench.seen == [LOAD, LOAD]
    bench.retire = 1
    await bench.send([], 20)
    assert bench.seen[2:].count(LOAD) == 1
    assert sum(not isinstance(s, int) for s in bench.seen) == PENDING_POSTS + 1
    assert dut.idle.value


@cocotb.test()
async def activity_and_stop(dut: Any) -> None:
    bench = Bench(dut, random.Random(1))
    await bench.reset()
    bench.supply, bench.grant = 1, 0
    await bench.send([make("wait", engine=1, n=1).encode()], 5)
    assert dut.activity.value == Activity.SEMAPHORE
    bench.activity = Activity.BUSY
    await bench.send([], 1)
    assert dut.activity.value == Activity.BUSY
    dut.stop.value = 1
    bench.grant = 1
    await bench.send([LOAD], 10)
    assert bench.seen == []
