"""gather: slices at indices that come from data."""

from collections.abc import Sequence

import numpy as np

from compiler.ir.types import Tensor
from compiler.ops.movement import clamped_window
from compiler.ops.registry import (
    Call,
    NdArray,
    Operation,
    UnsupportedError,
    register,
    require,
)


@register
class Gather(Operation):
    """Slices of an operand at indices that come from data."""

    name = "gather"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        x, indices = call.operands
        dims = call.attrs["dimension_numbers"]
        sizes = call.attrs["slice_sizes"]
        hidden = (*dims["collapsed_slice_dims"], *dims["operand_batching_dims"])
        window = [size for d, size in enumerate(sizes) if d not in hidden]
        batch = [n for d, n in enumerate(indices.shape) if d != dims["index_vector_dim"]]
        rank = len(window) + len(batch)
        rest = iter(batch)
        offsets = dims["offset_dims"]
        require(len(offsets) == len(window), "gather: offset_dims do not match slice_sizes")
        shape = tuple(window[offsets.index(d)] if d in offsets else next(rest)
                      for d in range(rank))
        return (x.with_shape(shape),)

    def check_supported(self, call: Call) -> None:
        if call.operands[1].element.is_float:
            raise UnsupportedError("gather with float indices")

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        x, indices = operands
        dims = call.attrs["dimension_numbers"]
        offsets = dims["offset_dims"]
        hidden = (*dims["collapsed_slice_dims"], *dims["operand_batching_dims"])
        window_dims = [d for d in range(x.ndim) if d not in hidden]
        vectors = indices
        if dims["index_vector_dim"] < indices.ndim:
            vectors = np.moveaxis(indices, dims["index_vector_dim"], -1)
        else:
            vectors = indices[..., None]
        result = np.empty(call.result.shape, x.dtype)
        batch_dims = [d for d in range(result.ndim) if d not in offsets]
        for batch in np.ndindex(*vectors.shape[:-1]):
            start = self._start(call, vectors[batch], batch)
            begin = [np.asarray(s) for s in start]
            part = x[clamped_window(x.shape, begin, call.attrs["slice_sizes"])]
            part = part.reshape([part.shape[d] for d in window_dims])
            index: list[int | slice] = [slice(None)] * result.ndim
            for d, position in zip(batch_dims, batch, strict=True):
                index[d] = position
            result[tuple(index)] = part
        return (result,)

    @staticmethod
    def _start(call: Call, vector: NdArray, batch: tuple[int, ...]) -> list[int]:
        """Start of the slice in every dimension of the operand."""
        dims = call.attrs["dimension_numbers"]
        start = [0] * call.operands[0].rank
        for d, value in zip(dims["start_index_map"], vector, strict=True):
            start[d] = int(value)
        for d, at in zip(dims["operand_batching_dims"], dims["start_indices_batching_dims"],
                         strict=True):
            start[d] = batch[at if at < dims["index_vector_dim"] else at - 1]
        return start
