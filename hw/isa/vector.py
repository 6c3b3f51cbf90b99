"""Instructions of the vector unit: kernels, their control, and lane operations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from hw.isa import kernel, numerics, special
from hw.isa.encoding import Instruction, bits, define, imm, instruction, rs1
from hw.isa.host import Cause, Engine
from hw.isa.numerics import Bits
from hw.isa.params import BODY_LENGTH, CONSTANTS, INPUT_STREAMS, OUTPUT_STREAMS, VECTOR_REGISTERS
from hw.isa.state import MASK32, Fault, MachineState, PendingKernel

STREAM_OPERAND = 16
"""Operand codes: 0-15 v registers, 16-19 input (as a destination 16-17 output) streams,"""
CONSTANT_OPERAND = 32
LANE_OPERAND = 48
"""32-47 constants, 48 the lane number."""

OPERANDS = {
    **{f"v{i}": i for i in range(VECTOR_REGISTERS)},
    **{f"s{i}": STREAM_OPERAND + i for i in range(INPUT_STREAMS)},
    **{f"k{i}": CONSTANT_OPERAND + i for i in range(CONSTANTS)},
    "lane": LANE_OPERAND,
}
"""Source operand codes by name."""
DESTINATIONS = {
    **{f"v{i}": i for i in range(VECTOR_REGISTERS)},
    **{f"d{i}": STREAM_OPERAND + i for i in range(OUTPUT_STREAMS)},
}
"""Destination operand codes by name."""

UNARY_OPCODE = 0x60
BINARY_OPCODE = 0x80
TERNARY_OPCODE = 0xC0


@instruction("run", 0x50, engine=Engine.VECTOR, retires=True)
class Run(Instruction):
    """Runs the next `length` instructions of the queue as a kernel over x[rs1] + imm groups."""

    rs1: int = rs1()
    length: int = bits(23, 7)
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        if not 1 <= self.length <= BODY_LENGTH:
            raise Fault(Cause.ILLEGAL, Engine.VECTOR, self.encode(), f"body of {self.length}")
        machine.pending = PendingKernel(self.length, a & MASK32)


class BodyForm(Instruction):
    """An instruction of a kernel's body."""

    is_body: ClassVar[bool] = True

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        pending = machine.pending
        if pending is None:
            raise Fault(Cause.ILLEGAL, Engine.VECTOR, self.encode(), f"{self.MNEMONIC} outside run")
        pending.body.append((self, a & MASK32))
        if len(pending.body) == pending.length:
            kernel.execute(machine, pending)
            machine.pending = None


@instruction("rep", 0x51, engine=Engine.VECTOR)
class Rep(BodyForm):
    """Repeats the next `length` instructions of the body x[rs1] + imm times; zero skips them."""

    rs1: int = rs1()
    length: int = bits(23, 7)
    imm: int = imm()


@dataclass(frozen=True)
class UnaryForm(BodyForm):
    """vd = f(va), lane by lane."""

    vd: int = bits(8, 6, "destination")
    va: int = bits(14, 6, "source")


@dataclass(frozen=True)
class BinaryForm(UnaryForm):
    """vd = f(va, vb), lane by lane; operand b comes from lane j xor swz."""

    vb: int = bits(20, 6, "source")
    swz: int = bits(32, 6)


@dataclass(frozen=True)
class TernaryForm(BodyForm):
    """vd = f(va, vb, vc), lane by lane; operand b comes from lane j xor swz."""

    vd: int = bits(8, 6, "destination")
    va: int = bits(14, 6, "source")
    vb: int = bits(20, 6, "source")
    vc: int = bits(26, 6, "source")
    swz: int = bits(32, 6)


