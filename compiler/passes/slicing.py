"""Slices of values: what an operation makes of a range of one dimension, and of its operands.

`follow` tells which dimension of a result a dimension of an operand becomes; `Slicer` computes a
slice of a value from slices of what it is made of, as far up as that costs nothing extra.
"""

from collections.abc import Callable, Collection, Sequence
from math import prod

from xdsl.ir import Operation, SSAValue

from compiler.ir.attributes import Attrs
from compiler.ir.loops import is_contraction, is_reduction
from compiler.ir.ops import HloOp, constant, make, repeated
from compiler.ir.types import Tensor, tensor_of
from compiler.ops.contraction import free_dimensions
from compiler.ops.elementwise import Elementwise
from compiler.ops.views import ViewOperation
from compiler.passes.sink import is_free_conversion

SIDES = ("lhs", "rhs")

Cut = tuple[int, int, int]
"""Indices start, start + 1, ... of a dimension: (dimension, start, size)."""
Cuts = tuple[Cut, ...]


def follow(op: HloOp, operand: int, d: int) -> int | None:
    """The result's dimension that is the operand's dimension `d`, index by index; None when there
    is none or the operation mixes indices of it."""
    if isinstance(op.definition, Elementwise):
        return d
    x = tensor_of(op.operands[operand])
    if is_reduction(op):
        dims = op.attrs["dimensions"]
        return None if operand or d in dims else d - sum(r < d for r in dims)
    if op.kind == "broadcast_in_dim":
        found: int = op.attrs["broadcast_dimensions"][d]
        return found if x.shape[d] == op.tensor.shape[found] else None
    if op.kind == "transpose":
        return int(op.attrs["permutation"].index(d))
    if op.kind == "reshape":
        return _same_extent(x.shape, op.tensor.shape, d)
    return _follow_dot(op, operand, d) if op.kind == "dot_general" else None


def _same_extent(shape: Sequence[int], other: Sequence[int], d: int) -> int | None:
    """The dimension of another shape of the same elements that walks them as `d` does."""
    before = prod(shape[:d])
    for position, extent in enumerate(other):
        if extent == shape[d] and extent > 1 and prod(other[:position]) == before:
            return position
    return None


def _follow_dot(op: HloOp, operand: int, d: int) -> int | None:
    dims = op.attrs["dot_dimension_numbers"]
    batch, contracted = (dims[f"{SIDES[operand]}_{what}_dimensions"]
                         for what in ("batching", "contracting"))
    if d in contracted:
        return None
    if d in batch:
        return int(batch.index(d))
    free = free_dimensions(tensor_of(op.operands[operand]).rank, [*batch, *contracted])
    return len(batch) + free.index(d) + (_row_count(op) if operand else 0)


def _row_count(op: HloOp) -> int:
    dims = op.attrs["dot_dimension_numbers"]
    return tensor_of(op.operands[0]).rank - len(dims["lhs_batching_dimensions"]) - len(
        dims["lhs_contracting_dimensions"])


def sources(op: HloOp, d: int) -> list[int | None] | None:
    """For each operand the dimension that a result's dimension comes from, None for one that
    has no such dimension; None altogether when slices of the operands do not make a slice."""
    if isinstance(op.definition, Elementwise):
        return [d] * len(op.operands)
    if op.kind == "concatenate":
        return None if d == op.attrs["dimension"] else [d] * len(op.operands)
    if op.kind not in ("broadcast_in_dim", "transpose", "reshape", "dot_general", "reduce"):
        return None
    found = [next((s for s in range(tensor_of(value).rank) if follow(op, number, s) == d), None)
             for number, value in enumerate(op.operands)]
    if all(s is None for s in found) and op.kind != "broadcast_in_dim":
        return None
    return found


def resized(tensor: Tensor, cuts: Cuts) -> Tensor:
    """The type of a slice."""
    shape = list(tensor.shape)
    for d, _, size in cuts:
        shape[d] = size
    return tensor.with_shape(tuple(shape))


