"""while and case: regions of commands, and the tensors they hand on.

Values a loop carries have one place in DRAM for all its rounds. A body's result is made right
there when the value it replaces is no longer needed by then (`inplace`), and copied at the
round's end otherwise.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xdsl.ir import Block, Region

from compiler.codegen.context import Context, Place
from compiler.codegen.footprint import transfers
from compiler.codegen.inplace import Wanted
from compiler.codegen.tile import CaseOp, WhileOp
from compiler.errors import Location
from compiler.ir.ops import HloOp
from compiler.ir.types import tensor_of

if TYPE_CHECKING:
    from compiler.codegen.lower import Lowering

SCALAR_BYTES = 4


def lower_while(lowering: "Lowering", op: HloOp, places: Sequence[Place]) -> None:
    """Appends a loop.

    Args:
        places: where the results go, which is where the values live during the loop.
    """
    context = lowering.context
    for value, place in zip(op.operands, places, strict=True):
        lowering.copy(value, place, op.source)
    condition, body = op.bodies
    for block in (condition, body):
        context.places.update(zip(block.args, places, strict=True))
    with context.buffer(SCALAR_BYTES, op.source) as predicate:
        with _region(context) as tested:
            terminator = condition.last_op
            assert terminator is not None
            (value,) = terminator.operands
            place = context.reserve(tensor_of(value))
            lowering.block(condition, [Wanted(value, place)])
            _load_scalar(context, place, predicate, op.source)
            context.release(place)
        with _region(context) as repeated:
            _lower_body(lowering, body, places)
    context.block.add_op(WhileOp(predicate, tested, repeated))


def _lower_body(lowering: "Lowering", body: Block, places: Sequence[Place]) -> None:
    """A round of a loop; its results replace the carried values."""
    terminator = body.last_op
    assert terminator is not None
    lowering.block(body, [
        Wanted(value, place, argument)
        for argument, value, place in zip(body.args, terminator.operands, places, strict=True)])


def lower_case(lowering: "Lowering", op: HloOp, places: Sequence[Place]) -> None:
    """Appends a choice between branches, all of which leave their results in `places`."""
    context = lowering.context
    with context.buffer(SCALAR_BYTES, op.source) as index:
        _load_scalar(context, context.place(op.operands[0]), index, op.source)
        branches = []
        for block in op.bodies:
            with _region(context) as branch:
                terminator = block.last_op
                assert terminator is not None
                lowering.block(block, [
                    Wanted(value, place)
                    for value, place in zip(terminator.operands, places, strict=True)])
            branches.append(branch)
    context.block.add_op(CaseOp(index, branches))


@contextmanager
def _region(context: Context) -> Iterator[Region]:
    """Commands made inside the `with` block go to a region of their own."""
    outer, context.block = context.block, Block()
    region = Region(context.block)
    yield region
    context.block = outer


def _load_scalar(context: Context, place: Place, address: int, location: Location) -> None:
    dtype = place.tensor.element.memory
    for transfer in transfers(place.window, place.offset, address, [], dtype, dtype):
        context.load(transfer, location)
