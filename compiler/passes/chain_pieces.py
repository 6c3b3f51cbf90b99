"""Pieces of a chain's values: lines with the padding around them, and the order in which the pieces
of all stages are made."""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.ir import SSAValue

from compiler.ir.ops import HloOp, constant, make
from compiler.ir.types import tensor_of
from compiler.passes.chains import Chain, Stage


@dataclass
class Lines:
    """Lines of a value on chip, padded for the stage that reads it."""

    start: int
    end: int
    value: SSAValue


def padded(chain: Chain, new: Lines, reader: Stage) -> tuple[list[HloOp], Lines]:
    """New lines with the padding around them, and the operations that make them."""
    if not any(map(any, reader.padding)):
        return [], new
    tensor, lines = tensor_of(new.value), chain.lines
    whole = tensor_of(reader.first.operands[0]).shape[lines]
    (top, bottom), *others = reader.padding
    top, bottom = top if new.start == 0 else 0, bottom if new.end == whole else 0
    sides = dict(enumerate([(top, bottom), *others], lines))
    low, high = (tuple(sides.get(d, (0, 0))[side] for d in range(tensor.rank)) for side in (0, 1))
    outside = constant(reader.outside, reader.first.source)
    shape = tuple(a + n + b for a, n, b in zip(low, tensor.shape, high, strict=True))
    pad = make("pad", [new.value, outside.results[0]], [tensor.with_shape(shape)], {
        "edge_padding_low": low, "edge_padding_high": high,
        "interior_padding": (0,) * tensor.rank}, location=reader.first.source)
    start = new.start + reader.padding[0][0]
    return [outside, pad], Lines(start - top, start + new.end - new.start + bottom, pad.results[0])


def interleaved(chain: Chain, made: Sequence[Sequence[Sequence[HloOp]]]) -> list[HloOp]:
    """The operations of all pieces in an order in which no stage waits for the one before: step t
    makes piece t of the first stage, piece t - 1 of the second, and so on.

    Args:
        made: for each stage those of each piece.
    """
    count = len(made[0])
    order = list(range(len(made)))
    if sum(stage.is_depthwise for stage in chain.stages[:len(made)]) > 1:
        # The vector unit's long work first: the array fills the accumulators meanwhile.
        order.sort(key=lambda k: (not chain.stages[k].is_depthwise, -k))
    return [op for step in range(count + len(made) - 1)
            for number in order if 0 <= step - number < count
            for op in made[number][step - number]]


def in_turns(made: Sequence[Sequence[Sequence[HloOp]]]) -> list[HloOp]:
    """The operations of all pieces, one piece of all stages after the other.

    Args:
        made: for each stage those of each piece.
    """
    return [op for pieces in zip(*made, strict=True) for piece in pieces for op in piece]
