"""The read channels of the AXI port, shared by instruction fetch and load DMA."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.sequencer.prefetch import LINES_AHEAD


class ReadArbiter(wiring.Component):
    """Addresses of the fetch go first; beats come back in the order of the addresses.

    Members:
        fetch, load: the two managers. bus: the port they share.
        quiet: no address waits, no beat is owed.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._bursts = config.outstanding_bursts + LINES_AHEAD
        axi = interfaces.axi_read(config)
        super().__init__({
            "fetch": In(axi), "load": In(axi), "bus": Out(axi), "quiet": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.owners = owners = SyncFIFO(width=1, depth=self._bursts)
        kept, keep, chosen = Signal(), Signal(), Signal()
        fetch, load, bus = self.fetch, self.load, self.bus
        # An address on the bus stays until it is accepted, whatever comes meanwhile.
        m.d.comb += [
            chosen.eq(Mux(keep, kept, ~fetch.ar.valid)),
            bus.ar.valid.eq(Mux(chosen, load.ar.valid, fetch.ar.valid) & owners.w_rdy),
            bus.ar.payload.eq(Mux(chosen, load.ar.payload.as_value(), fetch.ar.payload.as_value())),
            fetch.ar.ready.eq(~chosen & bus.ar.ready & owners.w_rdy),
            load.ar.ready.eq(chosen & bus.ar.ready & owners.w_rdy),
            owners.w_data.eq(chosen), owners.w_en.eq(bus.ar.valid & bus.ar.ready),
        ]
        m.d.sync += [keep.eq(bus.ar.valid & ~bus.ar.ready), kept.eq(chosen)]
        owner = owners.r_data
        m.d.comb += [
            fetch.r.payload.eq(bus.r.payload), load.r.payload.eq(bus.r.payload),
            fetch.r.valid.eq(bus.r.valid & owners.r_rdy & ~owner),
            load.r.valid.eq(bus.r.valid & owners.r_rdy & owner),
            bus.r.ready.eq(owners.r_rdy & Mux(owner, load.r.ready, fetch.r.ready)),
            owners.r_en.eq(bus.r.valid & bus.r.ready & bus.r.payload.last),
            self.quiet.eq(~owners.r_rdy & ~fetch.ar.valid & ~load.ar.valid),
        ]
        return m
