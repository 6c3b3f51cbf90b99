"""Fast math: two products whose value in between is larger than the scratchpad, k by k.

A feed-forward block is the example: its hidden layer would be stored, and loaded again for every
block of columns that the accumulators hold. Instead a slice of its columns is made and multiplied
at once, while it is on chip:

    h_j = f(x @ w1_j)        p_j = p_(j-1) + h_j @ w2_j

What goes through DRAM are the sums p_j. Those before the last are rounded to bf16, once for each
slice but one; without fast math the product, its bias and its residual are rounded one by one.

Where x alone fills the scratchpad, the hidden layer is made as a whole and stored. The second
product still goes slice by slice when that costs less than loading its left factor for every block:
a slice of it stays on chip for all blocks of columns.

A convolution of an input that does not stay on chip would load its weights for each band of lines.
In slices of its input's channels it loads both once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.ops import (
    HloOp,
    erase_unused,
    insert_before,
    main_function,
    make,
    repeated,
    replace,
)
from compiler.ir.types import ElementType, Tensor, tensor_of
from compiler.passes.slices import Exclusive
from compiler.passes.slicing import Cuts, Slicer, resized

ROOM = 8
"""This part of the scratchpad is left to the factors on their way in."""
CONVOLUTION_WORKING = 4
"""This part is left to a convolution's weights and results."""
CONVOLUTION_ROOM = 3
"""This part of the scratchpad a slice of a convolution's input may fill: the next one is loaded at
the same time, and weights and results need room as well."""
GRANULE = 64
"""Columns of a slice are a multiple."""
MOST_SLICES = 5
"""Each slice but the first rounds the sums once more."""


