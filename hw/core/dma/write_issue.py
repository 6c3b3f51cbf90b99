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


ROWS_AHEAD = 8
"""Rows of one transfer that are still to be announced while the next one is being set up."""


class WriteIssue(wiring.Component):
    """Turns rows into spans, and their bursts into addresses for the bus and pieces to gather.

    Rows without anything to copy are dropped; the last one of a transfer passes as an empty span,
    so that the transfer retires in its turn.

    Members:
        stop: announce no more.
        retire: all of a transfer has been written.
        quiet: nothing is in flight.
        pending: a row has not been written yet.
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
            "pending": Out(1),
            "bus_error": Out(data.StructLayout({"valid": 1, "address": 32})),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.completions = completions = SyncFIFO(
            width=COMPLETION.size, depth=max(2, self._config.outstanding_bursts))
        self._announce(m, self._take_rows(m), completions)
        self._complete(m, completions)
        return m

    def _take_rows(self, m: Module) -> data.View:
        """Sends rows to be split; returns what has to be known of the one that is being split."""
        layout = data.StructLayout({
            "address": 64, "copy": 1, "last": 1, "dram": 32, "piece": piece_layout(self._config),
        })
        m.submodules.ahead = ahead = SyncFIFO(width=layout.size, depth=ROWS_AHEAD)
        held = Signal(layout)
        row, span = self.rows.payload, self.spans.payload
        taken = data.View(layout, ahead.w_data)
        following = data.View(layout, ahead.r_data)
        wanted = row.copy | row.last
        m.d.comb += [
            self.rows.ready.eq(ahead.w_rdy | ~wanted),
            ahead.w_en.eq(self.rows.valid & wanted),
            taken.address.eq(Mux(row.copy, row.address, 0)),
            taken.copy.eq(row.copy),
            taken.last.eq(row.last),
            taken.dram.eq(row.dram),
            taken.piece.local.eq(row.local),
            taken.piece.bytes.eq(
                Mux(row.copy, self.shape.count << self.transfer.dram_scale, 0)),
            taken.piece.skip.eq(row.address[:exact_log2(self._config.bus_bytes)]),
            taken.piece.conversion.eq(self.transfer.conversion),
            span.address.eq(following.address),
            span.bytes.eq(following.piece.bytes),
            self.spans.valid.eq(ahead.r_rdy),
            ahead.r_en.eq(self.spans.ready),
            self.pending.eq(ahead.r_rdy | self.bursts.valid | ~self.quiet),
        ]
        with m.If(self.spans.valid & self.spans.ready):
            m.d.sync += held.eq(following)
        return held

    def _announce(self, m: Module, held: data.View, completions: SyncFIFO) -> None:
        burst = self.bursts.payload
        entry = data.View(COMPLETION, completions.w_data)
        can_go = Signal()
        m.d.comb += [
            can_go.eq(completions.w_rdy & ~self.stop & (~self.aw.valid | self.aw.ready)),
            self.pieces.payload.eq(held.piece),
            self.pieces.payload.length.eq(burst.length),
            self.pieces.payload.resumed.eq(~burst.first),
            self.pieces.valid.eq(self.bursts.valid & held.copy & can_go),
            self.bursts.ready.eq(can_go & (~held.copy | self.pieces.ready)),
            completions.w_en.eq(self.bursts.valid & self.bursts.ready),
            entry.burst.eq(held.copy),
            entry.last.eq(held.last & burst.final),
            entry.dram.eq(held.dram),
        ]
        with m.If(self.aw.ready):
            m.d.sync += self.aw.valid.eq(0)
        with m.If(self.pieces.valid & self.pieces.ready):
            m.d.sync += [
                self.aw.valid.eq(1),
                self.aw.payload.address.eq(burst.address),
                self.aw.payload.length.eq(burst.length),
            ]

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
