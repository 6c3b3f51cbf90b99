"""Rounding of f32 to an integral f32."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data, enum

from hw.core.float.format import BIAS, FLOAT32, QUIET_NAN, fields, is_nan


class Rounding(enum.Enum, shape=2):  # type: ignore[call-arg]
    """Direction of the rounding to an integral value."""

    FLOOR = 0
    CEIL = 1
    NEAREST = 2
    """Ties to even."""
    TRUNC = 3


ONE = BIAS << 23


def round_to_integral(m: Module, value: ValueLike, mode: ValueLike) -> Value:
    """The integral f32 next to `value` in the direction `mode`, a `Rounding`; combinational."""
    bits = Value.cast(value)
    number = fields(FLOAT32, bits)
    below_one = number.exponent < BIAS
    fractional, unit = Signal(23), Signal(24)
    m.d.comb += [
        # One bit for each place after the binary point; none from 2**23 on.
        fractional.eq(Mux(below_one, 0x7F_FFFF, Const(0x7F_FFFF, 23) >> _places(number))),
        unit.eq(fractional + 1),
    ]
    lost = bits[:23] & fractional
    half = unit >> 1
    nonzero = Mux(below_one, number.exponent.any(), lost.any())
    # Below two, the one is not stored, but the exponent 127 is odd as well.
    odd = (bits[:24] & unit).any()
    above = Mux(below_one, (number.exponent == BIAS - 1) & number.fraction.any(), lost > half)
    tie = ~below_one & (lost == half) & nonzero
    nearest_up = above | (tie & odd)
    ups = Array([number.sign & nonzero, ~number.sign & nonzero, nearest_up, Const(0)])
    up = ups[Value.cast(mode)]
    truncated = Mux(below_one, 0, Cat(bits[:23] & ~fractional, bits[23:31]))
    step = Mux(below_one, ONE, unit)
    magnitude = (truncated + Mux(up, step, 0))[:31]
    return Mux(is_nan(number), QUIET_NAN, Cat(magnitude, number.sign))


def _places(number: data.View) -> Value:
    """Places of the point after the leading one, at most 31."""
    distance = number.exponent - BIAS
    return Mux(distance[5:].any(), 31, distance[:5])
