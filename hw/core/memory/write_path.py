"""From a port's write data to lines: put the bytes into place, mask the others."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core.memory.ports import Port


class WritePath(wiring.Component):
    """The data half of one write port, combinational; one instance per port.

    Both lines of an access that crosses see the same `line`: byte p of a line is byte
    (p - offset) mod width of the data, and only `mask` and `next_mask` differ.
    """

    def __init__(self, port: Port, config: AcceleratorConfig) -> None:
        self._line_bytes = config.line_bytes
        self._width_bytes = port.width_bytes
        super().__init__({
            "offset": In(range(config.line_bytes)),
            "size": In(range(port.width_bytes + 1)),
            "data": In(8 * port.width_bytes),
            "line": Out(8 * config.line_bytes),
            "mask": Out(config.line_bytes),
            "next_mask": Out(config.line_bytes),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = 8 * self._width_bytes
        shift = self.offset[:exact_log2(self._width_bytes)] << 3
        rotated = Signal(bits)
        wanted = Signal(self._width_bytes)
        m.d.comb += [
            rotated.eq((Cat(self.data, self.data) << shift)[bits:]),
            self.line.eq(rotated.replicate(self._line_bytes // self._width_bytes)),
            wanted.eq((1 << self.size) - 1),
            Cat(self.mask, self.next_mask).eq(wanted << self.offset),
        ]
        return m
