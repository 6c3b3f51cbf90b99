"""Places of a program's arguments and results: dense tensors in the windows the host grants.

The result that aliases a donated argument lies where the argument lay. So the host finds a cache,
updated, where it had put it, and passes it to the next run without moving it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import SSAValue

from compiler.codegen.context import Place
from compiler.codegen.inplace import InPlace, Wanted
from compiler.ir.types import Tensor, tensor_of
from hw.isa.program import INPUT_WINDOW, OUTPUT_WINDOW

ALIGNMENT = 64
"""Of tensors in the input and output windows, in bytes."""


@dataclass(frozen=True)
class Donation:
    """An argument whose buffer the caller gives away.

    Attributes:
        argument: its position.
        result: position of the result that takes the buffer; None leaves the choice here.
    """

    argument: int
    result: int | None = None


@dataclass(frozen=True)
class Interface:
    """Places of arguments and results, and the sizes of their windows."""

    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    wanted: tuple[Wanted, ...]
    input_bytes: int
    output_bytes: int


def interface(function: FuncOp, donated: Iterable[Donation], in_place: InPlace) -> Interface:
    """Arguments one after the other, then the results that take over no argument's place."""
    block = function.body.block
    terminator = block.last_op
    assert isinstance(terminator, ReturnOp)
    results = list(terminator.operands)
    inputs, input_bytes = _dense([tensor_of(a) for a in block.args], INPUT_WINDOW)
    aliases = _aliases(donated, block.args, results, in_place)
    fresh = [n for n in range(len(results)) if n not in aliases]
    made, output_bytes = _dense([tensor_of(results[n]) for n in fresh], OUTPUT_WINDOW)
    places = dict(zip(fresh, made, strict=True)) | {n: inputs[a] for n, a in aliases.items()}
    wanted = tuple(
        Wanted(value, places[n], block.args[aliases[n]] if n in aliases else None)
        for n, value in enumerate(results))
    return Interface(tuple(inputs), tuple(want.place for want in wanted), wanted, input_bytes,
                     output_bytes)


def _dense(tensors: Sequence[Tensor], window: int) -> tuple[list[Place], int]:
    """Places of tensors one after the other in a window, and the window's size."""
    places, offset = [], 0
    for tensor in tensors:
        places.append(Place(window, offset, tensor))
        offset += -(-max(tensor.bytes, 1) // ALIGNMENT) * ALIGNMENT
    return places, offset


def _aliases(donated: Iterable[Donation], arguments: Sequence[SSAValue],
             results: Sequence[SSAValue], in_place: InPlace) -> Mapping[int, int]:
    """The argument whose place each result takes over; an argument is given away once."""
    taken: dict[int, int] = {}
    for gift in sorted(donated, key=lambda d: d.result is None):
        candidates = [gift.result] if gift.result is not None else [
            n for n, value in enumerate(results)
            if in_place.origin(value) is arguments[gift.argument]]
        for number in candidates:
            if number not in taken and tensor_of(results[number]) == tensor_of(
                    arguments[gift.argument]):
                taken[number] = gift.argument
                break
    return taken