class Slicer:
    """Makes slices of values; equal ones once.

    Args:
        may_repeat: whether an operation's work may be done slice by slice, as nobody needs it
            as a whole.
        room: bytes that a value may have to stay on chip. Larger ones are made slice by slice,
            and products with a larger left factor are not, as each slice would load it again.

    Attributes:
        made: the operations, in an order in which they may stand.
    """

    def __init__(self, may_repeat: Callable[[HloOp], bool], room: int | None = None) -> None:
        self.made: list[HloOp] = []
        self._may_repeat, self._room = may_repeat, room
        self._known: dict[tuple[SSAValue, Cuts], SSAValue] = {}

    def know(self, value: SSAValue, cuts: Cuts, part: SSAValue) -> None:
        """Notes a slice that exists already."""
        self._known[value, _needed(value, cuts)] = part

    def slice(self, value: SSAValue, cuts: Cuts) -> SSAValue:
        """A slice of a value along some of its dimensions."""
        cuts = _needed(value, cuts)
        if not cuts:
            return value
        if (value, cuts) not in self._known:
            self._known[value, cuts] = self._slice(value, cuts)
        return self._known[value, cuts]

    def apply(self, op: HloOp, cuts: Cuts, added: Attrs | None = None) -> SSAValue | None:
        """The operation on slices of its operands; None when it has no such form.

        Args:
            added: attributes beside its own.
        """
        found = operand_cuts(op, cuts)
        if found is None:
            return None
        operands = [self.slice(value, c) for value, c in zip(op.operands, found, strict=True)]
        return self._add(repeated(op, operands, [resized(op.tensor, cuts)], added))

    def apply_all(self, ops: Sequence[HloOp], cuts: Cuts) -> SSAValue:
        """Slices of operations of which each reads the one before: what the last one makes."""
        for op in ops:
            part = self.apply(op, cuts)
            assert part is not None
            self.know(op.results[0], cuts, part)
        return self.slice(ops[-1].results[0], cuts)

    def _slice(self, value: SSAValue, cuts: Cuts) -> SSAValue:
        op, tensor = value.owner, tensor_of(value)
        if not isinstance(op, HloOp):
            return self.view(value, cuts)
        if op.kind == "constant" and tensor.size > 1:
            return self._add(constant(op.attrs["value"][_index(tensor, cuts)], op.source))
        if isinstance(op.definition, ViewOperation):
            part = self._through_view(op, cuts)
            return self.view(value, cuts) if part is None else part
        if is_free_conversion(op):
            part = self.apply(op, cuts)
            assert part is not None
            return part
        narrowing = tuple(cut for cut in cuts
                          if self.narrows_dot(value, cut) or self._divides(op, cut))
        if narrowing != cuts:
            inner = self.slice(value, narrowing)
            return self.view(inner, tuple(cut for cut in cuts if cut not in narrowing))
        part = self.apply(op, cuts)
        assert part is not None
        return part

    def view(self, value: SSAValue, cuts: Cuts) -> SSAValue:
        """A slice as a view of the whole value."""
        bounds = [(0, n) for n in tensor_of(value).shape]
        for d, start, size in cuts:
            bounds[d] = (start, start + size)
        return self.steps(value, bounds, (1,) * len(bounds))

    def steps(self, value: SSAValue, bounds: Sequence[tuple[int, int]], strides: Sequence[int]
              ) -> SSAValue:
        """Every so many elements of a box of the whole value.

        Args:
            bounds: for each dimension the first index, and the one behind the last.
        """
        op = value.owner
        return self._add(make("slice", [value], None, {
            "start_indices": tuple(a for a, _ in bounds),
            "limit_indices": tuple(b for _, b in bounds),
            "strides": tuple(strides)}, location=op.source if isinstance(op, HloOp) else None))

    def taken(self, part: SSAValue, first: Sequence[int], slice_: HloOp) -> SSAValue | None:
        """What a slice takes of a part of the whole value, as a tensor of its own; None for none.

        Args:
            first: the index of the part's first element in the whole value.
        """
        bounds = []
        for begin, size, start, limit, step in zip(
                first, tensor_of(part).shape, *(slice_.attrs[name] for name in (
                    "start_indices", "limit_indices", "strides")), strict=True):
            low = start + -(-max(begin - start, 0) // step) * step
            bounds.append((low - begin, min(limit, begin + size) - begin))
        if any(low >= high for low, high in bounds):
            return None
        return self.copy(self.steps(part, bounds, slice_.attrs["strides"]))

    def copy(self, value: SSAValue) -> SSAValue:
        """The value as a tensor of its own, which may stay on chip for several readers."""
        op = value.owner
        return self._add(make("concatenate", [value], None, {"dimension": 0},
                              location=op.source if isinstance(op, HloOp) else None))

    def twin(self, value: SSAValue) -> SSAValue:
        """The result of the same elementwise operation once more, through the same views, for those
        who read it later: as a second result of the same group it is stored, while the first one
        stays on chip."""
        op = value.owner
        if not isinstance(op, HloOp) or not isinstance(op.definition, Elementwise | ViewOperation):
            return value
        operands = [self.twin(v) for v in op.operands] \
            if isinstance(op.definition, ViewOperation) else op.operands
        return self._add(repeated(op, operands))

    def narrows_dot(self, value: SSAValue, cut: Cut) -> bool:
        """Whether a slice is made of a contraction with fewer columns, whose result only slices
        are needed of. Rows stay together: each slice of them would load the weights again."""
        op, d = value.owner, cut[0]
        if not isinstance(op, HloOp):
            return False
        if isinstance(op.definition, ViewOperation):
            before = self._before_view(op, (cut,))
            return before is not None and len(before) == 1 and self.narrows_dot(
                op.operands[0], before[0])
        if not self._may_repeat(op):
            return False
        if isinstance(op.definition, Elementwise):
            return any(self.narrows_dot(v, cut) for v in op.operands)
        return op.kind == "dot_general" and self._stays(op.operands[0]) and d >= _row_count(
            op) + len(op.attrs["dot_dimension_numbers"]["lhs_batching_dimensions"])

    def _divides(self, op: HloOp, cut: Cut) -> bool:
        """Whether work on elements makes a value that is larger than the scratchpad: slice by slice
        it need not go through DRAM. What follows a contraction at once is done with it."""
        return (not self._stays(op.results[0]) and self._may_repeat(op)
                and (isinstance(op.definition, Elementwise) or op.kind == "concatenate")
                and not _follows_contraction(op) and operand_cuts(op, (cut,)) is not None)

    def _stays(self, value: SSAValue) -> bool:
        return self._room is None or tensor_of(value).bytes <= self._room

    def _before_view(self, op: HloOp, cuts: Cuts) -> Cuts | None:
        """The cuts of a view's operand that make cuts of the view."""
        x = tensor_of(op.operands[0])
        if op.kind == "reshape":
            found = _cuts_before_reshape(x.shape, op.tensor.shape, cuts)
        elif op.kind == "slice":
            found = _cuts_before_slice(op, cuts)
        else:
            before = operand_cuts(op, cuts)
            found = None if before is None else before[0]
        return None if found is None else _needed(op.operands[0], found)

    def _through_view(self, op: HloOp, cuts: Cuts) -> SSAValue | None:
        """A view of a slice of its operand; None when there is no such slice."""
        found = self._before_view(op, cuts)
        if found is None:
            return None
        part = self.slice(op.operands[0], found)
        if op.kind == "slice":
            return part
        return self._add(repeated(op, [part], [resized(op.tensor, cuts)]))

    def _add(self, op: HloOp) -> SSAValue:
        self.made.append(op)
        return op.results[0]


def only_slice(readers: Collection[Operation]) -> HloOp | None:
    """The slice that is the only one of some operations; None when there are others."""
    (only, *others) = readers or (None,)
    if others or not isinstance(only, HloOp) or only.kind != "slice" or not only.tensor.size:
        return None
    return only


def _follows_contraction(op: HloOp) -> bool:
    """Whether elementwise work has a contraction's result among its operands."""
    makers = (value.owner for value in op.operands)
    return any(isinstance(maker, HloOp) and (is_contraction(maker) or (
        isinstance(maker.definition, Elementwise) and _follows_contraction(maker)))
        for maker in makers)


def _needed(value: SSAValue, cuts: Cuts) -> Cuts:
    shape = tensor_of(value).shape
    return tuple(sorted(c for c in cuts if c[1:] != (0, shape[c[0]])))


def _index(tensor: Tensor, cuts: Cuts) -> tuple[slice, ...]:
    index = [slice(None)] * tensor.rank
    for d, start, size in cuts:
        index[d] = slice(start, start + size)
    return tuple(index)


def operand_cuts(op: HloOp, cuts: Cuts) -> list[Cuts] | None:
    """The cuts of each operand that make the cuts of a result; None when there are none."""
    found: list[list[Cut]] = [[] for _ in op.operands]
    for d, start, size in cuts:
        dims = sources(op, d)
        if dims is None:
            return None
        for number, s in enumerate(dims):
            if s is not None:
                found[number].append((s, start, size))
    return [tuple(c) for c in found]


def _cuts_before_slice(op: HloOp, cuts: Cuts) -> Cuts | None:
    """The cuts of the operand of a slice operation."""
    if any(step != 1 for step in op.attrs["strides"]):
        return None
    inner = {d: (start, size) for d, start, size in cuts}
    first = op.attrs["start_indices"]
    whole = [(0, n) for n in op.tensor.shape]
    return tuple((d, first[d] + inner.get(d, whole[d])[0], inner.get(d, whole[d])[1])
                 for d in range(op.tensor.rank))


def _cuts_before_reshape(shape: Sequence[int], result: Sequence[int], cuts: Cuts) -> Cuts | None:
    """Cuts of a reshape's operand; None when the slice is not a box of it."""
    wanted = {d: (start, size) for d, start, size in cuts}
    found: list[Cut] = []
    position = 0
    for d, extent in enumerate(shape):
        group, before = [], prod(result[:position])
        while position < len(result) and prod(result[position:]) > prod(shape[d + 1 :]):
            group.append(position)
            position += 1
        if prod(result[p] for p in group) != extent or before != prod(shape[:d]):
            return None
        run = _run([result[p] for p in group], [wanted.pop(p, None) for p in group])
        if run is None:
            return None
        found.append((d, *run))
    return None if wanted else tuple(found)


def _run(extents: Sequence[int], cuts: Sequence[tuple[int, int] | None]
         ) -> tuple[int, int] | None:
    """(start, size) of a box of row-major dimensions as a range of the flattened ones."""
    ranges = [cut or (0, n) for cut, n in zip(cuts, extents, strict=True)]
    start = 0
    size = 1
    for n, (first, count) in zip(extents, ranges, strict=True):
        start = start * n + first
        if size > 1 and count != n:
            return None
        size *= count
    return start, size
