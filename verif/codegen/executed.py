"""What a program has the engines do, whatever loops its text has."""

from typing import Any, NamedTuple

from hw.isa.encoding import Instruction
from hw.isa.host import Engine
from hw.isa.params import PARAMETER_COUNT
from hw.isa.program import Program
from hw.isa.sync import Post, Set, Wait
from sim.model import Model


class Done(NamedTuple):
    """An instruction that an engine was given.

    Attributes:
        a, b: values of its operands; `others`: the other fields.
        parameters: of the engine then.
    """

    engine: Engine
    mnemonic: str
    a: int
    b: int
    others: tuple[tuple[str, Any], ...]
    parameters: tuple[int, ...]

    @property
    def is_work(self) -> bool:
        """Whether it is not for synchronisation."""
        return self.mnemonic not in (Wait.MNEMONIC, Post.MNEMONIC)


ADDRESSES = ("rs1", "rs2", "imm")
"""Fields that only say where the operands come from."""


class Recording(Model):
    """A model that notes what it dispatches."""

    done: list[Done]
    held: dict[Engine, list[int]]

    def _dispatch(self, instruction: Instruction, a: int, b: int) -> bool:
        dispatched = super()._dispatch(instruction, a, b)
        if dispatched:
            self._note(instruction, a, b)
        return dispatched

    def _note(self, instruction: Instruction, a: int, b: int) -> None:
        engine = instruction.target
        if isinstance(instruction, Set):
            self.held[engine][instruction.index] = a
            return
        others = tuple((name, getattr(instruction, name)) for name in instruction.FIELDS
                       if name not in ADDRESSES)
        self.done.append(Done(
            engine, instruction.MNEMONIC, a, b, others, tuple(self.held[engine])))


def executed(program: Program) -> list[Done]:
    """All that is dispatched, in order; the program's control flow depends on no data."""
    recording = Recording(program.config, program.text)
    recording.done = []
    recording.held = {Engine(e): [0] * count for e, count in PARAMETER_COUNT.items()}
    recording.run()
    return recording.done
