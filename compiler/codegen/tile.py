"""The tile IR: what the engines do, before order of dispatch, semaphores and registers.

    tile.program   a region of commands and control flow
    tile.commands  pieces of work of the engines (`commands.Command`), in order; one operation for
                   many of them, as networks have tens of thousands
    tile.while     a condition region, then a body region while the 32-bit word (low byte) that
                   the condition left at a local address is not zero
    tile.case      one of several regions, by the s32 at a local address; the last one when the
                   number is outside

Engines are drained where control flow begins, branches and ends.
"""

from dataclasses import dataclass, field

from xdsl.dialects.builtin import IntAttr
from xdsl.ir import Block, Data, Dialect, Operation, Region
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    prop_def,
    region_def,
    var_region_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from compiler.codegen.commands import LOCAL, Command, Interval
from hw.isa.encoding import decode


@dataclass(eq=False)
class Listing:
    """Commands in order; grows while code is generated, and equals only itself."""

    commands: list[Command] = field(default_factory=list)


@irdl_attr_definition
class CommandList(Data[Listing]):
    """Commands as attribute; they print, and cannot be read back."""

    name = "tile.list"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Listing:
        parser.raise_error("commands are elided in printed IR, which cannot be read back")

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string("<\n" + "\n".join(map(describe, self.data.commands)) + "\n>")


def describe(command: Command) -> str:
    """One line: engine, time, memory, instructions, origin."""
    names = " ".join(decode(word).MNEMONIC for word in command.words)
    return (f"  {command.engine.name.lower()}, {command.cycles} cycles, "
            f"reads [{_intervals(command.reads)}], writes [{_intervals(command.writes)}]: {names}"
            f"  // {command.location}")


def _intervals(intervals: tuple[Interval, ...]) -> str:
    return ", ".join(f"{'local' if space == LOCAL else f'window {space}'} {first:#x}..{end:#x}"
                     for space, first, end, *_ in intervals)


@irdl_op_definition
class CommandsOp(IRDLOperation):
    """Pieces of work of the engines, in order."""

    name = "tile.commands"
    listed = prop_def(CommandList)

    def __init__(self) -> None:
        super().__init__(properties={"listed": CommandList(Listing())})

    @property
    def commands(self) -> list[Command]:
        return self.listed.data.commands


@irdl_op_definition
class WhileOp(IRDLOperation):
    """Runs `condition`, then `body`, as long as the condition leaves a non-zero byte."""

    name = "tile.while"
    predicate = prop_def(IntAttr)
    condition = region_def("single_block")
    body = region_def("single_block")

    def __init__(self, predicate: int, condition: Region, body: Region) -> None:
        super().__init__(properties={"predicate": IntAttr(predicate)}, regions=[condition, body])


@irdl_op_definition
class CaseOp(IRDLOperation):
    """Runs one of the branches."""

    name = "tile.case"
    index = prop_def(IntAttr)
    branches = var_region_def("single_block")

    def __init__(self, index: int, branches: list[Region]) -> None:
        super().__init__(properties={"index": IntAttr(index)}, regions=[branches])


@irdl_op_definition
class ProgramOp(IRDLOperation):
    """All of a program."""

    name = "tile.program"
    body = region_def("single_block")

    def __init__(self, body: Region) -> None:
        super().__init__(regions=[body])


TILE = Dialect("tile", [CommandsOp, WhileOp, CaseOp, ProgramOp], [CommandList])


@dataclass(frozen=True)
class End:
    """The last operation of a block, and the commands in it."""

    op: Operation | None
    commands: int


def end_of(block: Block) -> End:
    """For `cut_off`."""
    last = block.last_op
    return End(last, len(last.commands) if isinstance(last, CommandsOp) else 0)


def cut_off(block: Block, end: End) -> None:
    """Removes what was added to a block behind what was its end."""
    while block.last_op is not None and block.last_op is not end.op:
        block.erase_op(block.last_op)
    if isinstance(end.op, CommandsOp):
        del end.op.commands[end.commands:]


def append(block: Block, command: Command) -> None:
    """Adds a command at the end of a block."""
    last = block.last_op
    if not isinstance(last, CommandsOp):
        last = CommandsOp()
        block.add_op(last)
    last.commands.append(command)
