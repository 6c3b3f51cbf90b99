"""From the groups of a stream to accesses: whole groups at once, or element by element."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.vector.access import beat_layout, check_access, log2_size
from hw.core.vector.nest import AddressNest
from hw.core.vector.parameters import STREAM_PARAMETERS
from hw.isa.dtypes import DType


class StreamWalk(wiring.Component):
    """The beats of all groups of a stream, one a cycle.

    A group is one beat if its lanes are contiguous, all the same element (stride 0), of type
    `addr`, or not valid at all; otherwise it is one beat for each valid lane.

    Members:
        load: take a snapshot of `parameters` and go to the first group.
        beat: the steps; `access` is not set for type `addr` and for groups without valid lane.
        exhausted: the walk is at its end.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({
            "parameters": In(STREAM_PARAMETERS),
            "load": In(1),
            "beat": Out(stream.Signature(beat_layout(config))),
            "exhausted": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.nest = nest = AddressNest(self.config.lanes)
        stride, size = Signal(32), Signal(2)
        contiguous, single, generated = Signal(), Signal(), Signal()
        parameters = self.parameters
        dtype = parameters.type[:4]
        with m.If(self.load):
            m.d.sync += [
                stride.eq(parameters.stride0), size.eq(log2_size(dtype)),
                contiguous.eq(parameters.stride0 == (1 << log2_size(dtype))),
                single.eq(~parameters.stride0.any()), generated.eq(dtype == DType.ADDR),
            ]
        lane, cursor = Signal(range(self.config.lanes)), Signal(32)
        beat, last = self.beat.payload, Signal()
        m.d.comb += [
            nest.parameters.eq(parameters), nest.load.eq(self.load),
            self.exhausted.eq(nest.exhausted), self.beat.valid.eq(~nest.exhausted),
            last.eq(contiguous | single | generated | (lane + 1 >= nest.lanes)),
            beat.address.eq(Mux(lane == 0, nest.address, cursor)),
            beat.bytes.eq(Mux(contiguous, nest.lanes, 1) << size),
            beat.lane.eq(lane), beat.lanes.eq(nest.lanes),
            beat.first.eq(lane == 0), beat.last.eq(last),
            beat.access.eq(nest.lanes.any() & ~generated), beat.contiguous.eq(contiguous),
        ]
        check_access(m, self.config, beat, size)
        with m.If(self.load):
            m.d.sync += lane.eq(0)
        with m.Elif(self.beat.valid & self.beat.ready):
            m.d.comb += nest.step.eq(last)
            m.d.sync += [lane.eq(Mux(last, 0, lane + 1)), cursor.eq(beat.address + stride)]
        return m
