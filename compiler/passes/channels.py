"""Stages of a chain in slices of channels.

A depthwise convolution or a pooling needs of each channel that one alone. So what makes its input
can be cut along the channels of its result, each slice with a slice of the weights: nothing is
computed or loaded twice, and no lines are needed by two slices. All slices read the same input,
which has to stay on chip, and the last stage, a projection, needs all of them together. No sum
changes.
"""

from xdsl.ir import SSAValue

from compiler.ir.ops import HloOp, insert_before, make, replace
from compiler.ir.types import tensor_of
from compiler.passes.chain_pieces import Lines, interleaved, padded
from compiler.passes.chains import Chain, Stage, work_beside
from compiler.passes.slicing import Cuts, Slicer, operand_cuts, resized


def keeps_channels(stage: Stage) -> bool:
    """Whether each channel of a stage's result is made of the same one of its input."""
    if stage.is_pooling:
        return True
    channels = tensor_of(stage.first.operands[0]).shape[-1]
    return stage.is_depthwise and stage.first.attrs["feature_group_count"] == channels \
        == stage.first.tensor.shape[-1]


def cut_channels(chain: Chain, width: int) -> None:
    """Replaces all stages but the last one by slices of so many channels."""
    stages = chain.stages[:-1]
    extent = tensor_of(stages[-1].result).shape[-1]
    starts = range(0, extent, width)
    beside = [work_beside(chain.part(0, len(stages)), stage, len(starts)) for stage in stages]
    slicer = Slicer(lambda _: False)
    made: list[list[list[HloOp]]] = [[] for _ in stages]
    slices: list[SSAValue] = []
    for start in starts:
        part = stages[0].first.operands[0]
        for number, stage in enumerate(stages):
            done = len(slicer.made)
            cuts = ((stage.first.tensor.rank - 1, start, min(width, extent - start)),)
            part = _apply(slicer, stage, part, cuts, beside[number], is_padded=number > 0)
            if number < len(stages) - 1:
                lines = Lines(0, tensor_of(part).shape[chain.lines], part)
                around, lines = padded(chain, lines, stages[number + 1])
                slicer.made += around
                part = lines.value
            made[number].append(slicer.made[done:])
        slices.append(part)
    last = stages[-1].ops[-1]
    join = make("concatenate", slices, None, {"dimension": last.tensor.rank - 1},
                location=last.source)
    insert_before(last, [*interleaved(chain, made), join])
    replace(last, join.results)


def _apply(slicer: Slicer, stage: Stage, source: SSAValue, cuts: Cuts, beside: tuple[int, int], *,
           is_padded: bool) -> SSAValue:
    """Some channels of a stage's result, of the same ones or of all of its input."""
    first = stage.first
    padding = ((0, 0),) * len(stage.padding) if is_padded else stage.padding
    attrs = {**stage.padded(padding), "beside": beside}
    operands = [source, *first.operands[1:]]
    if stage.is_depthwise:
        attrs["feature_group_count"] = cuts[0][2]
    if not stage.is_pooling:
        operands[1] = slicer.slice(operands[1], _weight_cuts(first, cuts))
    slicer.made.append(make(first.kind, operands, [resized(first.tensor, cuts)], attrs,
                            location=first.source))
    slicer.know(first.results[0], cuts, slicer.made[-1].results[0])
    for op in stage.ops[1:]:
        part = slicer.apply(op, cuts)
        assert part is not None
        slicer.know(op.results[0], cuts, part)
    return slicer.slice(stage.result, cuts)


def _weight_cuts(op: HloOp, cuts: Cuts) -> Cuts:
    """The same channels of a contraction's weights."""
    _, start, size = cuts[0]
    if op.kind == "convolution":
        return ((op.attrs["dimension_numbers"]["kernel_output_feature_dimension"], start, size),)
    found = operand_cuts(op, cuts)
    assert found is not None
    return found[1]
