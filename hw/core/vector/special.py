"""The special functions: table look-up and quadratic interpolation in integers.

The algorithms are those of `hw.isa.special`; the tables are taken from there.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.core.float.format import FLOAT32, INFINITY, QUIET_NAN, fields, is_nan
from hw.core.vector.operations import Special
from hw.isa.special import LOG2E_Q31, tables

SIGN = 1 << 31
TABLE_START = {Special.EXP: 0, Special.RCP: 128, Special.LOGM: 256, Special.RSQRT: 512}
TABLE_DEPTH = 768
FRACTION_BITS = 23
POSITION_BITS = 16
"""Bits of the position d in an interval of a table."""
SMALLEST_NORMAL = 1 << FRACTION_BITS
EXP_RANGE = 134
"""Biased exponent from which on e**a overflows or vanishes."""

_FLAGS = {"function": Special, "sign": 1, "exponent": 8, "nan": 1}


def _entries() -> tuple[data.StructLayout, list[dict[str, int]]]:
    """Layout and contents of the read-only memory of coefficients."""
    rows = [{"c0": 0, "c1": 0, "c2": 0}] * TABLE_DEPTH
    for function, start in TABLE_START.items():
        table = tables()[Special(function).name.lower()].coefficients
        rows[start:start + len(table)] = [
            dict(zip(("c0", "c1", "c2"), row, strict=True)) for row in table
        ]
    widths = {
        name: max((abs(row[name]) + 1).bit_length() for row in rows) + 1
        for name in ("c0", "c1", "c2")
    }
    return data.StructLayout({name: signed(width) for name, width in widths.items()}), rows


class SpecialFunction(wiring.Component):
    """`result` is `function` of the operand of `STAGES` cycles before; one a cycle."""

    a: In(32)
    function: In(Special)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout, rows = _entries()
        m.submodules.table = table = Memory(shape=layout, depth=TABLE_DEPTH, init=rows)
        port = table.read_port()
        flags, fraction, scaled = self._scale(m)
        flags, position, exponent = self._reduce(m, flags, fraction, scaled, port.addr)
        flags, polynomial, exponent = self._interpolate(m, flags, port.data, position, exponent)
        m.d.sync += self.result.eq(self._compose(m, flags, polynomial, exponent))
        return m

    def _scale(self, m: Module) -> tuple[data.View, Signal, Signal]:
        """First stage: for `exp`, the significand times log2 e."""
        number = fields(FLOAT32, self.a)
        flags, fraction, scaled = Signal(data.StructLayout(_FLAGS)), Signal(23), Signal(32)
        significand = Cat(Const(0, 8), number.fraction, Const(1, 1))
        m.d.sync += [
            flags.function.eq(self.function), flags.sign.eq(number.sign),
            flags.exponent.eq(number.exponent), flags.nan.eq(is_nan(number)),
            fraction.eq(number.fraction),
            scaled.eq((significand * LOG2E_Q31) >> 32),
        ]
        return flags, fraction, scaled

    def _reduce(self, m: Module, flags: data.View, fraction: Signal, scaled: Signal,
                address: Signal) -> tuple[data.View, Signal, Signal]:
        """Second stage: table entry, position in its interval, exponent of the result."""
        is_exp = flags.function == Special.EXP
        x = self._fixed_point(m, flags, scaled)
        argument = Signal(FRACTION_BITS)
        odd = ~flags.exponent[0]
        start = Signal(range(TABLE_DEPTH))
        m.d.comb += argument.eq(Mux(is_exp, x[:FRACTION_BITS], fraction))
        with m.Switch(flags.function):
            for function, first in TABLE_START.items():
                with m.Case(function):
                    m.d.comb += start.eq(first)
        half = (flags.function == Special.RSQRT) & odd
        m.d.comb += address.eq(Cat(argument[POSITION_BITS:], start[7] | half, start[8:]))
        later, position, exponent = Signal.like(flags), Signal(POSITION_BITS), Signal(signed(11))
        m.d.sync += [later.eq(flags), position.eq(argument)]
        with m.Switch(flags.function):
            with m.Case(Special.EXP):
                m.d.sync += exponent.eq((x >> FRACTION_BITS) + 127)
            with m.Case(Special.RCP):
                m.d.sync += exponent.eq(253 - flags.exponent)
            with m.Case(Special.RSQRT):
                unbiased = (flags.exponent - 127 - odd).as_signed()
                m.d.sync += exponent.eq(126 - (unbiased >> 1))
            with m.Case(Special.LOGM):
                m.d.sync += exponent.eq(126)
        return later, position, exponent

    @staticmethod
    def _fixed_point(m: Module, flags: data.View, scaled: Signal) -> Signal:
        """a * log2 e with 23 fraction bits, rounded in magnitude."""
        distance, shift = Signal(signed(9)), Signal(6)
        magnitude, x = Signal(32), Signal(signed(33))
        m.d.comb += [
            distance.eq(EXP_RANGE - flags.exponent),
            shift.eq(Mux(distance < 1, 1, Mux(distance > 32, 32, distance))),
            magnitude.eq(Mux(shift[5], 0, ((scaled >> (shift - 1)[:5]) + 1) >> 1)),
            x.eq(Mux(flags.sign, -magnitude, magnitude)),
        ]
        return x

    @staticmethod
    def _interpolate(m: Module, flags: data.View, entry: data.View, position: Signal,
                     exponent: Signal) -> tuple[data.View, Signal, Signal]:
        """Third and fourth stage and the last sum: c0 + c1*d + c2*d*d."""
        linear, constant, curvature = Signal(signed(32)), Signal(signed(32)), Signal(signed(32))
        square, partial, quadratic = Signal(16), Signal(signed(32)), Signal(signed(32))
        m.d.sync += [
            linear.eq((entry.c1 * position) >> POSITION_BITS),
            square.eq((position * position) >> POSITION_BITS),
            constant.eq(entry.c0), curvature.eq(entry.c2),
            partial.eq(constant + linear),
            quadratic.eq((curvature * square) >> POSITION_BITS),
        ]
        for _ in range(2):
            later_flags, later_exponent = Signal.like(flags), Signal.like(exponent)
            m.d.sync += [later_flags.eq(flags), later_exponent.eq(exponent)]
            flags, exponent = later_flags, later_exponent
        polynomial = Signal(signed(32))
        m.d.comb += polynomial.eq(partial + quadratic)
        return flags, polynomial, exponent

    @staticmethod
    def _compose(m: Module, flags: data.View, polynomial: Signal, exponent: Signal) -> Value:
        """Fifth stage: the bits of polynomial * 2**exponent, and the special operands."""
        bits, doubled = Signal(signed(36)), Signal(32)
        is_logm = flags.function == Special.LOGM
        m.d.comb += [
            bits.eq((exponent << FRACTION_BITS) + ((polynomial + 8) >> 4) - SMALLEST_NORMAL),
            doubled.eq((127 << FRACTION_BITS) + ((polynomial + 16) >> 5) - SMALLEST_NORMAL),
        ]
        normal = Mux(bits < SMALLEST_NORMAL, 0, bits[:32])
        sign = Mux(flags.sign, SIGN, 0)
        zero, infinite = ~flags.exponent.any(), flags.exponent.all()
        result = Signal(32)
        with m.Switch(flags.function):
            with m.Case(Special.EXP):
                beyond = (bits >= INFINITY) | (flags.exponent >= EXP_RANGE)
                limit = Mux(flags.sign, 0, INFINITY)
                m.d.comb += result.eq(Mux(beyond, limit, normal))
            with m.Case(Special.RCP):
                m.d.comb += result.eq(Mux(zero, INFINITY, Mux(infinite, 0, normal)) | sign)
            with m.Case(Special.RSQRT):
                positive = Mux(flags.sign, QUIET_NAN, Mux(infinite, 0, normal))
                m.d.comb += result.eq(Mux(zero, INFINITY | sign, positive))
            with m.Case(Special.LOGM):
                m.d.comb += result.eq(Mux(polynomial >= 1 << 28, doubled, normal))
        return Mux(flags.nan & ~is_logm, QUIET_NAN, result)
