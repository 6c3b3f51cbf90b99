"""Chains of contractions slice by slice, so that what is between them stays on chip.

Attention is the example: scores of all heads do not fit the scratchpad, those of one head do. The
batch dimension that two contractions and everything between them have in common is cut, and its
rows where that is not enough; each slice goes through the whole chain. Work that only makes the
chain's operands (projections to queries, keys and values) is cut with it; operands that the program
returns as well, as keys and values for a cache, are put together of their slices. Slices follow
each other so that the matrix unit has work of the next one while the vector unit is busy with this
one.

No element is computed in another way: a slice of a batch changes no sum and no order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from compiler.ir.loops import is_contraction
from compiler.ir.ops import HloOp, erase_unused, insert_before, main_function, make, replace
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.elementwise import Elementwise
from compiler.ops.views import ViewOperation
from compiler.passes.chains import origin
from compiler.passes.slicing import Cut, Cuts, Slicer, follow, operand_cuts, sources

SHARE = 16
"""A slice's largest value takes at most the scratchpad divided by this: a softmax holds two of
them, the next slice another one, and the factors of the products before and after it stay on chip
meanwhile."""
FACTORS = 8
"""This part of the scratchpad is left to other factors of products."""
MOST_SLICES = 64
"""More would make the overhead of each slice count."""

Dims = dict[SSAValue, int]
"""The dimension of each value that is cut."""


@dataclass
class Chain:
    """Operations from one contraction to the next, both included, and the work on the second
    one's result that needs what is between them.

    Attributes:
        dims: for each way to cut the dimension of every value, the last result included.
        second: the position of the second contraction.
    """

    members: list[HloOp]
    dims: list[Dims] = field(default_factory=list)

    @property
    def second(self) -> int:
        return next(n for n, op in enumerate(self.members) if n and is_contraction(op))

    @property
    def last(self) -> HloOp:
        return self.members[-1]

    @property
    def largest(self) -> int:
        """Bytes of the largest value between the contractions."""
        return max(tensor_of(op.results[0]).bytes for op in self.members[: self.second])

    def extent(self, way: int) -> int:
        value = self.members[0].results[0]
        return tensor_of(value).shape[self.dims[way][value]]

    def cuts(self, op: HloOp, ranges: Sequence[tuple[int, int]]) -> Cuts:
        """What a slice cuts of a member's result."""
        return tuple((dims[op.results[0]], start, size)
                     for dims, (start, size) in zip(self.dims, ranges, strict=True))


def slices(module: ModuleOp, scratchpad_bytes: int) -> None:
    """Cuts every chain whose inner values are too large for the scratchpad."""
    block = main_function(module).body.block
    for op in list(block.ops):
        if isinstance(op, HloOp) and op.kind == "dot_general" and op.parent is block:
            chain = _chain(op)
            if chain is not None and chain.largest > scratchpad_bytes // SHARE:
                _cut(block, chain, scratchpad_bytes)
    erase_unused(block)


def _chain(first: HloOp) -> Chain | None:
    """What follows a contraction up to the next one; None if it cannot be cut, or if something
    else needs a value in between."""
    batch = len(first.attrs["dot_dimension_numbers"]["lhs_batching_dimensions"])
    if not batch:
        return None  # slices of rows would load weights again and again
    shape = first.tensor.shape
    batches = [d for d in range(batch) if shape[d] > 1][:1]
    rows = [d for d in range(batch, batch + 1) if d < len(shape) and shape[d] > 1]
    members = _members(first)
    if members is None:
        return None
    ways = (_dims(members, d) for d in (*batches, *rows))
    chain = Chain(members, [dims for dims in ways if dims is not None])
    return chain if chain.dims else None


def _members(first: HloOp) -> list[HloOp] | None:
    members = [first]
    known = {first.results[0]}
    contractions = 1
    op = first.next_op
    while op is not None:
        if isinstance(op, HloOp) and any(v in known for v in op.operands):
            if len(op.results) != 1 or (op.regions and op.kind != "reduce"):
                return None
            members.append(op)
            contractions += is_contraction(op)
            if contractions == 2 and _is_closed(members):
                return [*members, *_rounding(op)]
            if contractions > 2 or (contractions == 2 and not _may_follow(op)):
                return None
            known.add(op.results[0])
        op = op.next_op
    return None


def _may_follow(op: HloOp) -> bool:
    """Whether an operation is the second contraction, or work on its result."""
    return op.kind in ("dot_general", "broadcast_in_dim", "reshape") or isinstance(
        op.definition, Elementwise)


