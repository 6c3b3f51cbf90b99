"""The commands of compiled code, and the bytes that they move."""

from collections.abc import Iterator
from math import prod
from typing import Any

from compiler.codegen.commands import Command
from compiler.codegen.lower import Lowered
from compiler.codegen.tile import CommandsOp
from hw.isa.dtypes import DType
from hw.isa.encoding import decode
from hw.isa.host import Engine
from hw.isa.params import LEVELS, DmaParam


def commands(code: Lowered, engine: Engine) -> Iterator[Command]:
    for op in code.program.walk():
        if isinstance(op, CommandsOp):
            yield from (c for c in op.commands if c.engine is engine)


def moved(code: Lowered, engine: Engine, window: int) -> int:
    """Bytes that a DMA engine moves to or from a window; those of a loop's body count once."""
    total = 0
    for command in commands(code, engine):
        word: Any = decode(command.words[0])
        if word.window == window:
            bounds = [command.parameters[DmaParam.BOUND1 + level] for level in range(LEVELS)]
            total += command.parameters[DmaParam.N0] * prod(bounds) * DType(word.dram_type).size
    return total
