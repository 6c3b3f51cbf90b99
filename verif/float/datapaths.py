"""A Component of all float functions, each behind registers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from hw.core.float import convert
from hw.core.float.adder import ADD_STAGES, Adder
from hw.core.float.integral import Rounding, round_to_integral
from hw.core.float.multiplier import MULTIPLY_STAGES, Multiplier, MultiplyMode
from hw.core.float.product import FACTOR, decode_factor, multiply_narrow
from hw.isa import numerics
from hw.isa.numerics import Bits

Golden = Callable[[Bits, Bits], Bits]
Function = Callable[[Module, Value, Value], Value]


def _unary(golden: Callable[..., NDArray[np.unsignedinteger]], operand: type = np.uint32) -> Golden:
    """Of the first operand, or of its low half."""
    return lambda a, _: golden(a.astype(operand)).astype(np.uint32)


def _bf16_product(a: Bits, b: Bits) -> Bits:
    high = np.uint32(0xFFFF0000)
    return numerics.fmul(a & high, b & high)


def _int8_product(a: Bits, b: Bits) -> Bits:
    x, y = ((bits >> np.uint32(16)).astype(np.uint8).view(np.int8) for bits in (a, b))
    return (x.astype(np.int32) * y).view(np.uint32)


def _product(m: Module, a: Value, b: Value, *, decoded_as: int, integer: ValueLike) -> Value:
    x, y = (FACTOR(decode_factor(bits[16:], decoded_as)) for bits in (a, b))
    return multiply_narrow(m, x, y, integer)


def _round(m: Module, a: Value, _: Value, *, mode: Rounding) -> Value:
    return round_to_integral(m, a, mode)


ROUNDINGS: dict[Any, Callable[[Bits], Bits]] = {
    Rounding.FLOOR: numerics.ffloor, Rounding.CEIL: numerics.fceil,
    Rounding.NEAREST: numerics.frne, Rounding.TRUNC: numerics.ftrunc,
}

FUNCTIONS: dict[str, tuple[Function, Golden]] = {
    "bf16_product": (partial(_product, decoded_as=0, integer=0), _bf16_product),
    "either_product_bf16": (partial(_product, decoded_as=0, integer=Const(0)), _bf16_product),
    "either_product_int8": (partial(_product, decoded_as=1, integer=Const(1)), _int8_product),
    "f32_to_bf16": (lambda _m, a, _b: convert.f32_to_bf16(a), _unary(numerics.f32_to_bf16)),
    "bf16_to_f32": (
        lambda _m, a, _b: convert.bf16_to_f32(a[:16]), _unary(numerics.bf16_to_f32, np.uint16)),
    "f32_to_f16": (lambda m, a, _: convert.f32_to_f16(m, a), _unary(numerics.f32_to_f16)),
    "f16_to_f32": (
        lambda m, a, _: convert.f16_to_f32(m, a[:16]), _unary(numerics.f16_to_f32, np.uint16)),
    "i2f": (lambda m, a, _: convert.integer_to_f32(m, a, 1), _unary(numerics.i2f)),
    "u2f": (lambda m, a, _: convert.integer_to_f32(m, a, 0), _unary(numerics.u2f)),
    "f2i": (lambda m, a, _: convert.f32_to_integer(m, a, 1), _unary(numerics.f2i)),
    "f2u": (lambda m, a, _: convert.f32_to_integer(m, a, 0), _unary(numerics.f2u)),
    **{golden.__name__: (partial(_round, mode=mode), _unary(golden))
       for mode, golden in ROUNDINGS.items()},
}
"""Combinational functions of two 32-bit operands and their meaning."""

MODES: dict[Any, Golden] = {
    MultiplyMode.FLOAT: numerics.fmul, MultiplyMode.LOW: numerics.imul,
    MultiplyMode.HIGH_SIGNED: numerics.imulh, MultiplyMode.HIGH_UNSIGNED: numerics.umulh,
}

PIPELINES: dict[str, tuple[int, Golden]] = {
    "adder": (ADD_STAGES, numerics.fadd),
    **{f"multiplier_{golden.__name__}": (MULTIPLY_STAGES, golden) for golden in MODES.values()},
}
"""Depth and meaning of the pipelined Components."""

LATENCY = {**dict.fromkeys(FUNCTIONS, 1), **{name: n for name, (n, _) in PIPELINES.items()}}
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
        parts: list[Any] = [adder, *multipliers]
        for part in parts:
            m.d.comb += [part.a.eq(self.a), part.b.eq(self.b)]
        results = [self.results.word_select(i, 32) for i in range(len(GOLDEN))]
        for result, (function, _) in zip(results, FUNCTIONS.values(), strict=False):
            m.d.sync += result.eq(function(m, self.a, self.b))
        m.d.comb += Cat(results[len(FUNCTIONS):]).eq(
            Cat(part.result for part in parts))
        return m