def _rounding(op: HloOp) -> list[HloOp]:
    """A conversion to a narrower type that alone reads the chain's result."""
    readers = [use.operation for use in op.results[0].uses]
    return [reader for reader in readers if len(readers) == 1 and isinstance(reader, HloOp)
            and reader.kind == "convert" and reader.tensor.bytes < op.tensor.bytes]


def _is_closed(members: Sequence[HloOp]) -> bool:
    inside = set(members)
    return all(use.operation in inside for op in members[:-1] for use in op.results[0].uses)


def _dims(members: Sequence[HloOp], d: int) -> Dims | None:
    """The dimension of every member's result that is dimension `d` of the first one's."""
    dims: Dims = {members[0].results[0]: d}
    for op in members[1:]:
        found = {follow(op, number, dims[value]) for number, value in enumerate(op.operands)
                 if value in dims}
        position = found.pop()
        if found or position is None or sources(op, position) is None:
            return None
        dims[op.results[0]] = position
    return dims


def _cut(block: Block, chain: Chain, scratchpad_bytes: int) -> None:
    """Cuts the batch as finely as it takes, and the rows if that is not enough."""
    pieces = -(-chain.largest // (scratchpad_bytes // SHARE))
    counts = []
    for way in range(len(chain.dims)):
        count = min(pieces, chain.extent(way), MOST_SLICES)
        counts.append(count)
        pieces = -(-pieces // count)
    ranges = [_ranges(chain.extent(way), count) for way, count in enumerate(counts)]
    _slice(block, chain, ranges, scratchpad_bytes - scratchpad_bytes // FACTORS)


def _ranges(extent: int, count: int) -> list[tuple[int, int]]:
    step = -(-extent // count)
    return [(start, min(step, extent - start)) for start in range(0, extent, step)]


def _slice(block: Block, chain: Chain, ranges: Sequence[Sequence[tuple[int, int]]], room: int
           ) -> None:
    """Replaces a chain by slices of it.

    Args:
        room: bytes of the largest value that may stay on chip.
    """
    handed_on = _handed_on(block, chain, ranges)
    slicer = Slicer(Exclusive(chain.members, handed_on), room)
    order: list[HloOp] = []
    parts: list[SSAValue] = []
    pending: list[HloOp] = []
    ways = sum(len(run) > 1 for run in ranges)
    for position in product(*ranges):
        prepared, opening, middle, closing = _one(chain, slicer, position, ways)
        busy = any(op.kind == "dot_general" for op in prepared)
        order += [*prepared, *pending, *opening] if busy else [*prepared, *opening, *pending]
        order += middle
        pending = closing
        parts.append(closing[-1].results[0])
    joins = _join(chain, ranges, parts)
    wholes = {value: _whole(slicer, value, cuts) for value, cuts in handed_on.items()}
    insert_before(chain.last, [*order, *pending, *joins,
                               *(op for ops in wholes.values() for op in ops)])
    replace(chain.last, joins[-1].results if joins else [parts[0]])
    for value, ops in wholes.items():
        value.replace_uses_with_if(ops[-1].results[0],
                                   lambda use: use.operation is block.last_op)
    erase_unused(block)


def _handed_on(block: Block, chain: Chain, ranges: Sequence[Sequence[tuple[int, int]]]
               ) -> dict[SSAValue, list[Cut]]:
    """Operands of a chain that are results of the program as well, with the cuts that they consist
    of, if they are cut in one way and products make each slice."""
    found: dict[SSAValue, list[Cuts]] = {}
    for op in chain.members:
        cuts_of = [operand_cuts(op, chain.cuts(op, position)) for position in product(*ranges)]
        for number, value in enumerate(op.operands):
            if any(use.operation is block.last_op for use in value.uses) \
                    and not _reads_argument(value):
                found[value] = list(dict.fromkeys(c[number] for c in cuts_of if c is not None))
    while True:
        # What is left out counts as a reader of the others' products from then on.
        slicer = Slicer(Exclusive(chain.members, found))
        left = {value: cuts for value, cuts in found.items()
                if all(len(c) == 1 and slicer.narrows_dot(value, c[0]) for c in cuts)}
        if len(left) == len(found):
            return {value: [cut for (cut,) in cuts] for value, cuts in left.items()}
        found = left


def _reads_argument(value: SSAValue) -> bool:
    """Whether the product behind a value has an argument as left factor, which is in DRAM: each
    slice would load it again."""
    op = value.owner
    if not isinstance(op, HloOp):
        return False
    if op.kind == "dot_general":
        return isinstance(origin(op.operands[0]).owner, Block)
    return isinstance(op.definition, Elementwise | ViewOperation) and any(
        _reads_argument(operand) for operand in op.operands)


def _whole(slicer: Slicer, value: SSAValue, cuts: Sequence[Cut]) -> list[HloOp]:
    """What puts a value together of its slices. Each has a twin for that: as another result of the
    same products it is stored where it belongs, while the chain reads the first one on chip."""
    begin, owner = len(slicer.made), value.owner
    parts = [slicer.twin(slicer.slice(value, (cut,))) for cut in cuts]
    return [*slicer.made[begin:], make(
        "concatenate", parts, None, {"dimension": cuts[0][0]},
        location=owner.source if isinstance(owner, HloOp) else None)]


def _join(chain: Chain, ranges: Sequence[Sequence[tuple[int, int]]], parts: list[SSAValue]
          ) -> list[HloOp]:
    """Concatenations of the parts, the innermost way first."""
    joins: list[HloOp] = []
    for way in range(len(ranges) - 1, -1, -1):
        count = len(ranges[way])
        if count > 1:
            d = chain.dims[way][chain.last.results[0]]
            runs = [parts[i : i + count] for i in range(0, len(parts), count)]
            new = [make("concatenate", run, None, {"dimension": d}, location=chain.last.source)
                   for run in runs]
            joins += new
            parts = [op.results[0] for op in new]
    return joins


def _one(chain: Chain, slicer: Slicer, position: Sequence[tuple[int, int]], ways: int
         ) -> tuple[list[HloOp], list[HloOp], list[HloOp], list[HloOp]]:
    """One slice: what makes its operands, its first contraction, what follows, its last one.

    Args:
        ways: in which the chain is cut. A right factor that is cut in fewer is one of several
            slices.
    """
    first, middle, last = (chain.members[0], chain.members[1 : chain.second],
                           chain.members[chain.second :])
    inside = {op.results[0] for op in chain.members}
    stages = [len(slicer.made)]
    # Operands that come from outside the chain are made before it starts.
    for op in chain.members:
        found = operand_cuts(op, chain.cuts(op, position))
        assert found is not None
        for value, cuts in zip(op.operands, found, strict=True):
            if value not in inside:
                piece = slicer.slice(value, cuts)
                if op.kind == "dot_general" and value is op.operands[1] and len(cuts) < ways \
                        and _is_view(piece):
                    slicer.know(value, cuts, slicer.copy(piece))
    for group in ([first], middle, last):
        stages.append(len(slicer.made))
        for op in group:
            cuts = chain.cuts(op, position)
            part = slicer.apply(op, cuts)
            assert part is not None
            slicer.know(op.results[0], cuts, part)
    stages.append(len(slicer.made))
    made = [slicer.made[a:b] for a, b in pairwise(stages)]
    return made[0], made[1], made[2], made[3]


def _is_view(value: SSAValue) -> bool:
    """Whether a factor that the array multiplies by as it is consists of rows of a larger value:
    each of several products would load them."""
    is_cut = False
    if tensor_of(value).element is not ElementType.BF16:
        return False
    while isinstance(op := value.owner, HloOp) and isinstance(op.definition, ViewOperation):
        last = op.tensor.rank - 1
        if op.kind == "transpose" and op.attrs["permutation"][last] != last:
            return False
        is_cut = is_cut or op.kind == "slice"
        value = op.operands[0]
    return is_cut and not (isinstance(op, HloOp) and op.kind == "constant")


class Exclusive:
    """Tells whether only some operations need an operation's result, through views,
    concatenations and elementwise operations of which the same is true.

    Args:
        handed_on: values that the program returns as well, which does not count.
    """

    def __init__(self, members: Iterable[HloOp], handed_on: Iterable[SSAValue] = ()) -> None:
        self._known: dict[Operation, bool] = dict.fromkeys(members, True)
        self._handed_on = set(handed_on)

    def __call__(self, op: HloOp) -> bool:
        (value,) = op.results
        return all(self._reads_for_them(use.operation) or (
            value in self._handed_on and not isinstance(use.operation, HloOp))
            for use in value.uses)

    def _reads_for_them(self, reader: Operation) -> bool:
        if reader not in self._known:
            self._known[reader] = isinstance(reader, HloOp) and (
                isinstance(reader.definition, Elementwise | ViewOperation)
                or reader.kind == "concatenate") and self(reader)
        return self._known[reader]
