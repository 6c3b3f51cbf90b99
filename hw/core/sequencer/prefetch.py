"""Which lines the instruction cache asks the bus for, and when."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.layouts import WINDOW
from hw.isa.encoding import WORD_BYTES

LINE_WORDS = 8
OFFSET_BITS = exact_log2(LINE_WORDS)
LINE_BYTES = LINE_WORDS * WORD_BYTES
LINE_BITS = 32 - exact_log2(LINE_BYTES)
LINES_AHEAD = 8
"""Covers 64 cycles of latency at an instruction per cycle; half of the smallest cache."""

FILL = data.StructLayout({"line": LINE_BITS, "beat": range(LINE_BYTES // 4 + 1)})


class Prefetcher(wiring.Component):
    """Walks from the wanted line up to eight lines ahead and asks for those that are not held.

    Members:
        demand, demand_held: the wanted line; whether it is in the cache, on its way, or
            cannot be had.
        candidate: the line looked at in this cycle. candidate_held: likewise;
            candidate_blocked: its place waits for another line.
        asked: the candidate is being asked for; it takes its place in the cache.
        fill: the line that arrives next, and the number of its beats that have arrived.
        bad: one of these had an error.
        filled, failed: its last beat arrives; some beat had an error.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._bus_bytes = config.bus_bytes
        super().__init__({
            "run": In(1),
            "window": In(WINDOW),
            "demand": In(LINE_BITS),
            "demand_held": In(1),
            "candidate": Out(LINE_BITS),
            "candidate_held": In(1),
            "candidate_blocked": In(1),
            "asked": Out(1),
            "fill": Out(FILL),
            "filled": Out(1),
            "failed": Out(1),
            "bad": Out(1),
            "bus": Out(interfaces.axi_read(config)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.asked_lines = lines = SyncFIFO(width=LINE_BITS, depth=LINES_AHEAD)
        distance = Signal(LINE_BITS)
        past_end, blocked = Signal(), Signal()
        m.d.comb += [
            distance.eq(self.candidate - self.demand),
            past_end.eq((self.candidate << exact_log2(LINE_BYTES)) >= self.window.size),
            blocked.eq(past_end | (distance >= LINES_AHEAD)),
            lines.w_data.eq(self.candidate), lines.w_en.eq(self.asked),
        ]
        address_free = ~self.bus.ar.valid | self.bus.ar.ready
        with m.If(self.bus.ar.ready):
            m.d.sync += self.bus.ar.valid.eq(0)
        with m.If((self.candidate != self.demand) & (~self.demand_held | (distance > LINES_AHEAD))):
            m.d.sync += self.candidate.eq(self.demand)
        with m.Elif(self.run & ~blocked):
            with m.If(self.candidate_held):
                m.d.sync += self.candidate.eq(self.candidate + 1)
            with m.Elif(address_free & lines.w_rdy & ~self.candidate_blocked):
                m.d.comb += self.asked.eq(1)
                m.d.sync += [
                    self.candidate.eq(self.candidate + 1),
                    self.bus.ar.valid.eq(1),
                    self.bus.ar.payload.address.eq(
                        self.window.base + (self.candidate << exact_log2(LINE_BYTES))),
                    self.bus.ar.payload.length.eq(self._beats() - 1),
                ]
        self._receive(m, lines)
        return m

    def _beats(self) -> Value:
        """Bus beats of the candidate that the window reaches; at least one of its words."""
        most = LINE_BYTES // self._bus_bytes
        left = self.window.size - (self.candidate << exact_log2(LINE_BYTES))
        beats = (left + self._bus_bytes - 1) >> exact_log2(self._bus_bytes)
        return Mux(left < LINE_BYTES, beats, Const(most))

    def _receive(self, m: Module, lines: SyncFIFO) -> None:
        r = self.bus.r
        m.d.comb += [
            r.ready.eq(1),
            self.fill.line.eq(lines.r_data),
            self.filled.eq(r.valid & r.payload.last),
            self.failed.eq(self.bad | (r.payload.response != 0)),
            lines.r_en.eq(self.filled),
        ]
        with m.If(r.valid):
            m.d.sync += [
                self.fill.beat.eq(Mux(r.payload.last, 0, self.fill.beat + 1)),
                self.bad.eq(self.failed & ~r.payload.last),
            ]
