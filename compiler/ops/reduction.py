"""reduce and reduce_window.

The body is a region. One whose body is a single operation on its two arguments carries its name
in the attribute `combiner` (canonicalisation finds it); only those become code. Float sums in
numpy are computed in float64: the machine's order differs, so they agree within rounding.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compiler.ir.types import ElementType, Tensor
from compiler.ops.elementwise import cast
from compiler.ops.registry import Call, NdArray, Operation, UnsupportedError, register, require
from compiler.ops.windows import SpatialWindow, gather_window

COMBINERS: dict[str, Callable[..., Any]] = {
    "add": np.add, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}
"""Bodies that become code, and their numpy meaning."""


def check_combiner(call: Call, name: str) -> None:
    if call.attrs.get("combiner") not in COMBINERS:
        raise UnsupportedError(
            f"{name} with this body: only bodies of one {', '.join(COMBINERS)} become code")


def split_inputs(call: Call) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """(inputs, initial values) of a variadic reduction."""
    half = len(call.operands) // 2
    return call.operands[:half], call.operands[half:]


def _fold(call: Call, steps: Sequence[Sequence[NdArray]],
          initial: Sequence[NdArray]) -> Sequence[NdArray]:
    """Combines the steps, each one array per input, from the initial values on."""
    combiner = call.attrs.get("combiner")
    if combiner is None:
        state = initial
        for step in steps:
            state = call.regions[0](*state, *step)
        return [np.broadcast_to(s, t.shape) for s, t in zip(state, call.results, strict=True)]
    (result,) = call.results
    wide = np.float64 if result.element.is_float else initial[0].dtype
    total = np.asarray(initial[0]).astype(wide)
    for step in steps:
        total = COMBINERS[combiner](total, step[0].astype(wide))
    return [cast(np.broadcast_to(total, result.shape), result.element)]


@register
class Reduce(Operation):
    """Combines all elements along dimensions, starting from an initial value."""

    name = "reduce"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        inputs, initial = split_inputs(call)
        dimensions = call.attrs["dimensions"]
        require(len({t.shape for t in inputs}) == 1, "reduce: inputs of different shapes")
        require(all(t.shape == () for t in initial), "reduce: initial values are scalars")
        shape = inputs[0].shape
        require(all(0 <= d < len(shape) for d in dimensions),
                f"reduce: dimensions {dimensions} of {inputs[0]}")
        kept = tuple(n for d, n in enumerate(shape) if d not in dimensions)
        return tuple(Tensor(kept, t.element) for t in initial)

    def check_supported(self, call: Call) -> None:
        if len(call.results) != 1:
            raise UnsupportedError("reduce of several tensors at once is not supported")
        check_combiner(call, self.name)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        inputs, _ = split_inputs(call)
        dimensions = call.attrs["dimensions"]
        kept = [d for d in range(inputs[0].rank) if d not in dimensions]
        flat = [x.transpose(*dimensions, *kept).reshape(-1, *[x.shape[d] for d in kept])
                for x in operands[:len(inputs)]]
        with np.errstate(all="ignore"):
            return _fold(call, list(zip(*flat, strict=True)), operands[len(inputs):])


@register
class ReduceWindow(Operation):
    """Combines the elements under a sliding window: pooling, cumulative sums."""

    name = "reduce_window"

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        inputs, initial = split_inputs(call)
        shape = tuple(w.outputs for w in reduction_windows(call))
        require(len({t.shape for t in inputs}) == 1, "reduce_window: inputs of different shapes")
        return tuple(Tensor(shape, t.element) for t in initial)

    def check_supported(self, call: Call) -> None:
        if len(call.results) != 1:
            raise UnsupportedError("reduce_window of several tensors at once is not supported")
        check_combiner(call, self.name)

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        half = len(operands) // 2
        windows = reduction_windows(call)
        initial = operands[half:]
        steps = [
            [gather_window(x, windows, position, start)
             for x, start in zip(operands[:half], initial, strict=True)]
            for position in np.ndindex(*[w.size for w in windows])
        ]
        with np.errstate(all="ignore"):
            return _fold(call, steps, initial)


def reduction_windows(call: Call) -> list[SpatialWindow]:
    """One window for each dimension of the input."""
    shape = call.operands[0].shape
    ones = (1,) * len(shape)
    paddings = call.attrs.get("padding") or ((0, 0),) * len(shape)
    return [
        SpatialWindow(extent=extent, size=size, stride=stride, low=low, high=high,
                      base_dilation=base, dilation=dilation)
        for extent, size, stride, base, dilation, (low, high) in zip(
            shape, call.attrs["window_dimensions"],
            call.attrs.get("window_strides") or ones, call.attrs.get("base_dilations") or ones,
            call.attrs.get("window_dilations") or ones, paddings, strict=True)
    ]


def identity(combiner: str, element: ElementType) -> Any:
    """The value that changes nothing when combined with another, as a numpy scalar."""
    if combiner in ("add", "or", "xor"):
        value: Any = 0
    elif combiner == "multiply":
        value = 1
    elif combiner == "and":
        value = True if element is ElementType.I1 else -1
    elif element is ElementType.I1:
        value = combiner == "minimum"
    elif element.is_float:
        value = -np.inf if combiner == "maximum" else np.inf
    else:
        limits = np.iinfo(element.numpy)  # type: ignore[type-var]
        value = limits.min if combiner == "maximum" else limits.max
    return np.asarray(value).astype(element.numpy)[()]
