"""Elementwise templates computed bit by bit, with the machine's own arithmetic.

Constants folded with it have the bits the machine would have computed.
"""

import numpy as np

from compiler.ir.types import ElementType
from compiler.ops.builder import Builder
from compiler.ops.elementwise import Elementwise, expand
from compiler.ops.registry import Call, NdArray
from hw.isa import dtypes
from hw.isa.kernel import lane_function
from hw.isa.numerics import Bits


class BitInterpreter(Builder[Bits]):
    """Values are arrays of lane bits. `instructions` counts what was emitted."""

    def __init__(self) -> None:
        self.instructions = 0

    def emit(self, mnemonic: str, *operands: Bits) -> Bits:
        self.instructions += 1
        return lane_function(mnemonic)(*np.broadcast_arrays(*operands))

    def bits(self, value: int) -> Bits:
        return np.array([value], np.uint32)


def to_lanes(x: NdArray) -> Bits:
    """Elements of any type of the IR as lane bits, one dimension."""
    element = ElementType.of_numpy(x.dtype)
    flat = np.ascontiguousarray(x).reshape(-1)
    return dtypes.to_lane(flat.view(dtypes.storage(element.memory)), element.memory)


def from_lanes(lanes: Bits, element: ElementType) -> NdArray:
    """Inverse of `to_lanes`."""
    raw = dtypes.from_lane(np.ascontiguousarray(lanes), element.memory)
    return raw.view(element.numpy)


def interpret(operation: Elementwise, call: Call, *operands: NdArray) -> NdArray:
    """The result of an elementwise operation as the machine computes it."""
    lanes = [to_lanes(x) for x in operands]
    result = expand(operation, BitInterpreter(), call, *lanes)
    flat = np.broadcast_to(result, (call.result.size,))
    return from_lanes(flat, call.result.element).reshape(call.result.shape)
