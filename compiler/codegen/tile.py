"""The tile IR: what the engines do, before order of dispatch, semaphores and registers.

    tile.program   a region of commands and control flow
    tile.command   one piece of work of one engine (`commands.Command`)
    tile.while     a condition region, then a body region while the 32-bit word (low byte) that
                   the condition left at a local address is not zero
    tile.case      one of several regions, by the s32 at a local address; the last one when the
                   number is outside

Engines are drained where control flow begins, branches and ends.
"""

from collections.abc import Iterator

from xdsl.dialects.builtin import IntAttr
from xdsl.ir import Block, Data, Dialect, Region
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


@irdl_attr_definition
class CommandData(Data[Command]):
    """A command as attribute; it prints, and cannot be read back."""

    name = "tile.work"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Command:
        parser.raise_error("commands are elided in printed IR, which cannot be read back")

    def print_parameter(self, printer: Printer) -> None:
        command = self.data
        names = " ".join(decode(word).MNEMONIC for word in command.words)
        printer.print_string(
            f"<{command.engine.name.lower()} {command.cycles} cycles, "
            f"reads [{_intervals(command.reads)}], writes [{_intervals(command.writes)}], "
            f"{names}>")


def _intervals(intervals: tuple[Interval, ...]) -> str:
    return ", ".join(f"{'local' if space == LOCAL else f'window {space}'} {first:#x}..{end:#x}"
                     for space, first, end in intervals)


@irdl_op_definition
class CommandOp(IRDLOperation):
    """One piece of work of one engine."""

    name = "tile.command"
    work = prop_def(CommandData)

    def __init__(self, command: Command) -> None:
        super().__init__(properties={"work": CommandData(command)})

    @property
    def command(self) -> Command:
        return self.work.data


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


TILE = Dialect("tile", [CommandOp, WhileOp, CaseOp, ProgramOp], [CommandData])


def segments(block: Block) -> Iterator[list[Command] | WhileOp | CaseOp]:
    """A block's maximal runs of commands, and the control flow between them."""
    run: list[Command] = []
    for op in block.ops:
        if isinstance(op, CommandOp):
            run.append(op.command)
            continue
        if run:
            yield run
        run = []
        assert isinstance(op, WhileOp | CaseOp)
        yield op
    if run:
        yield run
