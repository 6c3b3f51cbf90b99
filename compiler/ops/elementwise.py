"""What all elementwise operations share: type rule, types narrower than a lane, templates.

A value of a narrow type is computed in a 32-bit lane and brought back to its type after every
operation: bf16 and f16 are rounded, integers wrap. So a fused chain gives the bits of the same
operations one at a time.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from compiler.ir.types import ElementType, Kind, Tensor
from compiler.ops.builder import Builder, V
from compiler.ops.registry import Call, NdArray, Operation, require

FLOATS = frozenset((Kind.FLOAT,))
INTEGERS = frozenset((Kind.SIGNED, Kind.UNSIGNED))
NUMBERS = FLOATS | INTEGERS
BITS = INTEGERS | {Kind.BOOL}
ANY = NUMBERS | {Kind.BOOL}


class Elementwise(Operation):
    """An operation on corresponding elements of tensors of one shape.

    Class attributes:
        arity: number of operands.
        kinds: kinds of element type the operands may have.
        exact: the template's result is always a value of the result type, so that rounding or
            wrapping it again is not needed.
    """

    arity: ClassVar[int] = 2
    kinds: ClassVar[frozenset[Kind]] = NUMBERS
    exact: ClassVar[bool] = False
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        first, *others = self._checked(call)
        require(all(t == first for t in others),
                f"{self.name}: operand types differ: {', '.join(map(str, call.operands))}")
        return (first,)

    def _checked(self, call: Call) -> tuple[Tensor, ...]:
        require(len(call.operands) == self.arity,
                f"{self.name}: takes {self.arity} operands, not {len(call.operands)}")
        for tensor in call.operands:
            require(tensor.element.kind in self.kinds,
                    f"{self.name}: not defined for {tensor.element}")
        return call.operands

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        """In IEEE f32 for narrower floats; the machine also flushes subnormals to zero."""
        with np.errstate(all="ignore"):
            wide = [_widen(x) for x in operands]
            return (cast(self.compute(call, *wide), call.result.element),)

    @abstractmethod
    def compute(self, call: Call, *operands: NdArray) -> NdArray:
        """The numpy meaning; narrow floats arrive as f32, the result is cast to its type."""

    @abstractmethod
    def lower(self, b: Builder[V], call: Call, *operands: V) -> V:
        """The vector operations of one element, before the result is brought to its type."""


def expand(operation: Elementwise, b: Builder[V], call: Call, *operands: V) -> V:
    """Emits an operation's template and brings the result to its type."""
    value = operation.lower(b, call, *operands)
    return value if operation.exact else bring_to_type(b, value, call.result.element)


def is_short(call: Call) -> bool:
    """Whether a result is rounded to bf16 and needs no more accuracy than that.

    The attribute `accuracy` comes from fast math: `bf16` for results in f32 of that accuracy,
    `unit` where an error of 2**-13 does not matter.
    """
    return call.result.element is ElementType.BF16 or "accuracy" in call.attrs


def bring_to_type(b: Builder[V], value: V, element: ElementType) -> V:
    """Rounds or wraps a lane to an element type; no instruction for 32-bit types."""
    if element is ElementType.BF16:
        return b.rbf(value)
    if element is ElementType.F16:
        return b.rf16(value)
    if element.bits == 32:
        return value
    if element.is_unsigned:
        return b.iand(value, b.const((1 << element.bits) - 1))
    shift = b.const(32 - element.bits)
    return b.sar(b.shl(value, shift), shift)


def _widen(x: NdArray) -> NdArray:
    element = ElementType.of_numpy(x.dtype)
    return x.astype(np.float32) if element.is_float and element.bits < 32 else x


def cast(x: NdArray, element: ElementType) -> NdArray:
    """numpy conversion that wraps integers and never warns."""
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(element.numpy)
