"""The scalar register file."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.isa.host import REGISTERS

REGISTER_WRITE = data.StructLayout({"valid": 1, "index": range(REGISTERS), "value": 32})


class RegisterFile(wiring.Component):
    """32 registers of 32 bits, zero after reset; register 0 stays zero.

    Reads are combinational and see a write of the same cycle.

    Members:
        indices, values: the two registers read.
        write: performed at the end of the cycle in which `valid` is set.
    """

    def __init__(self) -> None:
        super().__init__({
            "indices": In(data.ArrayLayout(range(REGISTERS), 2)),
            "values": Out(data.ArrayLayout(32, 2)),
            "write": In(REGISTER_WRITE),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=32, depth=REGISTERS, init=[])
        # Written flags instead of cleared registers, so that these can be distributed RAM.
        written = Signal(REGISTERS)
        port = memory.write_port()
        m.d.comb += [
            port.addr.eq(self.write.index), port.data.eq(self.write.value),
            port.en.eq(self.write.valid & (self.write.index != 0)),
        ]
        with m.If(port.en):
            m.d.sync += written.bit_select(self.write.index, 1).eq(1)
        for number in range(2):
            index = self.indices[number]
            read = memory.read_port(domain="comb")
            m.d.comb += [
                read.addr.eq(index),
                self.values[number].eq(Mux(
                    port.en & (self.write.index == index), self.write.value,
                    Mux(written.bit_select(index, 1), read.data, 0))),
            ]
        return m
