"""Announces the bursts of a store and waits for their completion."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.bursts import BURST, SPAN
from hw.core.dma.gather import piece_layout
from hw.core.dma.layouts import ROW, SHAPE, TRANSFER

COMPLETION = data.StructLayout({"burst": 1, "last": 1, "dram": 32})
"""What has to happen next: a response of the bus to a `burst` of the row at window offset
`dram`, and the end of a transfer if `last`."""


class WriteIssue(wiring.Component):
    """Turns rows into spans, and their bursts into addresses for the bus and pieces to gather.

    Rows without anything to copy are dropped; the last one of a transfer passes as an empty span,
    so that the transfer retires in its turn.

    Members:
        stop: announce no more.
        retire: all of a transfer has been written.
        quiet: nothing is in flight.
        bus_error: the bus has answered with an error; the window offset of the row.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        axi = interfaces.axi_write(config).members
        super().__init__({
            "transfer": In(TRANSFER),
            "shape": In(SHAPE),
            "rows": In(stream.Signature(ROW)),
            "spans": Out(stream.Signature(SPAN)),
            "bursts": In(stream.Signature(BURST)),
            "pieces": Out(stream.Signature(piece_layout(config))),
            "aw": axi["aw"],
            "b": axi["b"],
            "stop": In(1),
            "retire": Out(1),
            "quiet": Out(1),
            "bus_error": Out(data.StructLayout({"valid": 1, "address": 32})),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        piece = Signal(piece_layout(self._config))
        copy = Signal()
        last = Signal()
        dram = Signal(32)
        row, span, burst = self.rows.payload, self.spans.payload, self.bursts.payload
        span_bytes = self.shape.count << self.transfer.dram_scale
        m.d.comb += [
            self.spans.valid.eq(self.rows.valid & (row.copy | row.last)),
            self.rows.ready.eq(self.spans.ready | ~(row.copy | row.last)),
            span.address.eq(Mux(row.copy, row.address, 0)),
            span.bytes.eq(Mux(row.copy, span_bytes, 0)),
        ]
        with m.If(self.spans.valid & self.spans.ready):
            m.d.sync += [
                copy.eq(row.copy), last.eq(row.last), dram.eq(row.dram),
                piece.local.eq(row.local),
                piece.bytes.eq(span_bytes),
                piece.skip.eq(row.address[:exact_log2(self._config.bus_bytes)]),
                piece.conversion.eq(self.transfer.conversion),
            ]
        m.submodules.completions = completions = SyncFIFO(
            width=COMPLETION.size, depth=max(2, self._config.outstanding_bursts))
        entry = data.View(COMPLETION, completions.w_data)
        can_go = Signal()
        m.d.comb += [
            can_go.eq(completions.w_rdy & ~self.stop & (~self.aw.valid | self.aw.ready)),
            self.pieces.payload.eq(piece),
            self.pieces.payload.length.eq(burst.length),
            self.pieces.payload.resumed.eq(~burst.first),
            self.pieces.valid.eq(self.bursts.valid & copy & can_go),
            self.bursts.ready.eq(can_go & (~copy | self.pieces.ready)),
            completions.w_en.eq(self.bursts.valid & self.bursts.ready),
            entry.burst.eq(copy),
            entry.last.eq(last & burst.final),
            entry.dram.eq(dram),
        ]
        with m.If(self.aw.ready):
            m.d.sync += self.aw.valid.eq(0)
        with m.If(self.pieces.valid & self.pieces.ready):
            m.d.sync += [
                self.aw.valid.eq(1),
                self.aw.payload.address.eq(burst.address),
                self.aw.payload.length.eq(burst.length),
            ]
        self._complete(m, completions)
        return m

    def _complete(self, m: Module, completions: SyncFIFO) -> None:
        next_up = data.View(COMPLETION, completions.r_data)
        m.d.comb += [
            self.b.ready.eq(completions.r_rdy & next_up.burst),
            completions.r_en.eq(~next_up.burst | self.b.valid),
            self.retire.eq(completions.r_rdy & completions.r_en & next_up.last),
            self.quiet.eq(~completions.r_rdy),
            self.bus_error.valid.eq(self.b.valid & self.b.ready & self.b.payload.response[1]),
            self.bus_error.address.eq(next_up.dram),
        ]
