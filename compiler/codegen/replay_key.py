"""What the commands of a group depend on beside the addresses of its tensors."""

from collections.abc import Collection, Hashable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from xdsl.ir import SSAValue

from compiler.codegen.commands import LOCAL
from compiler.codegen.context import Context, Place
from compiler.ir.attributes import Attrs
from compiler.ir.ops import HloOp, is_constant
from compiler.ir.types import from_mlir, tensor_of


class Region(NamedTuple):
    """Memory of one of a group's tensors.

    Attributes:
        space: DRAM window or `LOCAL`; `first`, `end`: bytes.
        base: where what the group reads or writes of it begins.
    """

    space: int
    first: int
    end: int
    base: int


class ReplayKeys:
    """Keys of groups, in one compilation."""

    def __init__(self, context: Context) -> None:
        self._context = context
        # By the identity of the mapping, which copies of an operation share.
        self._frozen: dict[int, tuple[Attrs, Hashable]] = {}

    def of(self, group: HloOp) -> tuple[Hashable, list[Region]]:
        """The key of a group, and the memory of its tensors. Of two groups with the same key the
        commands are the same, but that their addresses differ as the bases of the regions do."""
        context, (block,) = self._context, group.bodies
        numbers: dict[SSAValue, int] = {v: n for n, v in enumerate(block.args)}
        outside = dict(zip(block.args, group.operands, strict=True))
        # Of each argument that is no constant the elements at which what is used of it begins.
        bases: dict[SSAValue, dict[int, int]] = {
            arg: {} for arg, value in outside.items() if not is_constant(value)}
        parts: list[Hashable] = [context.scratchpad.limit, context.tightness]
        for op in block.ops:
            assert isinstance(op, HloOp)
            start, attrs, operands = 0, self._attributes(op), tuple(op.operands)
            if op.kind == "slice" and operands[0] in bases:
                start, attrs = _begin(op), op.attrs["strides"]
            used = tuple([numbers[v] for v in operands])
            parts.append((op.kind, used, tuple([from_mlir(r.type) for r in op.results]), attrs))
            if op.regions:
                parts.append(id(op))  # no other operation is known to be equal
            for value in operands:
                known = bases.get(value)
                if known is not None:
                    parts.append(known.setdefault(start, len(known)))
            for result in op.results:
                numbers[result] = len(numbers)
        regions: list[Region] = []
        for arg, value in outside.items():
            parts.append(_placed(context.places[value], bases[arg], regions) if arg in bases
                         else self._constant(value, regions))
        for value in group.results:
            parts.append(_placed(context.places[value], (0,), regions))
        parts += [from_mlir(value.type) for value in (*group.operands, *group.results)]
        # Tensors that share memory may be read or written in place.
        parts += [(n, m, one.base - other.base)
                  for (n, one), (m, other) in combinations(enumerate(regions), 2)
                  if one.space == other.space and one.first < other.end and other.first < one.end]
        return tuple(parts), regions

    def _attributes(self, op: HloOp) -> Hashable:
        known = self._frozen.get(id(op.attrs))
        if known is None:
            known = self._frozen[id(op.attrs)] = op.attrs, _frozen(op.attrs)
        return known[1]

    def _constant(self, value: SSAValue, regions: list[Region]) -> Hashable:
        """A constant is the same one, in the same places."""
        context = self._context
        kept = context.kept.get(value)
        if kept is not None:
            regions.append(Region(LOCAL, kept, kept + tensor_of(value).bytes, kept))
        return id(value), context.places.get(value), kept, context.loaded.get(value)


def _begin(op: HloOp) -> int:
    """Elements of its operand that a slice leaves out at the beginning."""
    strides = tensor_of(op.operands[0]).strides
    return sum(i * s for i, s in zip(op.attrs["start_indices"], strides, strict=True))


def _placed(place: Place, begins: Collection[int], regions: list[Region]) -> Hashable:
    """What the commands depend on of a tensor's place. Adds regions: one for each of the elements
    at which what is used of it begins."""
    size, inside = place.tensor.element.size, place.inside
    if inside is None:
        end = place.offset + place.tensor.bytes
        regions += [Region(place.window, place.offset, end, place.offset + begin * size)
                    for begin in begins]
        return place.window, place.tensor
    last = sum((n - 1) * s for n, s in zip(place.tensor.shape, inside, strict=True))
    regions.append(
        Region(place.window, place.offset, place.offset + (last + 1) * size, place.offset))
    return place.window, place.tensor, inside, tuple(begins)


def _frozen(value: Any) -> Hashable:
    """An attribute's value as something that can be hashed."""
    if isinstance(value, tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, int | str):
        return value
    if isinstance(value, Mapping):
        return tuple([(name, _frozen(v)) for name, v in value.items()])
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return value.hex() if isinstance(value, float) else value  # the sign of zero counts
