"""What is on chip while bands of a chain are made in turn: all stages of one, then all of the next.

A stage waits for the one before, but there is one band of each value only. Those of which the next
band's windows read lines again stay until it has copied them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compiler.ir.types import tensor_of
from compiler.passes.chain_sizes import Sizes
from compiler.passes.chains import Chain, Stage, band_ends


@dataclass(frozen=True)
class _Value:
    """A stage's result as one band after the other needs it.

    Attributes:
        made: bytes of a band.
        joined: of what the next stage's windows read, with the padding around it.
        stays: whether the next band reads lines of those as well.
        last: number of the stage that is the last one to read it.
        lasts: whether the band before is still read until then.
    """

    made: int
    joined: int
    stays: bool
    last: int
    lasts: bool


class Turns:
    """Bytes on chip while a part is cut in bands that are made in turn.

    Args:
        chain: the part.
        sizes: of each of its stages.
        makers: of each of them the stages whose results it reads; negative numbers are not of the
            part.
    """

    def __init__(self, chain: Chain, sizes: Sequence[Sizes], makers: Sequence[Sequence[int]]
                 ) -> None:
        self._chain, self._sizes = chain, sizes
        # Of each result but the last a line with the padding of the next stage.
        self._padded = [_padded_bytes(size, reader)
                        for size, reader in zip(sizes, chain.stages[1:], strict=False)]
        # For each result the stages that read it beside the next one.
        self._others: list[list[int]] = [[] for _ in sizes]
        for reader, made_by in enumerate(makers):
            for maker in made_by:
                if 0 <= maker < reader - 1:
                    self._others[maker].append(reader)

    def bytes(self, count: int) -> int:
        """The most at once with so many bands, without weights and what the last stage makes: that
        of a band in the middle."""
        ends = band_ends(self._chain, count)
        band = min(len(ends[0]) // 2, len(ends[0]) - 1)
        values = [self._value(number, ends, band) for number in range(len(ends) - 1)]
        return max(sum(self._live(values, number, ends, band)) for number in range(len(ends)))

    def _value(self, number: int, ends: Sequence[Sequence[int]], band: int) -> _Value:
        """Of a result that is not the last one."""
        reader, others = self._chain.stages[number + 1], self._others[number]
        made = _span(ends[number], band) * self._sizes[number].line_bytes
        low, high = reader.lines_read(*_lines(ends[number + 1], band))
        joined = (high - low) * self._padded[number]
        end = ends[number + 1][band]
        stays = high > reader.lines_read(end, end + 1)[0]
        last = max(others, default=number + 1)
        lasts = any(ends[number][band] > ends[n][band] for n in others)
        return _Value(made, joined, stays, last, lasts)

    def _live(self, values: Sequence[_Value], number: int, ends: Sequence[Sequence[int]], band: int
              ) -> Iterator[int]:
        """Bytes of each value while a stage is at work."""
        for maker, value in enumerate(values):
            if maker == number - 1 or value.stays:
                yield value.joined
            if maker == number:
                yield value.joined
            is_apart = value.joined > value.made or number > maker + 1
            if value.last > maker + 1 and maker <= number <= value.last and is_apart:
                yield value.made
            if value.lasts and number <= value.last:
                yield value.made
            if value.lasts and number == value.last:
                yield value.made  # lines of two bands, put together
        if not number:
            yield self._input(self._chain.stages[0], _lines(ends[0], band))
        size = self._sizes[number]
        yield size.added * _span(ends[number], band) * size.line_bytes

    def _input(self, stage: Stage, lines: tuple[int, int]) -> int:
        """Bytes of the chain's input that a convolution holds while it makes some lines."""
        tensor = tensor_of(stage.first.operands[0])
        low, high = stage.lines_read(*lines)
        return 0 if stage.window is None or stage.window.size == 1 else (
            high - low) * tensor.bytes // max(tensor.shape[self._chain.lines], 1)


def _lines(ends: Sequence[int], band: int) -> tuple[int, int]:
    return ends[band - 1] if band else 0, ends[band]


def _span(ends: Sequence[int], band: int) -> int:
    start, end = _lines(ends, band)
    return end - start


def _padded_bytes(size: Sizes, reader: Stage) -> int:
    """Of a line of a stage's result, with the padding that its reader needs on both sides."""
    around = sum(reader.padding[1]) if reader.padding else 0
    return size.line_bytes * (size.positions + around) // max(size.positions, 1)
