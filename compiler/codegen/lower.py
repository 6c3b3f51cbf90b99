"""From a function of groups to a tile program.

Every value gets a place in DRAM: arguments and results in the windows the host grants, constants
in theirs, the rest in the workspace for as long as it is needed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, OpResult, Region, SSAValue

from compiler.codegen.commands import LOCAL
from compiler.codegen.context import Context, Place
from compiler.codegen.context import Mark as ContextMark
from compiler.codegen.contraction_dot import reserve_ahead
from compiler.codegen.control import lower_case, lower_while
from compiler.codegen.copies import copy
from compiler.codegen.explain import describe_group
from compiler.codegen.inplace import InPlace, Wanted, hand_on, renamed_value, retyped, same_bytes
from compiler.codegen.interface import Donation, interface
from compiler.codegen.lifetimes import last_uses
from compiler.codegen.operands import Operand
from compiler.codegen.parts import parts_of
from compiler.codegen.replay import Replay
from compiler.codegen.rooms import Rooms
from compiler.codegen.shared_factors import shared_by
from compiler.codegen.tile import ProgramOp
from compiler.errors import CompileError, Location, NoRoomError
from compiler.ir.loops import Contraction, analyse
from compiler.ir.ops import HloOp
from compiler.ir.types import Tensor, tensor_of
from compiler.ops.views import View
from hw.config import AcceleratorConfig


@dataclass(frozen=True)
class Lowered:
    """A tile program and the memory it expects.

    Attributes:
        inputs, outputs: places of arguments and results.
        input_bytes, output_bytes, workspace_bytes: sizes of the windows.
        workspace_bound: most bytes of the workspace in use at once.
        explained: a line about each group.
    """

    program: ProgramOp
    constants: bytes
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    input_bytes: int
    output_bytes: int
    workspace_bytes: int
    workspace_bound: int
    explained: Sequence[str] = ()


def lower(function: FuncOp, config: AcceleratorConfig,
          donated: Sequence[Donation] = (), *, on_chip: bool = True, explain: bool = False
          ) -> Lowered:
    """The tile program of a function whose operations are groups, constants and control flow.

    Args:
        donated: arguments whose places results may, or have to, take over.
        on_chip: tensors may stay in the scratchpad from one group to the next.
        explain: say something about each group.

    Raises:
        CompileError: something in it has no code.
    """
    context, block = Context(config), function.body.block
    lowering = Lowering(context, function, on_chip=on_chip, explain=explain)
    ends = interface(function, donated, lowering.in_place)
    context.places.update(zip(block.args, ends.inputs, strict=True))
    lowering.main(ends.wanted)
    program = ProgramOp(Region(context.block))
    return Lowered(program, context.constants.data, ends.inputs, ends.outputs,
                   ends.input_bytes, ends.output_bytes, context.workspace.size,
                   context.workspace.live_peak, lowering.explained)


@dataclass(frozen=True)
class _Mark:
    """How far a lowering has come."""

    context: ContextMark
    temporary: frozenset[Place]
    explained: int


class Lowering:
    """Walks blocks and appends commands to the context's.

    Args:
        on_chip: tensors may stay in the scratchpad from one group to the next.
        explain: keep `explained`.

    Attributes:
        explained: a line about each group.
    """

    def __init__(self, context: Context, function: FuncOp, *, on_chip: bool, explain: bool
                 ) -> None:
        self.context, self._explains = context, explain
        self.explained: list[str] = []
        self.last_uses = last_uses(function)
        self._temporary: set[Place] = set()
        self._trying = False
        block = self._main = function.body.block
        self._parts = parts_of(block)
        wholes = {value: part.whole for value, part in self._parts.items()}
        self.in_place = InPlace(self.last_uses, wholes)
        self._rooms = Rooms(block, context.config, wholes, on_chip=on_chip)
        self._replay = Replay(context)
        self._shared = shared_by(block, context.config) if on_chip else {}

    def main(self, wanted: Sequence[Wanted]) -> None:
        """Appends the commands of the function's block.

        When an operation runs out of room the plan changes, and all is made again from the first
        operation on that the change concerns. That may be most of the program: operations with
        little room are made on trial first, without the others.
        """
        if any(map(self._rooms.is_short, self._main.ops)):
            begin = self._mark()
            self._trying = True
            self._whole(wanted)
            self._rewind(begin)
            self._trying = False
        self._whole(wanted)

    def _whole(self, wanted: Sequence[Wanted]) -> None:
        preferred = self.in_place.claims(wanted)
        operations, marks = list(self._main.ops), list[_Mark]()
        while len(marks) < len(operations):
            op = operations[len(marks)]
            marks.append(self._mark())
            try:
                self._one(op, wanted, preferred)
            except NoRoomError as error:
                first = operations.index(self._rooms.enlarge(op, error))
                self._rewind(marks[first])
                del marks[first:]

    def _mark(self) -> _Mark:
        return _Mark(self.context.mark(), frozenset(self._temporary), len(self.explained))

    def _rewind(self, mark: _Mark) -> None:
        if mark.context.constants < len(self.context.constants):
            self._replay.forget()
        self.context.rewind(mark.context)
        self._temporary = set(mark.temporary)
        del self.explained[mark.explained:]

    def block(self, block: Block, wanted: Sequence[Wanted]) -> None:
        """Appends the commands of a region's block; every wanted value ends up in its place."""
        preferred = self.in_place.claims(wanted)
        for op in block.ops:
            self._one(op, wanted, preferred)

    def _one(self, op: Operation, wanted: Sequence[Wanted], preferred: Mapping[SSAValue, Place]
             ) -> None:
        self._limit_buffers(op)
        if op.next_op is None:
            if not self._trying:
                self._end(op, wanted)
            return
        assert isinstance(op, HloOp)
        self._operation(op, preferred)
        self._release((*op.operands, *op.results), op)

    def _end(self, terminator: Operation, wanted: Sequence[Wanted]) -> None:
        location = terminator.source if isinstance(terminator, HloOp) else Location()
        hand_on(self, wanted, location)
        assert terminator.parent is not None
        self._release([v for op in terminator.parent.ops for v in op.results], terminator)

    def _operation(self, op: HloOp, preferred: Mapping[SSAValue, Place]) -> None:
        if op.kind == "constant":
            return
        places = [self._result_place(r, preferred) for r in op.results]
        self.context.places.update(zip(op.results, places, strict=True))
        if self._trying and not self._rooms.is_short(op):
            return
        if op.kind == "while":
            lower_while(self, op, places)
        elif op.kind == "case":
            lower_case(self, op, places)
        elif op.kind == "fused":
            before = self.context.cycles.copy()
            if not self._is_there(op):
                self._plan_ahead(op, preferred)
                self._replay.generate(op)
            if self._explains:
                self.explained.append(
                    describe_group(op, self.context.places, self.context.cycles - before))
        else:
            raise CompileError(f"no code for {op.kind}: report the model", op.source)

    def _plan_ahead(self, op: HloOp, preferred: Mapping[SSAValue, Place]) -> None:
        """Lets a group that reads the left factor of a product behind it know how that will go
        through it; all that is made up to there gets its places."""
        shared = self._shared.get(op)
        if shared is None or not shared.ahead:
            return
        between = [other for other in shared.ahead if isinstance(other, HloOp)]
        for other in between:
            if other.kind != "constant":
                self.context.places.update(
                    (value, self._result_place(value, preferred)) for value in other.results)
        room, context = self._rooms.room(op), self.context
        context.scratchpad.limit = min(map(self._rooms.room, (op, *between)))
        contraction = analyse(between[-1])
        assert isinstance(contraction, Contraction)
        reserve_ahead(context, contraction)
        context.scratchpad.limit = room

    def _is_there(self, op: HloOp) -> bool:
        """Whether a group only hands on a value that lies where its result shall lie."""
        value = renamed_value(op)
        return value is not None and same_bytes(self.context.place(value),
                                                self.context.place(op.results[0]))

    def _limit_buffers(self, op: Operation) -> None:
        """Leaves the generators' buffers what the tensors on chip do not take meanwhile."""
        if op.parent is not self._main:
            return  # an operation of a loop has the room of the loop
        self.context.tightness = self._rooms.tightness.get(op, 0)
        self.context.scratchpad.limit = self._rooms.room(op)
        self.context.kept = self._rooms.residency.constants
        shared = self._shared.get(op)
        self.context.share(shared.factor if shared is not None else None,
                           keeps=shared is not None and not shared.is_last)

    def _result_place(self, value: SSAValue, preferred: Mapping[SSAValue, Place]) -> Place:
        """Where a result goes: where it is wanted, into a larger one, on chip, or the workspace."""
        known = self.context.places.get(value) or preferred.get(value)
        if known is not None:
            return known
        tensor = tensor_of(value)
        if value in self._parts:
            part = self._parts[value]
            place = self._result_place(part.whole, preferred)
            self.context.places[part.whole] = place
            if part.strides is None or (part.on_chip if place.on_chip else part.in_dram):
                return Place(place.window, place.offset + part.offset, tensor, part.strides)
        if value in self._rooms.residency.addresses:
            return Place(LOCAL, self._rooms.residency.addresses[value], tensor)
        return self._taken_over(value) or self._temporary_place(tensor)

    def _taken_over(self, value: SSAValue) -> Place | None:
        """The place of an operand in the workspace that the value is a new version of."""
        source = self.in_place.source(value)
        place = self.context.places.get(source) if source is not None else None
        if place not in self._temporary or not isinstance(source, OpResult):
            return None
        self._temporary.remove(place)
        place = retyped(place, tensor_of(value))
        self._temporary.add(place)
        return place

    def _release(self, values: Iterable[SSAValue], op: Operation) -> None:
        """Frees the places of values that `op` was the last to need."""
        handed_on = {self.context.places.get(result) for result in op.results}
        for value in dict.fromkeys(values):
            place = self.context.places.get(value)
            if value not in op.results and place in handed_on:
                continue
            # Arguments of a loop's regions share the places of the values the loop carries.
            if isinstance(value, OpResult) and self.last_uses.get(value) is op \
                    and place in self._temporary:
                self._temporary.remove(place)
                self.context.release(place)

    def _temporary_place(self, tensor: Tensor) -> Place:
        """A place in the workspace that is freed after the last use of the value in it."""
        place = self.context.reserve(tensor)
        self._temporary.add(place)
        return place

    def copy(self, value: SSAValue, target: Place, location: Location) -> None:
        """Copies a value to a place unless it is there."""
        self.move(self.context.place(value), target, location)

    def move(self, source: Place, target: Place, location: Location) -> None:
        """Copies a tensor to a place unless it is there."""
        if source != target:
            copy(self.context, Operand(source, View.whole(source.tensor)), target, location)
