"""Cycles and DRAM bytes that the timing model predicts, without running the RTL.

Bytes of loads and stores only: the RTL's counters also see the program text being fetched.
"""

from dataclasses import dataclass

from hw.isa.dma import DmaForm
from hw.isa.encoding import Instruction
from hw.isa.host import Engine
from hw.isa.params import LEVELS, DmaParam
from hw.isa.program import Program
from hw.isa.scalar import LoadScalar
from hw.timing import Memory
from sim import model
from sim.loader import Array
from sim.timeline import Timelines


@dataclass(frozen=True)
class Prediction:
    """Cycles from start to halt, and bytes the program loads from and stores to DRAM."""

    cycles: int
    bytes_read: int
    bytes_written: int

    @property
    def bytes(self) -> int:
        return self.bytes_read + self.bytes_written


class Counting(Timelines):
    """Clocks that also add up the bytes of valid rows of each transfer."""

    moved: dict[Engine, int]

    def work(self, engine: Engine, instruction: Instruction, a: int, b: int, at: int) -> None:
        if isinstance(instruction, DmaForm):
            self.moved[engine] += self._bytes(self.params[engine], instruction)
        super().work(engine, instruction, a, b, at)

    @staticmethod
    def _bytes(p: list[int], instruction: DmaForm) -> int:
        dram_type, _ = instruction.types()
        elements = max(min(p[DmaParam.HI0], p[DmaParam.N0]) - p[DmaParam.LO0], 0)
        for level in range(LEVELS):
            last = min(p[DmaParam.HI1 + level], p[DmaParam.BOUND1 + level])
            elements *= max(last - p[DmaParam.LO1 + level], 0)
        return int(elements * dram_type.size)


def predict(program: Program, inputs: list[Array]) -> Prediction:
    """Runs the timing model; the inputs matter only to a program with data-dependent control."""
    loads = any(word & 0xFF == LoadScalar.OPCODE for word in program.text.tolist())
    scalars = model._scalars(program, inputs) if loads else []
    machine = model.Model(program.config, program.text, scalars=scalars)
    counting = Counting(program.config, machine.state.params, Memory.of(program.config))
    counting.moved = {Engine.LOAD: 0, Engine.STORE: 0}
    machine.timelines = counting
    cycles = machine.run()
    return Prediction(cycles, counting.moved[Engine.LOAD], counting.moved[Engine.STORE])
