"""Adds the index list's part to the DRAM offset of a row."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.core import interfaces
from hw.core.dma.nest import STEP

DEPTH = 8
"""Steps under way; hides the latency of local memory."""

ADDRESSED = data.StructLayout({
    "dram": 32, "local": 32, "inside": 1, "exists": 1, "last": 1,
})


class IndexLookup(wiring.Component):
    """Steps in, addressed rows out, one a cycle; a negative index is outside.

    Members:
        indexed, stride: constant while steps of a transfer are under way; `stride` is DSTRIDE1.
        read: access to the index list, used when `indexed`.
    """

    def __init__(self) -> None:
        super().__init__({
            "indexed": In(1),
            "stride": In(32),
            "steps": In(stream.Signature(STEP)),
            "read": Out(interfaces.read_port(4)),
            "rows": Out(stream.Signature(ADDRESSED)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.waiting = waiting = SyncFIFO(width=STEP.size, depth=DEPTH)
        m.submodules.listed = listed = SyncFIFO(width=32, depth=DEPTH)
        self._fetch(m, waiting, listed)
        self._join(m, waiting, listed)
        return m

    def _fetch(self, m: Module, waiting: SyncFIFO, listed: SyncFIFO) -> None:
        fetches = self.indexed & self.steps.payload.exists
        m.d.comb += [
            self.read.request.payload.address.eq(self.steps.payload.index),
            self.read.request.payload.size.eq(4),
            self.read.request.valid.eq(self.steps.valid & fetches & waiting.w_rdy),
            self.steps.ready.eq(waiting.w_rdy & (~fetches | self.read.request.ready)),
            waiting.w_data.eq(self.steps.payload),
            waiting.w_en.eq(self.steps.valid & self.steps.ready),
            listed.w_data.eq(self.read.response.data),
            listed.w_en.eq(self.read.response.valid),
        ]

    def _join(self, m: Module, waiting: SyncFIFO, listed: SyncFIFO) -> None:
        step = data.View(STEP, waiting.r_data)
        fetched = self.indexed & step.exists
        go = Signal()
        product = Signal(32)
        held = Signal(STEP)
        m.d.comb += [
            go.eq(waiting.r_rdy & (~fetched | listed.r_rdy)
                  & (~self.rows.valid | self.rows.ready)),
            waiting.r_en.eq(go),
            listed.r_en.eq(go & fetched),
            self.rows.payload.dram.eq(held.dram + product),
            self.rows.payload.local.eq(held.local),
            self.rows.payload.inside.eq(held.inside),
            self.rows.payload.exists.eq(held.exists),
            self.rows.payload.last.eq(held.last),
        ]
        with m.If(self.rows.ready):
            m.d.sync += self.rows.valid.eq(0)
        with m.If(go):
            m.d.sync += [
                self.rows.valid.eq(1),
                held.eq(step),
                held.inside.eq(step.inside & ~(fetched & listed.r_data[31])),
                product.eq(Mux(fetched, listed.r_data * self.stride, 0)),
            ]
