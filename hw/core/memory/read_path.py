"""From the banks' outputs to a port's response: pick two adjacent lines, shift."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.memory.ports import ACCUMULATORS, SCRATCHPAD, Port


class ReadPath(wiring.Component):
    """The data half of one read port; one instance per port.

    Of two adjacent lines one is in an even bank and one in an odd bank, so each is picked among
    half of the banks.

    Members:
        accepted: a request is accepted in this cycle, of the accumulators or of the scratchpad,
            for an even line in the pair of banks number `even_pair` and an odd one in that of
            number `odd_pair`, from byte `offset` of the first of them, the odd if `odd_first`.
        lines: outputs of all banks, scratchpad first, in the cycle after.
        response: two cycles after.
    """

    def __init__(self, port: Port, config: AcceleratorConfig) -> None:
        self._port = port
        self._line_bytes = config.line_bytes
        self._banks = {
            SCRATCHPAD: (0, config.scratchpad_banks),
            ACCUMULATORS: (config.scratchpad_banks, config.accumulator_banks),
        }
        most = max(banks for _, banks in self._banks.values())
        super().__init__({
            "accepted": In(1),
            "in_accumulators": In(1),
            "odd_first": In(1),
            "even_pair": In(range(most // 2)),
            "odd_pair": In(range(most // 2)),
            "offset": In(range(config.line_bytes)),
            "lines": In(data.ArrayLayout(
                8 * config.line_bytes, config.scratchpad_banks + config.accumulator_banks
            )),
            "response": Out(wiring.Signature({
                "valid": Out(1), "data": Out(8 * port.width_bytes),
            })),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pending = Signal()
        odd_first = Signal()
        even = Signal.like(self.even_pair)
        odd = Signal.like(self.odd_pair)
        in_accumulators = Signal()
        offset = Signal.like(self.offset)
        m.d.sync += pending.eq(self.accepted)
        with m.If(self.accepted):
            m.d.sync += [
                odd_first.eq(self.odd_first),
                even.eq(self.even_pair),
                odd.eq(self.odd_pair),
                in_accumulators.eq(self.in_accumulators),
                offset.eq(self.offset),
            ]
        even_line = Signal(8 * self._line_bytes)
        odd_line = Signal(8 * self._line_bytes)
        self._pick(m, even_line, Cat(even, in_accumulators), first=0)
        self._pick(m, odd_line, Cat(odd, in_accumulators), first=1)
        low = Mux(odd_first, odd_line, even_line)
        high = Mux(odd_first, even_line, odd_line)
        m.d.sync += self.response.valid.eq(pending)
        with m.If(pending):
            m.d.sync += self.response.data.eq(
                Cat(low, high).bit_select(offset << 3, 8 * self._port.width_bytes)
            )
        return m

    def _pick(self, m: Module, line: Signal, select: Value, *, first: int) -> None:
        """Of the banks first, first + 2, ... of the memory the one with number `select`."""
        with m.Switch(select):
            for code in range(1 << len(select)):
                memory = (SCRATCHPAD, ACCUMULATORS)[code >> (len(select) - 1)]
                start, banks = self._banks[memory]
                if self._port.reach & memory:
                    with m.Case(code):
                        m.d.comb += line.eq(self.lines[start + (first + 2 * code) % banks])
