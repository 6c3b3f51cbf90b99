"""Values made where another one lies: updates of a part, loops, donated arguments.

A value may take over the place of an operand of its operation when nothing needs the operand
afterwards and the operation reads each element no later than it writes it. Chains of such
operations end in a place that somebody wants to find the last value in: the buffer of a donated
argument, or that of a value a loop carries.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xdsl.ir import Block, Operation, OpResult, SSAValue

from compiler.codegen.context import Place
from compiler.errors import Location
from compiler.ir.loops import Contraction, Load, Loop, Movement, analyse
from compiler.ir.ops import HloOp, is_constant
from compiler.ir.types import Tensor, tensor_of
from compiler.passes.groups import inputs

if TYPE_CHECKING:
    from compiler.codegen.lower import Lowering


@dataclass(frozen=True)
class Wanted:
    """A value that has to end up in a place.

    Attributes:
        resident: the value whose bytes are there when the block begins.
    """

    value: SSAValue
    place: Place
    resident: SSAValue | None = None


def same_bytes(place: Place, other: Place) -> bool:
    """Whether two places are one, whatever the types of the tensors in them."""
    return (place.window, place.offset) == (other.window, other.offset)


def retyped(place: Place, tensor: Tensor) -> Place:
    """The same bytes with another shape."""
    return replace(place, tensor=tensor)


class InPlace:
    """Decides for the values of one function, from the last operation that needs each.

    Args:
        wholes: values that are made in their place in a larger one, with that one.
    """

    def __init__(self, last_uses: Mapping[SSAValue, Operation],
                 wholes: Mapping[SSAValue, SSAValue]) -> None:
        self.last_uses = last_uses
        self._parts: dict[SSAValue, list[SSAValue]] = {}
        for part, whole in wholes.items():
            self._parts.setdefault(whole, []).append(part)

    def source(self, value: SSAValue) -> SSAValue | None:
        """The operand whose place a value takes over."""
        op = value.owner
        if not isinstance(op, HloOp) or not isinstance(value, OpResult):
            return None
        return next((v for v in updated(op, value.index) if self._ends_at(v, op)), None)

    def _ends_at(self, value: SSAValue, op: Operation) -> bool:
        return self.last_uses.get(value) is op and not is_constant(value)

    def origin(self, value: SSAValue) -> SSAValue:
        """The value at the beginning of a chain of updates in place."""
        while (source := self.source(value)) is not None:
            value = source
        return value

    def claims(self, wanted: Sequence[Wanted]) -> dict[SSAValue, Place]:
        """Places of values that can be made right where they, or a later version of them, are
        wanted."""
        claimed: dict[SSAValue, Place] = {}
        for want in wanted:
            value: SSAValue | None = want.value
            while value is not None and value not in claimed and self._may_hold(value, want):
                claimed[value] = retyped(want.place, tensor_of(value))
                value = self.source(value)
        return claimed

    def _may_hold(self, value: SSAValue, want: Wanted) -> bool:
        """Whether the place is free for a value by the time its operation writes it."""
        op, resident = value.owner, want.resident
        if not isinstance(op, HloOp) or not isinstance(value, OpResult) or op.kind == "constant":
            return False
        if resident is None:
            return True
        if op.parent is not _home(resident):
            return False
        last = self.last_uses.get(resident)
        if last is op:
            return resident in (*updated(op, value.index), *rewritten(op)) \
                and value not in self._parts
        return last is None or all(map(last.is_before_in_block, self._writers(value, op)))

    def _writers(self, value: SSAValue, op: Operation) -> Iterator[Operation]:
        """Operations that write a value's place: its own, and those that make parts of it."""
        yield op
        yield from (part.owner for part in self._parts.get(value, ())
                    if isinstance(part.owner, Operation))


def _home(value: SSAValue) -> Block | None:
    return value.owner if isinstance(value.owner, Block) else value.owner.parent


def updated(op: HloOp, result: int) -> Iterator[SSAValue]:
    """Operands that a result is a new version of: most of the bytes stay as they are."""
    if op.kind == "while":
        value = op.operands[result]
        if Counter(inputs(op))[value] == 1:
            yield value
    elif op.kind == "fused" and op.attrs["kind"] == "dynamic_update_slice":
        analysed = analyse(op)
        assert isinstance(analysed, Movement)
        (source, *_) = analysed.operands
        if isinstance(source, Load) and source.view.is_whole:
            yield source.value
    elif (renamed := renamed_value(op)) is not None:
        yield renamed


def renamed_value(op: HloOp) -> SSAValue | None:
    """What a group hands on element by element, in another shape at most."""
    if op.kind != "fused" or op.attrs["kind"] != "loop" or len(op.operands) != 1:
        return None
    analysed = analyse(op)
    if isinstance(analysed, Loop) and len(analysed.nodes) == len(analysed.results) == 1:
        (node,) = analysed.nodes
        if isinstance(node, Load) and node.view.is_whole \
                and tensor_of(node.value).size == tensor_of(op.results[0]).size:
            return node.value
    return None


def rewritten(op: HloOp) -> Iterator[SSAValue]:
    """Operands of an elementwise loop of one result that is read before written, element by
    element."""
    if op.kind == "fused" and op.attrs["kind"] == "loop" and len(op.results) == 1:
        analysed = analyse(op)
        if isinstance(analysed, Loop):
            yield from _rewritten(op, analysed)


def overwritten(op: HloOp) -> Iterator[SSAValue]:
    """The same of what a product's result is combined with, where both are on chip."""
    yield from rewritten(op)
    if op.kind == "fused" and op.attrs["kind"] == "dot_general" and len(op.results) == 1:
        analysed = analyse(op)
        if isinstance(analysed, Contraction):
            factors = {load.value for load in (*analysed.lefts, analysed.rhs)}
            yield from (v for v in _rewritten(op, analysed.epilogue) if v not in factors)


def _rewritten(op: HloOp, loop: Loop) -> Iterator[SSAValue]:
    if loop.reductions:
        return
    loads = [node for node in loop.nodes if isinstance(node, Load)]
    for value in dict.fromkeys(node.value for node in loads):
        if tensor_of(value) == tensor_of(op.results[0]) and all(
                node.view.is_whole for node in loads if node.value is value):
            yield value


def hand_on(lowering: "Lowering", wanted: Sequence[Wanted], location: Location) -> None:
    """Appends the copies that bring values to where they are wanted and do not lie yet."""
    place = lowering.context.place
    pending = [want for want in wanted if not same_bytes(place(want.value), want.place)]
    for want in pending:
        if want.resident is None:
            lowering.copy(want.value, want.place, location)
    _exchange(lowering, [want for want in pending if want.resident is not None], location)


def _exchange(lowering: "Lowering", wanted: Sequence[Wanted], location: Location) -> None:
    """Copies into places that others may still be read from: those are saved first."""
    context = lowering.context
    saved: dict[SSAValue, Place] = {}
    for value in dict.fromkeys(want.value for want in wanted):
        if any(same_bytes(context.place(value), other.place) for other in wanted):
            saved[value] = context.reserve(tensor_of(value))
            lowering.copy(value, saved[value], location)
    for want in wanted:
        lowering.move(saved.get(want.value) or context.place(want.value), want.place, location)
    for stage in saved.values():
        context.release(stage)
