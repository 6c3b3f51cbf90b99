"""The golden model: executes a program instruction by instruction, bit for bit.

Engines run as the machine's do: each takes commands in order from a queue of
the configured depth and blocks at `wait`. Whatever is not blocked runs at
once, so a program free of races gives the machine's results and a program that
deadlocks is recognised.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw.config import AcceleratorConfig
from hw.isa import IsaError, decode
from hw.isa.encoding import WORD_BYTES, Instruction
from hw.isa.host import Cause, Engine
from hw.isa.program import TEXT_WINDOW
from hw.isa.state import MASK32, Fault, MachineState, Window
from hw.isa.sync import Drain, Post, Wait

ENGINES = (Engine.LOAD, Engine.STORE, Engine.MATRIX, Engine.VECTOR)
DEFAULT_STEPS = 50_000_000


@dataclass(frozen=True)
class Command:
    """A dispatched instruction, the values it was dispatched with, and where it stands."""

    instruction: Instruction
    a: int
    b: int
    pc: int


Observer = Callable[[Command], None]
"""Called with each instruction after it has been executed, in order of execution."""


class Golden:
    """One program on one machine.

    Args:
        config: the machine.
        text: instruction words; window 0 need not hold them.
        windows: DRAM windows by number; their arrays are changed in place.
        observer: called after every executed instruction.
    """

    def __init__(self, config: AcceleratorConfig, text: NDArray[np.uint64],
                 windows: dict[int, Window], observer: Observer | None = None) -> None:
        self.state = MachineState(config, windows)
        self.text = text
        self.state.windows[TEXT_WINDOW] = Window(text.view(np.uint8), readable=True)
        self.queues: dict[Engine, deque[Command]] = {engine: deque() for engine in ENGINES}
        self.late_posts: list[Command] = []
        self.observer = observer
        self._decoded: dict[int, Instruction] = {}
        self.pc = 0

    def run(self, max_steps: int = DEFAULT_STEPS) -> None:
        """Runs to `halt`.

        Raises:
            Fault: the program's error; cause watchdog for a deadlock or after `max_steps`
                instructions of the sequencer.
        """
        steps = 0
        while True:
            moved = self._drain_queues()
            while self._step():
                moved = True
                steps += 1
                if steps > max_steps:
                    raise self._watchdog(f"no end after {max_steps} instructions")
            if self.state.halted and self._idle(ENGINES):
                return
            if not moved:
                raise self._watchdog("deadlock: every engine is blocked")

    def _watchdog(self, detail: str) -> Fault:
        return Fault(Cause.WATCHDOG, Engine.SEQUENCER, self.state.pc, detail)

    def _fetch(self) -> Instruction:
        pc = self.state.pc
        if pc not in self._decoded:
            if pc >= len(self.text):
                raise Fault(Cause.FETCH, Engine.SEQUENCER, pc * WORD_BYTES,
                            f"pc {pc} is outside the program")
            word = int(self.text[pc])
            try:
                self._decoded[pc] = decode(word)
            except IsaError as error:
                raise Fault(Cause.ILLEGAL, Engine.SEQUENCER, word, f"{error} at pc {pc}") from error
        return self._decoded[pc]

    def _step(self) -> bool:
        """Executes or dispatches the next instruction unless the sequencer is blocked."""
        if self.state.halted:
            return False
        instruction = self._fetch()
        x, at = self.state.x, self.state.pc
        a = (x[getattr(instruction, "rs1", 0)] + getattr(instruction, "imm", 0)) & MASK32
        command = Command(instruction, a, x[getattr(instruction, "rs2", 0)], at)
        if instruction.target is not Engine.SEQUENCER:
            return self._dispatch(command)
        if isinstance(instruction, Wait) and not instruction.ready(self.state):
            return False
        if isinstance(instruction, Drain) and not self._idle(
                tuple(e for e in ENGINES if instruction.mask >> e & 1)):
            return False
        self._execute(command)
        if isinstance(instruction, Wait | Post):
            self.state.advance()
        return True

    def _dispatch(self, command: Command) -> bool:
        engine = command.instruction.target
        queue = self.queues[engine]
        if len(queue) == self.state.config.queue_depth:
            # Engines run only when they must: most programs never fill a queue's look-ahead.
            self._drain_queue(engine)
            if len(queue) == self.state.config.queue_depth:
                return False
        queue.append(command)
        self.state.advance()
        return True

    def _drain_queues(self) -> bool:
        moved = False
        for engine in ENGINES:
            moved |= self._drain_queue(engine)
        return moved

    def _drain_queue(self, engine: Engine) -> bool:
        """Executes commands of an engine up to a `wait` that blocks; whether any was."""
        queue, moved = self.queues[engine], False
        while queue:
            command = queue[0]
            if isinstance(command.instruction, Wait) and not command.instruction.ready(self.state):
                return moved
            queue.popleft()
            self._engine_step(engine, command)
            moved = True
        return moved

    def _engine_step(self, engine: Engine, command: Command) -> None:
        pending = self.state.pending if engine is Engine.VECTOR else None
        if pending is not None and isinstance(command.instruction, Post):
            # Posts follow the kernel that is still being captured.
            self.late_posts.append(command)
            return
        if pending is not None and not command.instruction.is_body \
                and not isinstance(command.instruction, Wait):
            raise Fault(Cause.ILLEGAL, engine, command.instruction.encode(),
                        f"{command.instruction.MNEMONIC} inside a kernel's body")
        self._execute(command)
        if self.late_posts and self.state.pending is None:
            for post in self.late_posts:
                self._execute(post)
            self.late_posts.clear()

    def _execute(self, command: Command) -> None:
        self.pc = command.pc
        command.instruction.execute(self.state, command.a, command.b)
        if self.observer is not None:
            self.observer(command)

    def _idle(self, engines: tuple[Engine, ...]) -> bool:
        busy = any(self.queues[engine] for engine in engines)
        return not busy and not (Engine.VECTOR in engines and self.state.pending is not None)
