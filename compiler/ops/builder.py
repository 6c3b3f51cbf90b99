"""The vocabulary of elementwise templates: one method per vector instruction.

A template is written once against `Builder` and used three times: the code generator emits
instructions from it, the interpreter computes with it bit by bit, tests count its instructions.
Values are opaque; a lane holds f32 bits, or an integer extended to 32 bits, or 0 and 1 for i1.
"""

import struct
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

V = TypeVar("V")


def f32_bits(value: float) -> int:
    """Bits of the nearest f32."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


class Builder(ABC, Generic[V]):
    """Emits vector operations. A back end implements `emit` and `bits`."""

    @abstractmethod
    def emit(self, mnemonic: str, *operands: V) -> V:
        """One vector instruction, by its mnemonic."""

    @abstractmethod
    def bits(self, value: int) -> V:
        """A constant, the same 32 bits in every lane."""

    def const(self, value: float | int) -> V:
        """A Python float as f32, an integer modulo 2**32."""
        if isinstance(value, float):
            return self.bits(f32_bits(value))
        return self.bits(value & 0xFFFFFFFF)

    def fadd(self, a: V, b: V) -> V:
        return self.emit("fadd", a, b)

    def fsub(self, a: V, b: V) -> V:
        return self.emit("fsub", a, b)

    def fmul(self, a: V, b: V) -> V:
        return self.emit("fmul", a, b)

    def fmac(self, a: V, b: V, c: V) -> V:
        """c + a*b, rounded twice."""
        return self.emit("fmac", a, b, c)

    def fmin(self, a: V, b: V) -> V:
        return self.emit("fmin", a, b)

    def fmax(self, a: V, b: V) -> V:
        return self.emit("fmax", a, b)

    def feq(self, a: V, b: V) -> V:
        return self.emit("feq", a, b)

    def fne(self, a: V, b: V) -> V:
        return self.emit("fne", a, b)

    def flt(self, a: V, b: V) -> V:
        return self.emit("flt", a, b)

    def fle(self, a: V, b: V) -> V:
        return self.emit("fle", a, b)

    def iadd(self, a: V, b: V) -> V:
        return self.emit("iadd", a, b)

    def isub(self, a: V, b: V) -> V:
        return self.emit("isub", a, b)

    def imul(self, a: V, b: V) -> V:
        return self.emit("imul", a, b)

    def imulh(self, a: V, b: V) -> V:
        """High word of the signed product."""
        return self.emit("imulh", a, b)

    def umulh(self, a: V, b: V) -> V:
        """High word of the unsigned product."""
        return self.emit("umulh", a, b)

    def iand(self, a: V, b: V) -> V:
        return self.emit("iand", a, b)

    def ior(self, a: V, b: V) -> V:
        return self.emit("ior", a, b)

    def ixor(self, a: V, b: V) -> V:
        return self.emit("ixor", a, b)

    def shl(self, a: V, b: V) -> V:
        return self.emit("shl", a, b)

    def shr(self, a: V, b: V) -> V:
        return self.emit("shr", a, b)

    def sar(self, a: V, b: V) -> V:
        return self.emit("sar", a, b)

    def imin(self, a: V, b: V) -> V:
        return self.emit("imin", a, b)

    def imax(self, a: V, b: V) -> V:
        return self.emit("imax", a, b)

    def umin(self, a: V, b: V) -> V:
        return self.emit("umin", a, b)

    def umax(self, a: V, b: V) -> V:
        return self.emit("umax", a, b)

    def ieq(self, a: V, b: V) -> V:
        return self.emit("ieq", a, b)

    def ine(self, a: V, b: V) -> V:
        return self.emit("ine", a, b)

    def ilt(self, a: V, b: V) -> V:
        return self.emit("ilt", a, b)

    def ile(self, a: V, b: V) -> V:
        return self.emit("ile", a, b)

    def ult(self, a: V, b: V) -> V:
        return self.emit("ult", a, b)

    def ule(self, a: V, b: V) -> V:
        return self.emit("ule", a, b)

    def sel(self, condition: V, a: V, b: V) -> V:
        """a where the condition is not zero, else b."""
        return self.emit("sel", condition, a, b)

    def f2i(self, a: V) -> V:
        return self.emit("f2i", a)

    def f2u(self, a: V) -> V:
        return self.emit("f2u", a)

    def i2f(self, a: V) -> V:
        return self.emit("i2f", a)

    def u2f(self, a: V) -> V:
        return self.emit("u2f", a)

    def ffloor(self, a: V) -> V:
        return self.emit("ffloor", a)

    def fceil(self, a: V) -> V:
        return self.emit("fceil", a)

    def frne(self, a: V) -> V:
        return self.emit("frne", a)

    def ftrunc(self, a: V) -> V:
        return self.emit("ftrunc", a)

    def rbf(self, a: V) -> V:
        return self.emit("rbf", a)

    def rf16(self, a: V) -> V:
        return self.emit("rf16", a)

    def exp(self, a: V) -> V:
        return self.emit("exp", a)

    def rcp(self, a: V) -> V:
        return self.emit("rcp", a)

    def rsqrt(self, a: V) -> V:
        return self.emit("rsqrt", a)

    def logm(self, a: V) -> V:
        """ln(M)/(M-1) of the mantissa M of a, see `hw.isa.special.logm`."""
        return self.emit("logm", a)
