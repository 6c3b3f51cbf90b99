"""Where to cut a chain, and each part of it into bands of lines, into slices of channels, or not.

A chain is cut into parts, and a part into bands of lines (`bands`) or slices of channels
(`channels`), so that the fewest bytes move: values between parts that do not stay on chip are
stored, and loaded by each stage that reads them. Each band loads the weights of its part, unless
there is room to keep them, and the lines of the part's input that its windows share with the band
before. Slices load nothing twice, but need all of the input, and of what the last stage reads.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from sys import maxsize

from xdsl.ir import Block

from compiler.ir.types import tensor_of
from compiler.passes.chain_sizes import Sizes
from compiler.passes.chain_turns import Turns
from compiler.passes.chains import Chain, Read, Stage, are_read_later, origin
from compiler.passes.channels import keeps_channels

SMALL = 3
"""Values of at most this part of the scratchpad are on chip anyway."""
ROOM = 3, 8
"""Share of the scratchpad that bands may take, not counting the lines that two of them need."""
KEPT = 3, 4
"""The same, counting those, and the weights that all bands use."""
WHOLE = 5, 6
"""The same for values of a chain that is not cut."""
BEGINNING = 3, 4
"""The same where a convolution begins the chain, which needs room for its input as well."""
ROWS = 50
"""Positions of a band that more bands than necessary leave: with fewer the array waits for its own
sums."""
TEXT_BYTES = 2000
"""Program text of a stage of a band or slice."""
TURN_BYTES = 2000
"""What is as bad as that a stage of a band waits for the one before, as in bands made in turn."""
TURNS = 3, 4
"""The same share for those, with the weights that stay."""


@dataclass(frozen=True)
class Pieces:
    """How a part of a chain is cut.

    Attributes:
        bands: of lines; 1 when it is not cut so.
        channels: of a slice, for all stages but the last one; 0 when it is not cut so.
        in_turn: whether a band passes all stages before the next one begins.
        copies: whether each band's lines of the input are put on chip, for all stages that read
            them.
    """

    bands: int = 1
    channels: int = 0
    in_turn: bool = False
    copies: bool = False


def parts_of(chain: Chain, scratchpad_bytes: int, array_cols: int) -> list[tuple[Chain, Pieces]]:
    """A chain cut so that the fewest bytes move: the parts, and how each of them is cut.

    Args:
        array_cols: slices of channels are whole blocks of so many.
    """
    costs, best = _Costs(chain, scratchpad_bytes, array_cols), [_Choice(0, ())]
    for end in range(1, len(chain.stages) + 1):
        best.append(_best(costs, best, end))
    return [(chain.part(start, end), pieces)
            for start, end, pieces in best[-1].parts if end - start > 1]


def _best(costs: "_Costs", best: Sequence["_Choice"], end: int) -> "_Choice":
    """How the stages up to one are best cut.

    Args:
        best: how those up to each stage before are.
    """
    found = _Choice(maxsize, ())

    def most(start: int) -> int:
        return found.bytes - best[start].bytes

    for start, moved, pieces in costs.before(end, most):
        # Of parts that are as good the longest one: it is the last that is found.
        if best[start].bytes + moved <= found.bytes:
            found = _Choice(best[start].bytes + moved,
                            (*best[start].parts, (start, end, pieces)))
    return found


@dataclass(frozen=True)
class _Choice:
    """How the first stages of a chain are cut, and the bytes that move.

    Attributes:
        parts: (first stage, stage behind the last one, how it is cut).
    """

    bytes: int
    parts: tuple[tuple[int, int, Pieces], ...]


class _Costs:
    """Bytes that parts of a chain move."""

    def __init__(self, chain: Chain, scratchpad_bytes: int, array_cols: int) -> None:
        self.chain, self.scratchpad_bytes = chain, scratchpad_bytes
        self.array_cols = array_cols
        self.sizes = [Sizes.of(stage, chain.lines) for stage in chain.stages]
        self.reads = [chain.reads(number) for number in range(len(chain.stages))]
        source = tensor_of(chain.stages[0].first.operands[0])
        self.inputs = [source, *(tensor_of(stage.result) for stage in chain.stages[:-1])]

    def before(self, end: int, most: Callable[[int], int]) -> Iterator[tuple[int, int, Pieces]]:
        """Parts up to a stage: the first stage, bytes moved, and how it is cut.

        Args:
            most: bytes that a part from a stage on may move; of those that move more some are left
                out. It is asked again after each part.
        """
        for start in reversed(range(end)):
            is_whole = self._is_whole(start, end)
            if is_whole:
                yield start, self._moved(start, end) + self._weights(start, end), Pieces()
            if self._least(start, end) > most(start):
                continue
            yield from ((start, *choice) for choice in self._sliced(start, end))
            fewest, may_be_cut = self._fewest(start, end), self._may_be_cut(start, end)
            in_turn = list(self._in_turn(start, end, most(start))) if may_be_cut else []
            if not is_whole and not fewest and not in_turn:
                return  # neither is a longer part
            if may_be_cut:
                if fewest:
                    yield from ((start, bytes_, Pieces(count))
                                for bytes_, count in self._banded(start, end, fewest))
                yield from ((start, *choice) for choice in in_turn)

    def _least(self, start: int, end: int) -> int:
        """Bytes that a part moves at least when it is cut: it loads its input once."""
        again = len(self._readers(start, end)) - 1
        return self._moved(start, end, in_bands=True) + self._weights(start, end) + TEXT_BYTES \
            - max(again, 0) * self.inputs[start].bytes

    def _readers(self, start: int, end: int) -> list[int]:
        """The stages of a part that load its input, one that reads it twice as two of them."""
        return [number for number in range(start, end) for read in self.reads[number]
                if read.maker == start - 1 and not self._is_on_chip(read, number)]

    def _sliced(self, start: int, end: int) -> Iterator[tuple[int, Pieces]]:
        """Bytes with the widest slices of channels of all stages but the last one, for which there
        is room."""
        if not self._may_be_sliced(start, end):
            return
        blocks = -(-self.sizes[end - 2].channels // self.array_cols)
        for blocks_of_one in sorted({-(-blocks // n) for n in range(2, blocks + 1)}, reverse=True):
            channels = blocks_of_one * self.array_cols
            count = -(-blocks // blocks_of_one)
            if self._slice_bytes(start, end, channels) <= self._share(KEPT):
                again = count * (end - 1 - start) * TEXT_BYTES + (count - 1) * self._loaded(start)
                moved = self._moved(start, end) + self._weights(start, end)
                yield moved + again, Pieces(channels=channels)
                return

    def _loaded(self, start: int) -> int:
        """Bytes of a part's input that each slice loads, as it is an argument of the program."""
        source = origin(self.chain.stages[start].first.operands[0])
        return self.inputs[start].bytes if isinstance(source.owner, Block) else 0

    def _may_be_sliced(self, start: int, end: int) -> bool:
        """Whether all stages but the first and the last one keep channels apart, and each of them
        reads the one before alone."""
        stages = self.chain.stages[start:end]
        return len(stages) > 2 and not keeps_channels(stages[0]) and all(
            map(keeps_channels, stages[1:-1])) and all(
            len(stage.products) + stage.is_pooling == 1 for stage in stages[:-1]) and all(
            [read.maker for read in self.reads[number]] == [number - 1]
            and not (number > start and self.reads[number][0].is_sliced)
            for number in range(start, end - 1)) and not any(
            start <= read.maker < end - 2 for reads in self.reads[end - 1:] for read in reads)

    def _slice_bytes(self, start: int, end: int, channels: int) -> int:
        """Of what is on chip while the stages of a part are cut in slices of channels: the input,
        two slices of each stage, and the last one's results."""
        inner = self.sizes[start : end - 1]
        share = min(2 * channels, inner[-1].channels)
        slices = sum(stage.input_bytes * share // stage.channels for stage in inner[1:])
        return self.inputs[start].bytes + slices + inner[-1].bytes

    def _is_whole(self, start: int, end: int) -> bool:
        """Whether there is room for what is between the stages of a part that is not cut."""
        sizes = [0, *(stage.input_bytes for stage in self.sizes[start + 1 : end]), 0]
        begins = self.chain.stages[start].padding and not self.chain.stages[start].is_pooling
        return sizes[1] <= self._share(BEGINNING if begins else WHOLE) and all(
            a + b <= self._share(WHOLE) for a, b in pairwise(sizes))

    def _banded(self, start: int, end: int, fewest: int) -> Iterator[tuple[int, int]]:
        """Bytes with the fewest bands, and with as many as leave room for the weights."""
        moved = self._moved(start, end, in_bands=True)
        weights = self._weights(start, end)
        again = (end - start) * TEXT_BYTES + self._shared(start)
        enough = self._enough(start, end, fewest)
        if enough != fewest:
            yield moved + fewest * (weights + again), fewest
        last = self.sizes[end - 1]
        if enough and (enough == fewest or last.lines * last.positions >= ROWS * enough):
            yield moved + weights + enough * again, enough

    def _in_turn(self, start: int, end: int, most: int) -> Iterator[tuple[int, Pieces]]:
        """Bytes with bands that are made in turn: with each number for which there is room, the
        largest one first. Of others those that move more than `most` are left out."""
        if end - start < 2 or any(stage.is_depthwise for stage in self.chain.stages[start:end]):
            return
        yield from self._turns(start, end, most, copies=False)
        readers = self._readers(start, end)
        if len(readers) > 1 and readers[0] == start and not self._is_sliced(start, end):
            yield from self._turns(start, end, most, copies=True)

    def _turns(self, start: int, end: int, most: int, *, copies: bool
               ) -> Iterator[tuple[int, Pieces]]:
        """Bytes with bands made in turn.

        Args:
            copies: the part begins with a stage that puts its input on chip.
        """
        part, sizes = self.chain.part(start, end), self.sizes[start:end]
        makers = [[read.maker - start + copies for read in self.reads[number]]
                  for number in range(start, end)]
        moved, weights = self._moved(start, end, in_bands=True), self._weights(start, end)
        if copies:
            # It stands for a stage that reads the same, line by line.
            part = Chain([Stage(part.stages[0].ops, None), *part.stages], part.lines)
            source = self.inputs[start]
            sizes, makers = [Sizes.of_copy(source, part.lines), *sizes], [[], *makers]
            moved -= (sum(0 in made_by for made_by in makers) - 1) * source.bytes
        turns = Turns(part, sizes, makers)
        again = len(sizes) * (TEXT_BYTES + TURN_BYTES) + (0 if copies else self._shared(start))
        lines = self.sizes[end - 1].lines
        for step in sorted({-(-lines // count) for count in range(2, lines + 1)}):
            count = -(-lines // step)
            if step > 1 and moved + weights + count * again > most:
                continue
            room = self._share(TURNS) - turns.bytes(count)
            if room < 0:
                return
            loaded = weights + (count - 1) * max(weights - room, 0)
            yield moved + loaded + count * again, Pieces(count, in_turn=True, copies=copies)

    def _is_sliced(self, start: int, end: int) -> bool:
        """Whether some stage of a part reads a slice of its input."""
        return any(read.is_sliced and read.maker == start - 1
                   for reads in self.reads[start:end] for read in reads)

    def _shared(self, start: int) -> int:
        """Bytes of a part's input that two bands read."""
        source = self.inputs[start]
        return self.sizes[start].halo * source.bytes // max(source.shape[self.chain.lines], 1)

    def _may_be_cut(self, start: int, end: int) -> bool:
        """Whether bands of a part read lines as they come, and others what it makes when it is
        done."""
        inner = (read for reads in self.reads[start:end] for read in reads)
        return end - start > 1 and not any(
            read.maker >= start and read.is_sliced for read in inner) and are_read_later(
            self.chain.part(start, end))

    def _share(self, share: tuple[int, int]) -> int:
        return self.scratchpad_bytes * share[0] // share[1]

    def _weights(self, start: int, end: int) -> int:
        return sum(stage.weights for stage in self.sizes[start:end])

    def _moved(self, start: int, end: int, *, in_bands: bool = False) -> int:
        """Bytes of what is between this part and others.

        Args:
            in_bands: of inner results that later parts read a slice of no more is stored.
        """
        loaded = sum(read.bytes for number in range(start, end) for read in self.reads[number]
                     if read.maker < start and not self._is_on_chip(read, number))
        stored: dict[int, int] = defaultdict(int)
        for number in range(end, len(self.reads)):
            for read in self.reads[number]:
                if start <= read.maker < end and not self._is_on_chip(read, number):
                    is_part = in_bands and read.is_sliced and read.maker < end - 1
                    bytes_ = read.bytes if is_part else self.sizes[read.maker].bytes
                    stored[read.maker] = max(stored[read.maker], bytes_)
        return loaded + sum(stored.values())

    def _is_on_chip(self, read: Read, reader: int) -> bool:
        """Whether a value is small enough to stay on chip from one part to another."""
        stages = self.chain.stages
        apart = stages[reader].is_depthwise or (
            read.maker >= 0 and stages[read.maker].is_depthwise)
        return not apart and self.inputs[read.maker + 1].bytes <= self.scratchpad_bytes // SMALL

    def _fewest(self, start: int, end: int) -> int:
        """The least number of bands of a part, 0 when there are never few enough lines."""
        room, held = self._share(ROOM), self._bands_held(start, end)
        return next((count for count in range(2, self.sizes[end - 1].lines + 1)
                     if self._band_bytes(start, held, count, 0) <= room), 0)

    def _enough(self, start: int, end: int, fewest: int) -> int:
        """The least number of bands with which there is room for the weights, 0 for none."""
        room = self._share(KEPT) - self._weights(start, end)
        held = self._bands_held(start, end)
        return next((count for count in range(fewest, self.sizes[end - 1].lines + 1)
                     if self._band_bytes(start, held, count, 1) <= room), 0)

    def _bands_held(self, start: int, end: int) -> list[int]:
        """For each result of a part its bands that are on chip at once: the next one is made while
        the stage that is the last to read it is at work."""
        last = list(range(start - 1, end - 1))
        for number in range(start, end):
            for read in self.reads[number]:
                if read.maker >= start:
                    last[read.maker - start] = number
        return [reader - maker + 1 + self.sizes[maker].added
                for maker, reader in enumerate(last, start)]

    def _band_bytes(self, start: int, held: Sequence[int], count: int, halos: int) -> int:
        """Of what is on chip while a part is cut in so many bands.

        Args:
            held: bands of each result; halos: 1 to count the lines that two bands need, or 0.
        """
        part = self.sizes[start : start + len(held)]
        beyond = [*(halos * stage.halo for stage in part[1:]), 0]
        sizes = [(-(-stage.lines // count) + halo) * stage.line_bytes * min(bands, count)
                 for stage, halo, bands in zip(part, beyond, held, strict=True)]
        # With few bands only so many stages are at work at the same time.
        return max(sum(sizes[first : first + count]) for first in range(len(sizes)))
