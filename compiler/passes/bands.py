"""Chains of convolutions, poolings and products in bands of lines, so that what is between them
stays on chip.

The first layers of a network for images have tensors that no scratchpad holds. Cut into bands, each
operation makes the lines of its result that the next one's windows reach, and those of a band that
the next band's windows reach again are copied on chip: nothing is computed twice. The operations of
different bands follow each other so that each finds its input finished: step t makes band t of the
first operation, band t - 1 of the second, and so on. No sum changes.

What a window reaches beyond the image is added as the lines are put together, so that the array and
the vector unit read them where they lie.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.loops import is_contraction
from compiler.ir.ops import (
    HloOp,
    erase_unused,
    insert_before,
    main_function,
    make,
    repeated,
    replace,
)
from compiler.ir.types import tensor_of
from compiler.passes.chain_cuts import parts_of
from compiler.passes.chain_pieces import Lines, in_turns, interleaved, padded
from compiler.passes.chains import (
    Chain,
    Stage,
    band_ends,
    chain_from,
    origin,
    read_outside,
    slice_outside,
    work_beside,
)
from compiler.passes.channels import cut_channels
from compiler.passes.slicing import Slicer, resized


def bands(module: ModuleOp, scratchpad_bytes: int, array_cols: int) -> None:
    """Cuts every chain that moves fewer bytes in bands, or in slices of channels.

    Args:
        array_cols: slices of channels are whole blocks of so many.
    """
    block = main_function(module).body.block
    taken: set[HloOp] = set()
    for op in list(block.ops):
        if isinstance(op, HloOp) and op.parent is block and op not in taken:
            chain = chain_from(op)
            if chain is None:
                continue
            taken |= chain.members
            for part, pieces in parts_of(chain, scratchpad_bytes, array_cols):
                if pieces.bands > 1:
                    _cut(_with_copy(part) if pieces.copies else part, pieces.bands,
                         pieces.in_turn)
                elif pieces.channels:
                    cut_channels(part, pieces.channels)
                else:
                    _pad(part)
    erase_unused(block)


def _cut(chain: Chain, count: int, in_turn: bool) -> None:
    """Replaces the chain by its bands. Results that later ones read as well are put together again,
    of values that are stored while the next stage reads its own ones on chip."""
    ends, lines = band_ends(chain, count), chain.lines
    beside = [work_beside(chain, stage, count) for stage in chain.stages]
    slicer = Slicer(lambda _: False)
    made: list[list[list[HloOp]]] = [[] for _ in chain.stages]
    held: dict[int, Lines] = {}
    parts: list[list[Lines]] = [[] for _ in chain.stages]
    stored: dict[int, list[SSAValue]] = {n: [] for n in read_outside(chain)}
    taken = {n: slice_outside(chain, n) for n in stored}
    for band in range(len(ends[0])):
        for number, stage in enumerate(chain.stages):
            start, end = ends[number][band - 1] if band else 0, ends[number][band]
            done = len(slicer.made)
            if start < end:
                source = held.get(number - 1)
                _know_residuals(slicer, chain, stage, (start, end), parts)
                part = _apply(slicer, stage, lines, (start, end), source, beside[number])
                parts[number].append(Lines(start, end, part))
                if number in stored:
                    stored[number] += _second(slicer, parts[number][-1], taken[number], lines)
                if number < len(chain.stages) - 1:
                    held[number] = _extended(slicer, chain, number, held.get(number),
                                             Lines(start, end, part), ends[number + 1][band - 1]
                                             if band else 0)
            made[number].append(slicer.made[done:])
    stored[len(chain.stages) - 1] = [band.value for band in parts[-1]]
    replaced = {n: taken.get(n) or chain.stages[n].ops[-1] for n in stored}
    _replace(chain, in_turns(made) if in_turn else interleaved(chain, made), stored, replaced)


def _with_copy(chain: Chain) -> Chain:
    """A chain with a stage before that puts its input on chip, where all stages read it."""
    first = chain.stages[0].first
    source = first.operands[0]
    copy = make("concatenate", [source], None, {"dimension": 0}, location=first.source)
    insert_before(first, [copy])
    for op in chain.members:
        for number, value in enumerate(op.operands):
            if origin(value) is source:
                op.operands[number] = _handed_on(value, source, copy.results[0], first)
    return Chain([Stage([copy], None), *chain.stages], chain.lines)


def _handed_on(value: SSAValue, source: SSAValue, copy: SSAValue, before: HloOp) -> SSAValue:
    """What a value, which is its origin handed on, is of the origin's copy."""
    if value is source:
        return copy
    op = value.owner
    assert isinstance(op, HloOp)
    made = repeated(op, [_handed_on(op.operands[0], source, copy, before)])
    insert_before(before, [made])
    return made.results[0]


def _replace(chain: Chain, made: Sequence[HloOp], stored: Mapping[int, Sequence[SSAValue]],
             ends: Mapping[int, HloOp]) -> None:
    """Puts operations in a chain's place.

    Args:
        stored: of each stage whose result others read, what they read of its bands; `ends`: the
            operation that makes it so far.
    """
    joins = [make("concatenate", values, None, {"dimension": chain.lines},
                  location=ends[number].source) for number, values in stored.items()]
    insert_before(chain.stages[-1].ops[-1], [*made, *joins])
    for end, join in zip(ends.values(), joins, strict=True):
        replace(end, join.results)


