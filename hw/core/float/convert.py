"""Conversions between f32 and the other element types, all combinational."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed

from hw.core.float.format import (
    BFLOAT16,
    BIAS,
    FLOAT16,
    FLOAT32,
    INFINITY,
    QUIET_NAN,
    fields,
    is_nan,
    normalize,
    round_pack,
    significand,
)

BFLOAT16_NAN = QUIET_NAN >> 16
FLOAT16_NAN = 0x7E00
FLOAT16_INFINITY = 0x7C00
FLOAT16_BIAS = 15
BIAS_STEP = BIAS - FLOAT16_BIAS


def f32_to_bf16(value: ValueLike) -> Value:
    """To nearest even; subnormals to zero."""
    bits = Value.cast(value)
    number = fields(FLOAT32, bits)
    up = bits[15] & (bits[16] | bits[:15].any())
    rounded = (bits[16:31] + up)[:15]
    magnitude = Mux(number.exponent.any(), rounded, 0)
    return Mux(is_nan(number), BFLOAT16_NAN, Cat(magnitude, number.sign))


def bf16_to_f32(value: ValueLike) -> Value:
    """Exact, but subnormals to zero and any NaN to the canonical one."""
    number = fields(BFLOAT16, value)
    fraction = Mux(number.exponent.any(), number.fraction, 0)
    magnitude = Cat(Const(0, 16), fraction, number.exponent)
    return Mux(is_nan(number), QUIET_NAN, Cat(magnitude, number.sign))


def f32_to_f16(m: Module, value: ValueLike) -> Value:
    """To nearest even with gradual underflow; overflow to infinity."""
    number = fields(FLOAT32, value)
    gradual = number.exponent <= BIAS_STEP
    deficit = BIAS_STEP + 1 - number.exponent
    shift, rounded = Signal(5), Signal(19)
    m.d.comb += shift.eq(Mux(gradual, Mux(deficit > 31, 31, deficit), 0))
    shifted = significand(number) >> shift
    lost = (significand(number) & (Const(0x7FFF_FFFF, 31) >> ~shift)).any()
    up = shifted[12] & (shifted[13] | shifted[:12].any() | lost)
    # A leading one in bit 23 adds the last unit to the exponent field.
    exponent = Mux(gradual, 0, number.exponent - (BIAS_STEP + 1))
    m.d.comb += rounded.eq(Cat(Const(0, 10), exponent[:8]) + shifted[13:] + up)
    magnitude = Mux(rounded >= FLOAT16_INFINITY, FLOAT16_INFINITY, rounded[:15])
    return Mux(is_nan(number), FLOAT16_NAN, Cat(magnitude[:15], number.sign))


def f16_to_f32(m: Module, value: ValueLike) -> Value:
    """Exact, subnormals included; any NaN to the canonical one."""
    number = fields(FLOAT16, value)
    leading, count = normalize(m, number.fraction, "f16")
    gradual = ~number.exponent.any()
    exponent = Mux(gradual, BIAS_STEP - count, number.exponent + BIAS_STEP)
    fraction = Mux(gradual, leading << 1, number.fraction)
    magnitude = Cat(Const(0, 13), fraction[:10], exponent[:8])
    zero = gradual & ~number.fraction.any()
    special = Mux(number.exponent.all(), INFINITY, Mux(zero, 0, magnitude))
    return Mux(is_nan(number), QUIET_NAN, Cat(special[:31], number.sign))


def integer_to_f32(m: Module, value: ValueLike, is_signed: ValueLike) -> Value:
    """A 32-bit integer to the nearest f32, ties to even."""
    bits = Value.cast(value)
    magnitude = Signal(32)
    sign = bits[31] & is_signed
    m.d.comb += magnitude.eq(Mux(sign, -bits, bits))
    leading, count = normalize(m, magnitude, "integer")
    return round_pack(m, sign=sign, exponent=BIAS + 31 - count, value=leading,
                      nan=Const(0), infinite=Const(0))


def f32_to_integer(m: Module, value: ValueLike, is_signed: ValueLike) -> Value:
    """Toward zero to 32 bits, saturating; NaN to 0."""
    number = fields(FLOAT32, value)
    room = Signal(signed(10))
    magnitude = Signal(32)
    m.d.comb += [
        room.eq(BIAS + 31 - number.exponent),
        magnitude.eq(Mux(room > 31, 0, Cat(Const(0, 8), significand(number)) >> room[:5])),
    ]
    signed_result = Mux(
        room <= 0,
        Cat((~number.sign).replicate(31), number.sign),
        Mux(number.sign, -magnitude, magnitude)[:32],
    )
    unsigned_result = Mux(number.sign, 0, Mux(room < 0, 0xFFFF_FFFF, magnitude))
    return Mux(is_nan(number), 0, Mux(is_signed, signed_result, unsigned_result))
