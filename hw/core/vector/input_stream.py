"""An input stream: reads ahead, converts, and holds groups of lanes ready."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.interfaces import FAULT
from hw.core.vector.access import beat_layout, log2_size
from hw.core.vector.convert import to_lane
from hw.core.vector.indexer import Indexer
from hw.core.vector.parameters import STREAM_PARAMETERS
from hw.core.vector.walk import StreamWalk
from hw.isa.dtypes import DType
from hw.isa.host import Cause

DEPTH = 8
"""Groups read ahead: the memory's latency, and slack for refused requests."""
INDEX_DEPTH = 2
"""Groups of indices a gathering stream holds."""


class InputStream(wiring.Component):
    """Groups of one stream, in order, converted to lanes.

    Args:
        indexed: the stream can gather.

    Members:
        load: take a snapshot of `parameters` and begin a new walk; what was read is dropped.
        enable: reading is allowed.
        available: the next group is there, and `data` shows it in the next cycle; with `take`
            it is removed after that.
        failure: cause (0 for none) and address of the error that taking the next group is.
        memory: the port read from.
        gather, indices: with `indexed` only. `gather` at `load` chooses that one group is read
            at each group of `indices` that is written; at most `INDEX_DEPTH` may be pending.
    """

    def __init__(self, config: AcceleratorConfig, *, indexed: bool = False) -> None:
        self.config = config
        self._indexed = indexed
        group = data.ArrayLayout(32, config.lanes)
        members = {
            "parameters": In(STREAM_PARAMETERS),
            "load": In(1), "enable": In(1),
            "available": Out(1), "take": In(1), "data": Out(group), "failure": Out(FAULT),
            "memory": Out(interfaces.read_port(4 * config.lanes)),
        }
        if indexed:
            indices = wiring.Signature({"write": Out(1), "data": Out(group)})
            members |= {"gather": In(1), "indices": In(indices)}
        super().__init__(members)
        self._arrival = data.StructLayout({
            "valid": 1, "lane": range(config.lanes), "lanes": range(config.lanes + 1),
            "first": 1, "last": 1, "hole": 1, "contiguous": 1, "address": 32,
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._stride, self._dtype, self._fill = Signal(32), Signal(4), Signal(32)
        with m.If(self.load):
            m.d.sync += [
                self._stride.eq(self.parameters.stride0),
                self._dtype.eq(self.parameters.type), self._fill.eq(self.parameters.fill),
            ]
        valid, ready, ended, hole = Signal(), Signal(), Signal(), Signal()
        beat = Signal(beat_layout(self.config))
        self._walk(m, beat, valid, ready, ended, hole)
        occupied, count, pushed = Signal(range(DEPTH + 1)), Signal(range(DEPTH + 1)), Signal()
        arrival = self._request(m, beat, valid, ready, occupied, hole)
        self._store(m, arrival, pushed)
        m.d.comb += self.available.eq(count.any() | pushed)
        begun = ready & valid & beat.first
        with m.If(self.load):
            m.d.sync += [occupied.eq(0), count.eq(0)]
        with m.Else():
            m.d.sync += [
                occupied.eq(occupied + begun - self.take), count.eq(count + pushed - self.take),
            ]
        # A group that fails after its first beat occupies a place itself.
        faulty = valid & beat.fault.cause.any()
        with m.If(faulty & (occupied == ~beat.first)):
            m.d.comb += self.failure.eq(beat.fault)
        with m.Elif(ended & (occupied == 0)):
            m.d.comb += self.failure.cause.eq(Cause.ILLEGAL)
        return m

    def _walk(self, m: Module, beat: data.View, valid: Signal, ready: Signal, ended: Signal,
              hole: Signal) -> None:
        """Connects the beats of the walk or, when gathering, those of the indices."""
        m.submodules.walk = walk = StreamWalk(self.config)
        m.d.comb += [
            walk.parameters.eq(self.parameters), walk.load.eq(self.load),
            beat.eq(walk.beat.payload), valid.eq(walk.beat.valid), ended.eq(walk.exhausted),
        ]
        if not self._indexed:
            m.d.comb += walk.beat.ready.eq(ready)
            return
        gathering = Signal()
        m.submodules.indexer = indexer = Indexer(self.config)
        m.submodules.queue = queue = fifo.SyncFIFO(
            width=32 * self.config.lanes, depth=INDEX_DEPTH)
        m.d.comb += [
            queue.w_en.eq(self.indices.write), queue.w_data.eq(self.indices.data),
            indexer.indices.valid.eq(queue.r_rdy), indexer.indices.payload.eq(queue.r_data),
            queue.r_en.eq(indexer.indices.ready),
            indexer.parameters.eq(self.parameters), indexer.load.eq(self.load),
            walk.beat.ready.eq(ready & ~gathering), indexer.beat.ready.eq(ready & gathering),
        ]
        with m.If(gathering):
            m.d.comb += [
                beat.eq(indexer.beat.payload), valid.eq(indexer.beat.valid), ended.eq(0),
                hole.eq(~indexer.beat.payload.access),
            ]
        with m.If(self.load):
            m.d.sync += gathering.eq(self.gather)

    def _request(self, m: Module, beat: data.View, valid: Signal, ready: Signal,
                 occupied: Signal, hole: Signal) -> data.View:
        """Sends the beats' requests; returns the beats when their responses are there."""
        request = self.memory.request
        allowed = Signal()
        requested, arrival = Signal(self._arrival), Signal(self._arrival)
        m.d.comb += [
            allowed.eq(self.enable & valid & ~beat.fault.cause.any()
                       & (~beat.first | (occupied < DEPTH))),
            request.valid.eq(allowed & beat.access),
            request.payload.address.eq(beat.address), request.payload.size.eq(beat.bytes),
            ready.eq(allowed & (request.ready | ~beat.access)),
        ]
        m.d.sync += [
            requested.valid.eq(ready & ~self.load), arrival.valid.eq(requested.valid & ~self.load),
            requested.hole.eq(hole), arrival.hole.eq(requested.hole),
        ]
        for name in ("lane", "lanes", "first", "last", "contiguous", "address"):
            m.d.sync += [requested[name].eq(beat[name]), arrival[name].eq(requested[name])]
        return arrival

    def _store(self, m: Module, arrival: data.View, pushed: Signal) -> None:
        """Converts what arrives and writes it to its lanes of the newest group."""
        lanes = self.config.lanes
        m.submodules.groups = groups = Memory(shape=32 * lanes, depth=DEPTH, init=[])
        write, read = groups.write_port(granularity=32), groups.read_port(domain="comb")
        taken = Signal()
        m.d.comb += [
            pushed.eq(arrival.valid & arrival.last),
            # The first beat of a group writes all lanes, so that the others need not fill.
            write.en.eq(Mux(arrival.valid, Mux(arrival.first, (1 << lanes) - 1,
                                               Const(1, lanes) << arrival.lane), 0)),
            write.data.eq(Cat(self._lanes(m, arrival))),
            self.data.eq(read.data),
        ]
        m.d.sync += taken.eq(self.take)
        with m.If(self.load):
            m.d.sync += [write.addr.eq(0), read.addr.eq(0)]
        with m.Else():
            m.d.sync += [write.addr.eq(write.addr + pushed), read.addr.eq(read.addr + taken)]

    def _lanes(self, m: Module, arrival: data.View) -> list[Value]:
        response = self.memory.response.data
        size = log2_size(self._dtype)
        generated = self._dtype == DType.ADDR
        numbers = self._progression(m, arrival.address)
        values = []
        for lane in range(self.config.lanes):
            raw, value = Signal(32, name=f"raw{lane}"), Signal(32, name=f"value{lane}")
            with m.Switch(Mux(arrival.contiguous, size, 3)):
                for log2 in range(3):
                    with m.Case(log2):
                        bits = 8 << log2
                        m.d.comb += raw.eq(response[lane * bits:(lane + 1) * bits])
                with m.Default():
                    m.d.comb += raw.eq(response[:32])
            given = (lane < arrival.lanes) & ~arrival.hole
            converted = to_lane(m, raw, self._dtype)
            m.d.comb += value.eq(
                Mux(given, Mux(generated, numbers[lane], converted), self._fill))
            values.append(value)
        return values

    def _progression(self, m: Module, start: Value) -> list[Value]:
        """start + lane * stride: each lane from one that lacks its highest bit."""
        numbers: list[Value] = [start]
        while len(numbers) < self.config.lanes:
            step = (self._stride * len(numbers))[:32]
            for earlier in list(numbers):
                number = Signal(32, name=f"number{len(numbers)}")
                m.d.comb += number.eq(earlier + step)
                numbers.append(number)
        return numbers
