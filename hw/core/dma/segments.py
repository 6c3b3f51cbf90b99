"""Cuts the rows of a load into stretches of padding and of data."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core.dma.bursts import SPAN
from hw.core.dma.layouts import ROW, SHAPE, TRANSFER, Conversion
from hw.isa.params import DmaParam


def segment_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A stretch of a row, written from address `local` on.

    pad:   `bytes` bytes of local memory, each aligned word of them is `info`;
    data:  `bytes` bytes from the bus, the first one `skip` bytes into its beat; `info` is the
           window offset.
    last:  nothing of the transfer follows.
    """
    return data.StructLayout({
        "pad": 1, "local": 32, "bytes": 34, "skip": exact_log2(config.bus_bytes),
        "conversion": Conversion, "last": 1, "info": 32,
    })


class Segmenter(wiring.Component):
    """One segment a cycle; a data segment goes to `spans`, too, to be asked for.

    The last row of a transfer yields a segment even when it has nothing to write, as
    transfers retire by it.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._bus_bytes = config.bus_bytes
        super().__init__({
            "transfer": In(TRANSFER),
            "shape": In(SHAPE),
            "rows": In(stream.Signature(ROW)),
            "segments": Out(stream.Signature(segment_layout(config))),
            "spans": Out(stream.Signature(SPAN)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row, segment = self.rows.payload, self.segments.payload
        length = Signal(32)
        position = Signal(32)
        final = Signal()
        is_data = Signal()
        scale = self.transfer.local_scale
        self._choose(m, length=length, position=position, is_data=is_data, final=final)
        nothing = ~is_data & (length == 0) & ~row.last
        skip = row.address[:exact_log2(self._bus_bytes)]
        m.d.comb += [
            segment.pad.eq(~is_data),
            segment.local.eq(row.local + (position << scale)),
            segment.bytes.eq(length << Mux(is_data, self.transfer.dram_scale, scale)),
            segment.skip.eq(skip),
            segment.conversion.eq(Mux(is_data, self.transfer.conversion, Conversion.NONE)),
            segment.last.eq(row.last & final),
            segment.info.eq(Mux(is_data, row.dram, self._padding())),
            self.spans.payload.address.eq(row.address),
            self.spans.payload.bytes.eq(segment.bytes),
            self.segments.valid.eq(self.rows.valid & ~nothing & (~is_data | self.spans.ready)),
            self.spans.valid.eq(self.rows.valid & is_data & self.segments.ready),
            self.rows.ready.eq(
                nothing | (final & self.segments.ready & (~is_data | self.spans.ready))),
        ]
        return m

    def _choose(self, m: Module, *, length: Signal, position: Signal, is_data: Signal,
                final: Signal) -> None:
        """Which part of the row is next: lead, data or tail; or all of it as padding."""
        row, shape = self.rows.payload, self.shape
        done_lead = Signal()
        done_data = Signal()
        in_lead = ~done_lead & (shape.lead != 0)
        with m.If(~row.copy):
            n0 = self.transfer.parameters[DmaParam.N0]
            m.d.comb += [length.eq(Mux(row.exists, n0, 0)), final.eq(1)]
        with m.Elif(done_data):
            m.d.comb += [
                length.eq(shape.tail), position.eq(shape.lead + shape.count), final.eq(1),
            ]
        with m.Elif(in_lead):
            m.d.comb += length.eq(shape.lead)
        with m.Else():
            m.d.comb += [
                length.eq(shape.count), position.eq(shape.lead), is_data.eq(1),
                final.eq(shape.tail == 0),
            ]
        with m.If(self.segments.valid & self.segments.ready):
            m.d.sync += [
                done_lead.eq(~final),
                done_data.eq(~final & is_data),
            ]

    def _padding(self) -> Value:
        pad = self.transfer.parameters[DmaParam.PAD]
        scale = self.transfer.local_scale
        wide = Mux(scale == 1, pad[:16].replicate(2), pad)
        return Mux(scale == Const(0, 2), pad[:8].replicate(4), wide)
