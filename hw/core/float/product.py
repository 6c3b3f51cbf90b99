"""The products of the matrix unit: bf16 to f32 and int8 to int32 in one 9 x 9 multiplier."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data

from hw.core.float.format import (
    BFLOAT16,
    BIAS,
    INFINITY,
    MAX_EXPONENT,
    QUIET_NAN,
    fields,
    is_nan,
    significand,
)


def multiply_narrow(m: Module, a: ValueLike, b: ValueLike, integer: ValueLike) -> Value:
    """The exact product of two 16-bit operands, combinational, 32 bits.

    Args:
        integer: 0: operands bf16, product f32 (exact, but for overflow and flushing to zero).
            1: operands in the low 8 bits, signed, product int32. A constant 0 leaves the
            integer part out.
    """
    a, b = Value.cast(a), Value.cast(b)
    x, y = fields(BFLOAT16, a), fields(BFLOAT16, b)
    product = Signal(signed(18))
    left, right = Signal(signed(9)), Signal(signed(9))
    m.d.comb += [
        left.eq(_operand(x, a, integer)),
        right.eq(_operand(y, b, integer)),
        product.eq(left * right),
    ]
    rounded = _pack(m, x, y, product)
    if isinstance(integer, int) and not integer:
        return rounded
    # A shift, not a replicated sign bit: simulators evaluate it in one operation.
    extended = Cat(Const(0, 14), product).as_signed() >> 14
    return Mux(integer, extended, rounded)[:32]


def _operand(number: data.View, bits: Value, integer: ValueLike) -> Value:
    magnitude = Cat(significand(number), Const(0, 1))
    if isinstance(integer, int) and not integer:
        return magnitude.as_signed()
    return Mux(integer, Cat(bits[:8], bits[7]), magnitude).as_signed()


def _pack(m: Module, x: data.View, y: data.View, product: Value) -> Value:
    """f32 of the product of significands, whose top is in bit 15 or 14; zero without either."""
    exponent = Signal(10)
    special, zero = Signal(), Signal()
    carried = product[15]
    m.d.comb += [
        exponent.eq(x.exponent + y.exponent + carried),
        special.eq(x.exponent.all() | y.exponent.all()),
        zero.eq(~(x.exponent.any() & y.exponent.any())),
    ]
    fraction = Mux(carried, product[:15], product[:14] << 1)
    normal = Cat(Const(0, 8), fraction[:15], (exponent - BIAS)[:8])
    nan = is_nan(x) | is_nan(y) | zero
    magnitude = Mux(zero | (exponent <= BIAS), 0,
                    Mux(exponent >= BIAS + MAX_EXPONENT, INFINITY, normal))
    sign = x.sign ^ y.sign
    return Mux(special, Mux(nan, QUIET_NAN, Cat(Const(INFINITY, 31), sign)),
               Cat(magnitude[:31], sign))
