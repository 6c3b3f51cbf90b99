"""Scalar arithmetic: one cycle for most functions, several for products and quotients."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.isa.scalar import ALU, BRANCHES

FUNCTIONS = list(ALU)
CONDITIONS = list(BRANCHES)
MULTIPLY_CYCLES = 3
DIVIDE_CYCLES = 34
"""Cycles an instruction occupies the execution stage."""


class Alu(wiring.Component):
    """Functions of two 32-bit operands, numbered as in `hw.isa.scalar`.

    Members:
        function: index into FUNCTIONS; condition: index into CONDITIONS.
        start: the operands are those of an instruction that has not been finished; they stay
            until `done`.
        done: `result` is valid. Always set for functions of one cycle.
        holds: the condition, in the same cycle.
    """

    def __init__(self) -> None:
        super().__init__({
            "function": In(range(len(FUNCTIONS))),
            "condition": In(range(len(CONDITIONS))),
            "a": In(32),
            "b": In(32),
            "start": In(1),
            "done": Out(1),
            "result": Out(32),
            "holds": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        difference = Signal(33)
        less, less_unsigned = Signal(), Signal()
        m.d.comb += [
            difference.eq(self.a - self.b),
            less_unsigned.eq(difference[32]),
            less.eq(Mux(self.a[31] ^ self.b[31], self.a[31], difference[32])),
        ]
        results = self._simple(difference, less, less_unsigned)
        m.d.comb += self.done.eq(1)
        self._multiply(m, results)
        self._divide(m, results)
        with m.Switch(self.function):
            for number, name in enumerate(FUNCTIONS):
                with m.Case(number):
                    m.d.comb += self.result.eq(results[name])
        self._compare(m, less, less_unsigned)
        return m

    def _simple(self, difference: Value, less: Value, less_unsigned: Value) -> dict[str, Value]:
        a, b, amount = self.a, self.b, self.b[:5]
        return {
            "add": a + b, "sub": difference, "and": a & b, "or": a | b, "xor": a ^ b,
            "sll": a << amount, "srl": a >> amount, "sra": a.as_signed() >> amount,
            "slt": less, "sltu": less_unsigned,
            "min": Mux(less, a, b), "max": Mux(less, b, a),
        }

    def _compare(self, m: Module, less: Signal, less_unsigned: Signal) -> None:
        equal = self.a == self.b
        holds = {"beq": equal, "bne": ~equal, "blt": less, "bge": ~less,
                 "bltu": less_unsigned, "bgeu": ~less_unsigned}
        with m.Switch(self.condition):
            for number, name in enumerate(CONDITIONS):
                with m.Case(number):
                    m.d.comb += self.holds.eq(holds[name])

    def _is(self, *names: str) -> Value:
        return self.function.matches(*(FUNCTIONS.index(name) for name in names))

    def _multiply(self, m: Module, results: dict[str, Value]) -> None:
        """16 x 16 partial products, then their sum: two register stages of hard multipliers."""
        low, cross, product = Signal(32), Signal(16), Signal(32)
        step = Signal(range(MULTIPLY_CYCLES))
        m.d.sync += [
            low.eq(self.a[:16] * self.b[:16]),
            cross.eq((self.a[:16] * self.b[16:])[:16] + (self.a[16:] * self.b[:16])[:16]),
            product.eq(low + (cross << 16)),
            step.eq(0),
        ]
        results["mul"] = product
        with m.If(self._is("mul")):
            last = step == MULTIPLY_CYCLES - 1
            m.d.comb += self.done.eq(last)
            m.d.sync += step.eq(Mux(self.start & ~last, step + 1, 0))

    def _divide(self, m: Module, results: dict[str, Value]) -> None:
        """Restoring division, a quotient bit a cycle; a zero divisor gives what the ISA asks for.
        """
        quotient, remainder = Signal(32), Signal(32)
        step = Signal(range(DIVIDE_CYCLES))
        shifted, reduced = Signal(33), Signal(34)
        m.d.comb += [
            shifted.eq(Cat(quotient[31], remainder)),
            reduced.eq(shifted - self.b),
        ]
        results["divu"], results["remu"] = quotient, remainder
        m.d.sync += step.eq(0)
        with m.If(self._is("divu", "remu")):
            last = step == DIVIDE_CYCLES - 1
            m.d.comb += self.done.eq(last)
            m.d.sync += step.eq(Mux(self.start & ~last, step + 1, 0))
            with m.If(step == 0):
                m.d.sync += [quotient.eq(self.a), remainder.eq(Const(0, 32))]
            with m.Elif(~last):
                fits = ~reduced[33]
                m.d.sync += [
                    quotient.eq(Cat(fits, quotient)),
                    remainder.eq(Mux(fits, reduced, shifted)),
                ]
