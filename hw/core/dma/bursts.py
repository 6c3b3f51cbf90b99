"""Splits rows into AXI bursts."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig

BURST_BEATS = 16
"""Longest burst. A multiple of its size never lies inside one, so none crosses 4 KiB. Longer
ones would gain nothing and make instruction fetches wait behind them."""

SPAN = data.StructLayout({"address": 64, "bytes": 34})
"""Bytes of the bus address space."""

BURST = data.StructLayout({"address": 64, "length": 8, "first": 1, "final": 1})
"""`length` as in AXI, beats less one; `first` and `final` of its span."""


class BurstSplitter(wiring.Component):
    """Spans in, bursts out, one a cycle; a span without bytes yields one burst all the same.

    Bursts end at multiples of BURST_BEATS beats. Their addresses are multiples of the bus width.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._bus_bytes = config.bus_bytes
        super().__init__({
            "spans": In(stream.Signature(SPAN)),
            "bursts": Out(stream.Signature(BURST)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        scale = exact_log2(self._bus_bytes)
        span, burst = self.spans.payload, self.bursts.payload
        beat = Signal(64 - scale)
        left = Signal(35 - scale)
        first = Signal()
        room = Signal(range(BURST_BEATS + 1))
        beats = Signal.like(room)
        m.d.comb += [
            room.eq(BURST_BEATS - beat[:exact_log2(BURST_BEATS)]),
            burst.final.eq(left <= room),
            beats.eq(Mux(burst.final, left, room)),
            burst.first.eq(first),
            burst.address.eq(beat << scale),
            burst.length.eq(beats - 1),
            self.spans.ready.eq(~self.bursts.valid | (self.bursts.ready & burst.final)),
        ]
        with m.If(self.bursts.ready):
            m.d.sync += [beat.eq(beat + beats), left.eq(left - beats), first.eq(0)]
        with m.If(self.spans.ready):
            m.d.sync += [
                self.bursts.valid.eq(self.spans.valid),
                first.eq(1),
                beat.eq(span.address >> scale),
                left.eq((span.address[:scale] + span.bytes + self._bus_bytes - 1) >> scale),
            ]
        return m
