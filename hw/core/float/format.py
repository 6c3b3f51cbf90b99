"""Layouts and constants of the float formats, and the steps all operations share."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data

FLOAT32 = data.StructLayout({"fraction": 23, "exponent": 8, "sign": 1})
BFLOAT16 = data.StructLayout({"fraction": 7, "exponent": 8, "sign": 1})
FLOAT16 = data.StructLayout({"fraction": 10, "exponent": 5, "sign": 1})

QUIET_NAN = 0x7FC0_0000
INFINITY = 0x7F80_0000
BIAS = 127
MAX_EXPONENT = 255


def fields(layout: data.StructLayout, bits: ValueLike) -> data.View:
    """The sign, exponent and fraction of a number given as bits."""
    return data.View(layout, Value.cast(bits))


def significand(number: data.View) -> Value:
    """The fraction with its leading one; zero for a zero and for a subnormal, which is flushed."""
    return Mux(number.exponent.any(), Cat(number.fraction, Const(1, 1)), 0)


def is_nan(number: data.View) -> Value:
    return number.exponent.all() & number.fraction.any()


def is_infinite(number: data.View) -> Value:
    return number.exponent.all() & ~number.fraction.any()


def normalize(m: Module, value: Value, name: str) -> tuple[Value, Value]:
    """`value` shifted left until its top bit is one, and the number of places.

    A zero stays zero; its count is meaningless.
    """
    width = len(value)
    places = (width - 1).bit_length()
    count = Signal(places, name=f"{name}_count")
    for step in reversed(range(places)):
        distance = 1 << step
        shifted = Signal(width, name=f"{name}_{distance}")
        empty = ~value[-distance:].any()
        m.d.comb += [
            count[step].eq(empty),
            shifted.eq(Mux(empty, Cat(Const(0, distance), value[:-distance]), value)),
        ]
        value = shifted
    return value, count


def round_nearest(value: Value, exponent: Value) -> Value:
    """Exponent and fraction, 31 bits, of a normalized number rounded to nearest even.

    Args:
        value: at least 26 bits, the top one is the leading one.
        exponent: biased; a carry out of the fraction increments it.
    """
    up = value[-25] & (value[-24] | value[:-25].any())
    return (Cat(value[-24:-1], exponent[:8]) + up)[:31]


def round_pack(m: Module, *, sign: Value, exponent: Value, value: Value,
               nan: Value, infinite: Value) -> Value:
    """The f32 nearest to a normalized number, ties to even.

    Args:
        exponent: biased, signed, of the number before rounding; below 1 flushes to zero.
        value: at least 26 bits, the top one is the leading one; the number is zero without it.
        nan, infinite: the result is one whatever the number.
    """
    rounded = Signal(31)
    before = Signal(signed(11))
    m.d.comb += [before.eq(exponent), rounded.eq(round_nearest(value, before))]
    overflow = (before >= MAX_EXPONENT) | rounded[23:].all()
    tiny = ~value[-1] | (before < 1)
    magnitude = Mux(infinite | (overflow & ~tiny), INFINITY, Mux(tiny, 0, rounded))
    return Mux(nan, QUIET_NAN, Cat(magnitude[:31], sign))
