"""Instructions from a tile program: parameters, registers, semaphores, branches.

A parameter is written only when the engine does not hold the value already; a local address or
accumulator row needs a scalar register, and stays in it until the register is wanted for another
value. Nothing is known about either where control flow joins.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from xdsl.ir import Block

from compiler.codegen.commands import Command, Repeat, encoded, with_immediate
from compiler.codegen.dependences import dependences
from compiler.codegen.schedule import schedule
from compiler.codegen.synchronise import Step, semaphore, synchronise
from compiler.codegen.tile import CaseOp, CommandsOp, ProgramOp, WhileOp
from compiler.errors import Location
from hw.isa.dma import DmaForm
from hw.isa.encoding import INSTRUCTIONS, Instruction
from hw.isa.host import Engine
from hw.isa.params import PARAMETER_COUNT
from hw.isa.scalar import Halt, ImmediateForm, LoadScalar, LoopInstruction
from hw.isa.sync import Drain, Post, Set, Wait

ALL_ENGINES = sum(1 << engine for engine in Engine if engine is not Engine.SEQUENCER)
SCRATCH_REGISTER, COMPARE_REGISTER = 1, 2
"""Used between commands only; the others hold operands."""
LOOP_REGISTERS = range(3, 9)
"""Running operands of repeated commands."""
OPERAND_REGISTERS = range(9, 32)
_ADD = INSTRUCTIONS["addi"]
_RS1 = ImmediateForm.__dataclass_fields__["rs1"].metadata["field"]
_RS2 = DmaForm.__dataclass_fields__["rs2"].metadata["field"]


@dataclass(frozen=True)
class Text:
    """The text section, and for each instruction the operation it was made for."""

    words: list[int]
    sources: list[Location | None]


@cache
def _set_word(engine: Engine, index: int) -> int:
    return encoded(Set, engine=engine, index=index)


@cache
def _semaphore_word(form: type[Wait] | type[Post], at: Engine, number: int) -> int:
    return encoded(form, engine=at, semaphore=number, n=1)


@cache
def _add_word(rd: int, rs1: int) -> int:
    return encoded(_ADD, rd=rd, rs1=rs1)


class _Registers:
    """Which value each operand register holds; the one not used for longest gives way."""

    def __init__(self) -> None:
        self.by_value: OrderedDict[int, int] = OrderedDict()
        self.unused = list(OPERAND_REGISTERS)

    def find(self, value: int) -> tuple[int, bool]:
        """The register for a value, and whether it holds it already; zero is x0."""
        if value == 0:
            return 0, True
        if value in self.by_value:
            self.by_value.move_to_end(value)
            return self.by_value[value], True
        register = self.unused.pop() if self.unused else self.by_value.popitem(last=False)[1]
        self.by_value[value] = register
        return register, False


class Emitter:
    """Appends instructions; knows what parameters and registers hold at this point."""

    def __init__(self, queue_depth: int) -> None:
        self.queue_depth = queue_depth
        self.words: list[int] = []
        self.sources: list[Location | None] = []
        self.parameters = {engine: [0] * count for engine, count in PARAMETER_COUNT.items()}
        self.registers = _Registers()

    def program(self, program: ProgramOp) -> Text:
        self.block(program.body.block)
        self.append(Halt())
        return Text(self.words, self.sources)

    def block(self, block: Block) -> None:
        for op in block.ops:
            if isinstance(op, WhileOp):
                self._while(op)
            elif isinstance(op, CaseOp):
                self._case(op)
            else:
                assert isinstance(op, CommandsOp)
                self._commands(op.commands)

    def append(self, instruction: Instruction, source: Location | None = None) -> int:
        """Returns the instruction's pc."""
        return self._word(instruction.encode(), source)

    def _word(self, word: int, source: Location | None) -> int:
        self.words.append(word)
        self.sources.append(source)
        return len(self.words) - 1

    def _words(self, words: Sequence[int], source: Location | None) -> None:
        self.words.extend(words)
        self.sources.extend([source] * len(words))

    def _commands(self, commands: list[Command]) -> None:
        waits_for = dependences(commands)
        order = schedule(commands, waits_for, self.queue_depth)
        for step in synchronise(commands, waits_for, order):
            self._step(step)

    def _step(self, step: Step) -> None:
        command = step.command
        engine, source = command.engine, command.location
        for producer in step.waits:
            self._word(_semaphore_word(Wait, engine, semaphore(producer, engine)), source)
        held = self.parameters[engine]
        changed = [(index, value) for index, given in command.parameters.items()
                   if held[index] != (value := given & 0xFFFFFFFF)]
        for index, value in changed:
            held[index] = value
        self._words([with_immediate(_set_word(engine, index), value)
                     for index, value in changed], source)
        if command.repeat is None:
            register = 0 if command.b is None else self._operand(command.b, source)
            self._words(command.words, source)
            self.words[-1] |= _RS2.insert(register, "rs2")
        else:
            self._repeat(command, command.repeat)
        for consumer in step.posts:
            self._word(_semaphore_word(Post, engine, semaphore(engine, consumer)), source)

    def _repeat(self, command: Command, repeat: Repeat) -> None:
        """Loops around a command's instructions; registers hold what changes."""
        source, steps, words = command.location, [], list(command.words)
        unused = iter(LOOP_REGISTERS)
        for i, step in enumerate(repeat.a):
            if any(step):
                register = next(unused)
                words[i] |= _RS1.insert(register, "rs1")
                steps.append((register, step))
                self._add(register, 0, 0, source)
        if command.b is not None and any(repeat.b):
            register = next(unused)
            steps.append((register, repeat.b))
            self._add(register, 0, command.b, source)
        else:
            register = 0 if command.b is None else self._operand(command.b, source)
        words[-1] |= _RS2.insert(register, "rs2")
        self._loops(words, repeat.counts, steps, source)

    def _loops(self, words: Sequence[int], counts: Sequence[int],
               steps: Sequence[tuple[int, tuple[int, ...]]], source: Location) -> None:
        starts = [self._word(0, source) for _ in counts]
        self._words(words, source)
        for level in range(len(counts) - 1, -1, -1):
            for register, step in steps:
                # The loops inside have moved it already.
                done = counts[level + 1] * step[level + 1] if level + 1 < len(counts) else 0
                if step[level] != done:
                    self._add(register, register, step[level] - done, source)
            length = len(self.words) - starts[level] - 1
            self.words[starts[level]] = encoded(LoopInstruction, length=length, imm=counts[level])

    def _add(self, rd: int, rs1: int, imm: int, source: Location | None) -> None:
        self._word(with_immediate(_add_word(rd, rs1), imm), source)

    def _operand(self, value: int, source: Location) -> int:
        register, held = self.registers.find(value)
        if not held:
            self._add(register, 0, value, source)
        return register

    def _forget(self) -> None:
        for held in self.parameters.values():
            held[:] = [-1] * len(held)
        self.registers = _Registers()

    def _join(self) -> None:
        """All engines finish; nothing is known about parameters and registers."""
        self.append(Drain(mask=ALL_ENGINES))
        self._forget()

    def _branch(self, mnemonic: str, rs1: int, rs2: int) -> int:
        form = INSTRUCTIONS[mnemonic]
        return self.append(form(rs1=rs1, rs2=rs2, imm=0))  # type: ignore[call-arg]

    def _patch(self, pc: int, mnemonic: str, rs1: int, rs2: int, target: int) -> None:
        form = INSTRUCTIONS[mnemonic]
        self.words[pc] = form(rs1=rs1, rs2=rs2, imm=target - pc).encode()  # type: ignore[call-arg]

    def _while(self, op: WhileOp) -> None:
        self._join()
        header = len(self.words)
        self.block(op.condition.block)
        self.append(Drain(mask=ALL_ENGINES))
        self.append(LoadScalar(rd=SCRATCH_REGISTER, imm=op.predicate.data))
        mask = INSTRUCTIONS["andi"]
        self.append(mask(rd=SCRATCH_REGISTER, rs1=SCRATCH_REGISTER, imm=0xFF))  # type: ignore[call-arg]
        leave = self._branch("beq", SCRATCH_REGISTER, 0)
        self.block(op.body.block)
        self._join()
        back = self._branch("beq", 0, 0)
        self._patch(back, "beq", 0, 0, header)
        self._patch(leave, "beq", SCRATCH_REGISTER, 0, len(self.words))

    def _case(self, op: CaseOp) -> None:
        self._join()
        add = INSTRUCTIONS["addi"]
        ends: list[int] = []
        self.append(LoadScalar(rd=SCRATCH_REGISTER, imm=op.index.data))
        *branches, default = op.branches
        for number, branch in enumerate(branches):
            self.append(add(rd=COMPARE_REGISTER, rs1=0, imm=number))  # type: ignore[call-arg]
            skip = self._branch("bne", SCRATCH_REGISTER, COMPARE_REGISTER)
            self.block(branch.block)
            self._join()
            ends.append(self._branch("beq", 0, 0))
            self._patch(skip, "bne", SCRATCH_REGISTER, COMPARE_REGISTER, len(self.words))
        self.block(default.block)
        self._join()
        for pc in ends:
            self._patch(pc, "beq", 0, 0, len(self.words))
