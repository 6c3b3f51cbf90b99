"""From a byte address to banks, line and position."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core.memory.ports import ACCUMULATORS, SCRATCHPAD, Port


class Access:
    """Where the request of one port goes, as signals of the module that decodes it.

    need:    banks wanted, scratchpad banks first; none for an idle or a faulting request.
    fault:   the request leaves its memory or names one that the port cannot reach.
    line:    number of the first line; `next_line` the one after it.
    offset:  position of the first byte in its line.
    crosses: bytes of `next_line` are wanted, too.
    """

    def __init__(self, port: Port, config: AcceleratorConfig) -> None:
        self.port = port
        self.config = config
        line_bits = 31 - exact_log2(config.line_bytes)
        banks = config.scratchpad_banks + config.accumulator_banks
        self.need = Signal(banks, name=f"{port.name}_need")
        self.fault = Signal(name=f"{port.name}_fault")
        self.line = Signal(line_bits, name=f"{port.name}_line")
        self.next_line = Signal(line_bits, name=f"{port.name}_next_line")
        self.offset = Signal(range(config.line_bytes), name=f"{port.name}_offset")
        self.crosses = Signal(name=f"{port.name}_crosses")

    def decode(self, m: Module, *, valid: Value, address: Value, size: Value) -> None:
        """Adds the logic; all of it is combinational."""
        offset_bits = len(self.offset)
        last = Signal(32, name=f"{self.port.name}_last")
        active = Signal(name=f"{self.port.name}_active")
        m.d.comb += [
            last.eq(address[:31] + size - 1),
            active.eq(valid & (size != 0)),
            self.fault.eq(active & self._outside(address[31], last)),
            self.offset.eq(address),
            self.line.eq(address[offset_bits:31]),
            self.next_line.eq(self.line + 1),
            self.crosses.eq(last[offset_bits] != self.line[0]),
            self.need.eq(Mux(active & ~self.fault, self._banks(address[31]), 0)),
        ]

    def _outside(self, in_accumulators: Value, last: Value) -> Value:
        beyond = {
            SCRATCHPAD: last[exact_log2(self.config.scratchpad_bytes):].any(),
            ACCUMULATORS: last[exact_log2(self.config.accumulator_bytes):].any(),
        }
        scratchpad, accumulators = (
            beyond[memory] if self.port.reach & memory else Const(1)
            for memory in (SCRATCHPAD, ACCUMULATORS)
        )
        return Mux(in_accumulators, accumulators, scratchpad)

    def _banks(self, in_accumulators: Value) -> Value:
        wanted = [
            Mux(in_accumulators == chosen, self._pair(banks), 0) if self.port.reach & memory
            else Const(0, banks)
            for memory, banks, chosen in (
                (SCRATCHPAD, self.config.scratchpad_banks, 0),
                (ACCUMULATORS, self.config.accumulator_banks, 1),
            )
        ]
        return Cat(Value.cast(v)[:banks] for v, banks in zip(
            wanted, (self.config.scratchpad_banks, self.config.accumulator_banks), strict=True
        ))

    def _pair(self, banks: int) -> Value:
        first = Const(1, banks) << self.line[:exact_log2(banks)]
        first = first[:banks]
        return first | Mux(self.crosses, first.rotate_left(1), 0)

    def row(self, bank: int, banks: int) -> Value:
        """Row of the access in a bank. Only in bank 0 can `next_line` be a row further."""
        line = self.next_line if bank == 0 else self.line
        return line[exact_log2(banks):]
