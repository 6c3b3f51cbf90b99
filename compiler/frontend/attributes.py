"""Attributes of jaxlib's bindings as Python values."""

from typing import Any

import numpy as np
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo
from numpy.typing import NDArray

from compiler.ir.attributes import Attrs
from compiler.ir.types import ElementType

_STRUCTURES = (
    stablehlo.DotDimensionNumbers, stablehlo.ConvDimensionNumbers,
    stablehlo.GatherDimensionNumbers, stablehlo.ScatterDimensionNumbers,
)
_ENUMERATIONS = (
    stablehlo.ComparisonDirectionAttr, stablehlo.ComparisonTypeAttr, stablehlo.PrecisionAttr,
    stablehlo.RngAlgorithmAttr, stablehlo.RngDistributionAttr, stablehlo.FftTypeAttr,
    stablehlo.TransposeAttr,
)
_IGNORED = frozenset(("result_accuracy",))


def operation_attributes(op: ir.OpView) -> Attrs:
    """Attributes of an operation that matter here: those of other dialects are hints."""
    return {
        name: value(op.attributes[name])
        for name in op.attributes if "." not in name and name not in _IGNORED
    }


def value(attribute: ir.Attribute) -> Any:
    """The Python value, see `compiler.ir.attributes`; anything unknown as its text."""
    for structure in _STRUCTURES:
        if structure.isinstance(attribute):
            return _fields(structure(attribute))
    for enumeration in _ENUMERATIONS:
        if enumeration.isinstance(attribute):
            return str(enumeration(attribute).value)
    if isinstance(attribute, ir.DenseElementsAttr):
        return _nested(np.array(attribute).tolist())
    if isinstance(attribute, (ir.DenseI64ArrayAttr, ir.DenseI32ArrayAttr, ir.DenseBoolArrayAttr)):
        return tuple(attribute)
    if isinstance(attribute, (ir.BoolAttr, ir.IntegerAttr, ir.FloatAttr, ir.StringAttr)):
        return attribute.value
    if isinstance(attribute, ir.FlatSymbolRefAttr):
        return attribute.value
    if isinstance(attribute, ir.ArrayAttr):
        return tuple(value(a) for a in attribute)
    if isinstance(attribute, ir.DictAttr):
        return {item.name: value(item.attr) for item in attribute}
    return str(attribute)


def _fields(structure: Any) -> dict[str, Any]:
    names = [n for n in dir(structure)
             if not n.startswith("_") and n not in dir(ir.Attribute) and n not in ("get",)]
    fields = {}
    for name in names:
        field = getattr(structure, name)
        if not callable(field):
            fields[name] = tuple(field) if isinstance(field, list) else field
    return fields


def _nested(values: Any) -> Any:
    return tuple(_nested(v) for v in values) if isinstance(values, list) else values


def constant_values(attribute: ir.Attribute, element: ElementType) -> NDArray[Any]:
    """Elements of a constant; a splat as a scalar.

    Raises:
        ValueError: stored in a way that cannot be read here.
    """
    if not isinstance(attribute, ir.DenseElementsAttr):
        raise ValueError("a constant outside the module's text (dense_resource) cannot be read")
    shape = () if attribute.is_splat else tuple(ir.RankedTensorType(attribute.type).shape)
    if element is ElementType.BF16:
        return _parse_dense(str(attribute), element).reshape(shape)
    values = np.array(attribute)
    return np.array(values.reshape(-1)[0]) if attribute.is_splat else values


def _parse_dense(text: str, element: ElementType) -> NDArray[Any]:
    """Elements of `dense<...> : type`, which numpy does not take from the bindings for bf16."""
    body = text[len("dense<"):text.rindex(">", 0, text.rindex(" : "))]
    bits = np.dtype(f"<u{element.bits // 8}")
    if body.startswith('"'):
        return np.frombuffer(bytes.fromhex(body[3:-1]), bits).view(element.numpy)
    tokens = body.replace("[", " ").replace("]", " ").replace(",", " ").split()
    raw = np.array([_token_bits(token, element) for token in tokens], bits)
    return raw.view(element.numpy)


def _token_bits(token: str, element: ElementType) -> int:
    if token.startswith("0x"):
        return int(token, 16)
    return int(np.array(float(token)).astype(element.numpy).view(f"u{element.bits // 8}"))
