"""Addressing operations: they rename elements and cost no instruction.

Each says where its result's elements come from as a `View` of its operand; fusion composes views
into the address patterns of streams and transfers.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compiler.ir.types import Tensor, row_major
from compiler.ops.registry import Call, NdArray, Operation, register, require


@dataclass(frozen=True)
class View:
    """An affine walk over a row-major buffer, in elements.

    Index (i0, i1, ...) of `shape` is the buffer's element `offset + sum(strides[d] * i_d)`.
    Strides may be zero (broadcast) or negative (reversed).
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @classmethod
    def whole(cls, tensor: Tensor) -> "View":
        """The buffer itself."""
        return cls(tensor.shape, tensor.strides)

    @property
    def is_whole(self) -> bool:
        """Walks its elements one after the other from the buffer's start, each once."""
        return self.offset == 0 and all(
            stride == expected or extent == 1 for extent, stride, expected
            in zip(self.shape, self.strides, row_major(self.shape), strict=True))

    def reshaped(self, shape: tuple[int, ...]) -> "View | None":
        """The same walk in another shape; None when no strides give it."""
        # Runs of old dimensions that follow each other without a gap act as one dimension.
        runs: list[list[int]] = []
        for extent, stride in zip(self.shape, self.strides, strict=True):
            if extent == 1:
                continue
            if runs and runs[-1][1] == extent * stride:
                runs[-1] = [runs[-1][0] * extent, stride]
            else:
                runs.append([extent, stride])
        strides = [0] * len(shape)
        for d in reversed(range(len(shape))):
            if shape[d] == 1:
                continue
            while runs and runs[-1][0] == 1:
                runs.pop()
            if not runs or runs[-1][0] % shape[d]:
                return None
            extent, stride = runs[-1]
            strides[d] = stride
            runs[-1] = [extent // shape[d], stride * shape[d]]
        return View(shape, tuple(strides), self.offset)


class ViewOperation(Operation):
    """An operation whose result is a view of its only operand."""

    needs_template = False

    @abstractmethod
    def view(self, call: Call, operand: View) -> View | None:
        """The result as a walk over the operand's buffer; None when it is not affine."""

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        flat = np.ascontiguousarray(operands[0]).reshape(-1)
        view = self.view(call, View.whole(call.operands[0]))
        assert view is not None, "a whole buffer has every view"
        grid = np.full(view.shape, view.offset, np.int64)
        for d, stride in enumerate(view.strides):
            index = np.arange(view.shape[d]) * stride
            grid += index.reshape(-1, *[1] * (len(view.shape) - 1 - d))
        return (flat[grid],)


def _permutation(values: tuple[int, ...], rank: int) -> bool:
    return sorted(values) == list(range(rank))


@register
class BroadcastInDim(ViewOperation):
    """Repeats an operand along new dimensions and along those of extent 1."""

    name = "broadcast_in_dim"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (x,) = call.operands
        dims = call.attrs["broadcast_dimensions"]
        shape = call.result.shape
        require(len(dims) == x.rank and len(set(dims)) == len(dims),
                f"broadcast_in_dim: {len(dims)} dimensions for an operand of rank {x.rank}")
        for extent, d in zip(x.shape, dims, strict=True):
            require(0 <= d < len(shape) and extent in (1, shape[d]),
                    f"broadcast_in_dim: {x} does not broadcast to {call.result} along {dims}")
        return (x.with_shape(shape),)

    def view(self, call: Call, operand: View) -> View:
        shape = call.result.shape
        strides = [0] * len(shape)
        for extent, stride, d in zip(operand.shape, operand.strides,
                                     call.attrs["broadcast_dimensions"], strict=True):
            strides[d] = stride if extent > 1 else 0
        return View(shape, tuple(strides), operand.offset)


@register
class Reshape(ViewOperation):
    """The same elements in row-major order, in another shape."""

    name = "reshape"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (x,) = call.operands
        require(x.size == call.result.size, f"reshape: {x} has not the size of {call.result}")
        return (x.with_shape(call.result.shape),)

    def view(self, call: Call, operand: View) -> View | None:
        return operand.reshaped(call.result.shape)


@register
class Transpose(ViewOperation):
    """Permutes dimensions."""

    name = "transpose"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (x,) = call.operands
        order = call.attrs["permutation"]
        require(_permutation(order, x.rank), f"transpose: {order} does not permute {x}")
        return (x.with_shape(tuple(x.shape[d] for d in order)),)

    def view(self, call: Call, operand: View) -> View:
        order = call.attrs["permutation"]
        return View(tuple(operand.shape[d] for d in order),
                    tuple(operand.strides[d] for d in order), operand.offset)


@register
class Slice(ViewOperation):
    """Every stride-th element from start to limit, in each dimension."""

    name = "slice"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (x,) = call.operands
        bounds = [call.attrs[name] for name in ("start_indices", "limit_indices", "strides")]
        require(all(len(values) == x.rank for values in bounds),
                f"slice: bounds of another rank than {x}")
        shape = []
        for extent, start, limit, stride in zip(x.shape, *bounds, strict=True):
            require(0 <= start <= limit <= extent and stride > 0,
                    f"slice: [{start}:{limit}:{stride}] of extent {extent}")
            shape.append(-(-(limit - start) // stride))
        return (x.with_shape(tuple(shape)),)

    def view(self, call: Call, operand: View) -> View:
        starts, steps = call.attrs["start_indices"], call.attrs["strides"]
        offset = operand.offset + sum(
            start * stride for start, stride in zip(starts, operand.strides, strict=True))
        strides = [stride * step for stride, step in zip(operand.strides, steps, strict=True)]
        return View(self.result_types(call)[0].shape, tuple(strides), offset)


@register
class Reverse(ViewOperation):
    """Reverses the order along the given dimensions."""

    name = "reverse"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        (x,) = call.operands
        require(all(0 <= d < x.rank for d in call.attrs["dimensions"]),
                f"reverse: dimensions {call.attrs['dimensions']} of {x}")
        return (x,)

    def view(self, call: Call, operand: View) -> View:
        strides, offset = list(operand.strides), operand.offset
        for d in call.attrs["dimensions"]:
            offset += (operand.shape[d] - 1) * strides[d]
            strides[d] = -strides[d]
        return View(operand.shape, tuple(strides), offset)
