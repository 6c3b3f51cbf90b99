"""Memory of L x L lanes, written by rows and read by columns."""

from amaranth.hdl import Cat, Module
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig


class Transposer(wiring.Component):
    """One bank for each lane; neither rows nor columns have two elements in a bank.

    Members:
        write: store in `row` a group whose lane j is element j xor row.
        column: whose lane j of `skewed`, combinational, is element j xor column.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._lanes = config.lanes
        group = data.ArrayLayout(32, config.lanes)
        super().__init__({
            "write": In(1), "row": In(range(config.lanes)), "data": In(group),
            "column": In(range(config.lanes)), "skewed": Out(group),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        elements = []
        for lane in range(self._lanes):
            bank = Memory(shape=32, depth=self._lanes, init=[])
            m.submodules[f"bank{lane}"] = bank
            write, read = bank.write_port(), bank.read_port(domain="comb")
            m.d.comb += [
                write.en.eq(self.write), write.addr.eq(self.row), write.data.eq(self.data[lane]),
                read.addr.eq(self.column ^ lane),
            ]
            elements.append(read.data)
        m.d.comb += self.skewed.as_value().eq(Cat(elements))
        return m
