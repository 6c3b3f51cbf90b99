"""Element types and tensor types, shared by every level of the compiler."""

import enum
import math
from dataclasses import dataclass
from functools import lru_cache

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    TensorType,
)
from xdsl.ir import Attribute, SSAValue

from hw.isa.dtypes import DType


class Kind(enum.Enum):
    """What the bits of an element mean."""

    FLOAT = "float"
    SIGNED = "signed"
    UNSIGNED = "unsigned"
    BOOL = "bool"


class ElementType(enum.Enum):
    """An element type: its MLIR name, kind, width in bits, and its two other faces.

    Signless MLIR integers are signed, as in StableHLO. 64-bit types exist only to be refused or
    narrowed by the front end; they have no `memory` type.
    """

    F64 = ("f64", Kind.FLOAT, 64, None)
    F32 = ("f32", Kind.FLOAT, 32, DType.F32)
    BF16 = ("bf16", Kind.FLOAT, 16, DType.BF16)
    F16 = ("f16", Kind.FLOAT, 16, DType.F16)
    I64 = ("i64", Kind.SIGNED, 64, None)
    I32 = ("i32", Kind.SIGNED, 32, DType.S32)
    I16 = ("i16", Kind.SIGNED, 16, DType.S16)
    I8 = ("i8", Kind.SIGNED, 8, DType.S8)
    U64 = ("ui64", Kind.UNSIGNED, 64, None)
    U32 = ("ui32", Kind.UNSIGNED, 32, DType.S32)
    U16 = ("ui16", Kind.UNSIGNED, 16, DType.U16)
    U8 = ("ui8", Kind.UNSIGNED, 8, DType.U8)
    I1 = ("i1", Kind.BOOL, 1, DType.U8)

    def __init__(self, mlir: str, kind: Kind, bits: int, memory: DType | None) -> None:
        self.mlir = mlir
        self.kind = kind
        self.bits = bits
        self._memory = memory

    def __str__(self) -> str:
        return self.mlir

    def __repr__(self) -> str:
        return self.mlir

    @property
    def memory(self) -> DType:
        """How the machine stores it; i1 is a byte 0 or 1, u32 shares s32.

        Raises:
            ValueError: a 64-bit type.
        """
        if self._memory is None:
            raise ValueError(f"{self} has no place in the machine's memory")
        return self._memory

    @property
    def size(self) -> int:
        """Bytes of one element in memory."""
        return self.memory.size

    @property
    def is_float(self) -> bool:
        return self.kind is Kind.FLOAT

    @property
    def is_unsigned(self) -> bool:
        """Compares and divides as an unsigned number; i1 does."""
        return self.kind in (Kind.UNSIGNED, Kind.BOOL)

    @property
    def numpy(self) -> np.dtype[np.generic]:
        return _NUMPY[self]

    @property
    def narrowed(self) -> "ElementType":
        """The 32-bit type that stands for a 64-bit one; any other type itself."""
        return _NARROWED.get(self, self)

    @classmethod
    def of_numpy(cls, dtype: np.dtype[np.generic]) -> "ElementType":
        """Raises: ValueError for a dtype the IR does not have."""
        for element, other in _NUMPY.items():
            if other == dtype:
                return element
        raise ValueError(f"numpy type {dtype} has no counterpart")

    @classmethod
    def of_name(cls, mlir: str) -> "ElementType":
        """Raises: ValueError for a type the IR does not have."""
        if mlir not in _BY_NAME:
            raise ValueError(f"element type {mlir} is not supported")
        return _BY_NAME[mlir]


_NUMPY: dict[ElementType, np.dtype[np.generic]] = {
    ElementType.F64: np.dtype(np.float64), ElementType.F32: np.dtype(np.float32),
    ElementType.BF16: np.dtype(ml_dtypes.bfloat16), ElementType.F16: np.dtype(np.float16),
    ElementType.I64: np.dtype(np.int64), ElementType.I32: np.dtype(np.int32),
    ElementType.I16: np.dtype(np.int16), ElementType.I8: np.dtype(np.int8),
    ElementType.U64: np.dtype(np.uint64), ElementType.U32: np.dtype(np.uint32),
    ElementType.U16: np.dtype(np.uint16), ElementType.U8: np.dtype(np.uint8),
    ElementType.I1: np.dtype(np.bool_),
}
_NARROWED = {
    ElementType.F64: ElementType.F32, ElementType.I64: ElementType.I32,
    ElementType.U64: ElementType.U32,
}
_BY_NAME = {element.mlir: element for element in ElementType}
_FLOATS: dict[ElementType, Attribute] = {
    ElementType.F64: Float64Type(), ElementType.F32: Float32Type(),
    ElementType.BF16: BFloat16Type(), ElementType.F16: Float16Type(),
}


@lru_cache(maxsize=4096)
def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in elements of a row-major buffer."""
    return tuple(math.prod(shape[d + 1:]) for d in range(len(shape)))


@dataclass(frozen=True)
class Tensor:
    """The type of a ranked tensor of static shape."""

    shape: tuple[int, ...]
    element: ElementType

    def __str__(self) -> str:
        return f"tensor<{''.join(f'{n}x' for n in self.shape)}{self.element}>"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.element.size

    @property
    def strides(self) -> tuple[int, ...]:
        """Row-major strides in elements."""
        return row_major(self.shape)

    def with_element(self, element: ElementType) -> "Tensor":
        return Tensor(self.shape, element)

    def with_shape(self, shape: tuple[int, ...]) -> "Tensor":
        return Tensor(shape, self.element)

    def to_mlir(self) -> TensorType[Attribute]:
        return _to_mlir(self)


def element_to_mlir(element: ElementType) -> Attribute:
    if element.is_float:
        return _FLOATS[element]
    unsigned = element.kind is Kind.UNSIGNED
    return IntegerType(element.bits, Signedness.UNSIGNED if unsigned else Signedness.SIGNLESS)


@lru_cache(maxsize=4096)
def _to_mlir(tensor: Tensor) -> TensorType[Attribute]:
    return TensorType(element_to_mlir(tensor.element), tensor.shape)


_KNOWN: dict[int, tuple[Attribute, Tensor]] = {}
"""Types by the identity of the attribute: hashing one takes long. There are few, as `to_mlir`
makes each once; those of foreign attributes are forgotten from time to time."""
MOST_KNOWN = 4096


def from_mlir(attribute: Attribute) -> Tensor:
    """The tensor type of an IR type.

    Raises:
        ValueError: not a tensor type of the IR.
    """
    known = _KNOWN.get(id(attribute))
    if known is None:
        if len(_KNOWN) >= MOST_KNOWN:
            _KNOWN.clear()
        known = _KNOWN[id(attribute)] = attribute, _from_mlir(attribute)
    return known[1]


@lru_cache(maxsize=4096)
def _from_mlir(attribute: Attribute) -> Tensor:
    if not isinstance(attribute, TensorType):
        raise ValueError(f"{attribute} is not a tensor type")
    return Tensor(attribute.get_shape(), ElementType.of_name(str(attribute.get_element_type())))


def tensor_of(value: SSAValue) -> Tensor:
    """The type of an SSA value."""
    return from_mlir(value.type)
