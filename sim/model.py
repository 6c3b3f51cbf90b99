"""Timing without data: predicts a program's cycles from its instruction stream alone.

The sequencer is executed (its scalars decide what is dispatched); of the engines' work only
the durations count, from `hw.timing`. Each engine keeps its own clock, as the machine's
engines do, and meets the others at queues and semaphores. Only a program that loads scalars
from memory needs data: `scalars` gives what `lds` returns, as a golden run has recorded it.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.isa import decode
from hw.isa.encoding import Instruction
from hw.isa.host import SEMAPHORES, Cause, Engine
from hw.isa.program import Program
from hw.isa.scalar import BranchForm, LoadScalar, StoreScalar
from hw.isa.state import MASK32, Fault, MachineState
from hw.isa.sync import Drain, Post, Set, Wait
from hw.timing import Memory
from sim import loader
from sim.command_queue import Queue
from sim.fetch import Fetch
from sim.golden import DEFAULT_STEPS, ENGINES, Command, Golden
from sim.loader import Array
from sim.result import Result
from sim.spans import build
from sim.timeline import BRANCH_CYCLES, DISPATCH_LATENCY, EXTRA_CYCLES, Timelines
from sim.trace import Step, Steps

Observer = Callable[[Step], None]
"""Called with each instruction of an engine once its times are known: in the order of the engine,
the engine's parameters (`Model.state.params`) being those the instruction works with."""


class Model:
    """One program on one machine, without data.

    Args:
        memory: latency and bandwidth of the DRAM; default that of the published measurements.
        scalars: the values `lds` loads, in order.

    `observer` may be set to learn of every instruction.
    """

    def __init__(self, config: AcceleratorConfig, text: NDArray[np.uint64],
                 memory: Memory | None = None, scalars: Sequence[int] = ()) -> None:
        self.observer: Observer | None = None
        self.state = MachineState(config)
        self.text = [decode(int(word)) for word in text]
        self.scalars: Iterator[int] = iter(scalars)
        self.queues = {engine: Queue(config.queue_depth) for engine in ENGINES}
        memory = memory or Memory.of(config)
        self.timelines = Timelines(config, self.state.params, memory)
        self.tokens: list[deque[int]] = [deque() for _ in range(SEMAPHORES)]
        self.fetch = Fetch(config, memory)
        self.cycle = 0

    def run(self, max_steps: int = DEFAULT_STEPS) -> int:
        """Cycles from start to the end of the program.

        Raises:
            Fault: cause watchdog if the program deadlocks or does not end.
        """
        steps = 0
        while True:
            moved = False
            for engine in ENGINES:
                moved |= self._advance(engine)
            while self._step():
                moved, steps = True, steps + 1
                if steps > max_steps:
                    raise Fault(Cause.WATCHDOG, Engine.SEQUENCER, self.state.pc, "no end")
            if self.state.halted and not any(q.waiting for q in self.queues.values()):
                return max(self.cycle, *(self.timelines.idle_from(e) for e in ENGINES))
            if not moved:
                raise Fault(Cause.WATCHDOG, Engine.SEQUENCER, self.state.pc, "deadlock")

    def _step(self) -> bool:
        """One instruction of the sequencer; False while it is blocked or has halted."""
        if self.state.halted:
            return False
        pc, begin, x = self.state.pc, self.cycle, self.state.x
        instruction = self.text[pc]
        self._fetch(pc)
        a = (x[getattr(instruction, "rs1", 0)] + getattr(instruction, "imm", 0)) & MASK32
        b = x[getattr(instruction, "rs2", 0)]
        if instruction.target is not Engine.SEQUENCER:
            done = self._dispatch(instruction, a, b)
        elif isinstance(instruction, Wait | Drain):
            done = self._block(instruction)
        else:
            self._execute(instruction, a, b)
            done = True
        if done and self.observer is not None:
            self.observer(Step(Engine.SEQUENCER, instruction, pc, begin, begin, self.cycle,
                               (self.cycle - 1, self.cycle)))
        return done

    def _fetch(self, pc: int) -> None:
        """Waits for an instruction; new lines of text take the bus from loads."""
        self.cycle, beats = self.fetch.enter(pc, self.cycle, self.timelines.loads_until)
        self.timelines.delay_loads(self.cycle, beats)

    def _execute(self, instruction: Instruction, a: int, b: int) -> None:
        before = self.state.pc
        if isinstance(instruction, Post):
            self.tokens[instruction.semaphore].extend([self.cycle] * instruction.n)
            self.state.advance()
        elif isinstance(instruction, LoadScalar):
            self.state.set_register(instruction.rd, next(self.scalars))
            self.state.advance()
        elif isinstance(instruction, StoreScalar):
            self.state.advance()
        else:
            instruction.execute(self.state, a, b)
        self.cycle += 1 + EXTRA_CYCLES.get(instruction.MNEMONIC, 0)
        if isinstance(instruction, BranchForm) and self.state.pc != before + 1:
            self.cycle += BRANCH_CYCLES

    def _block(self, instruction: Wait | Drain) -> bool:
        if isinstance(instruction, Wait):
            granted = self._tokens(instruction)
            if granted is None:
                return False
            self.cycle = max(self.cycle, granted)
        else:
            engines = [e for e in ENGINES if instruction.mask >> e & 1]
            if any(self.queues[e].waiting for e in engines):
                return False
            self.cycle = max([self.cycle, *(self.timelines.idle_from(e) for e in engines)])
        self.cycle += 1
        self.state.advance()
        return True

    def _dispatch(self, instruction: Instruction, a: int, b: int) -> bool:
        queue = self.queues[instruction.target]
        room = queue.room_from()
        if room is None:
            self._advance(instruction.target)
            room = queue.room_from()
        if room is None:
            return False
        self.cycle = max(self.cycle, room) + 1
        queue.waiting.append((instruction, a, b, self.state.pc, self.cycle))
        self.state.advance()
        return True

    def _tokens(self, wait: Wait) -> int | None:
        """The cycle in which enough tokens are there, or None while they are not known."""
        tokens = self.tokens[wait.semaphore]
        if len(tokens) < wait.n:
            return None
        return max((tokens.popleft() for _ in range(wait.n)), default=0)

    def _advance(self, engine: Engine) -> bool:
        """Takes commands from a queue up to a `wait` whose tokens are not known yet."""
        queue, line, moved = self.queues[engine], self.timelines, False
        while queue.waiting:
            instruction, a, b, pc, dispatched = queue.waiting[0]
            at = head = max(dispatched + DISPATCH_LATENCY, line.ready[engine])
            if isinstance(instruction, Wait):
                granted = self._tokens(instruction)
                if granted is None:
                    return moved
                at = max(at, granted + 1)
                line.ready[engine] = at + 1
            elif isinstance(instruction, Post):
                posted = max(at, line.idle_from(engine)) + 1
                self.tokens[instruction.semaphore].extend([posted] * instruction.n)
                line.ready[engine] = at + 1
            elif isinstance(instruction, Set):
                instruction.execute(self.state, a, b)
                line.ready[engine] = at + 1
            else:
                line.work(engine, instruction, a, b, at)
            queue.take(line.ready[engine] - 1)
            moved = True
            if self.observer is not None:
                works = instruction.RETIRES or instruction.is_body
                self.observer(Step(
                    engine, instruction, pc, dispatched, head,
                    line.idle_from(engine) if works else at + 1,
                    line.busy[engine] if works else (at, at), a, b))
        return moved


