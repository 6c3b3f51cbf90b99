"""Element types of memory, and their conversion to and from 32-bit lanes.

Arrays of "bits" are unsigned numpy arrays; a lane is always `uint32` bits.
"""

import enum

import numpy as np
from numpy.typing import NDArray

from hw.isa import numerics
from hw.isa.numerics import Bits


class DType(enum.IntEnum):
    """Type codes as they stand in instructions and stream parameters.

    Attributes:
        size: bytes of one element in memory.
    """

    F32 = 0, 4
    BF16 = 1, 2
    F16 = 2, 2
    S32 = 3, 4
    S16 = 4, 2
    U16 = 5, 2
    S8 = 6, 1
    U8 = 7, 1
    ADDR = 8, 4
    """Input streams only: the lane's value is its address; nothing is fetched."""

    size: int

    def __new__(cls, code: int, size: int = 0) -> "DType":
        member = int.__new__(cls, code)
        member._value_, member.size = code, size
        return member


FLOATS = frozenset((DType.F32, DType.BF16, DType.F16))
"""Types whose lanes are f32."""

_STORAGE: dict[int, type[np.unsignedinteger]] = {1: np.uint8, 2: np.uint16, 4: np.uint32}
_INTEGERS = {
    DType.S16: (np.int16, -(2**15), 2**15 - 1), DType.U16: (np.uint16, 0, 2**16 - 1),
    DType.S8: (np.int8, -(2**7), 2**7 - 1), DType.U8: (np.uint8, 0, 2**8 - 1),
}


def storage(dtype: DType) -> type[np.unsignedinteger]:
    """Numpy type of the raw bits of an element in memory."""
    return _STORAGE[dtype.size]


def to_lane(raw: NDArray[np.unsignedinteger], dtype: DType) -> Bits:
    """Raw memory elements to 32-bit lanes: floats to f32, integers extended."""
    if dtype is DType.BF16:
        return numerics.bf16_to_f32(raw.astype(np.uint16))
    if dtype is DType.F16:
        return numerics.f16_to_f32(raw.astype(np.uint16))
    if dtype in _INTEGERS:
        return raw.view(_INTEGERS[dtype][0]).astype(np.int32).view(np.uint32)
    return raw.astype(np.uint32)


def from_lane(lane: Bits, dtype: DType, saturate: bool = False) -> NDArray[np.unsignedinteger]:
    """32-bit lanes to raw memory elements: floats rounded, integers cut or saturated."""
    if dtype is DType.BF16:
        return numerics.f32_to_bf16(lane)
    if dtype is DType.F16:
        return numerics.f32_to_f16(lane)
    if dtype in _INTEGERS:
        _, low, high = _INTEGERS[dtype]
        signed = lane.view(np.int32)
        return (np.clip(signed, low, high) if saturate else signed).astype(storage(dtype))
    return lane
