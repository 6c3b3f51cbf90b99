"""A minimal design with the ports of the accelerator, to test the simulation harness with."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.interfaces import axi_lite, axi_read, axi_write

SOURCE, DESTINATION, LENGTH, GO, RESPONSES, BREAK_LAST = range(0, 24, 4)
"""Registers: the low words of two bus addresses, beats less one, start, and the responses of the
last copy (read in bits 1:0, write in 3:2). BREAK_LAST inverts `last`."""


class Copier(wiring.Component):
    """Copies one burst from SOURCE to DESTINATION, then raises the interrupt until the next GO."""

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__({
            "read": Out(axi_read(config)), "write": Out(axi_write(config)),
            "host": In(axi_lite()), "interrupt": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        registers = [Signal(32, name=f"register{i}") for i in range(6)]
        ar_sent, aw_sent = Signal(), Signal()
        read, write = self.read, self.write
        running = Signal()
        m.d.comb += [
            read.ar.valid.eq(running & ~ar_sent), write.aw.valid.eq(running & ~aw_sent),
            write.w.valid.eq(read.r.valid), read.r.ready.eq(write.w.ready),
            write.w.payload.data.eq(read.r.payload.data), write.w.payload.strobe.eq(-1),
            write.w.payload.last.eq(read.r.payload.last ^ registers[BREAK_LAST // 4][0]),
            write.b.ready.eq(1),
        ]
        for address, register in ((read.ar, SOURCE), (write.aw, DESTINATION)):
            m.d.comb += [address.payload.length.eq(registers[LENGTH // 4]),
                         address.payload.address.eq(Cat(registers[register // 4], 1))]
        m.d.sync += [ar_sent.eq(ar_sent | read.ar.ready & read.ar.valid),
                     aw_sent.eq(aw_sent | write.aw.ready & write.aw.valid)]
        with m.If(read.r.valid & read.r.ready):
            m.d.sync += registers[RESPONSES // 4][0:2].eq(read.r.payload.response)
        with m.If(write.b.valid):
            m.d.sync += [registers[RESPONSES // 4][2:4].eq(write.b.payload.response),
                         running.eq(0), self.interrupt.eq(1)]
        with m.If(self._registers(m, registers)):
            m.d.sync += [running.eq(1), ar_sent.eq(0), aw_sent.eq(0), self.interrupt.eq(0)]
        return m

    def _registers(self, m: Module, registers: list[Signal]) -> Signal:
        """The register file behind AXI4-Lite; returns the pulse of a write to GO."""
        host = self.host
        both, go, answer, read_answer = Signal(), Signal(), Signal(), Signal()
        known = Signal()
        m.d.comb += [
            both.eq(host.aw.valid & host.w.valid & ~answer), host.aw.ready.eq(both),
            host.w.ready.eq(both), host.b.valid.eq(answer), host.ar.ready.eq(~read_answer),
            host.r.valid.eq(read_answer), known.eq(host.aw.payload.address < 24),
            go.eq(both & (host.aw.payload.address == GO)),
        ]
        with m.If(both):
            m.d.sync += [answer.eq(1), host.b.payload.response.eq(Mux(known, 0, 3))]
            for number, register in enumerate(registers):
                with m.If(host.aw.payload.address == 4 * number):
                    m.d.sync += register.eq(host.w.payload.data)
        with m.Elif(host.b.ready):
            m.d.sync += answer.eq(0)
        with m.If(host.ar.valid & ~read_answer):
            m.d.sync += read_answer.eq(1)
            for number, register in enumerate(registers):
                with m.If(host.ar.payload.address == 4 * number):
                    m.d.sync += host.r.payload.data.eq(register)
        with m.Elif(host.r.ready):
            m.d.sync += read_answer.eq(0)
        return go
