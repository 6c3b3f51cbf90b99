"""Output streams: results are clamped, converted, queued and written to memory."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.interfaces import FAULT
from hw.core.vector.access import beat_layout, log2_size
from hw.core.vector.clamp import BOUNDS, clamp_bounds, clamped
from hw.core.vector.convert import from_lane
from hw.core.vector.indexer import Indexer
from hw.core.vector.parameters import STREAM_PARAMETERS
from hw.core.vector.walk import StreamWalk
from hw.isa.host import Cause
from hw.isa.params import OUTPUT_STREAMS

DEPTH = 16
"""Results that may be on their way; more than the pipeline is long, as it cannot stall."""


class Kind(enum.Enum, shape=2):  # type: ignore[call-arg]
    """What a result is."""

    STREAM0 = 0
    STREAM1 = 1
    INDICES = 2
    """Where the lanes of the next result go."""
    SCATTERED = 3


class Writer(wiring.Component):
    """Both output streams, which share one queue as there is one result a cycle.

    Members:
        load: take a snapshot of `parameters`, of both streams; the queue is empty.
        enable: writing is allowed.
        push: a result of `kind` arrives; there are at most `DEPTH` of them at any time.
        completed: a result has left, all its writes are accepted.
        fault: cause (0 for none) and address of the error that the oldest result is.
        memory: ports of the streams; scattered results go where stream 1 does.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self._group = data.ArrayLayout(32, config.lanes)
        super().__init__({
            "parameters": In(data.ArrayLayout(STREAM_PARAMETERS, OUTPUT_STREAMS)),
            "load": In(1), "enable": In(1),
            "push": In(1), "kind": In(Kind), "data": In(self._group),
            "completed": Out(1), "fault": Out(FAULT),
            "memory": Out(interfaces.write_port(4 * config.lanes)).array(OUTPUT_STREAMS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dtype, saturate = Signal(data.ArrayLayout(4, 2)), Signal(OUTPUT_STREAMS)
        bounds = Signal(data.ArrayLayout(BOUNDS, OUTPUT_STREAMS))
        with m.If(self.load):
            m.d.sync += [
                Cat(dtype[i], saturate[i], bounds[i]).eq(
                    Cat(p.type[:4], p.saturate.any(), clamp_bounds(m, p)))
                for i, p in enumerate(self._parameters())
            ]
        result = self._clamp(m, bounds)
        head, kind, valid = self._queue(m, result, self._pack(m, result, dtype, saturate))
        beat, beat_valid, ready = Signal(beat_layout(self.config)), Signal(), Signal()
        exhausted = self._beats(m, beat, beat_valid, ready, head, kind)
        with m.If(valid & exhausted):
            m.d.comb += self.fault.cause.eq(Cause.ILLEGAL)
        with m.Elif(valid & beat_valid):
            m.d.comb += self.fault.eq(beat.fault)
        go = valid & beat_valid & self.enable & ~beat.fault.cause.any()
        size = log2_size(dtype[kind != Kind.STREAM0])
        self._write(m, beat, go, ready, head, kind == Kind.STREAM0, size)
        taken = (kind == Kind.INDICES) | (ready & beat.last)
        m.d.comb += self.completed.eq(valid & taken)
        return m

    def _parameters(self) -> list[data.View]:
        return [self.parameters[i] for i in range(OUTPUT_STREAMS)]

    def _clamp(self, m: Module, bounds: data.View) -> data.View:
        """The result that arrived in the cycle before, within the bounds of its stream."""
        result = Signal(data.StructLayout({"push": 1, "kind": Kind, "data": self._group}))
        chosen = data.View(BOUNDS, bounds[self.kind != Kind.STREAM0])
        m.d.sync += [
            result.push.eq(self.push), result.kind.eq(self.kind), result.data.eq(self.data),
        ]
        with m.If(chosen.active & (self.kind != Kind.INDICES)):
            m.d.sync += result.data.as_value().eq(Cat(
                clamped(m, lane, chosen) for lane in self.data))
        return result

    def _pack(self, m: Module, result: data.View, dtype: data.View, saturate: Signal) -> Signal:
        """The result's elements side by side, as they stand in memory."""
        second = result.kind != Kind.STREAM0
        chosen = Mux(result.kind == Kind.INDICES, 0, dtype[second])
        elements = [
            from_lane(m, lane, chosen, saturate.bit_select(second, 1)) for lane in result.data
        ]
        packed = Signal(self._group)
        with m.Switch(log2_size(chosen)):
            for log2 in range(3):
                with m.Case(log2):
                    m.d.comb += packed.as_value().eq(Cat(e[:8 << log2] for e in elements))
        return packed

    def _queue(self, m: Module, result: data.View, packed: Signal
               ) -> tuple[Signal, Signal, Signal]:
        """The oldest result, what it is, and whether there is one."""
        layout = data.StructLayout({"data": self._group, "kind": Kind})
        m.submodules.results = results = Memory(shape=layout, depth=DEPTH, init=[])
        write, read = results.write_port(), results.read_port(domain="comb")
        level = Signal(range(DEPTH + 1))
        m.d.comb += [
            write.en.eq(result.push), write.data.data.eq(packed),
            write.data.kind.eq(result.kind),
        ]
        m.d.sync += [
            level.eq(level + result.push - self.completed),
            write.addr.eq(write.addr + result.push), read.addr.eq(read.addr + self.completed),
        ]
        return read.data.data.as_value(), read.data.kind, level.any()

    def _beats(self, m: Module, beat: data.View, valid: Signal, ready: Signal,
               head: Value, kind: Signal) -> Value:
        """Connects the beats for the oldest result; returns whether its stream has ended."""
        ended = []
        for number, parameters in enumerate(self._parameters()):
            m.submodules[f"walk{number}"] = walk = StreamWalk(self.config)
            m.d.comb += [walk.parameters.eq(parameters), walk.load.eq(self.load)]
            chosen = kind == Kind(number)
            with m.If(chosen):
                m.d.comb += [
                    beat.eq(walk.beat.payload), valid.eq(walk.beat.valid),
                    walk.beat.ready.eq(ready),
                ]
            ended.append(chosen & walk.exhausted)
        m.submodules.indexer = indexer = Indexer(self.config)
        indices, pending = Signal(self._group), Signal()
        m.d.comb += [
            indexer.parameters.eq(self.parameters[1]), indexer.load.eq(self.load),
            indexer.indices.payload.eq(indices), indexer.indices.valid.eq(pending),
        ]
        with m.If(indexer.indices.ready):
            m.d.sync += pending.eq(0)
        with m.If(self.completed & (kind == Kind.INDICES)):
            m.d.sync += [indices.eq(head), pending.eq(1)]
        with m.If(kind == Kind.SCATTERED):
            m.d.comb += [
                beat.eq(indexer.beat.payload), valid.eq(indexer.beat.valid),
                indexer.beat.ready.eq(ready),
            ]
        return Cat(ended).any()

    def _write(self, m: Module, beat: data.View, go: Value, ready: Signal, head: Value,
               first: Value, size: Value) -> None:
        """Requests the beat's access at its port; `ready` when it is accepted or not needed."""
        requests = [port.request for port in self.memory]
        element = head.bit_select(beat.lane << (size + 3), 32)
        for request, chosen in zip(requests, (first, ~first), strict=True):
            m.d.comb += [
                request.valid.eq(go & beat.access & chosen),
                request.payload.address.eq(beat.address),
                request.payload.size.eq(beat.bytes),
                request.payload.data.eq(Mux(beat.contiguous, head, element)),
            ]
        accepted = Mux(first, requests[0].ready, requests[1].ready)
        m.d.comb += ready.eq(go & (accepted | ~beat.access))
