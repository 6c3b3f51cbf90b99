"""Operations that expand into others, before anything else looks at them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from compiler.ir.types import Tensor
from compiler.ops.elementwise import cast
from compiler.ops.registry import Call, NdArray, Operation, register, require

Value = Any
"""A value of whatever graph is built."""


class Graph(Protocol):
    """What an expansion builds with."""

    def op(self, kind: str, *operands: Value, result: Tensor | None = None,
           **attrs: Any) -> Value:
        """An operation with one result, its type from the type rule unless given."""

    def tensor(self, value: Value) -> Tensor:
        """Type of a value."""


class Composed(Operation):
    """An operation that is written with others."""

    needs_template = False

    @abstractmethod
    def expand(self, g: Graph, call: Call, *operands: Value) -> Value:
        """The only result, made of other operations."""


def broadcast(g: Graph, value: Value, shape: tuple[int, ...], dims: tuple[int, ...]) -> Value:
    """`broadcast_in_dim` to a shape."""
    return g.op("broadcast_in_dim", value, result=g.tensor(value).with_shape(shape),
                broadcast_dimensions=dims)


@register
class Clamp(Composed):
    """min(max(x, low), high); low and high are scalars or of x's shape."""

    name = "clamp"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        low, x, high = call.operands
        for bound in (low, high):
            require(bound in (x, x.with_shape(())), f"clamp: bound {bound} for {x}")
        return (x,)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        low, x, high = operands
        return (np.minimum(np.maximum(x, low), high),)

    def expand(self, g: Graph, call: Call, *operands: Value) -> Value:
        low, x, high = operands
        shape = call.operands[1].shape
        low, high = (v if g.tensor(v).shape == shape else broadcast(g, v, shape, ())
                     for v in (low, high))
        return g.op("minimum", g.op("maximum", x, low), high)


@register
class Broadcast(Composed):
    """Repeats an operand along new leading dimensions."""

    name = "broadcast"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (x,) = call.operands
        return (x.with_shape((*call.attrs["broadcast_sizes"], *x.shape)),)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        return (np.broadcast_to(operands[0], call.result.shape),)

    def expand(self, g: Graph, call: Call, *operands: Value) -> Value:
        added = len(call.attrs["broadcast_sizes"])
        dims = tuple(range(added, call.result.rank))
        return broadcast(g, operands[0], call.result.shape, dims)


@register
class Dot(Composed):
    """Product of vectors and matrices: dot_general without batch dimensions."""

    name = "dot"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        lhs, rhs = call.operands
        require(lhs.rank in (1, 2) and rhs.rank in (1, 2) and lhs.shape[-1] == rhs.shape[0],
                f"dot: {lhs} by {rhs}")
        element = call.result.element if call.results else lhs.element
        return (Tensor((*lhs.shape[:-1], *rhs.shape[1:]), element),)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        wide = np.float64 if call.result.element.is_float else np.int64
        product = np.dot(*[x.astype(wide) for x in operands])
        return (cast(product, call.result.element),)

    def expand(self, g: Graph, call: Call, *operands: Value) -> Value:
        dims = {
            "lhs_batching_dimensions": (), "rhs_batching_dimensions": (),
            "lhs_contracting_dimensions": (call.operands[0].rank - 1,),
            "rhs_contracting_dimensions": (0,),
        }
        return g.op("dot_general", *operands, result=call.result, dot_dimension_numbers=dims,
                    precision_config=call.attrs.get("precision_config", ()))


@register
class BatchNormInference(Composed):
    """scale * (x - mean) / sqrt(variance + epsilon) + offset, per feature."""

    name = "batch_norm_inference"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        x, *statistics = call.operands
        features = x.shape[call.attrs["feature_index"]]
        require(all(t == x.with_shape((features,)) for t in statistics),
                f"batch_norm_inference: statistics of {features} features for {x}")
        return (x,)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        shape = [1] * operands[0].ndim
        shape[call.attrs["feature_index"]] = -1
        x, *statistics = (v.astype(np.float64) for v in operands)
        scale, offset, mean, variance = (s.reshape(shape) for s in statistics)
        normal = (x - mean) / np.sqrt(variance + call.attrs["epsilon"])
        return (cast(scale * normal + offset, call.result.element),)

    def expand(self, g: Graph, call: Call, *operands: Value) -> Value:
        x, scale, offset, mean, variance = operands
        vector = g.tensor(variance)
        epsilon = g.op("constant", result=vector.with_shape(()),
                       value=np.asarray(call.attrs["epsilon"]).astype(vector.element.numpy))
        deviation = g.op("sqrt", g.op("add", variance, broadcast(g, epsilon, vector.shape, ())))
        feature = (call.attrs["feature_index"],)
        scale, offset, mean, deviation = (
            broadcast(g, v, call.result.shape, feature) for v in (scale, offset, mean, deviation))
        normal = g.op("divide", g.op("subtract", x, mean), deviation)
        return g.op("add", g.op("multiply", scale, normal), offset)


@register
class Tan(Composed):
    """Tangent, sine by cosine."""

    name = "tan"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        return call.operands

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        return (cast(np.tan(operands[0].astype(np.float64)), call.result.element),)

    def expand(self, g: Graph, call: Call, *operands: Value) -> Value:
        (x,) = operands
        return g.op("divide", g.op("sine", x), g.op("cosine", x))


