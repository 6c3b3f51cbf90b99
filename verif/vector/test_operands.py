"""Operand selection and the transposer, with Amaranth's simulator."""

from typing import Any

import numpy as np
from amaranth.sim import Simulator
from numpy.typing import NDArray

from hw.config import TINY
from hw.core.vector.micro import TRANSPOSED_OPERAND
from hw.core.vector.operands import Operands
from hw.isa.vector import OPERANDS
from verif.vector import groups

LANES, STRIP = TINY.lanes, TINY.strip_groups
CODES = sorted(set(OPERANDS.values()))


class Model:
    """What the operands are, from registers, streams and constants at random."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.registers = np.zeros((16, STRIP, LANES), np.uint32)
        self.streams = self.random(4)
        self.constants = rng.integers(0, 1 << 32, 16).astype(np.uint32)

    def random(self, count: int) -> NDArray[np.uint32]:
        return self.rng.integers(0, 1 << 32, (count, LANES)).astype(np.uint32)

    def operand(self, code: int, group: int) -> NDArray[np.uint32]:
        if code < 16:
            return self.registers[code, group].copy()
        if code < 32:
            return self.streams[code - 16]
        if code < 48:
            return np.full(LANES, self.constants[code - 32])
        return np.arange(LANES, dtype=np.uint32)


def _get(ctx: Any, group: Any) -> NDArray[np.uint32]:
    return groups.from_vector(ctx.get(group.as_value()), LANES)


def _run(dut: Operands, testbench: Any) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def test_sources(rng: np.random.Generator) -> None:
    """A result written in one cycle is read by what is issued in the next."""
    dut, model = Operands(TINY), Model(rng)

    async def testbench(ctx: Any) -> None:
        for k, constant in enumerate(model.constants):
            ctx.set(dut.constants[k], int(constant))
        for _ in range(200):
            micro = {"va": int(rng.choice(CODES)), "vb": int(rng.choice(CODES)),
                     "vc": int(rng.choice(CODES)), "swz": int(rng.integers(0, LANES)),
                     "group": int(rng.integers(0, STRIP))}
            ctx.set(dut.issued, micro)
            expected = {x: model.operand(micro[f"v{x}"], micro["group"]) for x in "abc"}
            vd, group = int(rng.integers(0, 16)), int(rng.integers(0, STRIP))
            result = model.random(1)
            ctx.set(dut.target, {"register": 1, "vd": vd, "group": group})
            ctx.set(dut.result.as_value(), groups.to_vector(result))
            await ctx.tick()
            model.registers[vd, group] = result[0]
            model.streams = model.random(4)
            for number, stream in enumerate(model.streams):
                ctx.set(dut.streams[number].as_value(), groups.to_vector(stream))
            for x in "abc":
                if 16 <= micro[f"v{x}"] < 32:
                    expected[x] = model.operand(micro[f"v{x}"], 0)
            ctx.set(dut.chosen, micro)
            ctx.set(dut.target, {"register": 0})
            await ctx.tick()
            expected["b"] = expected["b"][np.arange(LANES) ^ micro["swz"]]
            for x in "abc":
                assert np.array_equal(_get(ctx, getattr(dut, x)), expected[x]), (x, micro)

    _run(dut, testbench)


def test_transposer(rng: np.random.Generator) -> None:
    dut, model = Operands(TINY), Model(rng)
    rows = model.random(LANES)

    async def testbench(ctx: Any) -> None:
        for number, row in enumerate(rows):
            ctx.set(dut.streams[0].as_value(), groups.to_vector(row))
            ctx.set(dut.chosen, {"vb": 16, "swz": number, "group": number, "transposer": 1})
            await ctx.tick()
        ctx.set(dut.chosen, {})
        await ctx.tick()
        for number in range(LANES):
            ctx.set(dut.chosen, {"vb": TRANSPOSED_OPERAND, "swz": number, "group": number})
            await ctx.tick()
            assert np.array_equal(_get(ctx, dut.b), rows[:, number])

    _run(dut, testbench)
