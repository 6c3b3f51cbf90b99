"""One lane: every operation but the special functions, in five stages."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.core.float.adder import ALIGNED_SUM, add_align, add_round
from hw.core.float.convert import (
    bf16_to_f32,
    f16_to_f32,
    f32_to_bf16,
    f32_to_f16,
    f32_to_integer,
    integer_to_f32,
)
from hw.core.float.integral import round_to_integral
from hw.core.float.multiplier import (
    PARTIALS,
    PRODUCT,
    multiply_partials,
    multiply_round,
    multiply_sum,
)
from hw.core.vector.compare import compare
from hw.core.vector.operations import LANE_CONTROL, Convert, Result, Simple

STAGES = 5
"""Multiplication takes three stages, the addition of `fmac` two more; all others wait along."""

SIGN = 1 << 31


class Lane(wiring.Component):
    """`result` is that of the operands of `STAGES` cycles before; one operation a cycle.

    Members:
        a, b, c: operands.
        permuted: lane b of operand a, as `perm` asks for.
        control: for each stage the control of the operation in it; shared by all lanes.
    """

    a: In(32)
    b: In(32)
    c: In(32)
    permuted: In(32)
    control: In(data.ArrayLayout(LANE_CONTROL, STAGES))
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product = self._multiply(m)
        passed, addend = Signal(32), Signal(32)
        m.d.sync += [
            passed.eq(self._simple(m, self.control[0])),
            addend.eq(self._addend(self.control[0])),
        ]
        for stage in (self._convert_first, self._convert_second):
            control = self.control[1 if stage == self._convert_first else 2]
            converted, later = Signal(32), Signal(32)
            m.d.sync += [converted.eq(stage(m, passed, control)), later.eq(addend)]
            passed, addend = converted, later
        self._sum(m, product, passed, addend)
        return m

    def _multiply(self, m: Module) -> Signal:
        partials, exact, product = Signal(PARTIALS), Signal(PRODUCT), Signal(32)
        m.d.sync += [
            partials.eq(multiply_partials(m, self.a, self.b, self.control[0].multiply)),
            exact.eq(multiply_sum(m, partials)),
            product.eq(multiply_round(m, exact)),
        ]
        return product

    def _addend(self, control: data.View) -> Value:
        return Mux(control.product_sum, self.c, self.b ^ Mux(control.negate, SIGN, 0))

    def _simple(self, m: Module, control: data.View) -> Signal:
        a, b = self.a, self.b
        comparison = compare(m, a, b, control.order, control.relation)
        far = b[5:].any()
        results = {
            Simple.A: a,
            Simple.B: b,
            Simple.AND: a & b,
            Simple.OR: a | b,
            Simple.XOR: a ^ b,
            Simple.SUM: a + b,
            Simple.DIFFERENCE: a - b,
            Simple.LEFT: Mux(far, 0, (a << b[:5])[:32]),
            Simple.RIGHT: Mux(far, 0, a >> b[:5]),
            Simple.RIGHT_ARITHMETIC: a.as_signed() >> Mux(far, 31, b[:5]),
            Simple.COMPARE: comparison.holds,
            Simple.MINIMUM: comparison.minimum,
            Simple.MAXIMUM: comparison.maximum,
            Simple.CHOICE: Mux(a.any(), b, self.c),
            Simple.PERMUTED: self.permuted,
        }
        result = Signal(32)
        with m.Switch(control.simple):
            for kind, value in results.items():
                with m.Case(kind):
                    m.d.comb += result.eq(value)
        return result

    @staticmethod
    def _convert_first(m: Module, value: Signal, control: data.View) -> Signal:
        result = Signal(32)
        convert = control.convert
        with m.Switch(convert):
            with m.Case(Convert.TO_SIGNED, Convert.TO_UNSIGNED):
                is_signed = convert == Convert.TO_SIGNED
                m.d.comb += result.eq(f32_to_integer(m, value, is_signed))
            with m.Case(Convert.FLOOR, Convert.CEIL, Convert.NEAREST, Convert.TRUNC):
                m.d.comb += result.eq(round_to_integral(m, value, convert.as_value()[:2]))
            with m.Case(Convert.BF16):
                m.d.comb += result.eq(bf16_to_f32(f32_to_bf16(value)))
            with m.Case(Convert.F16):
                m.d.comb += result.eq(f32_to_f16(m, value))
            with m.Default():
                m.d.comb += result.eq(value)
        return result

    @staticmethod
    def _convert_second(m: Module, value: Signal, control: data.View) -> Signal:
        result = Signal(32)
        with m.Switch(control.convert):
            with m.Case(Convert.FROM_SIGNED, Convert.FROM_UNSIGNED):
                is_signed = control.convert == Convert.FROM_SIGNED
                m.d.comb += result.eq(integer_to_f32(m, value, is_signed))
            with m.Case(Convert.F16):
                m.d.comb += result.eq(f16_to_f32(m, value[:16]))
            with m.Default():
                m.d.comb += result.eq(value)
        return result

    def _sum(self, m: Module, product: Signal, passed: Signal, addend: Signal) -> None:
        fourth, fifth = self.control[3], self.control[4]
        use_product = (fourth.result == Result.PRODUCT) | fourth.product_sum
        other, waiting = Signal(32), Signal(32)
        middle = Signal(ALIGNED_SUM)
        m.d.comb += other.eq(Mux(use_product, product, passed))
        m.d.sync += [
            middle.eq(add_align(m, other, addend)),
            waiting.eq(other),
            self.result.eq(Mux(fifth.result == Result.SUM, add_round(m, middle), waiting)),
        ]
