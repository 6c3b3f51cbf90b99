"""Multiplication in three pipeline stages: fp32, and 32-bit integers in the same multipliers."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hw.core.float.format import (
    BIAS,
    FLOAT32,
    fields,
    is_infinite,
    is_nan,
    round_pack,
    significand,
)

MULTIPLY_STAGES = 3


class MultiplyMode(enum.Enum, shape=2):  # type: ignore[call-arg]
    """What the operands are, and which part of the product is the result."""

    FLOAT = 0
    LOW = 1
    HIGH_SIGNED = 2
    HIGH_UNSIGNED = 3


_FLAGS = {"exponent": signed(10), "sign": 1, "nan": 1, "infinite": 1, "mode": MultiplyMode}

PARTIALS = data.StructLayout({"partial": data.ArrayLayout(signed(34), 4), **_FLAGS})
"""After the first stage: products of the operands' 16-bit halves, low half of a first."""

PRODUCT = data.StructLayout({"product": 64, **_FLAGS})
"""After the second stage: the product of two integers, or of two significands, then with its
top in bit 47 or 46."""


def multiply_partials(m: Module, a: ValueLike, b: ValueLike, mode: ValueLike) -> data.View:
    """First stage: a and b, 32 bits each, to `PARTIALS`."""
    a, b = Value.cast(a), Value.cast(b)
    x, y = fields(FLOAT32, a), fields(FLOAT32, b)
    partials = Signal(PARTIALS)
    m.d.comb += [
        partials.mode.eq(mode),
        partials.exponent.eq(x.exponent + y.exponent - BIAS),
        partials.sign.eq(x.sign ^ y.sign),
        partials.infinite.eq(is_infinite(x) | is_infinite(y)),
        partials.nan.eq(is_nan(x) | is_nan(y)
                        | (is_infinite(x) & ~y.exponent.any())
                        | (is_infinite(y) & ~x.exponent.any())),
    ]
    is_float = partials.mode == MultiplyMode.FLOAT
    is_signed = partials.mode == MultiplyMode.HIGH_SIGNED
    left = _halves(Mux(is_float, significand(x), a), is_signed)
    right = _halves(Mux(is_float, significand(y), b), is_signed)
    m.d.comb += [
        partials.partial[i].eq(left[i & 1] * right[i >> 1]) for i in range(4)
    ]
    return partials


def _halves(operand: Value, is_signed: Value) -> tuple[Value, Value]:
    """Low and high half as signed 17-bit numbers."""
    low = Cat(operand[:16], 0).as_signed()
    return low, Cat(operand[16:32], operand[31] & is_signed).as_signed()


def multiply_sum(m: Module, partials: data.View) -> data.View:
    """Second stage: add up the partial products."""
    result = Signal(PRODUCT)
    low, high = partials.partial[0], partials.partial[3]
    cross = partials.partial[1] + partials.partial[2]
    m.d.comb += result.product.eq(low + (cross << 16) + (high << 32))
    m.d.comb += [result[flag].eq(partials[flag]) for flag in _FLAGS]
    return result


def multiply_round(m: Module, product: data.View) -> Value:
    """Third stage: the 32-bit result, rounded to f32 in `MultiplyMode.FLOAT`."""
    bits = product.product[:48]
    carried = bits[47]
    rounded = round_pack(
        m, sign=product.sign, exponent=product.exponent + carried,
        value=Mux(carried, bits, bits << 1)[:48],
        nan=product.nan, infinite=product.infinite,
    )
    low = product.mode == MultiplyMode.LOW
    integer = Mux(low, product.product[:32], product.product[32:])
    return Mux(product.mode == MultiplyMode.FLOAT, rounded, integer)


class Multiplier(wiring.Component):
    """`result` is the product of `MULTIPLY_STAGES` cycles before; one multiplication a cycle."""

    a: In(32)
    b: In(32)
    mode: In(MultiplyMode)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        partials, product = Signal(PARTIALS), Signal(PRODUCT)
        m.d.sync += [
            partials.eq(multiply_partials(m, self.a, self.b, self.mode)),
            product.eq(multiply_sum(m, partials)),
            self.result.eq(multiply_round(m, product)),
        ]
        return m