def prepared(program: Program, inputs: Sequence[Array] = ()) -> Model:
    """A model that is ready to run; the inputs matter only to a program that loads scalars.

    Raises:
        Fault: the program loads scalars and fails in golden.
    """
    loads = any(word & 0xFF == LoadScalar.OPCODE for word in program.text.tolist())
    scalars = _scalars(program, inputs) if loads else []
    return Model(program.config, program.text, scalars=scalars)


def run(program: Program, inputs: Sequence[Array] = (), *, trace: bool = False) -> Result:
    """Predicts a program's cycles; the inputs matter only if it loads scalars from memory.

    Raises:
        Fault: the program deadlocks, does not end, or (with scalars to load) fails in golden.
    """
    begin = time.perf_counter()
    model, steps = prepared(program, inputs), Steps()
    if trace:
        model.observer = steps.add
    cycles = model.run()
    seconds = time.perf_counter() - begin
    return Result(outputs=[], cycles=cycles, seconds=seconds,
                  trace=build(program, cycles, steps) if trace else None)


def _scalars(program: Program, inputs: Sequence[Array]) -> list[int]:
    """What each `lds` of the program loads, from a run of the golden model."""
    values: list[int] = []

    def note(command: Command) -> None:
        if isinstance(command.instruction, LoadScalar):
            values.append(golden.state.x[command.instruction.rd])

    windows = loader.grant(program)
    loader.fill(program, inputs, windows)
    golden = Golden(program.config, program.text, windows, note)
    golden.run()
    return values
