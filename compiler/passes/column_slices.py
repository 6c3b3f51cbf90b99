"""Fast math: a value too large for the scratchpad that a product reads first and others later.

The result of a residual network's block is an example: the next block's first product reads it, and
much later what is added to that block's result. Some columns at a time, the value is made and
multiplied while it is on chip, so that it is stored, but only loaded for its later readers:

    h_j = f(x @ w1_j + r_j)        p_j = p_(j-1) + h_j @ w2_j

The sums p_j stay on chip, rounded to bf16. Each slice h_j is a tensor of its own; where the later
reader is cut in the same way it reads slices as well.
"""

from dataclasses import dataclass
from math import ceil, prod

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from compiler.ir.ops import (
    HloOp,
    erase_unused,
    insert_before,
    main_function,
    make,
    only_user,
    replace,
)
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.contraction import spatial_windows
from compiler.ops.elementwise import Elementwise
from compiler.passes.chains import origin
from compiler.passes.k_slices import contracted, partial_sum
from compiler.passes.slicing import Slicer

WORKING = 8
"""This part of the scratchpad is left to what is on its way in and out."""
BLOCKS = 2
"""Columns of a slice are so many blocks of the array at least."""
FEWEST_SLICES = 8
"""Of smaller slices some more can stay on chip until they are read again."""
MOST_SLICES = 16
"""Each slice but the first rounds the sums once more."""


@dataclass(frozen=True)
class Shared:
    """Two products, and what is made of the first one's result: the second one's left factor, which
    others read later.

    Attributes:
        second: the product that reads it first.
        d: the dimension of it that this product contracts.
        path: the first product, and the elementwise operations from there on.
    """

    second: HloOp
    d: int
    path: list[HloOp]

    @property
    def value(self) -> SSAValue:
        return self.second.operands[0]

    def step(self, scratchpad_bytes: int, array_cols: int) -> int | None:
        """Columns of a slice that fits beside the first one's input and the sums; None when there
        is no room, or more than enough."""
        value, x = tensor_of(self.value), tensor_of(self.path[0].operands[0])
        room = scratchpad_bytes - scratchpad_bytes // WORKING
        sums = self.second.tensor.with_element(ElementType.BF16).bytes
        if value.bytes + x.bytes <= room:
            return None
        extent, granule = value.shape[self.d], BLOCKS * array_cols
        beside = x.bytes + ceil(sums * _padding(self.second.results[0]))
        columns = min((room - beside) * extent // value.bytes, extent // FEWEST_SLICES)
        step = max(columns, 0) // granule * granule
        return step if step and extent <= MOST_SLICES * step else None


def column_slices(module: ModuleOp, scratchpad_bytes: int, array_cols: int) -> None:
    """Cuts what a product reads first and others later, if it does not fit the scratchpad.

    Args:
        array_cols: of the machine; columns of a slice are whole blocks of so many.
    """
    block = main_function(module).body.block
    path: set[Operation] = set()
    slicer = Slicer(path.__contains__)
    for op in list(block.ops):
        if isinstance(op, HloOp) and op.kind == "dot_general" and op.parent is block:
            shared = _shared(op)
            step = shared.step(scratchpad_bytes, array_cols) if shared is not None else None
            if shared is not None and step is not None:
                path.update(shared.path)
                _cut(shared, step, slicer)
    erase_unused(block)


def _shared(second: HloOp) -> Shared | None:
    d = contracted(second)
    if d is None:
        return None
    path = _path(second.operands[0])
    others = [use.operation for use in second.operands[0].uses if use.operation is not second]
    # A product's own result has no twin, and both factors cannot be cut in different dimensions.
    if len(path) < 2 or second.operands[1] is second.operands[0] or not others or not all(
            other.parent is second.parent and second.is_before_in_block(other)
            for other in others):
        return None
    narrowed = Slicer(set(path).__contains__).narrows_dot(second.operands[0], (d, 0, 1))
    return Shared(second, d, path) if narrowed and _is_made(path[0].operands[0]) else None


def _path(value: SSAValue) -> list[HloOp]:
    """The operations from a product to a value of which each alone reads the one before; none when
    it is not made so."""
    op = value.owner
    if not isinstance(op, HloOp):
        return []
    if op.kind == "dot_general":
        return [op]
    if not isinstance(op.definition, Elementwise):
        return []
    for operand in op.operands:
        found = _path(operand) if only_user(operand) is op else []
        if found:
            return [*found, op]
    return []


def _is_made(value: SSAValue) -> bool:
    """Whether a group makes a value, so that it may stay on chip."""
    owner = origin(value).owner
    return isinstance(owner, HloOp) and origin(value) is value and (
        owner.kind == "concatenate" or isinstance(owner.definition, Elementwise))


def _padding(value: SSAValue) -> float:
    """How many times as large a value is with the padding around it that a convolution needs which
    reads what is made of it: all sums are made in that."""
    user = only_user(value)
    while user is not None and isinstance(user.definition, Elementwise):
        user = only_user(user.results[0])
    windows = spatial_windows(user.call) if user is not None and user.kind == "convolution" else ()
    return prod(1 + max(w.low + w.high, 0) / w.extent for w in windows)


def _cut(shared: Shared, step: int, slicer: Slicer) -> None:
    """Replaces a value by its columns, and the product that reads it first by a sum."""
    second, value = shared.second, shared.value
    extent = tensor_of(value).shape[shared.d]
    (other,) = second.attrs["dot_dimension_numbers"]["rhs_contracting_dimensions"]
    sums: SSAValue | None = None
    stored: list[tuple[int, SSAValue]] = []
    for start in range(0, extent, step):
        size = min(step, extent - start)
        part = slicer.slice(value, ((shared.d, start, size),))
        stored.append((start, slicer.twin(part)))
        weights = slicer.slice(second.operands[1], ((other, start, size),))
        made = partial_sum(second, (part, weights), sums, last=start + size == extent)
        slicer.made += made
        sums = made[-1].results[0]
    whole = make("concatenate", [part for _, part in stored], None, {"dimension": shared.d},
                 location=shared.path[-1].source)
    insert_before(second, [*slicer.made, whole])
    slicer.made.clear()
    assert sums is not None
    replace(second, [sums])
    value.replace_all_uses_with(whole.results[0])
    for start, part in stored:
        slicer.know(whole.results[0], ((shared.d, start, tensor_of(part).shape[shared.d]),), part)

