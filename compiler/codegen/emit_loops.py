"""The sequencer's loops around a repeated command: registers for what moves, and their steps."""

from functools import cache, lru_cache
from typing import NamedTuple

from compiler.codegen.commands import Repeat, encoded, with_immediate
from hw.isa.dma import DmaForm
from hw.isa.encoding import INSTRUCTIONS
from hw.isa.scalar import ImmediateForm, LoopInstruction

LOOP_REGISTERS = range(3, 9)
"""Running operands of repeated commands."""
RS1 = ImmediateForm.__dataclass_fields__["rs1"].metadata["field"]
RS2 = DmaForm.__dataclass_fields__["rs2"].metadata["field"]
_ADD = INSTRUCTIONS["addi"]


@cache
def add_word(rd: int, rs1: int) -> int:
    """x[rd] = x[rs1] + an immediate that is still zero."""
    return encoded(_ADD, rd=rd, rs1=rs1)


class Loops(NamedTuple):
    """What goes around the instructions of a repeated command.

    Attributes:
        addresses: words that clear the registers of moving addresses.
        operand: word that sets the register of a moving operand, without the value; None when the
            operand does not move.
        starts: the loop instructions, outermost first.
        fields: bits of the registers, for each of the command's instructions.
        steps: words behind the instructions, which also end the loops.
    """

    addresses: tuple[int, ...]
    operand: int | None
    starts: tuple[int, ...]
    fields: tuple[int, ...]
    steps: tuple[int, ...]


@lru_cache(maxsize=1024)
def loops_around(repeat: Repeat) -> Loops:
    """The same for all commands that are repeated in the same way."""
    unused = iter(LOOP_REGISTERS)
    fields, moving = [0] * len(repeat.a), []
    for i, step in enumerate(repeat.a):
        if any(step):
            moving.append((next(unused), step))
            fields[i] = RS1.insert(moving[-1][0], "rs1")
    addresses, operand = tuple(add_word(register, 0) for register, _ in moving), None
    if any(repeat.b):
        moving.append((next(unused), repeat.b))
        fields[-1] |= RS2.insert(moving[-1][0], "rs2")
        operand = add_word(moving[-1][0], 0)
    starts, steps = _around(repeat.counts, len(fields), moving)
    return Loops(addresses, operand, starts, tuple(fields), steps)


def _around(counts: tuple[int, ...], instructions: int,
            moving: list[tuple[int, tuple[int, ...]]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Loop instructions, and the words that step the registers behind the body."""
    starts: list[int] = []
    steps: list[int] = []
    for level in range(len(counts) - 1, -1, -1):
        for register, step in moving:
            # The loops inside have moved it already.
            done = counts[level + 1] * step[level + 1] if starts else 0
            if step[level] != done:
                steps.append(with_immediate(add_word(register, register), step[level] - done))
        length = len(starts) + instructions + len(steps)
        starts.insert(0, encoded(LoopInstruction, length=length, imm=counts[level]))
    return tuple(starts), tuple(steps)
