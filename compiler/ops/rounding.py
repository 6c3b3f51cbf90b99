"""Rounding to integral values, and tests of floats."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from compiler.ir.types import ElementType, Tensor
from compiler.ops.arithmetic import MAGNITUDE, SIGN
from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import FLOATS, Elementwise
from compiler.ops.registry import Call, NdArray, register


class Rounding(Elementwise):
    """To an integral value of the same type."""

    arity = 1
    kinds = FLOATS
    exact = True
    mnemonic: ClassVar[str]
    ufunc: ClassVar[Callable[..., Any]]

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return np.asarray(type(self).ufunc(operands[0]))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.emit(self.mnemonic, operands[0])


@register
class Floor(Rounding):
    """Toward minus infinity."""

    name = "floor"
    mnemonic = "ffloor"
    ufunc = np.floor


@register
class Ceil(Rounding):
    """Toward infinity."""

    name = "ceil"
    mnemonic = "fceil"
    ufunc = np.ceil


@register
class RoundNearestEven(Rounding):
    """To the nearest integral value, ties to even."""

    name = "round_nearest_even"
    mnemonic = "frne"
    ufunc = np.rint


@register
class RoundNearestAwayFromZero(Rounding):
    """To the nearest integral value, ties away from zero."""

    name = "round_nearest_afz"

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        (x,) = operands
        whole = np.trunc(x)
        return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1, x), whole)

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        whole = b.ftrunc(x)
        away = b.ior(b.iand(x, b.const(SIGN)), b.const(1.0))
        distance = b.iand(b.fsub(x, whole), b.const(MAGNITUDE))
        return b.sel(b.fle(b.const(0.5), distance), b.fadd(whole, away), whole)


@register
class IsFinite(Elementwise):
    """Neither infinite nor NaN."""

    name = "is_finite"
    arity = 1
    kinds = FLOATS
    exact = True

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (result,) = super().result_types(call)
        return (result.with_element(ElementType.I1),)

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return np.asarray(np.isfinite(operands[0]))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.ult(b.iand(operands[0], b.const(MAGNITUDE)), b.const(0x7F800000))
