"""Addresses of gather and scatter: base + index * stride, lane by lane."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.vector.access import beat_layout, check_access, log2_size
from hw.core.vector.parameters import STREAM_PARAMETERS


class Indexer(wiring.Component):
    """One beat a cycle for the lanes of each group of indices, ascending.

    Members:
        load: take a snapshot of `parameters`.
        indices: groups of signed indices, taken with their last lane.
        beat: the steps; `access` is not set where the index is negative.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({
            "parameters": In(STREAM_PARAMETERS),
            "load": In(1),
            "indices": In(stream.Signature(data.ArrayLayout(32, config.lanes))),
            "beat": Out(stream.Signature(beat_layout(config))),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        base, stride, size = Signal(32), Signal(32), Signal(2)
        with m.If(self.load):
            m.d.sync += [
                base.eq(self.parameters.base), stride.eq(self.parameters.stride0),
                size.eq(log2_size(self.parameters.type[:4])),
            ]
        lanes = self.config.lanes
        lane, index, free = Signal(range(lanes)), Signal(32), Signal()
        beat = self.beat.payload
        m.d.comb += [
            index.eq(Array(self.indices.payload)[lane]),
            free.eq(~self.beat.valid | self.beat.ready),
            self.indices.ready.eq(free & (lane == lanes - 1)),
            beat.lanes.eq(lanes), beat.bytes.eq(1 << size),
            beat.first.eq(beat.lane == 0), beat.last.eq(beat.lane == lanes - 1),
        ]
        check_access(m, self.config, beat, size)
        with m.If(free):
            m.d.sync += [
                self.beat.valid.eq(self.indices.valid), beat.lane.eq(lane),
                beat.address.eq(base + index * stride), beat.access.eq(~index[31]),
            ]
            with m.If(self.indices.valid):
                m.d.sync += lane.eq(lane + 1)
        return m
