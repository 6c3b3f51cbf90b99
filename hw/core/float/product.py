"""The products of the matrix unit: bf16 to f32 and int8 to int32 in one 9 x 9 multiplier.

Operands are decoded once, where they enter the array, not in each of its elements.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data

from hw.core.float.format import (
    BFLOAT16,
    BIAS,
    INFINITY,
    MAX_EXPONENT,
    QUIET_NAN,
    fields,
    significand,
)

FACTOR = data.StructLayout({"significand": signed(9), "exponent": 8, "sign": 1})
"""A decoded operand. bf16: the significand has 8 bits and is zero for a zero or a flushed
subnormal. int8: it is the number, the other fields do not matter."""


def decode_factor(bits: ValueLike, integer: ValueLike) -> Value:
    """The `FACTOR` of a bf16, or of the int8 in the low byte when `integer`."""
    bits = Value.cast(bits)
    number = fields(BFLOAT16, bits)
    magnitude = Cat(significand(number), Const(0, 1))
    return Cat(Mux(integer, Cat(bits[:8], bits[7]), magnitude), number.exponent, number.sign)


def multiply_narrow(m: Module, x: data.View, y: data.View, integer: ValueLike) -> Value:
    """The exact product of two factors, combinational, 32 bits.

    Args:
        integer: 0: the product is f32 (exact, but for overflow and flushing to zero). 1: int32.
            The int 0 leaves the integer part out.
    """
    product = Signal(signed(18))
    m.d.comb += product.eq(x.significand * y.significand)
    packed = _pack(m, x, y, product)
    if isinstance(integer, int) and not integer:
        return packed
    # A choice of constants: a replicated bit makes simulators assemble the number bit by bit.
    extension = Mux(product[17], Const(0x3FFF, 14), 0)
    return Mux(integer, Cat(product, extension), packed)


def _pack(m: Module, x: data.View, y: data.View, product: Value) -> Value:
    """f32 of the product of significands, whose top is in bit 15 or 14; zero without either."""
    exponent = Signal(10)
    carried = product[15]
    m.d.comb += exponent.eq(x.exponent + y.exponent + carried)
    zero = ~(product[14] | product[15])
    special = x.exponent.all() | y.exponent.all()
    fraction = Mux(carried, product[:15], product[:14] << 1)
    normal = Cat(Const(0, 8), fraction[:15], (exponent - BIAS)[:8])
    magnitude = Mux(zero | (exponent <= BIAS), 0,
                    Mux(exponent >= BIAS + MAX_EXPONENT, INFINITY, normal))
    sign = x.sign ^ y.sign
    return Mux(special,
               Mux(zero | _is_nan(x) | _is_nan(y), QUIET_NAN, Cat(Const(INFINITY, 31), sign)),
               Cat(magnitude[:31], sign))


def _is_nan(factor: data.View) -> Value:
    return factor.exponent.all() & factor.significand.as_unsigned()[:7].any()