UNARY: dict[str, tuple[str, Callable[[Bits], Bits]]] = {
    "mov": ("The bits of a", numerics.mov),
    "f2i": ("fp32 to s32 toward zero, saturating, NaN to 0", numerics.f2i),
    "f2u": ("fp32 to u32 toward zero, saturating, NaN to 0", numerics.f2u),
    "i2f": ("s32 to fp32", numerics.i2f),
    "u2f": ("u32 to fp32", numerics.u2f),
    "ffloor": ("fp32 rounded down to an integral value", numerics.ffloor),
    "fceil": ("fp32 rounded up to an integral value", numerics.fceil),
    "frne": ("fp32 rounded to the nearest integral value, ties to even", numerics.frne),
    "ftrunc": ("fp32 rounded toward zero to an integral value", numerics.ftrunc),
    "rbf": ("fp32 rounded to bf16 precision", numerics.rbf),
    "rf16": ("fp32 rounded to f16 precision and range", numerics.rf16),
}
SPECIAL: dict[str, tuple[str, Callable[[Bits], Bits]]] = {
    "exp": ("Special function: e to the a", special.exp),
    "rcp": ("Special function: 1/a", special.rcp),
    "rsqrt": ("Special function: 1/sqrt(a)", special.rsqrt),
    "logm": ("Special function: ln(M)/(M-1) of a's mantissa M centred around 1", special.logm),
}
"""Illegal in a machine without special function unit."""
BINARY: dict[str, tuple[str, Callable[[Bits, Bits], Bits]]] = {
    "fadd": ("fp32 a + b", numerics.fadd),
    "fsub": ("fp32 a - b", numerics.fsub),
    "fmul": ("fp32 a * b", numerics.fmul),
    "fmin": ("fp32 minimum, NaN if either is, -0 below +0", numerics.fmin),
    "fmax": ("fp32 maximum, NaN if either is, -0 below +0", numerics.fmax),
    "feq": ("1 if fp32 a = b, else 0", numerics.feq),
    "fne": ("1 if fp32 a != b or unordered, else 0", numerics.fne),
    "flt": ("1 if fp32 a < b, else 0", numerics.flt),
    "fle": ("1 if fp32 a <= b, else 0", numerics.fle),
    "iadd": ("Integer sum", numerics.iadd),
    "isub": ("Integer difference", numerics.isub),
    "imul": ("Low word of the integer product", numerics.imul),
    "imulh": ("High word of the signed product", numerics.imulh),
    "umulh": ("High word of the unsigned product", numerics.umulh),
    "iand": ("Bitwise and", numerics.and_),
    "ior": ("Bitwise or", numerics.or_),
    "ixor": ("Bitwise exclusive or", numerics.xor),
    "shl": ("a shifted left by b, 0 from 32 on", numerics.shl),
    "shr": ("a shifted right by b, 0 from 32 on", numerics.shr),
    "sar": ("a shifted right arithmetically by b, the sign from 32 on", numerics.sra),
    "imin": ("Signed minimum", numerics.imin),
    "imax": ("Signed maximum", numerics.imax),
    "umin": ("Unsigned minimum", numerics.umin),
    "umax": ("Unsigned maximum", numerics.umax),
    "ieq": ("1 if a = b, else 0", numerics.ieq),
    "ine": ("1 if a != b, else 0", numerics.ine),
    "ilt": ("1 if a < b signed, else 0", numerics.ilt),
    "ile": ("1 if a <= b signed, else 0", numerics.ile),
    "ult": ("1 if a < b unsigned, else 0", numerics.ult),
    "ule": ("1 if a <= b unsigned, else 0", numerics.ule),
}
TERNARY: dict[str, tuple[str, Callable[[Bits, Bits, Bits], Bits]]] = {
    "fmac": ("fp32 c + a * b, rounded after the product and after the sum", numerics.fmac),
    "sel": ("b where a is not 0, else c", numerics.sel),
}

for _name, _index in zip(UNARY | SPECIAL, range(UNARY_OPCODE, BINARY_OPCODE), strict=False):
    define(_name, _index, (UNARY | SPECIAL)[_name][0] + ".", UnaryForm, Engine.VECTOR)
for _name, _index in zip(BINARY, range(BINARY_OPCODE, TERNARY_OPCODE), strict=False):
    define(_name, _index, BINARY[_name][0] + ".", BinaryForm, Engine.VECTOR)
for _name, _index in zip(TERNARY, range(TERNARY_OPCODE, 0x100), strict=False):
    define(_name, _index, TERNARY[_name][0] + ".", TernaryForm, Engine.VECTOR)


@instruction("perm", 0xD0, engine=Engine.VECTOR)
class Permute(BinaryForm):
    """Lane j of vd is lane (vb[j] mod L) of va."""


@instruction("trans", 0xD1, engine=Engine.VECTOR)
class Transpose(UnaryForm):
    """L x L transpose of groups 0 to L-1 of a register to a register; the strip must be L long."""


@instruction("gather", 0xD2, engine=Engine.VECTOR)
class Gather(UnaryForm):
    """Reads elements at stream 3's base + va * stride0; a negative index gives its fill."""


@instruction("scatter", 0xD3, engine=Engine.VECTOR)
class Scatter(BodyForm):
    """Writes vb's lanes, ascending, at output stream 1's base + va * stride0; negative: none."""

    va: int = bits(14, 6, "source")
    vb: int = bits(20, 6, "source")
    swz: int = bits(32, 6)
