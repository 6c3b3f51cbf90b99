"""Asks the bus for bursts."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.bursts import BURST, BURST_BEATS

BEATS_PER_BURST = 4
"""Beats in flight, per outstanding burst of the configuration: rows of this length and long
bursts cover the same latency, and an instruction fetch never waits behind more."""


class ReadIssue(wiring.Component):
    """Issues bursts while the limits on bursts and beats in flight allow; passes the data on.

    Members:
        stop: issue no more; an address already shown to the bus stays.
        quiet: nothing is in flight.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "bursts": In(stream.Signature(BURST)),
            "stop": In(1),
            "quiet": Out(1),
            "axi": Out(interfaces.axi_read(config)),
            "beats": interfaces.axi_read(config).members["r"].flip(),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        most_bursts = self._config.outstanding_bursts
        most_beats = max(BURST_BEATS, BEATS_PER_BURST * most_bursts)
        bursts = Signal(range(most_bursts + 1))
        beats = Signal(range(most_beats + 1))
        length = self.bursts.payload.length + 1
        issued = self.bursts.valid & self.bursts.ready
        arrived = self.axi.r.valid & self.axi.r.ready
        ended = arrived & self.axi.r.payload.last
        m.d.comb += [
            self.bursts.ready.eq(
                ~self.stop & (~self.axi.ar.valid | self.axi.ar.ready)
                & (bursts != most_bursts) & (beats + length <= most_beats)),
            self.beats.valid.eq(self.axi.r.valid),
            self.beats.payload.eq(self.axi.r.payload),
            self.axi.r.ready.eq(self.beats.ready),
            self.quiet.eq(bursts == 0),
        ]
        m.d.sync += [
            bursts.eq(bursts + issued - ended),
            beats.eq(beats + (length & issued.replicate(9)) - arrived),
        ]
        with m.If(self.axi.ar.ready):
            m.d.sync += self.axi.ar.valid.eq(0)
        with m.If(issued):
            m.d.sync += [
                self.axi.ar.valid.eq(1),
                self.axi.ar.payload.address.eq(self.bursts.payload.address),
                self.axi.ar.payload.length.eq(self.bursts.payload.length),
            ]
        return m
