"""fp32 addition in two pipeline stages."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.core.float.format import (
    FLOAT32,
    INFINITY,
    QUIET_NAN,
    normalize,
    round_nearest,
    significand,
)

ADD_STAGES = 2

GUARD_BITS = 3
SUM_BITS = 1 + 24 + GUARD_BITS

ALIGNED_SUM = data.StructLayout(
    {"value": 32, "exponent": 8, "sign": 1, "subtract": 1, "done": 1}
)
"""Between the stages. `done`: `value` is the result already (an infinity or a NaN).
Otherwise its low `SUM_BITS` are the magnitude, the top one with the weight of `exponent` + 1."""


def add_align(m: Module, a: ValueLike, b: ValueLike) -> data.View:
    """First stage: the exact sum of magnitudes or their difference, as an `ALIGNED_SUM`."""
    a, b = Value.cast(a), Value.cast(b)
    swap = Signal()
    large, small = Signal(FLOAT32), Signal(FLOAT32)
    middle = Signal(ALIGNED_SUM)
    aligned = _align(m, small, (large.exponent - small.exponent)[:8])
    base = Cat(Const(0, GUARD_BITS), significand(large))
    total = Mux(middle.subtract, base - aligned, base + aligned)[:SUM_BITS]
    nan = large.fraction.any() | (middle.subtract & small.exponent.all())
    m.d.comb += [
        swap.eq(a[:31] < b[:31]),
        large.eq(Mux(swap, b, a)),
        small.eq(Mux(swap, a, b)),
        middle.value.eq(Mux(middle.done, Mux(nan, QUIET_NAN, large), total)),
        middle.exponent.eq(large.exponent),
        middle.sign.eq(large.sign),
        middle.subtract.eq(large.sign ^ small.sign),
        middle.done.eq(large.exponent.all()),
    ]
    return middle


def _align(m: Module, small: data.View, distance: Value) -> Value:
    """The smaller significand at the larger's weight; what is shifted out sticks to the low bit."""
    shift = Signal(5)
    guarded = Cat(Const(0, GUARD_BITS), significand(small))
    lost = Const(0x7FFF_FFFF, 31) >> ~shift
    m.d.comb += shift.eq(Mux(distance[5:].any(), 31, distance))
    return (guarded >> shift) | (guarded & lost).any()


def add_round(m: Module, middle: data.View) -> Value:
    """Second stage: normalize and round an `ALIGNED_SUM` to f32."""
    value, count = normalize(m, middle.value[:SUM_BITS], "sum")
    rounded = Signal(31)
    m.d.comb += rounded.eq(round_nearest(value, middle.exponent + 1 - count))
    tiny = ~value[-1] | (count > middle.exponent)
    magnitude = Mux(tiny, 0, Mux(rounded[23:].all(), INFINITY, rounded))
    # An exact cancellation is +0; zeros of equal sign add up to that sign.
    sign = middle.sign & (value[-1] | ~middle.subtract)
    return Mux(middle.done, middle.value, Cat(magnitude[:31], sign))


class Adder(wiring.Component):
    """`result` is a + b of `ADD_STAGES` cycles before, all f32; one addition a cycle."""

    a: In(32)
    b: In(32)
    result: Out(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        middle = Signal(ALIGNED_SUM)
        m.d.sync += [
            middle.eq(add_align(m, self.a, self.b)),
            self.result.eq(add_round(m, middle)),
        ]
        return m
