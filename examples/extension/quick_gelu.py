"""An operation that Isthmus does not have, added from outside of it: `acme.quick_gelu`."""

import numpy as np

from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import FLOATS, Elementwise
from compiler.ops.registry import Call, NdArray, register

SLOPE = 1.702


@register
class QuickGelu(Elementwise):
    """x / (1 + e**(-slope*x)), a cheap gelu; `slope` is 1.702 unless given."""

    name = "acme.quick_gelu"
    dialect = "acme"
    arity = 1
    kinds = FLOATS

    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        (x,) = operands
        return np.asarray(x / (1 + np.exp(-call.attrs.get("slope", SLOPE) * x)))

    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        (x,) = operands
        decay = b.exp(b.fmul(x, b.const(-float(call.attrs.get("slope", SLOPE)))))
        return b.fmul(x, b.rcp(b.fadd(decay, b.const(1.0))))
