"""Issues micro-operations when their operands are ready and their results have room."""

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.interfaces import FAULT
from hw.core.vector import writer
from hw.core.vector.expand import Expand
from hw.core.vector.fetch import operation_layout
from hw.core.vector.kernel import GATHER_STREAM
from hw.core.vector.micro import LATENCY, micro_layout, target_layout
from hw.isa.host import Cause
from hw.isa.params import INPUT_STREAMS
from hw.isa.vector import STREAM_OPERAND


class Issue(wiring.Component):
    """In-order issue, at most one micro-operation a cycle.

    Members:
        operation: instructions with their groups.
        enable: issuing is allowed.
        available, take, failure: of the input streams.
        gather_illegal, scatter_illegal: what executing these instructions is.
        micro, valid: issued in this cycle.
        target: of the micro-operation whose result is written in this cycle.
        completed: a result has left the writer; `outstanding` says whether others are on
            their way there.
        fault: cause (0 for none) and address of the error that the next one is.
        idle: holds no instruction.
        waits_memory, waits_hazard: why nothing is issued.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({
            "operation": In(stream.Signature(operation_layout(config))),
            "enable": In(1),
            "available": In(INPUT_STREAMS), "take": Out(INPUT_STREAMS),
            "failure": In(data.ArrayLayout(FAULT, INPUT_STREAMS)),
            "gather_illegal": In(1), "scatter_illegal": In(1),
            "micro": Out(micro_layout(config)), "valid": Out(1),
            "target": Out(target_layout(config)),
            "completed": In(1), "outstanding": Out(1),
            "fault": Out(FAULT), "idle": Out(1),
            "waits_memory": Out(1), "waits_hazard": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.expand = expand = Expand(self.config)
        held, busy = Signal(operation_layout(self.config)), Signal()
        active = busy & self.enable
        micro = self.micro
        m.d.comb += [
            expand.operation.eq(held), expand.issue.eq(self.valid), micro.eq(expand.micro),
            expand.gathered.eq(self.available[GATHER_STREAM]),
            self.operation.ready.eq(~busy | (self.valid & expand.last)), self.idle.eq(~busy),
        ]
        with m.If(self.operation.ready):
            m.d.sync += [held.eq(self.operation.payload), busy.eq(self.operation.valid)]
        needed = self._streams(micro)
        in_flight, settling = self._follow(m)
        m.d.comb += [
            self.waits_memory.eq(active & self._starved(m, held, expand, needed)),
            self.waits_hazard.eq(active & (self._hazard(in_flight) | settling)),
            self.valid.eq(active & ~self.waits_memory & ~self.waits_hazard
                          & ~self.fault.cause.any()),
        ]
        with m.If(self.valid & expand.consumes):
            m.d.comb += self.take.eq(needed)
        with m.If(active):
            self._check(m, held, needed)
        return m

    def _sources(self, micro: data.View) -> list[tuple[Value, Value]]:
        return [(micro[f"uses_{x}"], micro[f"v{x}"]) for x in "abc"]

    def _streams(self, micro: data.View) -> Value:
        return Cat(
            Cat(used & (code == STREAM_OPERAND + i) for used, code in self._sources(micro)).any()
            for i in range(INPUT_STREAMS)
        )

    def _follow(self, m: Module) -> tuple[list[data.View], Signal]:
        """Targets of what is in the pipeline; whether the transposer is being written."""
        target = Signal(target_layout(self.config))
        with m.If(self.valid):
            m.d.comb += target.eq(self.micro.target)
        in_flight = []
        for age in range(LATENCY):
            later = Signal(target_layout(self.config), name=f"target{age}")
            m.d.sync += later.eq(target)
            in_flight.append(later)
            target = later
        m.d.comb += self.target.eq(target)
        transposing = Signal()
        m.d.sync += transposing.eq(self.valid & self.micro.transposer)
        return in_flight, transposing & ~self.micro.transposer

    def _hazard(self, in_flight: list[data.View]) -> Value:
        """A source register is still to be written."""
        return Cat(
            used & target.register & (Cat(target.vd, Const(0, 2)) == code)
            & (target.group == self.micro.group)
            for used, code in self._sources(self.micro) for target in in_flight
        ).any()

    def _starved(self, m: Module, held: data.View, expand: Expand, needed: Value) -> Value:
        outstanding = Signal(range(writer.DEPTH + 1))
        leaving = self.valid & self.micro.target.writer
        m.d.sync += outstanding.eq(outstanding + leaving - self.completed)
        m.d.comb += self.outstanding.eq(outstanding.any())
        full = outstanding == writer.DEPTH
        # What a gather reads may have been written by an instruction before it.
        unwritten = held.entry.usage.gather & expand.begins & self.outstanding
        return ((needed & ~self.available).any() | (self.micro.target.writer & full)
                | unwritten | expand.stalled)

    def _check(self, m: Module, held: data.View, needed: Value) -> None:
        usage, entry = held.entry.usage, held.entry
        expected = needed | (usage.gather << GATHER_STREAM)
        for number in reversed(range(INPUT_STREAMS)):
            failure = self.failure[number]
            with m.If(expected[number] & ~self.available[number] & failure.cause.any()):
                m.d.comb += self.fault.eq(failure)
        with m.If((usage.gather & self.gather_illegal) | (usage.scatter & self.scatter_illegal)):
            m.d.comb += [self.fault.cause.eq(Cause.ILLEGAL), self.fault.address.eq(0)]
        with m.If(usage.transpose & (held.groups != self.config.lanes)):
            m.d.comb += [
                self.fault.cause.eq(Cause.ILLEGAL),
                self.fault.address.eq(Cat(entry.opcode, entry.vd, entry.va)),
            ]
