"""Attributes of the IR as plain Python values.

| Python | MLIR |
|---|---|
| bool, int, float, str | `true`, `1 : i64`, `1.0 : f64`, `"s"` |
| tuple of ints | `array<i64: ...>` |
| any other tuple | `[...]` |
| dict | `{...}` |
| numpy array | `#hlo.array<...>`, elided when long |
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import (
    ArrayAttr,
    BoolAttr,
    DenseArrayBase,
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    f64,
    i64,
)
from xdsl.ir import Attribute, Data
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from compiler.ir.types import ElementType, Tensor

Attrs = Mapping[str, Any]
"""Attributes of one operation, by StableHLO's names, as Python values."""

PRINTED_ELEMENTS = 16
"""Longer arrays are elided in dumps."""


class Array:
    """An immutable numpy array that compares by type, shape and bits."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = np.ascontiguousarray(values).reshape(np.shape(values))
        self.values.flags.writeable = False

    @property
    def tensor(self) -> Tensor:
        return Tensor(self.values.shape, ElementType.of_numpy(self.values.dtype))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and (
            self.values is other.values
            or (self.tensor == other.tensor and self.values.tobytes() == other.values.tobytes())
        )

    def __hash__(self) -> int:
        return hash((self.tensor, self.values.tobytes()))


@irdl_attr_definition
class ArrayData(Data[Array]):
    """A constant of any size, held as numpy array."""

    name = "hlo.array"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Array:
        parser.raise_error("constants are elided in printed IR, which cannot be read back")

    def print_parameter(self, printer: Printer) -> None:
        values = self.data.values
        text = "..."
        if values.size <= PRINTED_ELEMENTS:
            text = ", ".join(str(v) for v in values.reshape(-1).tolist())
        printer.print_string(f"<{self.data.tensor} [{text}]>")


def encode(value: Any) -> Attribute:
    """The MLIR attribute of a Python value.

    Raises:
        TypeError: a value of another type than those in the module's table.
    """
    if isinstance(value, bool):
        return BoolAttr.from_bool(value)
    if isinstance(value, int):
        return IntegerAttr(value, i64)
    if isinstance(value, float):
        return FloatAttr(value, f64)
    if isinstance(value, str):
        return StringAttr(value)
    if isinstance(value, np.ndarray):
        return ArrayData(Array(value))
    if isinstance(value, tuple):
        if all(type(v) is int for v in value):
            return _integers(value)
        return ArrayAttr([encode(v) for v in value])
    if isinstance(value, Mapping):
        return DictionaryAttr({k: encode(v) for k, v in value.items()})
    raise TypeError(f"attribute value {value!r} of type {type(value).__name__}")


@lru_cache(maxsize=1024)
def _integers(values: tuple[int, ...]) -> Attribute:
    return DenseArrayBase.from_list(i64, values)


def decode(attribute: Attribute) -> Any:
    """Inverse of `encode`."""
    decoder = _DECODERS.get(type(attribute))
    if decoder is None:
        raise TypeError(f"attribute {attribute} is not of the IR")
    return decoder(attribute)


def _integer(attribute: Any) -> int:
    value = attribute.value.data
    return bool(value) if attribute.type == IntegerType(1) else value


_DECODERS: dict[type, Callable[[Any], Any]] = {
    ArrayData: lambda attribute: attribute.data.values,
    IntegerAttr: _integer,
    FloatAttr: lambda attribute: attribute.value.data,
    StringAttr: lambda attribute: attribute.data,
    DenseArrayBase: lambda attribute: tuple(attribute.get_values()),
    ArrayAttr: lambda attribute: tuple([decode(a) for a in attribute.data]),
    DictionaryAttr: lambda attribute: {k: decode(v) for k, v in attribute.data.items()},
}
