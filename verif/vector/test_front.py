"""The front end: parameters, capture and check of kernels, with Amaranth's simulator."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.config import AcceleratorConfig, load
from hw.core.vector.front import FrontEnd
from hw.core.vector.operations import body_instructions
from hw.isa.encoding import Instruction, make
from hw.isa.host import Engine
from hw.isa.kernel import check
from hw.isa.params import INPUT_STREAMS, VECTOR_STRIP, StreamParam, constant, input_stream
from hw.isa.state import Fault, MachineState
from verif.vector.bench import Command
from verif.vector.linear import kernel, set_parameter

KERNELS = 150


def _random_body(config: AcceleratorConfig, rng: np.random.Generator) -> list[Instruction]:
    """Mostly legal instructions; codes and lengths are now and then off by a little."""
    length = int(rng.integers(1, 9))
    body = []
    for position in range(length):
        mnemonic = str(rng.choice(["rep", *body_instructions()] if rng.random() < 0.6 else ["rep"]))
        cls = body_instructions()[mnemonic]
        fields: dict[str, int] = {}
        for name in cls.FIELDS.keys() & {"va", "vb", "vc"}:
            bad = [20, 49] if rng.random() < 0.2 else []
            fields[name] = int(rng.choice([0, 15, 16, 18, 32, 48, *bad]))
        if "vd" in cls.FIELDS:
            fields["vd"] = int(rng.choice([0, 15, 16] if rng.random() < 0.8 else [18]))
        if "swz" in cls.FIELDS:
            fields["swz"] = int(rng.integers(0, config.lanes + (rng.random() < .1)))
        if mnemonic == "rep":
            fields["length"] = int(rng.integers(0, length - position + 1))
        body.append(make(mnemonic, **fields))
    return body


def _golden(config: AcceleratorConfig, body: list[Instruction]) -> tuple[int, int]:
    """Whether the body is illegal, and the address that is reported."""
    try:
        check(MachineState(config), [(op, 0) for op in body])
    except Fault as fault:
        return 1, fault.address
    return 0, 0


def _run(config: AcceleratorConfig, testbench: Any) -> None:
    dut = FrontEnd(config)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    async def bench(ctx: Any) -> None:
        await testbench(ctx, dut)

    simulator.add_testbench(bench)
    simulator.run()


async def _send(ctx: Any, dut: FrontEnd, commands: list[Command]) -> None:
    for op, a in commands:
        ctx.set(dut.commands.payload, {"word": op.encode(), "a": a, "b": 0})
        ctx.set(dut.commands.valid, 1)
        assert ctx.get(dut.commands.ready)
        await ctx.tick()
    ctx.set(dut.commands.valid, 0)


async def _take(ctx: Any, dut: FrontEnd) -> None:
    ctx.set(dut.kernel.ready, 1)
    await ctx.tick()
    ctx.set(dut.kernel.ready, 0)


@pytest.mark.parametrize("name", ["tiny", "tiny-nosfu"])
def test_check(name: str, rng: np.random.Generator) -> None:
    """Bodies are refused where the golden model refuses them."""
    config = load(name)
    outcomes = set()

    async def testbench(ctx: Any, dut: FrontEnd) -> None:
        await _send(ctx, dut, [set_parameter(VECTOR_STRIP, 1)])
        for _ in range(KERNELS):
            body = _random_body(config, rng)
            await _send(ctx, dut, kernel(1, body))
            assert ctx.get(dut.kernel.valid)
            found = ctx.get(dut.kernel.payload)
            expected = _golden(config, body)
            assert (found.illegal, found.word) == expected, body
            outcomes.add(expected[0])
            await _take(ctx, dut)

    _run(config, testbench)
    assert outcomes == {0, 1}


def test_parameters(rng: np.random.Generator) -> None:
    """Every parameter lands where it belongs."""
    indices = [VECTOR_STRIP, *(constant(k) for k in range(16)),
               *(input_stream(s, p) for s in range(INPUT_STREAMS + 2) for p in StreamParam)]
    values = {index: int(rng.integers(0, 1 << 32)) for index in indices}

    async def testbench(ctx: Any, dut: FrontEnd) -> None:
        order = [int(index) for index in rng.permutation(indices)]
        await _send(ctx, dut, [set_parameter(index, values[index]) for index in order])
        parameters = dut.parameters
        assert ctx.get(parameters.strip) == values[VECTOR_STRIP]
        for k in range(16):
            assert ctx.get(parameters.constants[k]) == values[constant(k)]
        for s in range(INPUT_STREAMS + 2):
            for p in StreamParam:
                got = ctx.get(parameters.streams[s][p.name.lower()])
                assert got == values[input_stream(s, p)]

    _run(load("tiny"), testbench)


def test_capture() -> None:
    """The body stands in alternating halves of the memory; a waiting kernel blocks commands."""
    body = [make("rep", length=1, imm=7), make("fmac", vd=17, va=16, vb=33, vc=48, swz=3)]

    async def testbench(ctx: Any, dut: FrontEnd) -> None:
        await _send(ctx, dut, [set_parameter(VECTOR_STRIP, 4)])
        for half in (0, 1, 0):
            await _send(ctx, dut, kernel(0x12345678, body))
            ctx.set(dut.commands.valid, 1)
            assert ctx.get(dut.kernel.valid)
            assert not ctx.get(dut.commands.ready)
            ctx.set(dut.commands.valid, 0)
            found = ctx.get(dut.kernel.payload)
            assert (found.groups, found.length, found.buffer) == (0x12345678, 2, half)
            assert (found.sources, found.destinations, found.gather) == (1, 2, 0)
            ctx.set(dut.fetch, 64 * half)
            repeat = ctx.get(dut.entry)
            assert (repeat.usage.repeat, repeat.length, repeat.count) == (1, 1, 7)
            ctx.set(dut.fetch, 64 * half + 1)
            entry = ctx.get(dut.entry)
            assert all(entry[name] == getattr(body[1], name) for name in body[1].FIELDS)
            await _take(ctx, dut)

    _run(load("tiny"), testbench)


def test_other_commands_are_illegal() -> None:
    """A body instruction outside of a kernel, and anything else inside."""
    outside = (make("mov", vd=1, va=1), 0)
    inside = [*kernel(1, [make("mov", vd=1, va=1)] * 2)[:2],
              (make("set", engine=Engine.VECTOR, index=0), 1)]

    async def testbench(ctx: Any, dut: FrontEnd) -> None:
        await _send(ctx, dut, [set_parameter(VECTOR_STRIP, 1)])
        for commands in ([outside], inside):
            await _send(ctx, dut, commands)
            found = ctx.get(dut.kernel.payload)
            assert ctx.get(dut.kernel.valid)
            assert found.illegal
            assert found.word == commands[-1][0].encode() & 0xFFFFFFFF
            await _take(ctx, dut)

    _run(load("tiny"), testbench)
