"""Normalisations in slices of rows, so that what follows starts before the last row is finished.

A layer norm passes over its rows several times on the vector unit, and the contraction that reads
the result waits. In slices, the array begins with the first rows while the others are normalised.
Rows do not depend on each other: every result keeps its bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from compiler.ir.loops import is_contraction, is_reduction
from compiler.ir.ops import HloOp, erase_unused, insert_before, main_function, make, replace
from compiler.ir.types import tensor_of
from compiler.ops.elementwise import Elementwise
from compiler.ops.views import ViewOperation
from compiler.passes.slicing import Slicer, follow, operand_cuts, sources

PIECES = 4
FEWEST_ROWS = 53
"""Rows of a slice at least: with fewer an array of 16 x 16 waits for its own sums."""
FEWEST_ELEMENTS = 1 << 14
"""Of a normalisation that is worth it: its passes take some thousand cycles."""


@dataclass
class Region:
    """Operations that follow a reduction along the last dimension, row by row.

    Attributes:
        dims: the dimension of rows of every member's result.
    """

    dims: dict[SSAValue, int]
    members: list[HloOp] = field(default_factory=list)

    def results(self) -> list[SSAValue]:
        """Values that something else reads."""
        inside = set(self.members)
        return [op.results[0] for op in self.members
                if any(use.operation not in inside for use in op.results[0].uses)]


def row_slices(module: ModuleOp) -> None:
    """Slices every normalisation whose result a contraction multiplies."""
    block = main_function(module).body.block
    taken: set[HloOp] = set()
    for op in list(block.ops):
        if isinstance(op, HloOp) and op.parent is block and op not in taken and _opens(op):
            region = _region(op)
            taken.update(region.members)
            if _feeds_contraction(region) and _ends_together(region):
                _slice(block, region)
    erase_unused(block)


def _opens(op: HloOp) -> bool:
    """Whether a normalisation may begin with an operation: a reduction of many long rows."""
    if not is_reduction(op):
        return False
    x = tensor_of(op.operands[0])
    d = _row_dimension(x.shape)
    return (tuple(op.attrs["dimensions"]) == (x.rank - 1,) and d is not None
            and x.shape[d] >= 2 * FEWEST_ROWS and x.size >= FEWEST_ELEMENTS
            and not _is_sliced(op.operands[0]))


def _row_dimension(shape: Sequence[int]) -> int | None:
    """The only dimension besides the last that is not 1."""
    rows = [d for d, n in enumerate(shape[:-1]) if n > 1]
    return rows[0] if len(rows) == 1 else None


def _is_sliced(value: SSAValue) -> bool:
    """Whether a value belongs to a batch of products, whose slices follow each other already."""
    owner = value.owner
    while isinstance(owner, HloOp) and isinstance(owner.definition, Elementwise | ViewOperation) \
            and owner.operands:
        owner = owner.operands[0].owner
    return isinstance(owner, HloOp) and owner.kind == "dot_general" and bool(
        owner.attrs["dot_dimension_numbers"]["lhs_batching_dimensions"])


def _region(first: HloOp) -> Region:
    """What follows a reduction and depends on nothing that comes later."""
    x = tensor_of(first.operands[0])
    d = _row_dimension(x.shape)
    assert d is not None
    region = Region({first.results[0]: d}, [first])
    late: set[SSAValue] = set()
    before = _values_before(first)
    op = first.next_op
    while op is not None:
        if isinstance(op, HloOp):
            known = [v in region.dims for v in op.operands]
            place = _place(region, op) if any(known) and not any(
                v in late for v in op.operands) else None
            if place is not None and all(k or v in before for k, v in zip(
                    known, op.operands, strict=True)):
                region.members.append(op)
                region.dims[op.results[0]] = place
            elif any(known) or any(v in late for v in op.operands):
                late.update(op.results)
            elif isinstance(op.definition, ViewOperation | Elementwise) or op.kind == "constant":
                before.update(op.results)  # it could stand before the region
        op = op.next_op
    return region


def _values_before(first: HloOp) -> set[SSAValue]:
    block = first.parent
    assert block is not None
    found: set[SSAValue] = set(block.args)
    for op in block.ops:
        if op is first:
            return found
        found.update(op.results)
    return found


def _place(region: Region, op: HloOp) -> int | None:
    """Where a member's rows are in an operation's result; None when it cannot join."""
    joins = isinstance(op.definition, Elementwise) or is_reduction(op) or op.kind in (
        "broadcast_in_dim", "reshape")
    if not joins or len(op.results) != 1:
        return None
    found = {follow(op, number, region.dims[v]) for number, v in enumerate(op.operands)
             if v in region.dims}
    place = found.pop()
    return None if found or place is None or sources(op, place) is None else place


def _feeds_contraction(region: Region) -> bool:
    return any(is_contraction(reader) for value in region.results() for reader in _readers(value))


def _never(op: HloOp) -> bool:
    """Slices of values outside the region are views: they exist as a whole."""
    del op
    return False


def _ends_together(region: Region) -> bool:
    """Whether nothing reads a result before the last member is reached."""
    last = region.members[-1]
    return not any(use.operation.is_before_in_block(last) for value in region.results()
                   for use in value.uses if use.operation not in region.members)


def _readers(value: SSAValue) -> Iterator[HloOp]:
    """Operations that read a value, views looked through."""
    for use in value.uses:
        op = use.operation
        if isinstance(op, HloOp) and isinstance(op.definition, ViewOperation):
            yield from _readers(op.results[0])
        elif isinstance(op, HloOp):
            yield op


def _slice(block: Block, region: Region) -> None:
    """Replaces the members by slices of them; what others read is put together again."""
    slicer = Slicer(_never)
    wanted = region.results()
    parts: dict[SSAValue, list[SSAValue]] = {value: [] for value in wanted}
    first = region.members[0].results[0]
    extent = tensor_of(first).shape[region.dims[first]]
    step = -(-extent // min(PIECES, extent // FEWEST_ROWS))
    for start in range(0, extent, step):
        size = min(step, extent - start)
        for op in region.members:
            cuts = ((region.dims[op.results[0]], start, size),)
            assert operand_cuts(op, cuts) is not None
            part = slicer.apply(op, cuts)
            assert part is not None
            slicer.know(op.results[0], cuts, part)
            if op.results[0] in parts:
                parts[op.results[0]].append(part)
    joins = [make("concatenate", parts[value], None, {"dimension": region.dims[value]},
                  location=region.members[-1].source) for value in wanted]
    insert_before(region.members[-1], [*slicer.made, *joins])
    for value, join in zip(wanted, joins, strict=True):
        owner = value.owner
        assert isinstance(owner, HloOp)
        replace(owner, join.results)
    erase_unused(block)
