"""Reads the data of announced bursts from local memory, beat by beat."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.convert import converted, source_bytes
from hw.core.dma.layouts import Conversion

BUFFERED_BEATS = 8
"""Beats between local memory's acceptance of a read and the bus; covers the latency in between."""


def piece_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A burst's data: `bytes` bytes on the bus from local address `local` on, `beats` beats of
    which the first starts at byte `skip`. With `resumed` local, bytes and skip are
    what the previous burst has left."""
    return data.StructLayout({
        "local": 32, "bytes": 34, "skip": exact_log2(config.bus_bytes), "length": 8,
        "conversion": Conversion, "resumed": 1,
    })


class Gather(wiring.Component):
    """Pieces in, beats for the bus out, one a cycle.

    `working` while a beat is under way.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._bus_bytes = config.bus_bytes
        self._piece = piece_layout(config)
        self._beat = data.StructLayout({
            "skip": exact_log2(config.bus_bytes), "bytes": range(config.bus_bytes + 1),
            "conversion": Conversion, "last": 1,
        })
        super().__init__({
            "pieces": In(stream.Signature(self._piece)),
            "read": Out(interfaces.read_port(2 * config.bus_bytes)),
            "w": interfaces.axi_write(config).members["w"],
            "working": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        active = Signal()
        now = Signal(self._piece)
        pending = Signal(range(BUFFERED_BEATS + 1))
        request = self.read.request
        beat = Signal(self._beat)
        size = source_bytes(m, now.conversion, beat.bytes)
        limit = self._bus_bytes - now.skip
        go = request.valid & request.ready
        sent = self.w.valid & self.w.ready
        m.d.comb += [
            beat.bytes.eq(Mux(now.bytes < limit, now.bytes, limit)),
            beat.skip.eq(now.skip),
            beat.conversion.eq(now.conversion),
            beat.last.eq(now.length == 0),
            request.valid.eq(active & (pending != BUFFERED_BEATS)),
            request.payload.address.eq(now.local),
            request.payload.size.eq(size),
            self.pieces.ready.eq(~active | (go & beat.last)),
            self.working.eq(active | (pending != 0)),
        ]
        m.d.sync += pending.eq(pending + go - sent)
        with m.If(go):
            m.d.sync += [
                now.local.eq(now.local + size),
                now.bytes.eq(now.bytes - beat.bytes),
                now.skip.eq(0),
                now.length.eq(now.length - 1),
            ]
        with m.If(self.pieces.ready):
            m.d.sync += [active.eq(self.pieces.valid), now.length.eq(self.pieces.payload.length)]
            with m.If(~self.pieces.payload.resumed):
                m.d.sync += now.eq(self.pieces.payload)
        self._send(m, beat)
        return m

    def _send(self, m: Module, beat: data.View) -> None:
        """Joins responses, which come a fixed time after their requests, with their beats."""
        accepted = Signal.like(beat)
        answered = Signal.like(beat)
        m.d.sync += [accepted.eq(beat), answered.eq(accepted)]
        source = converted(m, answered.conversion, self.read.response.data,
                           width_bytes=self._bus_bytes)
        wanted = Signal(self._bus_bytes)
        layout = self.w.payload.shape()
        buffer = SyncFIFO(width=layout.size, depth=BUFFERED_BEATS)
        m.submodules.buffer = buffer
        written = data.View(layout, buffer.w_data)
        m.d.comb += [
            wanted.eq((1 << answered.bytes) - 1),
            written.data.eq(source << (answered.skip << 3)),
            written.strobe.eq(wanted << answered.skip),
            written.last.eq(answered.last),
            buffer.w_en.eq(self.read.response.valid),
            self.w.payload.eq(buffer.r_data),
            self.w.valid.eq(buffer.r_rdy),
            buffer.r_en.eq(self.w.ready),
        ]
