"""Operands: registers, streams, constants, the lane number, and lanes exchanged."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.vector.micro import micro_layout, target_layout
from hw.core.vector.transposer import Transposer
from hw.isa.params import CONSTANTS, INPUT_STREAMS, VECTOR_REGISTERS


class Operands(wiring.Component):
    """Two stages: the registers are read, then every operand is chosen.

    Members:
        issued: the micro-operation issued in this cycle.
        chosen: the one of the cycle before, whose streams' data is there; zero if there is none.
        constants, streams: what it may name.
        target, result: a result to be written to a register; a read in the next cycle sees it.
        a, b, c: operands of the micro-operation before. Rows for the transposer are kept here.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        group = data.ArrayLayout(32, config.lanes)
        super().__init__({
            "issued": In(micro_layout(config)), "chosen": In(micro_layout(config)),
            "constants": In(data.ArrayLayout(32, CONSTANTS)),
            "streams": In(data.ArrayLayout(group, INPUT_STREAMS)),
            "target": In(target_layout(config)), "result": In(group),
            "a": Out(group), "b": Out(group), "c": Out(group),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.registers = registers = Memory(
            shape=32 * self.config.lanes, depth=VECTOR_REGISTERS * self.config.strip_groups,
            init=[])
        write = registers.write_port()
        m.d.comb += [
            write.addr.eq(Cat(self.target.group, self.target.vd)),
            write.data.eq(self.result), write.en.eq(self.target.register),
        ]
        columns = self._transposer(m)
        for name in ("a", "b", "c"):
            read = registers.read_port()
            code = f"v{name}"
            m.d.comb += read.addr.eq(Cat(self.issued.group, self.issued[code][:4]))
            operand = Signal(32 * self.config.lanes, name=f"operand_{name}")
            self._choose(m, operand, self.chosen[code], read.data, columns)
            if name == "b":
                operand = self._exchange(m, operand, self.chosen.swz)
            m.d.sync += getattr(self, name).eq(operand)
        return m

    def _transposer(self, m: Module) -> Value:
        m.submodules.transposer = transposer = Transposer(self.config)
        m.d.sync += [
            transposer.write.eq(self.chosen.transposer), transposer.row.eq(self.chosen.group),
        ]
        m.d.comb += [transposer.data.eq(self.b), transposer.column.eq(self.chosen.group)]
        return transposer.skewed.as_value()

    def _choose(self, m: Module, operand: Signal, code: Value, register: Value,
                columns: Value) -> None:
        lanes = self.config.lanes
        numbers = Cat(Const(lane, 32) for lane in range(lanes))
        constant = Signal(32)
        m.d.comb += constant.eq(Array(self.constants)[code[:4]])
        with m.Switch(code):
            for stream in range(INPUT_STREAMS):
                with m.Case(f"01--{stream:02b}"):
                    m.d.comb += operand.eq(self.streams[stream])
            with m.Case("10----"):
                m.d.comb += operand.eq(constant.replicate(lanes))
            with m.Case("11----"):
                m.d.comb += operand.eq(Mux(code[0], columns, numbers))
            with m.Default():
                m.d.comb += operand.eq(register)

    def _exchange(self, m: Module, operand: Signal, swz: Value) -> Signal:
        """Lane j from lane j xor swz."""
        count = self.config.lanes
        for level in range((count - 1).bit_length()):
            lanes = [operand[32 * i:32 * i + 32] for i in range(count)]
            exchanged = Signal(32 * count, name=f"exchanged{level}")
            m.d.comb += exchanged.eq(Mux(
                swz[level], Cat(lanes[i ^ (1 << level)] for i in range(count)), operand))
            operand = exchanged
        return operand
