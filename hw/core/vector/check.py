"""What makes a kernel illegal."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.vector.kernel import ENTRY
from hw.isa.dtypes import DType
from hw.isa.params import (
    BODY_LENGTH,
    INPUT_STREAMS,
    LEVELS,
    OUTPUT_STREAMS,
    REP_DEPTH,
    VECTOR_REGISTERS,
)
from hw.isa.vector import CONSTANT_OPERAND, DESTINATIONS, LANE_OPERAND, STREAM_OPERAND


class EntryCheck(wiring.Component):
    """Checks the instructions of a body, one after the other.

    Members:
        entry, position, length: an instruction, its place in the body, the body's length.
        enter: the instruction is part of the body; position 0 begins a new one.
        illegal: it must not stand there.
        sources, destinations: streams that it names.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({
            "entry": In(ENTRY),
            "position": In(range(BODY_LENGTH)),
            "length": In(range(BODY_LENGTH + 1)),
            "enter": In(1),
            "illegal": Out(1),
            "sources": Out(INPUT_STREAMS),
            "destinations": Out(OUTPUT_STREAMS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entry, usage = self.entry, self.entry.usage
        operands = [(usage.a, entry.va), (usage.b, entry.vb), (usage.c, entry.vc)]
        faults = [used & ~_is_operand(code) for used, code in operands]
        faults.append(usage.d & (entry.vd >= len(DESTINATIONS)))
        faults.append(usage.swizzled & (entry.swz >= self.config.lanes))
        beyond = (entry.va >= VECTOR_REGISTERS) | (entry.vd >= VECTOR_REGISTERS)
        faults.append(usage.transpose & beyond)
        bad_repeat = self._check_repeat(m, usage.repeat)
        m.d.comb += [
            self.illegal.eq(~usage.legal | Mux(usage.repeat, bad_repeat, Cat(faults).any())),
            self.sources.eq(Cat(
                Cat(used & (code == STREAM_OPERAND + i) for used, code in operands).any()
                for i in range(INPUT_STREAMS))),
            self.destinations.eq(Cat(usage.d & (entry.vd == STREAM_OPERAND + i)
                                     for i in range(OUTPUT_STREAMS))),
        ]
        return m

    def _check_repeat(self, m: Module, repeat: Value) -> Value:
        """Whether the body of a `rep` is empty, leaves its enclosing body, or nests too deeply."""
        ends = [Signal(range(2 * BODY_LENGTH + 1), name=f"end{i}") for i in range(REP_DEPTH)]
        end, limit = Signal(range(4 * BODY_LENGTH)), Signal(range(2 * BODY_LENGTH + 1))
        # Ends never grow inwards, so those still ahead come first.
        open_ = [(end > self.position) & (self.position != 0) for end in ends]
        m.d.comb += [end.eq(self.position + 1 + self.entry.length), limit.eq(self.length)]
        for is_open, enclosing in zip(open_, ends, strict=True):
            with m.If(is_open):
                m.d.comb += limit.eq(enclosing)
        with m.If(self.enter & (self.position == 0)):
            m.d.sync += [old.eq(0) for old in ends]
        with m.If(self.enter & repeat):
            for depth in range(REP_DEPTH):
                is_next = ~open_[depth] & (open_[depth - 1] if depth else 1)
                with m.If(is_next):
                    m.d.sync += ends[depth].eq(end)
        return ~self.entry.length.any() | (end > limit) | open_[-1]


def _is_operand(code: Value) -> Value:
    register_or_stream = code < STREAM_OPERAND + INPUT_STREAMS
    return register_or_stream | ((code >= CONSTANT_OPERAND) & (code <= LANE_OPERAND))


def stream_illegal(parameters: data.View, *, is_output: bool) -> Value:
    """Whether a stream's type or lane level does not exist."""
    highest = DType.U8 if is_output else DType.ADDR
    return (parameters.type > highest) | (parameters.lane_level > LEVELS)