def _second(slicer: Slicer, band: Lines, taken: HloOp | None, lines: int) -> list[SSAValue]:
    """A band once more, to be stored: made again beside it, or copied.

    Args:
        taken: the slice of all bands that is read, when not all is.
    """
    if taken is None:
        twin = slicer.twin(band.value)
        return [slicer.copy(band.value) if twin is band.value else twin]
    first = [band.start if d == lines else 0 for d in range(len(taken.tensor.shape))]
    part = slicer.taken(band.value, first, taken)
    return [] if part is None else [part]


def _know_residuals(slicer: Slicer, chain: Chain, stage: Stage, lines: tuple[int, int],
                    parts: Sequence[Sequence[Lines]]) -> None:
    """Puts together the lines of results of earlier stages that elementwise work reads."""
    start, end = lines
    read = {origin(value) for op in stage.ops[1:] for value in op.operands}
    for earlier, made in zip(chain.stages, parts, strict=True):
        if earlier is not stage and earlier.result in read:
            pieces = [(band, max(start, band.start), min(end, band.end)) for band in made]
            values = [slicer.view(band.value, ((chain.lines, a - band.start, b - a),))
                      if (a, b) != (band.start, band.end) else band.value
                      for band, a, b in pieces if a < b]
            if len(values) > 1:
                slicer.made.append(make("concatenate", values, None, {"dimension": chain.lines},
                                        location=stage.first.source))
                values = list(slicer.made[-1].results)
            slicer.know(earlier.result, ((chain.lines, start, end - start),), values[0])


def _pad(chain: Chain) -> None:
    """Pads what is between the stages, all lines at once."""
    for before, stage in pairwise(chain.stages):
        if stage.padding:
            whole = Lines(0, tensor_of(before.result).shape[chain.lines], before.result)
            made, band = padded(chain, whole, stage)
            first = make(stage.first.kind, [band.value, *stage.first.operands[1:]],
                         [stage.first.tensor],
                         stage.padded(((0, 0),) * len(stage.padding)),
                         location=stage.first.source)
            insert_before(stage.first, [*made, first])
            replace(stage.first, first.results)
            stage.ops[0] = first


def _extended(slicer: Slicer, chain: Chain, number: int, before: Lines | None, new: Lines,
              done: int) -> Lines:
    """New lines behind those that the next stage reads again.

    Args:
        new: lines as they are; done: lines of its result that the next stage has made.
    """
    reader = chain.stages[number + 1]
    made, new = padded(chain, new, reader)
    slicer.made += made
    first = reader.lines_read(done, done + 1)[0]
    if before is None or first >= new.start:
        return new
    halo = slicer.view(before.value, ((chain.lines, first - before.start, before.end - first),))
    join = make("concatenate", [halo, new.value], None, {"dimension": chain.lines},
                location=reader.first.source)
    slicer.made.append(join)
    return Lines(first, new.end, join.results[0])


def _apply(slicer: Slicer, stage: Stage, lines: int, result: tuple[int, int],
           source: Lines | None, beside: tuple[int, int]) -> SSAValue:
    """Some lines of a stage's result.

    Args:
        source: lines of its input on chip; None for the chain's first stage.
    """
    start, end = result
    cuts = ((lines, start, end - start),)
    low, high = stage.lines_read(start, end)
    if source is not None:
        padding: tuple[tuple[int, int], ...] = ((0, 0),) * len(stage.padding)
        part = source.value if (source.start, source.end) == (low, high) else slicer.view(
            source.value, ((lines, low - source.start, high - low),))
    else:
        part, padding = _outer_part(slicer, stage, lines, (low, high))
    first = make(stage.first.kind, [part, *stage.first.operands[1:]],
                 [resized(stage.first.tensor, cuts)],
                 {**stage.padded(padding), "beside": beside}, location=stage.first.source)
    slicer.made.append(first)
    slicer.know(stage.first.results[0], cuts, first.results[0])
    for op in stage.ops[1:]:
        made = slicer.apply(op, cuts, {"beside": beside} if is_contraction(op) else None)
        assert made is not None
        slicer.know(op.results[0], cuts, made)
    return slicer.slice(stage.result, cuts)


def _outer_part(slicer: Slicer, stage: Stage, lines: int, padded: tuple[int, int]
                ) -> tuple[SSAValue, tuple[tuple[int, int], ...]]:
    """Lines of the chain's input, and the padding that is left for the convolution."""
    value = stage.first.operands[0]
    before = stage.padding[0][0] if stage.padding else 0
    low, high = padded[0] - before, padded[1] - before
    start, end = max(low, 0), min(high, tensor_of(value).shape[lines])
    return (slicer.slice(value, ((lines, start, end - start),)),
            ((start - low, high - end), *stage.padding[1:]) if stage.padding else ())
