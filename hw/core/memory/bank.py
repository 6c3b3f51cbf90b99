"""One bank: a one-read one-write memory of lines."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Bank(wiring.Component):
    """`lines` lines of `line_bytes` bytes, one read and one masked write per cycle.

    `read_data` follows one cycle after `read_enable` and stays until the next read; a read
    of the line that is written in the same cycle returns the old bytes.
    """

    def __init__(self, *, lines: int, line_bytes: int) -> None:
        self._lines = lines
        self._line_bytes = line_bytes
        super().__init__({
            "read_enable": In(1),
            "read_line": In(range(lines)),
            "read_data": Out(8 * line_bytes),
            "write_line": In(range(lines)),
            "write_data": In(8 * line_bytes),
            "write_mask": In(line_bytes),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=8 * self._line_bytes, depth=self._lines, init=[]
        )
        read = memory.read_port()
        write = memory.write_port(granularity=8)
        m.d.comb += [
            read.en.eq(self.read_enable), read.addr.eq(self.read_line),
            self.read_data.eq(read.data),
            write.addr.eq(self.write_line), write.data.eq(self.write_data),
            write.en.eq(self.write_mask),
        ]
        return m
