"""Instructions from a tile program: parameters, registers, semaphores, branches.

A parameter is written only when the engine does not hold the value already; a local address or
accumulator row needs a scalar register, and stays in it until the register is wanted for another
value. Nothing is known about either where control flow joins.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from xdsl.ir import Block

from compiler.codegen.commands import (
    IMMEDIATE_LO,
    Command,
    Repeat,
    displaced,
    encoded,
    with_immediate,
)
from compiler.codegen.dependences import dependences
from compiler.codegen.emit_loops import (
    GROWTH_REGISTERS,
    MASK,
    RS1,
    RS2,
    Moving,
    add_word,
    loops_around,
)
from compiler.codegen.emit_rounds import Setting, settings
from compiler.codegen.rounds import LOW, Growth, Rounds, find_rounds
from compiler.codegen.schedule import schedule
from compiler.codegen.synchronise import Step, semaphore, synchronise
from compiler.codegen.tile import CaseOp, CommandsOp, ProgramOp, WhileOp
from compiler.errors import Location
from hw.isa.encoding import INSTRUCTIONS, Instruction
from hw.isa.host import Engine
from hw.isa.params import PARAMETER_COUNT
from hw.isa.scalar import Halt, LoadScalar, LoopInstruction
from hw.isa.sync import Drain, Post, Set, Wait

ALL_ENGINES = sum(1 << engine for engine in Engine if engine is not Engine.SEQUENCER)
SCRATCH_REGISTER, COMPARE_REGISTER = 1, 2
"""Used between commands only; the others hold operands."""
OPERAND_REGISTERS = range(9, 24)


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
        self.parameters = {Engine(number): dict.fromkeys(range(count), 0)
                           for number, count in PARAMETER_COUNT.items()}
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
        steps, done = synchronise(commands, waits_for, order), 0
        for rounds in find_rounds(steps):
            for step in steps[done : rounds.first]:
                self._step(step)
            self._rounds(steps[rounds.first : rounds.first + rounds.length], rounds)
            done = rounds.end
        for step in steps[done:]:
            self._step(step)

    def _locate(self, command: Command) -> None:
        if not self.sources or command.location is not self.sources[-1][1]:
            self.sources.append((len(self.words), command.location))

    def _step(self, step: Step) -> None:
        command, words = step.command, self.words
        engine = command.engine
        self._locate(command)
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
            value = given & MASK
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

    def _rounds(self, steps: Sequence[Step], rounds: Rounds) -> None:
        """A loop around the steps of a round; registers hold by how much numbers have grown."""
        different = dict.fromkeys(by for growth in rounds.growths for by in growth.different)
        growing = dict(zip(different, GROWTH_REGISTERS, strict=False))
        for register in growing.values():
            if register not in self.moving:
                self._start(Moving(register, 0), 0)
        plan = settings(steps, rounds.growths, self.parameters)
        for setting in plan.before:
            if setting.growth or self.parameters[setting.engine][setting.number] != setting.value:
                self._write(setting, growing)
        operands = [self._steady_operand(step.command, growth)
                    for step, growth in zip(steps, rounds.growths, strict=True)]
        begin = self.append(Halt())
        for step, growth, written, operand in zip(steps, rounds.growths, plan.written, operands,
                                                  strict=True):
            self._locate(step.command)
            self.words.extend(_wait_word(p, step.command.engine) for p in step.waits)
            for setting in written:
                self._write(setting, growing)
            self._grown_words(step.command, growth, operand, growing, rounds.count)
            self.words.extend(_post_word(step.command.engine, c) for c in step.posts)
        for by, register in growing.items():
            self.words.append(with_immediate(add_word(register, register), by))
            self.moving[register] = self.moving[register] + by * rounds.count & MASK
        self.words[begin] = encoded(LoopInstruction, length=len(self.words) - begin - 1,
                                    imm=rounds.count)
        for engine, number, value, by in plan.last:
            self.parameters[engine][number] = value + by * (rounds.count - 1) & MASK
            self.given.pop(engine, None)

    def _write(self, setting: Setting, growing: Mapping[int, int]) -> None:
        """Sets a parameter."""
        word = with_immediate(_set_word(setting.engine, setting.number), setting.value)
        self.words.append(self._grown(word, setting.growth, growing))

    def _grown(self, word: int, by: int, growing: Mapping[int, int]) -> int:
        """An instruction whose immediate grows, as the register for that does."""
        if not by:
            return word
        register = growing[by]
        return displaced(word | RS1.insert(register, "rs1"), -self.moving[register])

    def _steady_operand(self, command: Command, growth: Growth) -> int:
        """Bits of a register operand that is the same in all rounds."""
        moves = command.repeat is not None and loops_around(command.repeat).operand is not None
        if command.b is None or moves or growth.b:
            return 0
        return self._operand(command.b)

    def _grown_words(self, command: Command, growth: Growth, operand: int,
                     growing: Mapping[int, int], count: int) -> None:
        """A command's instructions in a loop over rounds.

        Args:
            operand: bits of a register operand that is the same in all rounds.
        """
        words = [self._grown(word, by, growing)
                 for word, by in zip(command.words, growth.words, strict=True)]
        by = growth.b
        starts: tuple[int, ...] = ()
        steps: tuple[int, ...] = ()
        if command.repeat is not None:
            loops = loops_around(command.repeat)
            starts, steps = loops.starts, loops.steps
            for number, (field, at) in enumerate(zip(loops.fields, loops.addresses, strict=True)):
                word = command.words[number]
                if at is not None:
                    self._begin(at, word >> IMMEDIATE_LO, growth.words[number], growing, count)
                    words[number] = word & LOW
                words[number] |= field
            if command.b is not None and loops.operand is not None:
                self._begin(loops.operand, command.b, by, growing, count)
                by = 0
        if by:
            assert command.b is not None
            temporary = with_immediate(add_word(SCRATCH_REGISTER, 0), command.b)
            self.words.append(self._grown(temporary, by, growing))
            operand = SCRATCH_REGISTER << RS2.lo
        words[-1] |= operand
        self.words.extend((*starts, *words, *steps))

    def _begin(self, at: Moving, value: int, by: int, growing: Mapping[int, int], count: int
               ) -> None:
        """Sets a moving register in each round."""
        self.words.append(self._grown(with_immediate(add_word(at.register, 0), value), by, growing))
        self.moving[at.register] = value + by * (count - 1) + at.total & MASK

    def _operand(self, value: int) -> int:
        """Bits of an instruction whose register operand is a value."""
        register, held = self.registers.find(value)
        if not held:
            self.words.append(with_immediate(add_word(register, 0), value))
        return register << RS2.lo

    def _forget(self) -> None:
        for held in self.parameters.values():
            held.update(dict.fromkeys(held, -1))
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
