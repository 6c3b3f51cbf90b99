"""Reductions: values combined along dimensions of a nest.

The order of combination follows from the reduction's shape and the lane count alone
(`docs/compiler.md`). Neighbouring dimensions that are all reduced, or all kept, count as one.

*Across* (the last dimension is reduced): lane j combines elements j, j + L, j + 2L, ... of that
dimension, for each index of the other reduced dimensions in ascending order, starting from the
combiner's identity; then lanes combine pairwise, j with j xor 1, 2, 4, ...
*Along* (the last dimension is kept): each element combines in ascending order from the identity.
The initial value is combined last.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from compiler.codegen.commands import Stream
from compiler.codegen.context import Context
from compiler.codegen.elementwise import BUFFERS, TILES, Target, close_box, open_box
from compiler.codegen.fold_body import INITIAL, PARTIAL, FoldBodies, Rounds
from compiler.codegen.fold_slabs import SlabLoader, suits
from compiler.codegen.footprint import PaddedAxis
from compiler.codegen.nests import Box, tiles
from compiler.codegen.operands import Loader, Operand, Resident
from compiler.errors import Location
from compiler.ops.views import View
from hw.isa.dtypes import DType

WORD = 4
TARGET_ELEMENTS = 4096
"""Elements of a tile when the scratchpad has room for more: enough to hide its overhead."""

Padding = Callable[[Sequence[int]], Mapping[int, PaddedAxis]]
"""Padded axes of a box, by its start."""


@dataclass(frozen=True)
class Fold:
    """A reduction over a nest.

    Attributes:
        reduced: for each dimension of the shape whether it is reduced.
        operands: what the graph's inputs read.
        target: of the kept dimensions, in order.
        stored: where the bodies' stored node goes, walked like the operands.
        padding: padded axes; missing elements become `pad`, raw bits of memory.
    """

    shape: tuple[int, ...]
    reduced: tuple[bool, ...]
    operands: tuple[Operand, ...]
    bodies: FoldBodies
    target: Target
    location: Location
    stored: Target | None = None
    padding: Padding | None = None
    pad: int = 0


@dataclass(frozen=True)
class Roles:
    """What the dimensions of a fold do; positions in its shape.

    Attributes:
        lane: along the lanes.
        position: kept, one vector group for each index; None when there is none.
        outer: kept, walked outside; the innermost is the last.
        sequence: reduced, walked one after the other, outermost first; the lane dimension
            excepted.
        across: the lane dimension is reduced.
    """

    lane: int
    position: int | None
    outer: tuple[int, ...]
    sequence: tuple[int, ...]
    across: bool

    @property
    def kept(self) -> tuple[int, ...]:
        """Dimensions of the result, in order."""
        position = () if self.position is None else (self.position,)
        return (*self.outer, *position) if self.across else (*self.outer, *position, self.lane)

    @property
    def reduced(self) -> tuple[int, ...]:
        """Reduced dimensions, in order."""
        return (*self.sequence, self.lane) if self.across else self.sequence


def roles(fold: Fold, across: bool) -> Roles:
    """The roles of a fold's dimensions."""
    kept = [d for d, reduced in enumerate(fold.reduced) if not reduced]
    reduced = [d for d, reduced in enumerate(fold.reduced) if reduced]
    lane = reduced.pop() if across else kept.pop()
    position = kept.pop() if kept else None
    return Roles(lane, position, tuple(kept), tuple(reduced), across)


@dataclass(frozen=True)
class _Level:
    """A loop of a stream: `step` indices of dimension `d` for each of `bound` rounds."""

    bound: int
    d: int
    step: int


@dataclass(frozen=True)
class _Piece:
    """What one kernel works on: groups of lanes at consecutive positions.

    Attributes:
        base: index in the box where it starts, by dimension; 0 where missing.
        position: the loop of one strip; `strips`: the loop over strips.
        valid: elements along the lanes, at the level `lane_level` of the streams.
    """

    base: Mapping[int, int]
    position: _Level
    strips: _Level
    valid: int
    lane_level: int

    @property
    def groups(self) -> int:
        return self.position.bound * self.strips.bound


def generate(context: Context, fold: Fold, across: bool) -> None:
    """Appends the commands of a fold without empty dimensions.

    Args:
        across: the lanes run along the last dimension, which is reduced; else along the last
            kept one.

    Raises:
        DoesNotFitError: what is combined needs more than one kernel.
    """
    fold.bodies.check(across)
    used = {n: fold.operands[n] for n in fold.bodies.inputs()}
    number = suits(context, fold.shape, used) if across and fold.stored is None else None
    if number is not None:
        _by_slabs(context, fold, number)
        return
    _Generator(context, fold, roles(fold, across)).run()


