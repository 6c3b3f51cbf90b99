"""Instruction words in hardware against the decoder of the ISA."""

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator, SimulatorContext

from hw.core import decode
from hw.isa.dma import DmaForm
from hw.isa.encoding import BY_OPCODE, Instruction, IsaError, reserved_mask
from hw.isa.encoding import decode as decode_word
from hw.isa.scalar import BranchForm


def _words(rng: np.random.Generator, count: int) -> list[int]:
    """Legal words, words with reserved bits or bad engines, unknown opcodes."""
    words = []
    for _ in range(count):
        cls = BY_OPCODE[int(rng.choice(list(BY_OPCODE)))]
        noise = int(rng.integers(0, 2**64, dtype=np.uint64)) & ~0xFF
        clean = noise & ~reserved_mask(cls)
        sparse = noise & int(rng.integers(0, 2**64, dtype=np.uint64))
        words.append(int(rng.integers(256)) if rng.random() < 0.1
                     else cls.OPCODE | (clean if rng.random() < 0.7 else sparse))
    return words


def _decoded(word: int) -> Instruction | None:
    try:
        return decode_word(word)
    except IsaError:
        return None


def test_decode(rng: np.random.Generator) -> None:
    m = Module()
    word, legal, target, retires = Signal(64), Signal(), Signal(3), Signal()
    branch, offset, window = Signal(), Signal(33), Signal(3)
    m.d.comb += [
        legal.eq(decode.legal(word)), target.eq(decode.target(word)),
        retires.eq(decode.retires(word)), branch.eq(decode.is_a(word, BranchForm)),
        offset.eq(decode.field(word, BranchForm, "imm")),
        window.eq(decode.field(word, DmaForm, "window")),
    ]
    seen = {False: 0, True: 0}

    async def bench(ctx: SimulatorContext) -> None:
        for value in _words(rng, 3000):
            expected = _decoded(value)
            ctx.set(word, value)
            await ctx.delay(1e-9)
            assert ctx.get(legal) == (expected is not None), hex(value)
            seen[expected is not None] += 1
            if expected is None:
                continue
            assert ctx.get(target) == expected.target
            assert ctx.get(retires) == expected.RETIRES
            assert ctx.get(branch) == isinstance(expected, BranchForm)
            if isinstance(expected, BranchForm):
                assert ctx.get(offset) == expected.imm % 2**33
            if isinstance(expected, DmaForm):
                assert ctx.get(window) == expected.window

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert min(seen.values()) > 300
