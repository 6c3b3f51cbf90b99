"""Elementwise operations that are one vector instruction, or nearly."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from compiler.ir.types import Kind
from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import ANY, BITS, Elementwise
from compiler.ops.registry import Call, NdArray, register

SIGN = 0x80000000
MAGNITUDE = 0x7FFFFFFF


class Direct(Elementwise):
    """One vector instruction for each kind of element.

    Class attributes:
        ufunc: the numpy meaning.
        mnemonics: the instruction by kind; its keys are the kinds the operation is defined for.
    """

    ufunc: ClassVar[Callable[..., Any]]
    mnemonics: ClassVar[Mapping[Kind, str]]

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return np.asarray(type(self).ufunc(*operands))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.emit(self.mnemonics[call.operands[0].element.kind], *operands)


def by_kind(floating: str, signed: str, unsigned: str, boolean: str) -> dict[Kind, str]:
    """Mnemonics of the four kinds."""
    return {Kind.FLOAT: floating, Kind.SIGNED: signed, Kind.UNSIGNED: unsigned, Kind.BOOL: boolean}


@register
class Add(Direct):
    """x + y; integers wrap, i1 is or."""

    name = "add"
    kinds = ANY
    ufunc = np.add
    mnemonics = by_kind("fadd", "iadd", "iadd", "ior")


@register
class Subtract(Direct):
    """x - y; integers wrap."""

    name = "subtract"
    ufunc = np.subtract
    mnemonics = by_kind("fsub", "isub", "isub", "ixor")


@register
class Multiply(Direct):
    """x * y; integers wrap, i1 is and."""

    name = "multiply"
    kinds = ANY
    ufunc = np.multiply
    mnemonics = by_kind("fmul", "imul", "imul", "iand")


@register
class Maximum(Direct):
    """The larger; NaN if either is NaN, -0 below +0."""

    name = "maximum"
    kinds = ANY
    exact = True
    ufunc = np.maximum
    mnemonics = by_kind("fmax", "imax", "umax", "ior")


@register
class Minimum(Direct):
    """The smaller; NaN if either is NaN, -0 below +0."""

    name = "minimum"
    kinds = ANY
    exact = True
    ufunc = np.minimum
    mnemonics = by_kind("fmin", "imin", "umin", "iand")


@register
class And(Direct):
    """Bitwise and; of i1 the logical one."""

    name = "and"
    kinds = BITS
    exact = True
    ufunc = np.bitwise_and
    mnemonics = by_kind("iand", "iand", "iand", "iand")


@register
class Or(Direct):
    """Bitwise or; of i1 the logical one."""

    name = "or"
    kinds = BITS
    exact = True
    ufunc = np.bitwise_or
    mnemonics = by_kind("ior", "ior", "ior", "ior")


@register
class Xor(Direct):
    """Bitwise exclusive or."""

    name = "xor"
    kinds = BITS
    exact = True
    ufunc = np.bitwise_xor
    mnemonics = by_kind("ixor", "ixor", "ixor", "ixor")


@register
class Not(Elementwise):
    """Bitwise complement; of i1 the logical one."""

    name = "not"
    arity = 1
    kinds = BITS

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return np.asarray(np.invert(operands[0]))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        return b.ixor(operands[0], b.const(0xFFFFFFFF))


@register
class Negate(Elementwise):
    """-x; an integer wraps."""

    name = "negate"
    arity = 1

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return np.asarray(np.negative(operands[0]))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        if call.result.element.is_float:
            # -0 - x makes NaN canonical, so that nothing need be rounded afterwards.
            return b.fsub(b.const(-0.0), operands[0])
        return b.isub(b.const(0), operands[0])


@register
class Abs(Elementwise):
    """|x|; the most negative integer stays."""

    name = "abs"
    arity = 1

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return np.asarray(np.abs(operands[0]))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        element = call.result.element
        if element.is_float:
            return b.iand(x, b.const(MAGNITUDE))
        if element.is_unsigned:
            return x
        return b.imax(x, b.isub(b.const(0), x))


@register
class Sign(Elementwise):
    """-1, 0 or 1; a float zero keeps its sign, NaN stays."""

    name = "sign"
    arity = 1
    exact = True

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        (x,) = operands
        return np.where(x == 0, x, np.sign(x))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        element = call.result.element
        if element.is_float:
            one = b.ior(b.iand(x, b.const(SIGN)), b.const(1.0))
            nonzero = b.flt(b.const(0.0), b.iand(x, b.const(MAGNITUDE)))
            return b.sel(nonzero, one, x)
        if element.is_unsigned:
            return b.umin(x, b.const(1))
        return b.imax(b.imin(x, b.const(1)), b.const(-1))


@register
class Square(Elementwise):
    """x * x."""

    name = "square"
    dialect = "chlo"
    arity = 1

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        return np.asarray(operands[0] * operands[0])

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        return b.fmul(x, x) if call.result.element.is_float else b.imul(x, x)
