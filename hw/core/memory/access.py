"""From a byte address to banks, line and position."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core.memory.interleave import bank_pair
from hw.core.memory.ports import ACCUMULATORS, SCRATCHPAD, Port


class Access:
    """Where the request of one port goes, as signals of the module that decodes it.

    need:    banks wanted, scratchpad banks first; none for an idle or a faulting request.
    fault:   the request leaves its memory or names one that the port cannot reach.
    line:    number of the first line; `next_line` the one after it.
    even_pair, odd_pair: numbers of the bank pairs of the even and of the odd one of these lines.
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
        pairs = max(config.scratchpad_banks, config.accumulator_banks) // 2
        self.even_pair = Signal(range(pairs), name=f"{port.name}_even_pair")
        self.odd_pair = Signal(range(pairs), name=f"{port.name}_odd_pair")
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
            self.need.eq(Mux(active & ~self.fault, self._banks(m, address[31]), 0)),
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

    def _banks(self, m: Module, in_accumulators: Value) -> Value:
        """Adds the numbers of the bank pairs; returns the banks wanted of both memories."""
        config, wanted = self.config, []
        for memory, chosen, lines, banks in (
            (SCRATCHPAD, ~in_accumulators, config.scratchpad_lines, config.scratchpad_banks),
            # Everyone goes through accumulators row by row: who follows another never meets it.
            (ACCUMULATORS, in_accumulators, config.accumulator_banks, config.accumulator_banks),
        ):
            if not self.port.reach & memory:
                wanted.append(Const(0, banks))
                continue
            with m.If(chosen):
                m.d.comb += [
                    self.even_pair.eq(bank_pair(self.next_line, lines, banks)),
                    self.odd_pair.eq(bank_pair(self.line, lines, banks)),
                ]
            wanted.append(Mux(chosen, self._of_pairs(banks // 2), 0))
        return Cat(wanted)

    def _of_pairs(self, pairs: int) -> Value:
        even, odd = self.crosses | ~self.line[0], self.crosses | self.line[0]
        return Cat(
            Cat(even & (self.even_pair == pair), odd & (self.odd_pair == pair))
            for pair in range(pairs))

    def row(self, bank: int, banks: int) -> Value:
        """Row of the access in a bank: that of the even line in an even bank, else of the odd."""
        line = self.line if bank % 2 else self.next_line
        return line[exact_log2(banks):]
