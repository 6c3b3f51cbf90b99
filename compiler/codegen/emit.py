"""Instructions from a tile program: parameters, registers, semaphores, branches.

A parameter is written only when the engine does not hold the value already; a local address or
accumulator row needs a scalar register, and stays in it until the register is wanted for another
value. Nothing is known about either where control flow joins.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from xdsl.ir import Block

from compiler.codegen.commands import Command, Repeat, displaced, encoded, with_immediate
from compiler.codegen.dependences import dependences
from compiler.codegen.emit_loops import MASK, RS2, Moving, add_word, loops_around
from compiler.codegen.schedule import schedule
from compiler.codegen.synchronise import Step, semaphore, synchronise
from compiler.codegen.tile import CaseOp, CommandsOp, ProgramOp, WhileOp
from compiler.errors import Location
from hw.isa.encoding import INSTRUCTIONS, Instruction
from hw.isa.host import Engine
from hw.isa.params import PARAMETER_COUNT
from hw.isa.scalar import Halt, LoadScalar
from hw.isa.sync import Drain, Post, Set, Wait

ALL_ENGINES = sum(1 << engine for engine in Engine if engine is not Engine.SEQUENCER)
SCRATCH_REGISTER, COMPARE_REGISTER = 1, 2
"""Used between commands only; the others hold operands."""
OPERAND_REGISTERS = range(9, 32)


@dataclass(frozen=True)
class Text:
    """The text section, and where the instructions made for another operation begin: (first one,
    operation)."""

    words: list[int]
    sources: list[tuple[int, Location]]


@cache
def _set_word(engine: Engine, index: int) -> int:
    return encoded(Set, engine=engine, index=index)


@cache
def _wait_word(producer: Engine, consumer: Engine) -> int:
    return encoded(Wait, engine=consumer, semaphore=semaphore(producer, consumer), n=1)


@cache
def _post_word(producer: Engine, consumer: Engine) -> int:
    return encoded(Post, engine=producer, semaphore=semaphore(producer, consumer), n=1)


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
        self.sources: list[tuple[int, Location]] = []
        self.parameters = {engine: [0] * count for engine, count in PARAMETER_COUNT.items()}
        # What was set last: many commands share their parameters.
        self.given: dict[int, Mapping[int, int]] = {}
        self.registers = _Registers()
        # What the registers hold that loops move.
        self.moving: dict[int, int] = {}

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

    def append(self, instruction: Instruction) -> int:
        """Returns the instruction's pc."""
        self.words.append(instruction.encode())
        return len(self.words) - 1

    def _commands(self, commands: list[Command]) -> None:
        waits_for = dependences(commands)
        order = schedule(commands, waits_for, self.queue_depth)
        for step in synchronise(commands, waits_for, order):
            self._step(step)

    def _step(self, step: Step) -> None:
        command, words = step.command, self.words
        engine = command.engine
        if not self.sources or command.location is not self.sources[-1][1]:
            self.sources.append((len(words), command.location))
        for producer in step.waits:
            words.append(_wait_word(producer, engine))
        if self.given.get(engine) is not command.parameters:
            self._set(engine, command.parameters)
        if command.repeat is None:
            operand = 0 if command.b is None else self._operand(command.b)
            words.extend(command.words)
            words[-1] |= operand
        else:
            self._repeat(command, command.repeat)
        for consumer in step.posts:
            words.append(_post_word(engine, consumer))

    def _set(self, engine: Engine, parameters: Mapping[int, int]) -> None:
        """Writes the parameters that have another value."""
        self.given[engine] = parameters
        held = self.parameters[engine]
        for index, given in parameters.items():
            value = given & 0xFFFFFFFF
            if held[index] != value:
                held[index] = value
                self.words.append(with_immediate(_set_word(engine, index), value))

    def _repeat(self, command: Command, repeat: Repeat) -> None:
        """Loops around a command's instructions; registers hold what changes."""
        loops, words = loops_around(repeat), self.words
        operand = 0 if command.b is None or loops.operand is not None \
            else self._operand(command.b)
        body = [word | field if at is None else self._relative(word | field, at)
                for word, field, at in zip(command.words, loops.fields, loops.addresses,
                                           strict=True)]
        if command.b is not None and loops.operand is not None:
            self._start(loops.operand, command.b)
        words.extend(loops.starts)
        words.extend(body)
        words[-1] |= operand
        words.extend(loops.steps)
        for at in (*loops.addresses, loops.operand):
            if at is not None:
                self.moving[at.register] = self.moving[at.register] + at.total & MASK

    def _relative(self, word: int, at: Moving) -> int:
        """An instruction whose address counts from what the moving register holds anyway."""
        if at.register not in self.moving:
            self._start(at, 0)
        return displaced(word, -self.moving[at.register])

    def _start(self, at: Moving, value: int) -> None:
        """Sets a moving register, unless it holds the value."""
        if self.moving.get(at.register) != value:
            self.words.append(with_immediate(add_word(at.register, 0), value))
            self.moving[at.register] = value

    def _operand(self, value: int) -> int:
        """Bits of an instruction whose register operand is a value."""
        register, held = self.registers.find(value)
        if not held:
            self.words.append(with_immediate(add_word(register, 0), value))
        return register << RS2.lo

    def _forget(self) -> None:
        for held in self.parameters.values():
            held[:] = [-1] * len(held)
        self.given.clear()
        self.registers = _Registers()
        self.moving.clear()

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