def _by_slabs(context: Context, fold: Fold, number: int) -> None:
    """The reduction of an operand's rows, slab by slab as a product behind it holds them."""
    assert context.ahead is not None
    assert context.staying is not None
    (rows, columns), flags = fold.shape, (False, True, True)
    operands = tuple(
        Operand(o.place, View((rows, 1, columns), (o.view.strides[0], 0, o.view.strides[1]),
                              o.view.offset)) for o in fold.operands)
    cut = replace(fold, shape=(rows, 1, columns), reduced=flags, operands=operands)
    generator = _Generator(context, cut, roles(cut, across=True))
    slabs = SlabLoader(context, context.ahead, context.staying, fold.operands[number],
                       fold.location)
    generator.loaders[number] = slabs
    generator.tile(((0,), (rows,)), list(slabs.chunks(columns)))
    generator.close()
    slabs.hand_on()


class _Generator:
    def __init__(self, context: Context, fold: Fold, role: Roles) -> None:
        self.context, self.fold, self.role = context, fold, role
        self.lanes, self.strip = context.config.lanes, context.config.strip_groups
        used = fold.bodies.inputs()
        self.loaders: dict[int, Loader | SlabLoader] = {
            n: Loader(context, fold.operands[n], fold.location) for n in used}
        initial = fold.bodies.initial
        if not isinstance(initial, int):
            self.loaders[INITIAL] = Loader(context, initial, fold.location)

    def run(self) -> None:
        fold, role = self.fold, self.role
        kept_shape = [fold.shape[d] for d in role.kept]
        reduced_shape = [fold.shape[d] for d in role.reduced]
        elements = self._tile_elements()
        fewest = self.strip * (1 if role.across else self.lanes)
        kept_target = max(elements // prod(reduced_shape), min(fewest, elements))
        depth = 2 if role.across else 3
        for kept_start, kept_extents in tiles(kept_shape, kept_target, depth):
            kept = (kept_start, kept_extents)
            chunks = list(tiles(reduced_shape, max(elements // prod(kept_extents), self.lanes), 2,
                                self.lanes if role.across else 1))
            self.tile(kept, chunks)
        self.close()

    def close(self) -> None:
        """Gives the operands' buffers back."""
        for loader in self.loaders.values():
            loader.close()

    def _tile_elements(self) -> int:
        """Elements of the nest in one tile."""
        operands = [o for n, o in enumerate(self.fold.operands) if n in self.loaders]
        size = sum(o.unit for o in operands if o.place is not None and not o.place.on_chip)
        if self.fold.stored is not None and not self.fold.stored.place.on_chip:
            size += self.fold.stored.element.size
        if not size and self.role.across:
            return prod(self.fold.shape)  # nothing moves, the vector unit itself reads the results
        size = size or 1
        room = self.context.scratchpad.limit // BUFFERS // size
        return min(room, max(TARGET_ELEMENTS, prod(self.fold.shape) // TILES))

    def tile(self, kept: Box, chunks: Sequence[Box]) -> None:
        """Appends the commands of some results, one box of what is reduced after the other."""
        context, fold, role = self.context, self.fold, self.role
        result = open_box(context, fold.target, *kept, fold.location)
        partial = None
        if len(chunks) > 1:
            groups = prod(kept[1]) if role.across else (
                prod(kept[1][:-1]) * -(-kept[1][-1] // self.lanes))
            partial = context.scratchpad.allocate(groups * self.lanes * WORD, fold.location)
        for number, chunk in enumerate(chunks):
            self._chunk(kept, chunk, result, partial, number == 0, number == len(chunks) - 1)
        close_box(context, fold.target, result, *kept, fold.location)
        if partial is not None:
            context.scratchpad.free(partial)

    def _chunk(self, kept: Box, chunk: Box, result: Resident, partial: int | None, first: bool,
               last: bool) -> None:
        fold, role = self.fold, self.role
        start, extents = [0] * len(fold.shape), [1] * len(fold.shape)
        for dims, (firsts, counts) in ((role.kept, kept), (role.reduced, chunk)):
            for d, begin, count in zip(dims, firsts, counts, strict=True):
                start[d], extents[d] = begin, count
        padded = fold.padding(start) if fold.padding else {}
        boxes = {n: loader.box(start, extents, padded, fold.pad) for n, loader
                 in self.loaders.items() if n != INITIAL}
        stored = None if fold.stored is None else open_box(
            self.context, fold.stored, start, extents, fold.location)
        done = 0
        for piece in self._pieces(extents):
            rounds = self._rounds(extents, first, last)
            if partial is None or last:
                output = self._result_stream(piece, result)
            else:
                output = self._partial_stream(piece, partial, done)
            outputs = {0: output}
            if stored is not None:
                outputs[1] = self._operand_stream(piece, extents, stored)
            self._kernel(piece, rounds, extents, boxes, outputs, (partial, done))
            done += piece.groups
        if stored is not None and fold.stored is not None:
            close_box(self.context, fold.stored, stored, start, extents, fold.location)

    def _kernel(self, piece: _Piece, rounds: Rounds, extents: Sequence[int],
                boxes: Mapping[int, Resident], outputs: Mapping[int, Stream],
                partial: tuple[int | None, int]) -> None:
        context, fold = self.context, self.fold
        assembled = fold.bodies.body(rounds)
        inputs = {}
        for stream, number in enumerate(assembled.streams):
            if number == PARTIAL:
                assert partial[0] is not None
                inputs[stream] = self._partial_stream(piece, partial[0], partial[1])
            elif number == INITIAL:
                inputs[stream] = self._initial_stream(piece)
            else:
                inputs[stream] = self._operand_stream(piece, extents, boxes[number])
        context.kernel(piece.groups, assembled.body, inputs, outputs, fold.location,
                       strip=piece.position.bound)

    def _rounds(self, extents: Sequence[int], first: bool, last: bool) -> Rounds:
        role = self.role
        outer = prod(extents[d] for d in role.sequence)
        if not role.across:
            return Rounds(1, outer, 0, False, first, last)
        full, tail = divmod(extents[role.lane], self.lanes)
        if tail == 0 or self.fold.bodies.reads_plainly:
            return Rounds(1, outer * (full + (tail > 0)), 0, True, first, last)
        return Rounds(outer, full, tail, True, first, last)

    def _pieces(self, extents: Sequence[int]) -> Iterator[_Piece]:
        role, lane = self.role, extents[self.role.lane]
        if role.across:
            yield from self._position_pieces(extents, {}, lane, 2)
            return
        groups = -(-lane // self.lanes)
        positions = 1 if role.position is None else extents[role.position]
        if groups < positions:
            for first in range(0, lane, self.lanes):
                yield from self._position_pieces(extents, {role.lane: first},
                                                 min(self.lanes, lane - first), 0)
            return
        for index in product(*(range(extents[d]) for d in role.kept[:-1])):
            base = dict(zip(role.kept[:-1], index, strict=True))
            for first in range(0, groups, self.strip):
                count, skipped = min(self.strip, groups - first), first * self.lanes
                yield _Piece({**base, role.lane: skipped}, _Level(count, role.lane, self.lanes),
                             _Level(1, role.lane, 0), lane - skipped, 1)

    def _position_pieces(self, extents: Sequence[int], base: Mapping[int, int], valid: int,
                         lane_level: int) -> Iterator[_Piece]:
        """One group of lanes for each position; a strip holds positions."""
        role, nothing = self.role, _Level(1, self.role.lane, 0)
        if role.position is None:
            yield _Piece(base, nothing, nothing, valid, lane_level)
            return
        count, d = extents[role.position], role.position
        outer = role.outer[-1] if role.outer else None
        rounds = 1 if outer is None else extents[outer]
        if count <= self.strip:
            strips = nothing if outer is None else _Level(rounds, outer, 1)
            yield _Piece(base, _Level(count, d, 1), strips, valid, lane_level)
            return
        full, rest = divmod(count, self.strip)
        for index in range(rounds):
            at = dict(base) if outer is None else {**base, outer: index}
            yield _Piece(at, _Level(self.strip, d, 1), _Level(full, d, self.strip), valid,
                         lane_level)
            if rest:
                yield _Piece({**at, d: full * self.strip}, _Level(rest, d, 1), nothing, valid,
                             lane_level)

    def _operand_stream(self, piece: _Piece, extents: Sequence[int], box: Resident) -> Stream:
        role, strides = self.role, box.strides
        sequence = [_Level(extents[d], d, 1) for d in reversed(role.sequence) if extents[d] > 1]
        if role.across:
            sequence.insert(0, _Level(-(-extents[role.lane] // self.lanes), role.lane, self.lanes))
        nothing = _Level(1, role.lane, 0)
        sequence = [*sequence, nothing, nothing][:2]
        address = box.address + sum(i * strides[d] for d, i in piece.base.items())
        levels = tuple((level.bound, level.step * strides[level.d])
                       for level in (piece.position, *sequence, piece.strips))
        plain = role.across and self.fold.bodies.reads_plainly
        fill = self.fold.bodies.combiner.identity if plain else 0
        return Stream(address, piece.valid, strides[role.lane], levels, box.dtype,
                      piece.lane_level, fill)

    def _partial_stream(self, piece: _Piece, address: int, done: int) -> Stream:
        line = self.lanes * WORD
        strip = piece.position.bound
        levels = ((strip, line), (1, 0), (1, 0), (piece.strips.bound, strip * line))
        return Stream(address + done * line, self.lanes, WORD, levels, DType.S32)

    def _initial_stream(self, piece: _Piece) -> Stream:
        box = self.loaders[INITIAL].box((0,), (1,))
        levels = ((piece.position.bound, 0), (1, 0), (1, 0), (piece.strips.bound, 0))
        return Stream(box.address, self.lanes, 0, levels, box.dtype)

    def _result_stream(self, piece: _Piece, box: Resident) -> Stream:
        role = self.role
        strides = dict(zip(role.kept, box.strides, strict=True))
        address = box.address + sum(i * strides[d] for d, i in piece.base.items())
        levels = [(level.bound, level.step * strides.get(level.d, 0))
                  for level in (piece.position, piece.strips)]
        nest = (levels[0], (1, 0), (1, 0), levels[1])
        if role.across:
            return Stream(address, 1, 0, nest, box.dtype)
        return Stream(address, piece.valid, strides[role.lane], nest, box.dtype, piece.lane_level)
