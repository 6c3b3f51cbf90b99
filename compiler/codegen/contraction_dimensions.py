"""Which dimensions of a dot_general's factors are batch, rows, columns and k, and their axes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from compiler.codegen.contraction_axes import Axis, positions
from compiler.ir.loops import Contraction
from compiler.ops.contraction import free_dimensions
from compiler.ops.views import View


@dataclass(frozen=True)
class Dimensions:
    """Numbers of the dimensions of each factor, left and right: `batch`, `k`, `free`."""

    batch: tuple[Sequence[int], Sequence[int]]
    k: tuple[Sequence[int], Sequence[int]]
    free: tuple[Sequence[int], Sequence[int]]

    @classmethod
    def of(cls, contraction: Contraction) -> "Dimensions":
        numbers = contraction.op.attrs["dot_dimension_numbers"]
        batch, k = ((numbers[f"lhs_{what}_dimensions"], numbers[f"rhs_{what}_dimensions"])
                    for what in ("batching", "contracting"))
        ranks = (len(load.view.shape) for load in (contraction.lhs, contraction.rhs))
        left, right = (free_dimensions(rank, [*b, *c])
                       for rank, b, c in zip(ranks, batch, k, strict=True))
        return cls(batch, k, (left, right))

    @property
    def left_order(self) -> tuple[int, ...]:
        """The left factor's as products read it, k innermost."""
        return *self.batch[0], *self.free[0], *self.k[0]

    @property
    def right_order(self) -> tuple[int, ...]:
        """The right factor's, columns innermost."""
        return *self.batch[1], *self.k[1], *self.free[1]


@dataclass(frozen=True)
class DotAxes:
    """Axes of a batch of products.

    Attributes:
        left_k: of each left factor, with its strides and those of the right one; `k` of all.
        offsets: for each batch index those of the left factor, the right one, and the views.
        rows: with the strides of each left factor and of the views; `columns`: with those of the
            right factor, in the place of the first left one, so that the views have the same
            numbers in both.
    """

    left_k: tuple[tuple[Axis, ...], ...]
    k: tuple[Axis, ...]
    offsets: Sequence[tuple[int, ...]]
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]

    @classmethod
    def of(cls, dims: Dimensions, lefts: Sequence[View], right: View, views: Sequence[View]
           ) -> "DotAxes":
        """
        Args:
            lefts: left factors that lie one behind the other along k.
            views: of the result's shape; operands of the epilogue among them.
        """
        left_k = tuple(tuple(Axis(left.shape[a], (left.strides[a], right.strides[b]))
                             for a, b in zip(*dims.k, strict=True)) for left in lefts)
        k = left_k[0] if len(lefts) == 1 else tuple(
            Axis(right.shape[b], (1, right.strides[b])) for b in dims.k[1])
        first_row = len(dims.batch[0])
        rows = _free_axes(lefts, dims.free[0], views, first_row)
        columns = _free_axes([right], dims.free[1], views, first_row + len(dims.free[0]))
        apart = (0,) * (len(lefts) - 1)
        return cls(left_k, k, _batch_offsets(dims, lefts[0], right, views), rows, tuple(
            replace(axis, strides=(axis.strides[0], *apart, *axis.strides[1:]))
            for axis in columns))


def _batch_offsets(dims: Dimensions, left: View, right: View, views: Sequence[View]
                   ) -> Sequence[tuple[int, ...]]:
    batch = [Axis(left.shape[a], (left.strides[a], right.strides[b],
                                  *(v.strides[d] for v in views)))
             for d, (a, b) in enumerate(zip(*dims.batch, strict=True))]
    return positions(batch) if batch else [(0,) * (2 + len(views))]


def _free_axes(operands: Sequence[View], dims: Sequence[int], views: Sequence[View], first: int
               ) -> tuple[Axis, ...]:
    """Free axes of operands, which are dimensions first, first + 1, ... of the result."""
    axes = tuple(Axis(operands[0].shape[d], (*(x.strides[d] for x in operands),
                                             *(v.strides[first + i] for v in views)))
                 for i, d in enumerate(dims))
    return axes or (Axis(1, (*(1 for _ in operands), *(0 for _ in views))),)
