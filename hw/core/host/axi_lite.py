"""AXI4-Lite transactions as reads and writes of registers."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.core import interfaces

REGISTER_BYTES = 4096
"""Address space of the registers; higher address bits are not looked at."""
REGISTER_WRITE = data.StructLayout({
    "valid": 1, "address": range(REGISTER_BYTES), "data": 32, "strobe": 4,
})


class AxiLiteSubordinate(wiring.Component):
    """One transaction of each direction at a time.

    Members:
        bus: the host's side.
        write: performed in the cycle in which `valid` is set.
        read_address, read_data: combinational look-up, taken in some later cycle.
    """

    def __init__(self) -> None:
        super().__init__({
            "bus": In(interfaces.axi_lite()),
            "write": Out(REGISTER_WRITE),
            "read_address": Out(range(REGISTER_BYTES)),
            "read_data": In(32),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, both, looked_up = self.bus, Signal(), Signal()
        m.d.comb += [
            both.eq(bus.aw.valid & bus.w.valid & (~bus.b.valid | bus.b.ready)),
            bus.aw.ready.eq(both), bus.w.ready.eq(both),
            self.write.valid.eq(both),
            self.write.address.eq(bus.aw.payload.address),
            self.write.data.eq(bus.w.payload.data), self.write.strobe.eq(bus.w.payload.strobe),
            bus.ar.ready.eq(~looked_up & ~bus.r.valid),
        ]
        with m.If(both):
            m.d.sync += bus.b.valid.eq(1)
        with m.Elif(bus.b.ready):
            m.d.sync += bus.b.valid.eq(0)
        m.d.sync += looked_up.eq(bus.ar.valid & bus.ar.ready)
        with m.If(bus.ar.valid & bus.ar.ready):
            m.d.sync += self.read_address.eq(bus.ar.payload.address)
        with m.If(looked_up):
            m.d.sync += [bus.r.valid.eq(1), bus.r.payload.data.eq(self.read_data)]
        with m.Elif(bus.r.ready):
            m.d.sync += bus.r.valid.eq(0)
        return m
