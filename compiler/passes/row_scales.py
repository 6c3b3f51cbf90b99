"""Fast math: what scales the rows of a product's left factor is applied to its result.

    (r_i x_ik) @ w_kn            r_i (x @ w)                    softmax's division by its sums
    (x_ik g_k + b_k) @ w_kn      x @ (g_k w_kn) + b @ w         for constants g, b and w
    (x_ik - mean_i) @ w_kn       x @ (w_kn - mean of w over k)  for a constant w

The array then multiplies by x as it is, while the vector unit is at the sums over its rows; r_i
joins the work on the result. A layer norm before a product costs the passes for its statistics and
no other. What is constant is computed here and rounded to bf16 once, where the left factor's
rounding to bf16 was.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.loops import is_reduction
from compiler.ir.ops import (
    HloOp,
    constant,
    constant_values,
    erase_unused,
    insert_before,
    is_constant,
    main_function,
    make,
    replace,
)
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.contraction import free_dimensions
from compiler.passes.canonicalise import scalar_constant
from compiler.passes.slicing import follow

FEWEST_ROWS = 16
"""With fewer, as in decoding, a normalisation takes no time, and what the shift adds to a long
result is loaded for nothing."""
TOLERANCE = 1e-6
"""Relative, of the reciprocal in a mean."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Scaled:
    """A left factor: rows * (x - mean) * scale + shift.

    Attributes:
        rows: values that are broadcast along k, of the factor's shape.
        scale, shift: of each k, arrays that broadcast to the factor's shape; None for none.
        centred: the mean over k is subtracted.
    """

    x: SSAValue
    rows: tuple[SSAValue, ...] = ()
    scale: Array | None = None
    shift: Array | None = None
    centred: bool = False

    @property
    def needs_weights(self) -> bool:
        """Whether the right factor has to change."""
        return self.centred or self.scale is not None or self.shift is not None


