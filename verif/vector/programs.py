"""Commands of the vector unit and their meaning in the golden model."""

from hw.isa.encoding import Instruction
from hw.isa.host import Engine
from hw.isa.state import MASK32, MachineState
from hw.isa.sync import Post, Wait
from hw.isa.vector import Run
from verif.programs.generator import Maker
from verif.programs.kernels import KernelMaker
from verif.vector.bench import Command


def random_commands(maker: Maker, kernels: int) -> list[Command]:
    """Random kernels, after one that fills the registers and before one that stores them."""
    kernel_maker = KernelMaker(maker)
    kernel_maker.fill_registers()
    for _ in range(kernels):
        kernel_maker.random()
    kernel_maker.dump_registers(0)
    scalar = MachineState(maker.config)
    commands = []
    for op in maker.program:
        if op.target is not Engine.VECTOR:
            op.execute(scalar, _operand(scalar, op), 0)
        elif not isinstance(op, Wait | Post):
            commands.append((op, _operand(scalar, op)))
    return commands


def _operand(machine: MachineState, op: Instruction) -> int:
    return (machine.x[getattr(op, "rs1", 0)] + getattr(op, "imm", 0)) & MASK32


def execute(machine: MachineState, commands: list[Command]) -> int:
    """Runs commands on the golden machine; returns how many kernels there were."""
    for op, a in commands:
        op.execute(machine, a, 0)
    return sum(isinstance(op, Run) for op, _ in commands)
