"""Instructions of the sequencer: scalar arithmetic, control flow, scalar memory access."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw.isa.dtypes import DType
from hw.isa.encoding import Instruction, bits, define, imm, instruction, rd, rs1, rs2
from hw.isa.host import Cause, Engine
from hw.isa.state import MASK32, Fault, Loop, MachineState

ALU_OPCODE = 0x10
ALU_IMMEDIATE_OPCODE = 0x20
BRANCH_OPCODE = 0x30


def _s(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


ALU: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "add": ("Sum modulo 2^32", lambda a, b: a + b),
    "sub": ("Difference modulo 2^32", lambda a, b: a - b),
    "mul": ("Low word of the product", lambda a, b: a * b),
    "and": ("Bitwise and", lambda a, b: a & b),
    "or": ("Bitwise or", lambda a, b: a | b),
    "xor": ("Bitwise exclusive or", lambda a, b: a ^ b),
    "sll": ("Shift left by the low 5 bits of the second operand", lambda a, b: a << (b & 31)),
    "srl": ("Logical shift right by the low 5 bits of the second operand",
            lambda a, b: a >> (b & 31)),
    "sra": ("Arithmetic shift right by the low 5 bits of the second operand",
            lambda a, b: _s(a) >> (b & 31)),
    "slt": ("1 if less, signed, else 0", lambda a, b: int(_s(a) < _s(b))),
    "sltu": ("1 if less, unsigned, else 0", lambda a, b: int(a < b)),
    "min": ("Smaller of two signed numbers", lambda a, b: min(_s(a), _s(b))),
    "max": ("Larger of two signed numbers", lambda a, b: max(_s(a), _s(b))),
    "divu": ("Unsigned quotient, all ones for a zero divisor",
             lambda a, b: a // b if b else MASK32),
    "remu": ("Unsigned remainder, the dividend for a zero divisor",
             lambda a, b: a % b if b else a),
}
"""Sentence and meaning, on unsigned 32-bit operands, of the arithmetic instructions."""

BRANCHES: dict[str, tuple[str, Callable[[int, int], bool]]] = {
    "beq": ("equal", lambda a, b: a == b),
    "bne": ("different", lambda a, b: a != b),
    "blt": ("less, signed", lambda a, b: _s(a) < _s(b)),
    "bge": ("greater or equal, signed", lambda a, b: _s(a) >= _s(b)),
    "bltu": ("less, unsigned", lambda a, b: a < b),
    "bgeu": ("greater or equal, unsigned", lambda a, b: a >= b),
}


@dataclass(frozen=True)
class RegisterForm(Instruction):
    """Arithmetic on two registers."""

    rd: int = rd()
    rs1: int = rs1()
    rs2: int = rs2()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        function = ALU[self.MNEMONIC][1]
        machine.set_register(self.rd, function(machine.x[self.rs1], machine.x[self.rs2]))
        machine.advance()


@dataclass(frozen=True)
class ImmediateForm(Instruction):
    """Arithmetic on a register and an immediate."""

    rd: int = rd()
    rs1: int = rs1()
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        function = ALU[self.MNEMONIC[:-1]][1]
        machine.set_register(self.rd, function(machine.x[self.rs1], self.imm & MASK32))
        machine.advance()


@dataclass(frozen=True)
class BranchForm(Instruction):
    """Compare and branch; the target is pc + imm."""

    rs1: int = rs1()
    rs2: int = rs2()
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        if BRANCHES[self.MNEMONIC][1](machine.x[self.rs1], machine.x[self.rs2]):
            machine.pc = (machine.pc + self.imm) & MASK32
        else:
            machine.advance()


for _index, (_name, (_sentence, _)) in enumerate(ALU.items()):
    define(_name, ALU_OPCODE + _index, f"{_sentence}: x[rd] from x[rs1] and x[rs2].", RegisterForm)
    define(_name + "i", ALU_IMMEDIATE_OPCODE + _index,
           f"{_sentence}: x[rd] from x[rs1] and imm.", ImmediateForm)
for _index, (_name, (_sentence, _)) in enumerate(BRANCHES.items()):
    define(_name, BRANCH_OPCODE + _index,
           f"Branch to pc + imm if x[rs1] and x[rs2] compare as: {_sentence}.", BranchForm)


@instruction("nop", 0x01)
class Nop(Instruction):
    """Does nothing."""

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        machine.advance()


@instruction("halt", 0x02)
class Halt(Instruction):
    """Ends the program once every engine has finished its work."""

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        machine.halted = True


@instruction("trap", 0x03)
class Trap(Instruction):
    """Stops the machine with cause trap and address x[rs1] + imm."""

    rs1: int = rs1()
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        raise Fault(Cause.TRAP, Engine.SEQUENCER, a, f"trap {a & MASK32:#x}")


@instruction("loop", 0x04)
class LoopInstruction(Instruction):
    """Executes the next `length` instructions x[rs1] + imm times; zero times skips them."""

    rs1: int = rs1()
    length: int = bits(18, 14)
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        start = (machine.pc + 1) & MASK32
        if self.length == 0:
            raise Fault(Cause.ILLEGAL, Engine.SEQUENCER, machine.pc, "loop of no instructions")
        if a == 0:
            # Skipping counts as reaching the end in sequence: an outer loop may end there too.
            machine.pc = (machine.pc + self.length) & MASK32
        else:
            machine.push_loop(Loop(start, (start + self.length) & MASK32, a))
            machine.pc = start
            return
        machine.advance()


@instruction("lds", 0x05)
class LoadScalar(Instruction):
    """Loads x[rd] from the 32-bit word at local address x[rs1] + imm."""

    rd: int = rd()
    rs1: int = rs1()
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        word = machine.local.read(np.array([a]), DType.S32, Engine.SEQUENCER)
        machine.set_register(self.rd, int(word[0]))
        machine.advance()


@instruction("sts", 0x06)
class StoreScalar(Instruction):
    """Stores x[rs2] to the 32-bit word at local address x[rs1] + imm."""

    rs1: int = rs1()
    rs2: int = rs2()
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        machine.local.write(np.array([a]), np.array([b], np.uint32), DType.S32, Engine.SEQUENCER)
        machine.advance()
