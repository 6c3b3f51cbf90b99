"""From a function of groups to a tile program.

Every value gets a place in DRAM: arguments and results in the windows the host grants, constants
in theirs, the rest in the workspace for as long as it is needed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, OpResult, Region, SSAValue

from compiler.codegen import residency
from compiler.codegen.commands import LOCAL
from compiler.codegen.context import Context, Place
from compiler.codegen.control import lower_case, lower_while
from compiler.codegen.copies import copy
from compiler.codegen.explain import describe_group
from compiler.codegen.groups import generate
from compiler.codegen.inplace import InPlace, Wanted, hand_on, renamed_value, retyped, same_bytes
from compiler.codegen.interface import Donation, interface
from compiler.codegen.lifetimes import last_uses
from compiler.codegen.operands import Operand
from compiler.codegen.parts import parts_of
from compiler.codegen.tile import ProgramOp
from compiler.errors import CompileError, Location, NoRoomError
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

MOST_TIGHT = 4
"""Halvings of the room for tiles that are tried."""


def lower(function: FuncOp, config: AcceleratorConfig,
          donated: Sequence[Donation] = (), *, on_chip: bool = True) -> Lowered:
    """The tile program of a function whose operations are groups, constants and control flow.

    Args:
        donated: arguments whose places results may, or have to, take over.
        on_chip: tensors may stay in the scratchpad from one group to the next.

    Raises:
        CompileError: something in it has no code.
    """
    reserved: dict[Operation, int] = {}
    tight: dict[Operation, int] = {}
    while True:
        lowering = Lowering(Context(config), function, reserved if on_chip else None, tight)
        try:
            return _lower(lowering, function, donated)
        except NoRoomError:
            # Fewer tensors stay on chip while the operation that ran out of room is at work; if
            # none does, its tiles get smaller.
            op = lowering.current
            if op is None or tight.get(op, 0) == MOST_TIGHT:
                raise
            if lowering.room(op) >= config.scratchpad_bytes:
                tight[op] = tight.get(op, 0) + 1
                continue
            reserved[op] = max(2 * reserved.get(op, 0), residency.working_bytes(op, config) * 2)


def _lower(lowering: "Lowering", function: FuncOp, donated: Sequence[Donation]) -> Lowered:
    context, block = lowering.context, function.body.block
    ends = interface(function, donated, lowering.in_place)
    context.places.update(zip(block.args, ends.inputs, strict=True))
    lowering.block(block, ends.wanted)
    program = ProgramOp(Region(context.block))
    return Lowered(program, context.constants.data, ends.inputs, ends.outputs,
                   ends.input_bytes, ends.output_bytes, context.workspace.size,
                   context.workspace.live_peak, lowering.explained)


class Lowering:
    """Walks blocks and appends commands to the context's.

    Args:
        reserved: bytes that operations need for their buffers, beyond the usual, when tensors may
            stay on chip; None when they may not.
        tight: how often the room of an operation's tiles is halved.

    Attributes:
        current: the operation of the function's block that is being lowered.
        explained: a line about each group.
    """

    def __init__(self, context: Context, function: FuncOp,
                 reserved: Mapping[Operation, int] | None, tight: Mapping[Operation, int]) -> None:
        self.context = context
        self.current: Operation | None = None
        self._tight = tight
        self.explained: list[str] = []
        self.last_uses = last_uses(function)
        self.in_place = InPlace(self.last_uses)
        self._temporary: set[Place] = set()
        main = self._main = function.body.block
        self._parts = parts_of(main)
        wholes = {part: whole for part, (whole, _) in self._parts.items()}
        self._residency = residency.Residency() if reserved is None else residency.plan(
            main, context.config, wholes, reserved)
        context.kept = self._residency.constants

    def block(self, block: Block, wanted: Sequence[Wanted]) -> None:
        """Appends the commands of a block; every wanted value ends up in its place."""
        preferred = self.in_place.claims(wanted)
        *operations, terminator = block.ops
        for op in operations:
            assert isinstance(op, HloOp)
            self._limit_buffers(op)
            self._operation(op, preferred)
            self._release((*op.operands, *op.results), op)
        self._limit_buffers(terminator)
        location = terminator.source if isinstance(terminator, HloOp) else Location()
        hand_on(self, wanted, location)
        self._release([v for op in operations for v in op.results], terminator)

    def _operation(self, op: HloOp, preferred: dict[SSAValue, Place]) -> None:
        if op.kind == "constant":
            return
        places = [self._result_place(r, preferred) for r in op.results]
        self.context.places.update(zip(op.results, places, strict=True))
        if op.kind == "while":
            lower_while(self, op, places)
        elif op.kind == "case":
            lower_case(self, op, places)
        elif op.kind == "fused":
            before = self.context.cycles.copy()
            if not self._is_there(op):
                generate(self.context, op)
            self.explained.append(
                describe_group(op, self.context.places, self.context.cycles - before))
        else:
            raise CompileError(f"no code for {op.kind}: report the model", op.source)

    def _is_there(self, op: HloOp) -> bool:
        """Whether a group only hands on a value that lies where its result shall lie."""
        value = renamed_value(op)
        return value is not None and same_bytes(self.context.place(value),
                                                self.context.place(op.results[0]))

    def _limit_buffers(self, op: Operation) -> None:
        """Leaves the generators' buffers what the tensors on chip do not take meanwhile."""
        if op.parent is not self._main:
            return  # an operation of a loop has the room of the loop
        self.current = op
        self.context.tightness = self._tight.get(op, 0)
        self.context.scratchpad.limit = self.room(op)

    def room(self, op: Operation) -> int:
        """Bytes that an operation's buffers may use."""
        return self._residency.limits.get(op, self.context.config.scratchpad_bytes)

    def _result_place(self, value: SSAValue, preferred: Mapping[SSAValue, Place]) -> Place:
        """Where a result goes: where it is wanted, into a larger one, on chip, or the workspace."""
        known = self.context.places.get(value) or preferred.get(value)
        if known is not None:
            return known
        tensor = tensor_of(value)
        if value in self._parts:
            whole, offset = self._parts[value]
            place = self._result_place(whole, preferred)
            self.context.places[whole] = place
            return Place(place.window, place.offset + offset, tensor)
        if value in self._residency.addresses:
            return Place(LOCAL, self._residency.addresses[value], tensor)
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
