"""From an instruction of a body to micro-operations."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.vector.fetch import operation_layout
from hw.core.vector.input_stream import INDEX_DEPTH
from hw.core.vector.kernel import GATHER_STREAM
from hw.core.vector.lanes import special_steps
from hw.core.vector.micro import TRANSPOSED_OPERAND, micro_layout
from hw.core.vector.operations import opcode
from hw.core.vector.writer import Kind
from hw.isa.params import VECTOR_REGISTERS
from hw.isa.vector import STREAM_OPERAND

GATHER_OPERAND = STREAM_OPERAND + GATHER_STREAM
PASS_B = opcode("trans")
"""Its control passes operand b."""


class Expand(wiring.Component):
    """The next micro-operation of an instruction.

    Most instructions are one for each group. A special function is one for each part of a
    group; `scatter` first sends a group's indices, then its elements; `trans` first sends all
    groups to the transposer, then fetches all columns; `gather` sends indices to stream 3 and
    takes what it has read as soon as that is available.

    Members:
        operation: the instruction.
        gathered: stream 3 has a group.
        micro: the micro-operation; there is always one unless `stalled`.
        consumes: it is the last one that reads its operands.
        last: it is the last one of the instruction.
        stalled: nothing to send until a gather has been answered.
        begins: nothing of the instruction has been issued.
        issue: the micro-operation is issued.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({
            "operation": In(operation_layout(config)), "gathered": In(1), "issue": In(1),
            "micro": Out(micro_layout(config)), "consumes": Out(1), "last": Out(1),
            "stalled": Out(1), "begins": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        usage, micro = self.operation.entry.usage, self.micro
        group, step = Signal(range(self.config.strip_groups)), Signal(range(
            max(2, special_steps(self.config))))
        second, sent = Signal(), Signal(range(self.config.strip_groups + 1))
        self._plain(m, micro, group, step)
        final, ends = Signal(), Signal()
        m.d.comb += [
            final.eq(1), ends.eq(group + 1 == self.operation.groups), self.consumes.eq(final),
            self.begins.eq(~(group.any() | step.any() | second | sent.any())),
        ]
        with m.If(usage.special):
            m.d.comb += final.eq(step == special_steps(self.config) - 1)
        with m.If(usage.scatter):
            m.d.comb += final.eq(step == 1)
            self._scatter(m, micro, step)
        with m.If(usage.transpose):
            self._transpose(m, micro, second)
        with m.If(usage.gather):
            self._gather(m, micro, sent, group)
        sends = usage.gather & ~self.gathered
        first_pass = usage.transpose & ~second
        m.d.comb += self.last.eq(final & ends & ~first_pass & ~sends)
        self._target(m, micro, group, final & ~first_pass & ~sends)
        with m.If(self.issue & sends):
            m.d.sync += sent.eq(sent + 1)
        with m.Elif(self.issue):
            m.d.sync += [
                step.eq(Mux(final, 0, step + 1)), group.eq(Mux(final & ends, 0, group + final)),
                second.eq((second | (usage.transpose & ends)) & ~self.last),
            ]
            with m.If(self.last):
                m.d.sync += sent.eq(0)
        return m

    def _plain(self, m: Module, micro: data.View, group: Signal, step: Signal) -> None:
        entry = self.operation.entry
        m.d.comb += [
            micro.opcode.eq(entry.opcode), micro.group.eq(group), micro.step.eq(step),
            micro.va.eq(entry.va), micro.vb.eq(entry.vb), micro.vc.eq(entry.vc),
            micro.uses_a.eq(entry.usage.a), micro.uses_b.eq(entry.usage.b),
            micro.uses_c.eq(entry.usage.c), micro.swz.eq(entry.swz),
        ]

    @staticmethod
    def _scatter(m: Module, micro: data.View, step: Signal) -> None:
        with m.If(step[0]):
            m.d.comb += micro.opcode.eq(PASS_B)

    def _transpose(self, m: Module, micro: data.View, second: Signal) -> None:
        # Exchanging lanes j and j xor group on the way in and out makes rows columns.
        m.d.comb += [micro.uses_a.eq(0), micro.swz.eq(micro.group)]
        with m.If(second):
            m.d.comb += micro.vb.eq(TRANSPOSED_OPERAND)
        with m.Else():
            m.d.comb += [
                micro.vb.eq(self.operation.entry.va), micro.uses_b.eq(1), micro.transposer.eq(1),
            ]

    def _gather(self, m: Module, micro: data.View, sent: Signal, group: Signal) -> None:
        with m.If(self.gathered):
            m.d.comb += micro.va.eq(GATHER_OPERAND)
        with m.Else():
            pending = sent - group
            m.d.comb += [
                micro.group.eq(sent), micro.indices.eq(1),
                self.stalled.eq((sent == self.operation.groups) | (pending == INDEX_DEPTH)),
            ]

    def _target(self, m: Module, micro: data.View, group: Signal, writes: Value) -> None:
        usage, target, vd = self.operation.entry.usage, micro.target, self.operation.entry.vd
        in_register = vd < VECTOR_REGISTERS
        m.d.comb += [
            target.vd.eq(vd), target.group.eq(group),
            target.register.eq(usage.d & in_register & writes),
            target.writer.eq((usage.d & ~in_register & writes) | usage.scatter),
            target.kind.as_value().eq(vd[0]),
        ]
        with m.If(usage.scatter):
            m.d.comb += target.kind.eq(Mux(writes, Kind.SCATTERED, Kind.INDICES))
