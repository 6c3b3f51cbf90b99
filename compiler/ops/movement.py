"""Operations that make or move elements without computing: constant, iota, concatenate, pad."""

from collections.abc import Sequence

import numpy as np

from compiler.ir.types import Tensor
from compiler.ops.elementwise import cast
from compiler.ops.registry import Call, NdArray, Operation, register, require


@register
class Constant(Operation):
    """A literal tensor."""

    name = "constant"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        value = call.attrs["value"]
        element = call.result.element
        require(value.dtype == element.numpy, f"constant: {value.dtype} values of {element}")
        return (Tensor(value.shape, element),)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        return (call.attrs["value"],)


@register
class Iota(Operation):
    """Each element is its index along one dimension."""

    name = "iota"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        require(0 <= call.attrs["iota_dimension"] < call.result.rank,
                f"iota: dimension {call.attrs['iota_dimension']} of {call.result}")
        return call.results

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        dimension = call.attrs["iota_dimension"]
        shape = call.result.shape
        index = np.arange(shape[dimension]).reshape(-1, *[1] * (len(shape) - 1 - dimension))
        return (cast(np.broadcast_to(index, shape), call.result.element),)


@register
class Concatenate(Operation):
    """Operands one after the other along a dimension."""

    name = "concatenate"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        first = call.operands[0]
        d = call.attrs["dimension"]
        require(0 <= d < first.rank, f"concatenate: dimension {d} of {first}")
        for x in call.operands:
            require(x.element is first.element and x.rank == first.rank
                    and x.shape[:d] + x.shape[d + 1:] == first.shape[:d] + first.shape[d + 1:],
                    f"concatenate: {x} and {first} along dimension {d}")
        shape = list(first.shape)
        shape[d] = sum(x.shape[d] for x in call.operands)
        return (first.with_shape(tuple(shape)),)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        return (np.concatenate(operands, axis=call.attrs["dimension"]),)


@register
class Pad(Operation):
    """A padding value before, after and between elements; negative low and high cut."""

    name = "pad"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        x, value = call.operands
        require(value == Tensor((), x.element), f"pad: value {value} for {x}")
        edges = [call.attrs[f"{name}"] for name in
                 ("edge_padding_low", "edge_padding_high", "interior_padding")]
        require(all(len(e) == x.rank for e in edges), f"pad: paddings of another rank than {x}")
        shape = tuple(low + high + n + max(n - 1, 0) * interior
                      for n, low, high, interior in zip(x.shape, *edges, strict=True))
        require(all(n >= 0 for n in shape), f"pad: {x} is cut by more than it has")
        return (x.with_shape(shape),)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        x, value = operands
        result = np.full(call.result.shape, value, x.dtype)
        source, target = [], []
        for n, total, low, interior in zip(
                x.shape, call.result.shape, call.attrs["edge_padding_low"],
                call.attrs["interior_padding"], strict=True):
            index = np.arange(n) * (interior + 1) + low
            inside = (index >= 0) & (index < total)
            source.append(np.arange(n)[inside])
            target.append(index[inside])
        result[np.ix_(*target)] = x[np.ix_(*source)]
        return (result,)


@register
class DynamicSlice(Operation):
    """A slice whose start comes from data; the start is moved inside the operand."""

    name = "dynamic_slice"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        x, *starts = call.operands
        sizes = call.attrs["slice_sizes"]
        require(len(sizes) == len(starts) == x.rank, f"dynamic_slice: {sizes} of {x}")
        require(all(0 <= size <= n for size, n in zip(sizes, x.shape, strict=True)),
                f"dynamic_slice: sizes {sizes} exceed {x}")
        return (x.with_shape(sizes),)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        x, *starts = operands
        return (x[clamped_window(x.shape, starts, call.result.shape)],)


@register
class DynamicUpdateSlice(Operation):
    """The operand with a part replaced, at a start that comes from data."""

    name = "dynamic_update_slice"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        x, update, *starts = call.operands
        require(update.element is x.element and len(starts) == update.rank == x.rank
                and all(a <= n for a, n in zip(update.shape, x.shape, strict=True)),
                f"dynamic_update_slice: {update} in {x}")
        return (x,)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        x, update, *starts = operands
        result = x.copy()
        result[clamped_window(x.shape, starts, update.shape)] = update
        return (result,)


def clamped_window(shape: Sequence[int], starts: Sequence[NdArray],
            sizes: Sequence[int]) -> tuple[slice, ...]:
    """The part of a tensor from a start that is moved inside."""
    begin = [min(max(int(s), 0), n - size)
             for s, n, size in zip(starts, shape, sizes, strict=True)]
    return tuple(slice(b, b + size) for b, size in zip(begin, sizes, strict=True))
