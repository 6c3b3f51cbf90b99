"""A Component of all float functions, each behind registers."""

from collections.abc import Callable
from functools import partial

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.core.float import convert
from hw.core.float.adder import ADD_STAGES, Adder
from hw.core.float.integral import Rounding, round_to_integral
from hw.core.float.multiplier import MULTIPLY_STAGES, Multiplier, MultiplyMode
from hw.core.float.product import FACTOR, decode_factor, multiply_narrow
from hw.isa import numerics
from hw.isa.numerics import Bits

Golden = Callable[[Bits, Bits], Bits]
Function = Callable[[Module, Value, Value], Value]


def _low(golden: Callable[[Bits], Bits]) -> Golden:
    """A conversion from a 16-bit type, of the low half of the first operand."""
    return lambda a, b: golden(a.astype(np.uint16))


def _first(golden: Callable[[Bits], Bits]) -> Golden:
    return lambda a, b: golden(a).astype(np.uint32)


def _bf16_product(a: Bits, b: Bits) -> Bits:
    high = np.uint32(0xFFFF0000)
    return numerics.fmul(a & high, b & high)


def _int8_product(a: Bits, b: Bits) -> Bits:
    x, y = ((bits >> np.uint32(16)).astype(np.uint8).view(np.int8) for bits in (a, b))
    return (x.astype(np.int32) * y).view(np.uint32)


def _product(m: Module, a: Value, b: Value, *, decoded_as: int, integer: ValueLike) -> Value:
    x, y = (FACTOR(decode_factor(bits[16:], decoded_as)) for bits in (a, b))
    return multiply_narrow(m, x, y, integer)


FUNCTIONS: dict[str, tuple[Function, Golden]] = {
    "bf16_product": (partial(_product, decoded_as=0, integer=0), _bf16_product),
    "either_product_bf16": (partial(_product, decoded_as=0, integer=Const(0)), _bf16_product),
    "either_product_int8": (partial(_product, decoded_as=1, integer=Const(1)), _int8_product),
    "f32_to_bf16": (lambda m, a, b: convert.f32_to_bf16(a), _first(numerics.f32_to_bf16)),
    "bf16_to_f32": (lambda m, a, b: convert.bf16_to_f32(a[:16]), _low(numerics.bf16_to_f32)),
    "f32_to_f16": (lambda m, a, b: convert.f32_to_f16(m, a), _first(numerics.f32_to_f16)),
    "f16_to_f32": (lambda m, a, b: convert.f16_to_f32(m, a[:16]), _low(numerics.f16_to_f32)),
    "i2f": (lambda m, a, b: convert.integer_to_f32(m, a, 1), _first(numerics.i2f)),
    "u2f": (lambda m, a, b: convert.integer_to_f32(m, a, 0), _first(numerics.u2f)),
    "f2i": (lambda m, a, b: convert.f32_to_integer(m, a, 1), _first(numerics.f2i)),
    "f2u": (lambda m, a, b: convert.f32_to_integer(m, a, 0), _first(numerics.f2u)),
    **{
        golden.__name__: (
            lambda m, a, b, mode=mode: round_to_integral(m, a, mode), _first(golden))
        for mode, golden in (
            (Rounding.FLOOR, numerics.ffloor), (Rounding.CEIL, numerics.fceil),
            (Rounding.NEAREST, numerics.frne), (Rounding.TRUNC, numerics.ftrunc),
        )
    },
}
"""Combinational functions of two 32-bit operands and their meaning."""

MODES = {
    MultiplyMode.FLOAT: numerics.fmul, MultiplyMode.LOW: numerics.imul,
    MultiplyMode.HIGH_SIGNED: numerics.imulh, MultiplyMode.HIGH_UNSIGNED: numerics.umulh,
}

PIPELINES: dict[str, tuple[int, Golden]] = {
    "adder": (ADD_STAGES, numerics.fadd),
    **{f"multiplier_{mode.name}": (MULTIPLY_STAGES, golden) for mode, golden in MODES.items()},
}
"""Depth and meaning of the pipelined Components."""

LATENCY = {**{name: 1 for name in FUNCTIONS}, **{name: n for name, (n, _) in PIPELINES.items()}}
GOLDEN = {**{name: golden for name, (_, golden) in FUNCTIONS.items()},
          **{name: golden for name, (_, golden) in PIPELINES.items()}}
"""In the order of `Datapaths.results`."""


class Datapaths(wiring.Component):
    """`results`: 32 bits for each entry of `GOLDEN`, `LATENCY` cycles after the operands."""

    a: In(32)
    b: In(32)
    results: Out(32 * len(GOLDEN))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.adder = adder = Adder()
        multipliers = [Multiplier() for _ in MODES]
        m.submodules += multipliers
        for mode, multiplier in zip(MODES, multipliers, strict=True):
            m.d.comb += multiplier.mode.eq(mode)
        for part in (adder, *multipliers):
            m.d.comb += [part.a.eq(self.a), part.b.eq(self.b)]
        results = [self.results.word_select(i, 32) for i in range(len(GOLDEN))]
        for result, (function, _) in zip(results, FUNCTIONS.values(), strict=False):
            m.d.sync += result.eq(function(m, self.a, self.b))
        m.d.comb += Cat(results[len(FUNCTIONS):]).eq(
            Cat(part.result for part in (adder, *multipliers)))
        return m
