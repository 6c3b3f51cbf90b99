"""Instructions that order the engines, and the one that sets their parameters."""

from hw.isa.encoding import Instruction, bits, imm, instruction, rs1
from hw.isa.host import Cause
from hw.isa.params import PARAMETER_COUNT
from hw.isa.state import MASK32, Fault, MachineState


@instruction("wait", 0x08, engine=None)
class Wait(Instruction):
    """Blocks the engine until the semaphore is at least n, then subtracts n."""

    engine: int = bits(8, 3, "engine")
    semaphore: int = bits(23, 5)
    n: int = bits(32, 16)

    def ready(self, machine: MachineState) -> bool:
        return machine.semaphores[self.semaphore] >= self.n

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        machine.semaphores[self.semaphore] -= self.n


@instruction("post", 0x09, engine=None)
class Post(Instruction):
    """Adds n to the semaphore once all earlier work of the engine is finished and visible."""

    engine: int = bits(8, 3, "engine")
    semaphore: int = bits(23, 5)
    n: int = bits(32, 16)

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        machine.post(self.semaphore, self.n, self.target)


@instruction("drain", 0x0A)
class Drain(Instruction):
    """Waits until every engine in the mask (bit = engine number) has nothing left to do."""

    mask: int = bits(8, 5)

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        machine.advance()


@instruction("set", 0x0B, engine=None)
class Set(Instruction):
    """Sets a parameter of the engine to x[rs1] + imm."""

    engine: int = bits(8, 3, "engine")
    rs1: int = rs1()
    index: int = bits(23, 7)
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        if self.index >= PARAMETER_COUNT[self.engine]:
            raise Fault(Cause.ILLEGAL, self.target, self.encode(), f"no parameter {self.index}")
        machine.params[self.engine][self.index] = a & MASK32