def row_scales(module: ModuleOp) -> None:
    """Rewrites every product whose left factor is made for products alone."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and op.kind == "dot_general" and op.parent is not None:
            _rewrite(op)
    erase_unused(main_function(module).body.block)


def _rewrite(dot: HloOp) -> None:
    products = [use.operation for use in dot.operands[0].uses]
    found = _read(dot, dot.operands[0], first=True)
    if _is_worthwhile(dot, found) and all(
            isinstance(op, HloOp) and _fits(op, dot, found) for op in products):
        for op in products:
            assert isinstance(op, HloOp)
            _apply(op, found)


def _is_worthwhile(dot: HloOp, found: Scaled) -> bool:
    left = tensor_of(dot.operands[0])
    rows = left.size // max(math.prod(left.shape[d] for d in _contracted(dot)), 1)
    return rows >= FEWEST_ROWS and (
        found.centred or any(scalar_constant(v) is None for v in found.rows))


def _fits(op: HloOp, dot: HloOp, found: Scaled) -> bool:
    """Whether a reader of the left factor can do with x."""
    left = dot.operands[0]
    if op.kind != "dot_general" or op.operands[1] is left or _contracted(op) != _contracted(dot) \
            or tensor_of(left).element is not ElementType.BF16:
        return False
    return not found.needs_weights or (
        tensor_of(found.x).element is ElementType.BF16 and is_constant(op.operands[1])
        and not op.attrs["dot_dimension_numbers"]["rhs_batching_dimensions"])


def _contracted(dot: HloOp) -> tuple[int, ...]:
    return tuple(dot.attrs["dot_dimension_numbers"]["lhs_contracting_dimensions"])


# What the left factor is made of.


def _read(dot: HloOp, value: SSAValue, first: bool = False) -> Scaled:
    """A value as a scaled one, as far as nothing but the product needs it."""
    op = value.owner
    step = STEPS.get(op.kind) if isinstance(op, HloOp) else None
    alone = first or len(list(value.uses)) == 1
    if step is not None and isinstance(op, HloOp) and (alone or op.kind == "subtract"):
        found = step(dot, op)
        if found is not None:
            return found
    return Scaled(_narrow(value))


def _narrow(value: SSAValue) -> SSAValue:
    """A value before it was widened."""
    op = value.owner
    return op.operands[0] if isinstance(op, HloOp) and op.kind == "convert" and \
        tensor_of(op.operands[0]).element is ElementType.BF16 else value


def _read_convert(dot: HloOp, op: HloOp) -> Scaled | None:
    return _read(dot, op.operands[0]) if op.tensor.element.is_float and \
        tensor_of(op.operands[0]).element.is_float else None


def _read_multiply(dot: HloOp, op: HloOp) -> Scaled | None:
    for value, other in (tuple(op.operands), tuple(op.operands)[::-1]):
        factors = _factors(dot, other)
        if factors:
            found: Scaled | None = _read(dot, value)
            for factor in factors:
                found = None if found is None else _times(dot, found, factor)
            return found
    return None


def _factors(dot: HloOp, value: SSAValue) -> list[SSAValue]:
    """The factors of rows and of columns that a value is the product of; none if it is not."""
    if _row_source(dot, value) is not None or _of_columns(dot, value) is not None:
        return [value]
    op = value.owner
    if not isinstance(op, HloOp) or op.kind != "multiply":
        return []
    found = [_factors(dot, v) for v in op.operands]
    return [factor for factors in found for factor in factors] if all(found) else []


def _times(dot: HloOp, found: Scaled, factor: SSAValue) -> Scaled | None:
    if found.shift is None and _row_source(dot, factor) is not None:
        return changed(found, rows=(*found.rows, factor))
    scale = _of_columns(dot, factor)
    return None if scale is None else changed(
        found, scale=scale if found.scale is None else found.scale * scale,
        shift=None if found.shift is None else found.shift * scale)


def _read_add(dot: HloOp, op: HloOp) -> Scaled | None:
    for value, other in (tuple(op.operands), tuple(op.operands)[::-1]):
        shift = _of_columns(dot, other)
        if shift is not None:
            inner = _read(dot, value)
            return changed(inner, shift=shift if inner.shift is None else inner.shift + shift)
    return None


def _read_subtract(dot: HloOp, op: HloOp) -> Scaled | None:
    value, mean = op.operands
    return Scaled(_narrow(value), centred=True) if _is_mean(dot, mean, value) else None


STEPS: dict[str, Callable[[HloOp, HloOp], Scaled | None]] = {
    "convert": _read_convert, "multiply": _read_multiply, "add": _read_add,
    "subtract": _read_subtract,
}


def _behind_views(value: SSAValue, dims: Sequence[int | None]
                  ) -> tuple[SSAValue, list[int | None]]:
    """What is broadcast, and for each of its dimensions the one it becomes; None where it has
    one index.

    Args:
        dims: the same of `value`.
    """
    found = list(dims)
    while isinstance(op := value.owner, HloOp) and op.operands:
        inner = tensor_of(op.operands[0])
        if op.kind == "broadcast_in_dim":
            found = [found[d] if n > 1 else None for n, d in zip(
                inner.shape, op.attrs["broadcast_dimensions"], strict=True)]
        elif op.kind == "reshape" and _long(inner.shape) == _long(op.tensor.shape):
            kept = iter([d for d, n in zip(found, op.tensor.shape, strict=True) if n > 1])
            found = [next(kept) if n > 1 else None for n in inner.shape]
        elif op.kind != "convert" or not inner.element.is_float:
            break
        value = op.operands[0]
    return value, found


def _long(shape: Sequence[int]) -> list[int]:
    return [n for n in shape if n > 1]


def _row_source(dot: HloOp, value: SSAValue) -> tuple[SSAValue, list[int | None]] | None:
    """What a factor of rows is broadcast from; None for one that is not."""
    source, dims = _behind_views(value, range(tensor_of(value).rank))
    known = [d for d in dims if d is not None]
    if source is value or any(d in _contracted(dot) for d in known) or known != sorted(known):
        return None
    return source, dims


def _of_columns(dot: HloOp, value: SSAValue) -> Array | None:
    """A constant that depends on k alone, as an array that broadcasts to the left factor's
    shape."""
    rank = tensor_of(value).rank
    source, dims = _behind_views(value, range(rank))
    op = source.owner
    known = [d for d in dims if d is not None]
    if not isinstance(op, HloOp) or op.kind != "constant" or known != sorted(known) or any(
            d not in _contracted(dot) for d in known):
        return None
    shape = tensor_of(value).shape
    return np.asarray(op.attrs["value"], np.float64).reshape(
        [shape[d] if d in known else 1 for d in range(rank)])


def _is_mean(dot: HloOp, value: SSAValue, x: SSAValue) -> bool:
    """Whether a value is the mean of x over k, broadcast."""
    factor = float(math.prod(tensor_of(x).shape[d] for d in _contracted(dot)))
    dims: Sequence[int | None] = range(tensor_of(x).rank)
    value, dims = _behind_views(value, dims)
    while isinstance(op := value.owner, HloOp) and op.kind == "multiply":
        number = scalar_constant(op.operands[1])
        if number is None:
            return False
        factor *= float(number)
        value, dims = _behind_views(op.operands[0], dims)
    return (isinstance(op, HloOp) and _is_sum(dot, op, x, dims)
            and math.isclose(factor, 1.0, rel_tol=TOLERANCE))


def _is_sum(dot: HloOp, op: HloOp, x: SSAValue, dims: Sequence[int | None]) -> bool:
    """Whether an operation adds x over k, and its dimensions are those of x."""
    if not is_reduction(op) or op.attrs["combiner"] != "add" or \
            _narrow(op.operands[0]) is not _narrow(x) or scalar_constant(op.operands[1]) != 0:
        return False
    summed = tuple(op.attrs["dimensions"])
    kept = free_dimensions(tensor_of(x).rank, summed)
    return sorted(summed) == sorted(_contracted(dot)) and all(
        d is None or d == k for d, k in zip(dims, kept, strict=True))


# The product of what remains.


def _apply(dot: HloOp, found: Scaled) -> None:
    """Replaces a product by one of x, and what its result becomes then."""
    builder = _Builder(dot)
    x = builder.converted(found.x, ElementType.BF16)
    weights, shift = dot.operands[1], None
    if found.needs_weights:
        weights, shift = builder.weights(found)
    result = builder.add("dot_general", [x, weights], dict(dot.attrs))
    for factor in found.rows:
        result = builder.add("multiply", [result, builder.rows(factor)])
    if shift is not None:
        result = builder.add("add", [result, shift])
    result = builder.converted(result, dot.tensor.element)
    insert_before(dot, builder.made)
    replace(dot, [result])


class _Builder:
    """Makes operations on f32 values of a product's shape."""

    def __init__(self, dot: HloOp) -> None:
        self.dot = dot
        self.made: list[HloOp] = []

    def add(self, kind: str, operands: Sequence[SSAValue], attrs: dict[str, Any] | None = None
            ) -> SSAValue:
        return self._put(make(kind, operands, [self.dot.tensor.with_element(ElementType.F32)],
                              attrs, location=self.dot.source))

    def _put(self, op: HloOp) -> SSAValue:
        self.made.append(op)
        return op.results[0]

    def converted(self, value: SSAValue, element: ElementType) -> SSAValue:
        tensor = tensor_of(value)
        return value if tensor.element is element else self._put(make(
            "convert", [value], [tensor.with_element(element)], location=self.dot.source))

    def _broadcast(self, value: SSAValue, dims: Sequence[int]) -> SSAValue:
        return self.add("broadcast_in_dim", [value], {"broadcast_dimensions": tuple(dims)})

    def rows(self, factor: SSAValue) -> SSAValue:
        """A factor of rows in the shape of the result."""
        found = _row_source(self.dot, factor)
        assert found is not None
        source, dims = found
        value = self.converted(source, ElementType.F32)
        tensor = tensor_of(value)
        kept = tensor.with_shape(tuple(
            n for n, d in zip(tensor.shape, dims, strict=True) if d is not None))
        if kept != tensor:
            value = self._put(make("reshape", [value], [kept], location=self.dot.source))
        places = [follow(self.dot, 0, d) for d in dims if d is not None]
        return self._broadcast(value, [p for p in places if p is not None])

    def weights(self, found: Scaled) -> tuple[SSAValue, SSAValue | None]:
        """The right factor with scales and means in it, and what the shift adds."""
        factor = self.dot.operands[1]
        weights, tensor = constant_values(factor), tensor_of(factor)
        assert weights is not None
        axes = tuple(self.dot.attrs["dot_dimension_numbers"]["rhs_contracting_dimensions"])
        values = np.asarray(weights, np.float64)
        scaled = values if found.scale is None else values * self._along(found.scale)
        if found.centred:
            scaled = scaled - scaled.mean(axis=axes, keepdims=True)
        new = constant(scaled.astype(tensor.element.numpy), self.dot.source)
        self.made.append(new)
        if found.shift is None:
            return new.results[0], None
        added = (values * self._along(found.shift)).sum(axis=axes).astype(np.float32)
        shift = self._put(constant(added, self.dot.source))
        rank = self.dot.tensor.rank
        return new.results[0], self._broadcast(shift, range(rank - added.ndim, rank))

    def _along(self, columns: Array) -> Array:
        """An array that broadcasts to the left factor's shape, to the right one's."""
        numbers = self.dot.attrs["dot_dimension_numbers"]
        left = [numbers["lhs_contracting_dimensions"], numbers["rhs_contracting_dimensions"]]
        weights = tensor_of(self.dot.operands[1])
        shape = [1] * weights.rank
        order = sorted(range(len(left[0])), key=lambda i: left[1][i])
        free = free_dimensions(columns.ndim, left[0])
        taken = columns.transpose([*free, *(left[0][i] for i in order)])
        for i in order:
            shape[left[1][i]] = columns.shape[left[0][i]]
        return taken.reshape(shape)
