"""Fast math: a value too large for the scratchpad that a product reads first and others later.

The result of a residual network's block is an example: the next block's first product reads it, and
much later what is added to that block's result. Some columns at a time, the value is made and
multiplied while it is on chip, so that it is stored, but only loaded for its later readers:

    h_j = f(x @ w1_j + r_j)        p_j = p_(j-1) + h_j @ w2_j

The sums p_j stay on chip, rounded to bf16, all in one place: inside the padding that their reader
needs (`codegen.parts`). Each slice h_j is a tensor of its own; where the later reader is cut in the
same way it reads slices as well.

Where input and sums of an image leave no room for a slice, two bands of its lines have half of the
sums each; both load the weights. They are not cut if that moves more bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
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
    repeated,
    replace,
)
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.contraction import spatial_windows
from compiler.ops.elementwise import Elementwise
from compiler.passes.chains import origin
from compiler.passes.k_slices import contracted, partial_sum
from compiler.passes.slicing import Cut, Cuts, Slicer, only_slice

WORKING = 16
"""This part of the scratchpad is left to what is on its way in and out, which is little for a few
columns."""
LINES = 1
"""The dimension of lines of an image."""
BLOCKS = 2
"""Columns of a slice are so many blocks of the array at least."""
FEWEST_SLICES = 8
"""Of smaller slices some more can stay on chip until they are read again."""
MOST_SLICES = 16
"""Each slice but the first rounds the sums once more."""
MOST_BANDS = 2
"""Bands of lines, each of which loads all weights."""


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

    def cut(self, scratchpad_bytes: int, array_cols: int) -> tuple[int, int] | None:
        """Columns of a slice that fits beside the first one's input and the sums, and the bands of
        lines that these are cut in; None when there is no room, or more than enough."""
        room = scratchpad_bytes - scratchpad_bytes // WORKING
        if tensor_of(self.value).bytes + tensor_of(self.path[0].operands[0]).bytes <= room:
            return None
        for bands in range(1, (MOST_BANDS if self._saved() > 0 else 1) + 1):
            step = self._step(room, array_cols, bands)
            worth = bands == 1 or self._saved() > (bands - 1) * self._weights()
            if step is not None and worth:
                return step, bands
        return None

    def _step(self, room: int, array_cols: int, bands: int) -> int | None:
        value, x = tensor_of(self.value), tensor_of(self.path[0].operands[0])
        sums = self.second.tensor.with_element(ElementType.BF16).bytes
        extent, granule = value.shape[self.d], BLOCKS * array_cols
        # Sums of a band are put together with those of the others, not into padding. Narrower
        # slices of its columns go where the larger residents leave a gap.
        beside = x.bytes + ceil(
            sums * _padding(self.second.results[0]) if bands == 1 else sums / bands)
        columns = min((room - beside) * extent * bands // value.bytes,
                      extent // (FEWEST_SLICES * bands))
        step = max(columns, 0) // granule * granule
        return step if step and extent <= MOST_SLICES * step else None

    def _saved(self) -> int:
        """Bytes that bands of lines save at most: the value is not loaded for the second product,
        and of what others take a slice of no more is stored. -1 when there cannot be bands."""
        value, taken = tensor_of(self.value), self.taken
        products = sum(_path(v) != [] for op in self.path[1:] for v in op.operands)
        if value.rank != 4 or self.d != 3 or value.shape[0] != 1 or products > len(self.path) - 1:
            return -1  # another product's result would be needed as a whole
        return value.bytes + (value.bytes - taken.tensor.bytes if taken is not None else 0)

    def _weights(self) -> int:
        return sum(tensor_of(op.operands[1]).bytes for op in (self.path[0], self.second))

    @property
    def taken(self) -> HloOp | None:
        """The slice that is all that others read of the value."""
        return only_slice({use.operation for use in self.value.uses} - {self.second})


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
            cut = shared.cut(scratchpad_bytes, array_cols) if shared is not None else None
            if shared is not None and cut is not None and cut[1] > 1:
                _cut_bands(shared, *cut, slicer)
            elif shared is not None and cut is not None:
                path.update(shared.path)
                _cut(shared, cut[0], slicer)
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
    reads what is made of it: the whole sum is put into that."""
    user = only_user(value)
    while user is not None and isinstance(user.definition, Elementwise):
        user = only_user(user.results[0])
    windows = spatial_windows(user.call) if user is not None and user.kind == "convolution" else ()
    return prod(1 + max(w.low + w.high, 0) / w.extent for w in windows)


