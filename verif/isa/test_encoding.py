"""Encoding, decoding, assembler and disassembler."""

from pathlib import Path

import numpy as np
import pytest

from hw.isa import INSTRUCTIONS, Instruction, IsaError, decode
from hw.isa.asm import assemble, disassemble, disassemble_word, encode
from hw.isa.encoding import bits, instruction

PINNED = [tuple(part.strip() for part in line.split("|"))
          for line in (Path(__file__).parent / "words.txt").read_text().splitlines()
          if not line.startswith("#")]


def random_instruction(cls: type[Instruction], rng: np.random.Generator) -> Instruction:
    values = {name: int(rng.integers(1 << field.width)) for name, field in cls.FIELDS.items()}
    if "engine" in values:
        values["engine"] = int(rng.integers(1, 5))
    return cls(**values)


@pytest.mark.parametrize(("word", "text"), PINNED)
def test_pinned_words(word: str, text: str) -> None:
    assert encode(assemble(text)) == [int(word, 0)]
    assert assemble(disassemble(decode(int(word, 0)))) == assemble(text)


@pytest.mark.parametrize("cls", INSTRUCTIONS.values(), ids=lambda cls: cls.MNEMONIC)
def test_round_trip(cls: type[Instruction]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        word = random_instruction(cls, rng).encode()
        decoded = decode(word)
        assert type(decoded) is cls
        assert decoded.encode() == word
        assert assemble(disassemble(decoded))[0].encode() == word


@pytest.mark.parametrize(("word", "reason"), [
    (0x00, "unknown opcode"), (0xFF, "unknown opcode"), (1 << 63 | 0x01, "reserved bits"),
    (0x0B, "no engine 0"), (5 << 8 | 0x0B, "no engine 5"), (7 << 8 | 0x08, "no engine 7"),
])
def test_illegal_words(word: int, reason: str) -> None:
    with pytest.raises(IsaError, match=reason):
        decode(word)
    assert disassemble_word(word).startswith(".word")


@pytest.mark.parametrize(("text", "reason"), [
    ("frobnicate x1", "line 1: unknown instruction 'frobnicate'"),
    ("nop\nadd x1, x2, x3, x4", "line 2: add takes 3 operands, not 4"),
    ("add x1, x2, v3", "rs2 cannot be 'v3'"),
    ("addi x1, x0, 0x100000000", "does not fit 32 bits"),
    ("set load, x0, s0.base, 1", "index cannot be 's0.base'"),
])
def test_assembler_errors(text: str, reason: str) -> None:
    with pytest.raises(IsaError, match=reason):
        assemble(text)


def test_labels_are_relative() -> None:
    program = assemble("top: nop\n  beq x0, x0, top\n  bne x0, x1, end\nend: halt")
    assert [getattr(i, "imm", None) for i in program] == [None, -1, 1, None]


@pytest.mark.parametrize(("lo", "width", "opcode", "reason"), [
    (60, 8, 0xFD, "overflows"), (4, 8, 0xFD, "overlaps"), (8, 4, 0x01, "already taken"),
    (8, 4, 0x100, "outside 1 to 255"),
])
def test_bad_definitions_fail_at_import(lo: int, width: int, opcode: int, reason: str) -> None:
    class Bad(Instruction):
        """An instruction that cannot be."""

        amount: int = bits(lo, width)

    with pytest.raises(IsaError, match=reason):
        instruction("bad", opcode)(Bad)
