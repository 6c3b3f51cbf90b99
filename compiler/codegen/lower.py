"""From a function of groups to a tile program.

Every value gets a place in DRAM: arguments and results in the windows the host grants, constants
in theirs, the rest in the workspace for as long as it is needed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, OpResult, Region, SSAValue

from compiler.codegen.context import Context, Place
from compiler.codegen.control import lower_case, lower_while
from compiler.codegen.copies import copy
from compiler.codegen.groups import generate
from compiler.codegen.lifetimes import last_uses
from compiler.codegen.operands import Operand
from compiler.codegen.tile import ProgramOp
from compiler.errors import CompileError, Location
from compiler.ir.ops import HloOp
from compiler.ir.types import Tensor, tensor_of
from compiler.ops.views import View
from hw.config import AcceleratorConfig
from hw.isa.program import CONSTANT_WINDOW, INPUT_WINDOW, OUTPUT_WINDOW

ALIGNMENT = 64
"""Of tensors in the input and output windows, in bytes."""


@dataclass(frozen=True)
class Lowered:
    """A tile program and the memory it expects.

    Attributes:
        inputs, outputs: places of arguments and results.
        input_bytes, output_bytes, workspace_bytes: sizes of the windows.
    """

    program: ProgramOp
    constants: bytes
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    input_bytes: int
    output_bytes: int
    workspace_bytes: int


def lower(function: FuncOp, config: AcceleratorConfig) -> Lowered:
    """The tile program of a function whose operations are groups, constants and control flow.

    Raises:
        CompileError: something in it has no code.
    """
    block = function.body.block
    terminator = block.last_op
    assert isinstance(terminator, ReturnOp)
    inputs, input_bytes = _dense([tensor_of(a) for a in block.args], INPUT_WINDOW)
    outputs, output_bytes = _dense([tensor_of(v) for v in terminator.operands], OUTPUT_WINDOW)
    context = Context(config)
    context.places.update(zip(block.args, inputs, strict=True))
    lowering = Lowering(context, function)
    lowering.block(block, list(zip(terminator.operands, outputs, strict=True)))
    program = ProgramOp(Region(context.block))
    return Lowered(program, context.constants.data, tuple(inputs), tuple(outputs), input_bytes,
                   output_bytes, context.workspace.size)


def _dense(tensors: Sequence[Tensor], window: int) -> tuple[list[Place], int]:
    """Places of tensors one after the other in a window, and the window's size."""
    places, offset = [], 0
    for tensor in tensors:
        places.append(Place(window, offset, tensor))
        offset += -(-max(tensor.bytes, 1) // ALIGNMENT) * ALIGNMENT
    return places, offset


class Lowering:
    """Walks blocks and appends commands to the context's."""

    def __init__(self, context: Context, function: FuncOp) -> None:
        self.context = context
        self.last_uses = last_uses(function)
        self._temporary: set[Place] = set()

    def block(self, block: Block, wanted: Sequence[tuple[SSAValue, Place]]) -> None:
        """Appends the commands of a block; every wanted value ends up in its place."""
        preferred: dict[SSAValue, Place] = {}
        for value, place in wanted:
            preferred.setdefault(value, place)
        *operations, terminator = block.ops
        for op in operations:
            assert isinstance(op, HloOp)
            self._operation(op, preferred)
            self._release((*op.operands, *op.results), op)
        location = terminator.source if isinstance(terminator, HloOp) else Location()
        for value, place in wanted:
            self.copy(value, place, location)
        self._release([v for op in operations for v in op.results], terminator)

    def _operation(self, op: HloOp, preferred: dict[SSAValue, Place]) -> None:
        if op.kind == "constant":
            self._constant(op)
            return
        places = [preferred.get(r) or self._temporary_place(tensor_of(r)) for r in op.results]
        self.context.places.update(zip(op.results, places, strict=True))
        if op.kind == "while":
            lower_while(self, op, places)
        elif op.kind == "case":
            lower_case(self, op, places)
        elif op.kind == "fused":
            generate(self.context, op)
        else:
            raise CompileError(f"no code for {op.kind}: report the model", op.source)

    def _constant(self, op: HloOp) -> None:
        raw = np.ascontiguousarray(op.attrs["value"]).tobytes()
        place = Place(CONSTANT_WINDOW, self.context.constants.add(raw), op.tensor)
        self.context.places[op.results[0]] = place

    def _release(self, values: Iterable[SSAValue], op: Operation) -> None:
        """Frees the places of values that `op` was the last to need."""
        for value in dict.fromkeys(values):
            place = self.context.places.get(value)
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

    def is_free_before(self, argument: SSAValue, value: SSAValue) -> bool:
        """Whether a block's argument is no longer needed when a value of it is made."""
        owner, last = value.owner, self.last_uses.get(argument)
        if isinstance(owner, Block) or owner.parent is not argument.owner:
            return False
        return last is None or (last is not owner and last.is_before_in_block(owner))