@dataclass(frozen=True)
class Pair:
    """Two products, the result of the first one the left factor of the second.

    Attributes:
        x: the first one's left factor.
        d: the dimension of the value in between that the second one contracts.
    """

    second: HloOp
    x: SSAValue
    d: int

    @property
    def hidden(self) -> SSAValue:
        return self.second.operands[0]

    def step(self, scratchpad_bytes: int) -> int | None:
        """Columns of a slice that fits beside x; None when slices are not worth it."""
        hidden, room = tensor_of(self.hidden), scratchpad_bytes - scratchpad_bytes // ROOM
        left = room - tensor_of(self.x).bytes
        if hidden.bytes <= left:
            return None
        step = max(left, 0) * hidden.shape[self.d] // hidden.bytes // GRANULE * GRANULE
        count = -(-hidden.shape[self.d] // step) if step else MOST_SLICES + 1
        sums = self.second.tensor.with_element(ElementType.BF16).bytes
        return step if count <= MOST_SLICES and (count - 1) * sums < hidden.bytes else None


def k_slices(module: ModuleOp, scratchpad_bytes: int, accumulator_bytes: int) -> None:
    """Slices every product, and what makes its left factor if possible, where that saves traffic.

    Args:
        accumulator_bytes: the sums of a block of columns are at most that long.
    """
    block = main_function(module).body.block
    for op in list(block.ops):
        if isinstance(op, HloOp) and op.kind == "dot_general" and op.parent is block:
            _consider(op, scratchpad_bytes, accumulator_bytes)
        elif isinstance(op, HloOp) and op.kind == "convolution" and op.parent is block:
            _consider_convolution(op, scratchpad_bytes)
    erase_unused(block)


def _consider(op: HloOp, scratchpad_bytes: int, accumulator_bytes: int) -> None:
    d = contracted(op)
    if d is None:
        return
    pair = _pair(op, d)
    (other,) = op.attrs["dot_dimension_numbers"]["rhs_contracting_dimensions"]
    step = pair.step(scratchpad_bytes) if pair is not None else None
    if step is not None:
        _slice(op, (d, other), step, Slicer(Exclusive([op])))
        return
    step = _step_alone(op, d, scratchpad_bytes, accumulator_bytes)
    if step is not None:
        _slice(op, (d, other), step, Slicer(lambda _: False))


def _consider_convolution(op: HloOp, scratchpad_bytes: int) -> None:
    """Cuts the channels of a convolution's input that does not fit, so that each slice does."""
    left, weights = (tensor_of(value) for value in op.operands)
    groups = op.attrs.get("feature_group_count", 1) * op.attrs.get("batch_group_count", 1)
    most = scratchpad_bytes - scratchpad_bytes // CONVOLUTION_WORKING
    if left.element is not ElementType.BF16 or groups > 1 or left.bytes <= most:
        return
    dims = op.attrs["dimension_numbers"]
    d = dims["input_feature_dimension"]
    count, step = _slices(left, d, scratchpad_bytes // CONVOLUTION_ROOM)
    sums = op.tensor.with_element(ElementType.BF16).bytes
    # In bands as large as slices it would load all weights for each; here it has more sums.
    if 1 < count <= MOST_SLICES and weights.bytes > (count - 1) * 2 * sums:
        _slice(op, (d, dims["kernel_input_feature_dimension"]), step, Slicer(lambda _: False))


def _slices(left: Tensor, d: int, room: int) -> tuple[int, int]:
    """How many slices along a dimension fit, and the extent of each, as even as can be; too many
    when none fits."""
    extent = left.shape[d]
    longest = room * extent // left.bytes // GRANULE * GRANULE
    count = -(-extent // longest) if longest else MOST_SLICES + 1
    return count, -(-extent // (count * GRANULE)) * GRANULE


def contracted(op: HloOp) -> int | None:
    """The only dimension of a bf16 left factor that is contracted."""
    numbers = op.attrs["dot_dimension_numbers"]
    contracted = numbers["lhs_contracting_dimensions"]
    if numbers["lhs_batching_dimensions"] or len(contracted) != 1 or \
            tensor_of(op.operands[0]).element is not ElementType.BF16:
        return None
    return int(contracted[0])


def _pair(second: HloOp, d: int) -> Pair | None:
    hidden = second.operands[0]
    first = _product_behind(hidden)
    slicer = Slicer(Exclusive([second]))
    if first is None or not slicer.narrows_dot(hidden, (d, 0, 1)):
        return None
    return Pair(second, first.operands[0], d)


def _step_alone(op: HloOp, d: int, scratchpad_bytes: int, accumulator_bytes: int) -> int | None:
    """Columns of a left factor's slice that stays on chip for all blocks; None when sums through
    DRAM cost more than loading again what does not stay."""
    left, weights = (tensor_of(value) for value in op.operands)
    room = scratchpad_bytes - scratchpad_bytes // ROOM
    count, step = _slices(left, d, room)
    if not 1 < count <= MOST_SLICES:
        return None
    sums = op.tensor.with_element(ElementType.BF16).bytes
    blocks = -(-op.tensor.with_element(ElementType.F32).bytes // accumulator_bytes)
    # Blocks of fewer rows load the weights again instead.
    again = min((blocks - 1) * (left.bytes - room), weights.bytes)
    return step if again > (count - 1) * 2 * sums else None


def _product_behind(value: SSAValue) -> HloOp | None:
    """The product that a chain of elementwise operations begins with."""
    op = value.owner
    while isinstance(op, HloOp) and op.operands and op.kind != "dot_general":
        op = op.operands[0].owner
    return op if isinstance(op, HloOp) and op.kind == "dot_general" else None


def _slice(second: HloOp, dims: tuple[int, int], step: int, slicer: Slicer) -> None:
    """Replaces a contraction by the sum of its slices along a dimension of each factor."""
    extent = tensor_of(second.operands[0]).shape[dims[0]]
    sums: SSAValue | None = None
    for start in range(0, extent, step):
        size = min(step, extent - start)
        factors = [slicer.slice(value, ((k, start, size),))
                   for value, k in zip(second.operands, dims, strict=True)]
        made = partial_sum(second, factors, sums, last=start + size == extent)
        slicer.made += made
        sums = made[-1].results[0]
    assert sums is not None
    insert_before(second, slicer.made)
    replace(second, [sums])


def partial_sum(second: HloOp, factors: Sequence[SSAValue], sums: SSAValue | None, *, last: bool,
                cuts: Cuts = ()) -> list[HloOp]:
    """The product of a slice, and what there is already added to it.

    Args:
        cuts: of the product's result, of which the first factor is.
    """
    wide = resized(second.tensor, cuts).with_element(ElementType.F32)
    made = [repeated(second, factors, [wide])]
    if sums is not None:
        made.append(make("convert", [sums], [wide], location=second.source))
        made.append(make("add", [made[0].results[0], made[1].results[0]], [wide],
                         location=second.source))
    element = second.tensor.element if last else ElementType.BF16
    if element is not wide.element:
        made.append(make("convert", made[-1].results, [wide.with_element(element)],
                         location=second.source))
    return made