def _cut(shared: Shared, step: int, slicer: Slicer) -> None:
    """Replaces a value by its columns, and the product that reads it first by a sum."""
    second, value = shared.second, shared.value
    stored: list[tuple[int, SSAValue]] = []

    def made_part(column: Cut) -> SSAValue:
        part = slicer.slice(value, (column,))
        stored.append((column[1], slicer.twin(part)))
        return part

    sums = _summed(shared, step, slicer, made_part)
    whole = make("concatenate", [part for _, part in stored], None, {"dimension": shared.d},
                 location=shared.path[-1].source)
    insert_before(second, [*slicer.made, whole])
    slicer.made.clear()
    replace(second, [sums])
    value.replace_all_uses_with(whole.results[0])
    for start, part in stored:
        slicer.know(whole.results[0], ((shared.d, start, tensor_of(part).shape[shared.d]),), part)


def _summed(shared: Shared, step: int, slicer: Slicer, part_of: Callable[[Cut], SSAValue],
            lines: Cuts = ()) -> SSAValue:
    """The second product's result, the sum of products of some columns at a time.

    Args:
        part_of: makes some columns of the value; `lines`: of which it makes no more.
    """
    second, extent = shared.second, tensor_of(shared.value).shape[shared.d]
    (other,) = second.attrs["dot_dimension_numbers"]["rhs_contracting_dimensions"]
    sums: SSAValue | None = None
    for start in range(0, extent, step):
        size = min(step, extent - start)
        part = part_of((shared.d, start, size))
        weights = slicer.slice(second.operands[1], ((other, start, size),))
        made = partial_sum(second, (part, weights), sums, last=start + size == extent, cuts=lines)
        slicer.made += made
        sums = made[-1].results[0]
    assert sums is not None
    return sums


def _cut_bands(shared: Shared, step: int, bands: int, slicer: Slicer) -> None:
    """The same in bands of lines, each of which passes all columns before the next one begins."""
    second, taken = shared.second, shared.taken
    after = _after(shared)
    lines = second.tensor.shape[LINES]
    ends = [-(-lines * (band + 1) // bands) for band in range(bands)]
    pieces: dict[int, list[SSAValue]] = {}
    sums: list[SSAValue] = []
    for start, end in pairwise([0, *ends]):
        cut = (LINES, start, end - start)
        made = _band(shared, step, cut, slicer, pieces)
        slicer.know(second.results[0], (cut,), made)
        sums.append(slicer.apply_all(after, (cut,)) if after else made)
    columns = [_join(slicer, parts, LINES, second) for parts in pieces.values() if parts]
    joined, whole = _join(slicer, sums, LINES, second), _join(slicer, columns, shared.d, second)
    last = after[-1] if after else second
    insert_before(last, slicer.made)
    slicer.made.clear()
    replace(last, [joined])
    if taken is not None:
        replace(taken, [whole])
    else:
        shared.value.replace_all_uses_with(whole)
    _flatten(whole)


def _band(shared: Shared, step: int, cut: Cut, slicer: Slicer,
          pieces: dict[int, list[SSAValue]]) -> SSAValue:
    """The second product's result for some lines.

    Args:
        pieces: what others read, for the first of each slice's columns.
    """
    taken = shared.taken

    def made_part(column: Cut) -> SSAValue:
        part = slicer.apply_all(shared.path, (cut, column))
        read = slicer.twin(part) if taken is None else slicer.taken(
            part, (0, cut[1], 0, column[1]), taken)
        pieces.setdefault(column[1], []).extend([] if read is None else [read])
        return part

    return _summed(shared, step, slicer, made_part, (cut,))


def _after(shared: Shared) -> list[HloOp]:
    """Elementwise work on the second product's result that nothing else reads, in front of all that
    reads the value between the products."""
    found: list[HloOp] = []
    others = [use.operation for use in shared.value.uses if use.operation is not shared.second]
    user = only_user(shared.second.results[0])
    while user is not None and isinstance(user.definition, Elementwise) and all(
            map(user.is_before_in_block, others)):
        found.append(user)
        user = only_user(user.results[0])
    return found


def _join(slicer: Slicer, parts: Sequence[SSAValue], d: int, second: HloOp) -> SSAValue:
    join = make("concatenate", parts, None, {"dimension": d}, location=second.source)
    slicer.made.append(join)
    return join.results[0]


def _flatten(value: SSAValue) -> None:
    """What puts a concatenation together with others takes its operands instead."""
    maker = value.owner
    assert isinstance(maker, HloOp)
    for use in list(value.uses):
        op = use.operation
        if isinstance(op, HloOp) and op.kind == "concatenate" and \
                op.attrs["dimension"] == maker.attrs["dimension"]:
            operands = [v for operand in op.operands
                        for v in (maker.operands if operand is value else (operand,))]
            flat = repeated(op, operands)
            insert_before(op, [flat])
            replace(op, flat.results)
