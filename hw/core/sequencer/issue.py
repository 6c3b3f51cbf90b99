"""The issue stage: decodes a fetched word and reads its registers."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.core import decode
from hw.core.decode import field, is_a
from hw.core.sequencer.alu import CONDITIONS, FUNCTIONS
from hw.core.sequencer.fetch import FETCHED
from hw.core.sequencer.registers import REGISTER_WRITE, RegisterFile
from hw.isa.encoding import WORD_BITS
from hw.isa.host import Cause, Engine
from hw.isa.scalar import (
    ALU_IMMEDIATE_OPCODE,
    ALU_OPCODE,
    BRANCH_OPCODE,
    BranchForm,
    Halt,
    ImmediateForm,
    LoadScalar,
    LoopInstruction,
    RegisterForm,
    StoreScalar,
    Trap,
)
from hw.isa.sync import Drain, Post, Wait

KINDS = {
    "alu": (RegisterForm, ImmediateForm), "branch": (BranchForm,), "loop": (LoopInstruction,),
    "load": (LoadScalar,), "store": (StoreScalar,), "wait": (Wait,), "post": (Post,),
    "drain": (Drain,), "halt": (Halt,), "trap": (Trap,),
}
"""What the sequencer does itself, and the instructions by which; `wait` and `post` of engine 0."""

ISSUED = data.StructLayout({
    "word": WORD_BITS,
    "error": Cause,
    "next_pc": 32,
    "ends_loop": 1,
    **dict.fromkeys(KINDS, 1),
    "dispatch": 1,
    "engine": range(len(Engine)),
    "function": range(len(FUNCTIONS)),
    "condition": range(len(CONDITIONS)),
    "writes": 1,
    "x": 32,
    "operand": 32,
    "y": 32,
})
"""An instruction ready to execute. At most one kind is set, none for `nop` and with `error`.
`x` and `y` are x[rs1] and x[rs2]; `operand` is what is combined with x: y or the immediate."""


class Issue(wiring.Component):
    """Combinational: its register is the execution stage's.

    Members:
        write: the register write of the instruction that is being executed.
    """

    def __init__(self) -> None:
        super().__init__({
            "fetched": In(FETCHED),
            "issued": Out(ISSUED),
            "write": In(REGISTER_WRITE),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.registers = registers = RegisterFile()
        word, issued = self.fetched.word, self.issued
        legal, on_registers = Signal(), Signal()
        m.d.comb += [
            registers.write.eq(self.write),
            registers.indices[0].eq(field(word, RegisterForm, "rs1")),
            registers.indices[1].eq(field(word, RegisterForm, "rs2")),
            legal.eq(decode.legal(word)),
            issued.word.eq(word),
            issued.error.eq(Mux(self.fetched.error != Cause.NONE, self.fetched.error,
                                Mux(legal, Cause.NONE, Cause.ILLEGAL))),
            issued.next_pc.eq(self.fetched.next_pc),
            issued.ends_loop.eq(self.fetched.ends_loop),
            issued.engine.eq(decode.target(word)),
            issued.x.eq(registers.values[0]),
            issued.y.eq(registers.values[1]),
            on_registers.eq(is_a(word, RegisterForm, BranchForm)),
            issued.operand.eq(Mux(on_registers, issued.y, field(word, ImmediateForm, "imm"))),
            issued.function.eq(Mux(is_a(word, RegisterForm), word - ALU_OPCODE,
                                   word - ALU_IMMEDIATE_OPCODE)),
            issued.condition.eq(word - BRANCH_OPCODE),
            issued.writes.eq(is_a(word, RegisterForm, ImmediateForm, LoadScalar)),
        ]
        own = issued.engine == Engine.SEQUENCER
        with m.If(issued.error == Cause.NONE):
            m.d.comb += issued.dispatch.eq(~own)
            m.d.comb += [issued[kind].eq(is_a(word, *forms) & own) for kind, forms in KINDS.items()]
        return m
