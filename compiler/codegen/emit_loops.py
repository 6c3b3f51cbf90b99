"""The sequencer's loops around a repeated command: registers for what moves, and their steps."""

from functools import cache, lru_cache
from typing import NamedTuple

from compiler.codegen.commands import Repeat, encoded, with_immediate
from hw.isa.dma import DmaForm
from hw.isa.encoding import INSTRUCTIONS
from hw.isa.scalar import ImmediateForm, LoopInstruction

MASK = 0xFFFFFFFF
LOOP_REGISTERS = range(3, 9)
"""Running operands of repeated commands."""
GROWTH_REGISTERS = range(24, 32)
"""By how much the numbers of rounds have grown."""
RS1 = ImmediateForm.__dataclass_fields__["rs1"].metadata["field"]
RS2 = DmaForm.__dataclass_fields__["rs2"].metadata["field"]
_ADD = INSTRUCTIONS["addi"]


@cache
def add_word(rd: int, rs1: int) -> int:
    """x[rd] = x[rs1] + an immediate that is still zero."""
    return encoded(_ADD, rd=rd, rs1=rs1)


class Moving(NamedTuple):
    """A register that moves in a loop.

    Attributes:
        register: its number; `total`: by how much it is more behind the loops, modulo 2**32.
    """

    register: int
    total: int


class Loops(NamedTuple):
    """What goes around the instructions of a repeated command.

    Attributes:
        addresses: for each instruction the register of its moving address, None when it stays.
        operand: the register of a moving operand of the last one; None when it does not move.
        starts: the loop instructions, outermost first.
        fields: bits of the registers, for each of the command's instructions.
        steps: words behind the instructions, which also end the loops.
    """

    addresses: tuple[Moving | None, ...]
    operand: Moving | None
    starts: tuple[int, ...]
    fields: tuple[int, ...]
    steps: tuple[int, ...]


@lru_cache(maxsize=1024)
def loops_around(repeat: Repeat) -> Loops:
    """The same for all commands that are repeated in the same way."""
    unused = iter(LOOP_REGISTERS)
    moving = [(next(unused), step) if any(step) else None for step in (*repeat.a, repeat.b)]
    fields = [0 if at is None else RS1.insert(at[0], "rs1") for at in moving[:-1]]
    if moving[-1] is not None:
        fields[-1] |= RS2.insert(moving[-1][0], "rs2")
    starts, steps = _around(repeat.counts, len(fields), [at for at in moving if at is not None])
    *addresses, operand = (None if at is None else Moving(
        at[0], repeat.counts[0] * at[1][0] & MASK) for at in moving)
    return Loops(tuple(addresses), operand, starts, tuple(fields), steps)


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
