"""What the sequencer does with a program, from the meaning of its instructions."""

from dataclasses import dataclass, field
from typing import Any

from hw.config import AcceleratorConfig
from hw.isa.encoding import WORD_BYTES, IsaError, decode
from hw.isa.host import Cause, Engine
from hw.isa.state import MASK32, Fault, MachineState
from hw.isa.sync import Post, Wait


@dataclass
class Run:
    """A program's observable course; `pcs` without immediate repetitions."""

    pcs: list[int] = field(default_factory=list)
    events: list[tuple[Any, ...]] = field(default_factory=list)
    """Dispatched commands, semaphore operations and accesses of local memory, in order."""
    fault: tuple[int, int] | None = None
    """Cause and address."""
    halted: bool = False

    def visit(self, pc: int) -> None:
        if not self.pcs or self.pcs[-1] != pc:
            self.pcs.append(pc)


def execute(config: AcceleratorConfig, text: list[int], entry: int, steps: int) -> Run:
    """Executes at most `steps` instructions; every `wait` is satisfied."""
    state, run = MachineState(config), Run()
    state.pc = entry
    try:
        for _ in range(steps):
            run.visit(state.pc)
            if state.halted:
                run.halted = True
                break
            _step(state, text, run)
    except Fault as fault:
        run.fault = (fault.cause, fault.address)
    return run


def _step(state: MachineState, text: list[int], run: Run) -> None:
    if state.pc >= len(text):
        raise Fault(Cause.FETCH, Engine.SEQUENCER, state.pc * WORD_BYTES, "outside")
    word = text[state.pc]
    try:
        instruction = decode(word)
    except IsaError as error:
        raise Fault(Cause.ILLEGAL, Engine.SEQUENCER, word, str(error)) from error
    a = (state.x[word >> 13 & 31] + (word >> 32)) & MASK32
    b = state.x[word >> 18 & 31]
    if instruction.target is not Engine.SEQUENCER:
        run.events.append(("command", int(instruction.target), word, a, b))
        state.advance()
    elif isinstance(instruction, Wait | Post):
        run.events.append((instruction.MNEMONIC, instruction.semaphore, instruction.n))
        state.advance()
    else:
        instruction.execute(state, a, b)
        if instruction.MNEMONIC == "lds":
            run.events.append(("lds", a))
        elif instruction.MNEMONIC == "sts":
            run.events.append(("sts", a, b))
