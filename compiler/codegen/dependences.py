"""What must wait for what: hazards between commands of different engines.

Memory is followed as disjoint ranges: who has written to each since a command wrote all of it and,
for each engine, what was its last command to read since. An engine finishes its commands in order,
so the last ones stand for all earlier.
Columns of a matrix are stripes of the same bytes: a reader of some does not wait for the writer
of others.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from compiler.codegen.commands import Command, Interval
from hw.isa.host import Engine

END = 1 << 33
"""Above every address and offset."""


MOST_WRITERS = 64
"""Writers of one range that are told apart; the next one waits for all of them."""


class _Access(NamedTuple):
    """A command that reads or writes, by its position.

    Attributes:
        found: of each engine the last command that it, or one before it on its engine, must wait
            for; -1 for none. Of its own engine itself, unless it overtakes: that does one thing
            after the other.
    """

    position: int
    engine: Engine
    found: list[int]


class _Written:
    """Bytes that some command writes, as disjoint ranges."""

    def __init__(self) -> None:
        self.firsts: list[int] = []
        self.ends: list[int] = []

    def add(self, first: int, end: int) -> None:
        """Adds a range; they come in ascending order."""
        if self.ends and first <= self.ends[-1]:
            self.ends[-1] = max(self.ends[-1], end)
        else:
            self.firsts.append(first)
            self.ends.append(end)

    def touches(self, first: int, end: int) -> bool:
        """Whether any of these bytes is written."""
        place = bisect_right(self.ends, first)
        return place < len(self.ends) and self.firsts[place] < end


class _Writer(NamedTuple):
    """A command that has written bytes, and which.

    Attributes:
        start: where its stripe begins; with a pitch of 0 it has written all bytes.
    """

    position: int
    first: int
    end: int
    start: int
    pitch: int
    width: int

    def overlaps(self, first: int, end: int, start: int, pitch: int, width: int) -> bool:
        """Whether it has bytes in common with a stripe that begins at `start`, from `first` up to
        `end`; in doubt it has."""
        if self.end <= first or end <= self.first:
            return False
        if not pitch or pitch != self.pitch:
            return True
        distance = (start - self.start) % pitch
        return distance < self.width or pitch - distance < width

    def is_covered(self, by: "_Writer") -> bool:
        """Whether a writer of the same stripe has written all of it."""
        return (self.pitch, self.width) == (by.pitch, by.width) \
            and (self.start - by.start) % self.pitch == 0 \
            and by.first <= self.first and self.end <= by.end


class _Range:
    """Who has touched consecutive bytes since a command wrote all of them. When some in the middle
    are written, those before and behind share it: each access is noted with its own bytes.

    Attributes:
        writers: of each engine, in order.
        readers: of each engine, in order: the last one of each (first byte, end).
    """

    __slots__ = ("readers", "writers")

    def __init__(self, writers: dict[Engine, list[_Writer]]) -> None:
        self.writers = writers
        self.readers: dict[Engine, dict[tuple[int, int], int]] = {}

    @property
    def count(self) -> int:
        """Writers that are told apart."""
        return sum(map(len, self.writers.values()))

    def follow_writers(self, access: _Access, first: int, end: int, stripe: Sequence[int]) -> None:
        """Lets an access to some bytes wait for those who have written them.

        Args:
            stripe: the access's start, pitch, width.
        """
        position, _, found = access
        for engine, writers in self.writers.items():
            known = found[engine]
            if writers[-1][0] > known:  # seldom
                for writer in reversed(writers):
                    if writer[0] <= known:
                        break
                    if writer.overlaps(first, end, *stripe) and writer[0] != position:
                        found[engine] = writer[0]
                        break

    def follow_readers(self, access: _Access, first: int, end: int) -> None:
        """Lets a writer of some bytes wait for those who have read them."""
        position, _, found = access
        for engine, readers in self.readers.items():
            known = found[engine]
            for (start, stop), reader in reversed(readers.items()):
                if reader <= known:
                    break
                if start < end and first < stop and reader != position:
                    found[engine] = reader
                    break

    def note_reader(self, engine: Engine, position: int, first: int, end: int) -> None:
        """Notes a reader of some bytes, behind all others."""
        readers = self.readers.get(engine)
        if readers is None:
            readers = self.readers[engine] = {}
        elif (first, end) in readers:
            del readers[first, end]
        readers[first, end] = position

    def note_writer(self, engine: Engine, writer: _Writer) -> None:
        """Notes a writer of a stripe, behind all others."""
        for other, writers in list(self.writers.items()):
            kept = [known for known in writers if not known.is_covered(writer)]
            if kept:
                self.writers[other] = kept
            else:
                del self.writers[other]
        self.writers.setdefault(engine, []).append(writer)

    def part(self, first: int, end: int) -> "_Range":
        """The same for some of the bytes, without those who have written others only."""
        part = _Range({engine: kept for engine, writers in self.writers.items() if (
            kept := [w for w in writers if w.first < end and first < w.end])})
        part.readers = self.readers
        return part

    def has_pitch(self, pitch: int) -> bool:
        """Whether some have written stripes of this pitch."""
        return any(writer.pitch == pitch for those in self.writers.values() for writer in those)


class _Space:
    """One address space: `ranges[i]` is of the bytes `starts[i]` up to `starts[i + 1]`."""

    def __init__(self) -> None:
        self.written = _Written()
        self.starts = [-END]
        self.ranges = [_Range({})]

    def read(self, interval: Interval, access: _Access) -> None:
        first, end = interval[1], interval[2]
        # What nobody writes, weights above all, is nothing to wait for.
        if first >= end or not self.written.touches(first, end):
            return
        stripe = (first, *interval[3:]) if len(interval) > 3 else (first, 0, 0)
        starts, number = self.starts, bisect_right(self.starts, first) - 1
        while first < end:
            range_ = self.ranges[number]
            number += 1
            stop = starts[number] if number < len(starts) and starts[number] < end else end
            range_.follow_writers(access, first, stop, stripe)
            range_.note_reader(access.engine, access.position, first, stop)
            first = stop

    def write(self, interval: Interval, access: _Access) -> None:
        first, end = interval[1], interval[2]
        if first >= end:
            return
        starts, start = self.starts, bisect_right(self.starts, first) - 1
        stop = bisect_left(starts, end, start)
        is_striped = len(interval) > 3 and self._tells_apart(start, stop)
        stripe = (first, *interval[3:]) if is_striped else (first, 0, 0)
        for number in range(start, stop):
            low = max(first, starts[number])
            high = starts[number + 1] if number + 1 < stop else end
            self.ranges[number].follow_writers(access, low, high, stripe)
            self.ranges[number].follow_readers(access, low, high)
        writer = _Writer(access.position, first, end, *stripe)
        if is_striped:
            self._add(start, stop, access.engine, writer)
        else:
            self._put(start, stop, access.engine, writer)

    def _tells_apart(self, start: int, stop: int) -> bool:
        """Whether one more writer of some ranges can be told apart, if need be when those of other
        bytes are forgotten."""
        if sum(range_.count for range_ in self.ranges[start:stop]) < MOST_WRITERS:
            return True
        bounds = [*self.starts, END]
        for number in range(start, stop):
            self.ranges[number] = self.ranges[number].part(bounds[number], bounds[number + 1])
        return sum(range_.count for range_ in self.ranges[start:stop]) < MOST_WRITERS

    def _put(self, start: int, stop: int, engine: Engine, writer: _Writer) -> None:
        """Notes a writer of all bytes of an interval, which becomes one range; it begins in range
        `start` and ends before range `stop`."""
        starts, ranges = [writer.first], [_Range({engine: [writer]})]
        if self.starts[start] != writer.first:
            starts.insert(0, self.starts[start])
            ranges.insert(0, self.ranges[start])
        if stop == len(self.starts) or self.starts[stop] != writer.end:
            starts.append(writer.end)
            ranges.append(self.ranges[stop - 1])
        self.starts[start:stop], self.ranges[start:stop] = starts, ranges

    def _add(self, start: int, stop: int, engine: Engine, writer: _Writer) -> None:
        """Notes a writer of a stripe. The ranges it touches become one; those with such stripes
        before and behind it belong to it as well."""
        if self.starts[start] != writer.first and not self.ranges[start].has_pitch(writer.pitch):
            self._split(start, writer.first)
            start, stop = start + 1, stop + 1
        if (stop == len(self.starts) or self.starts[stop] != writer.end) and not self.ranges[
                stop - 1].has_pitch(writer.pitch):
            self._split(stop - 1, writer.end)
        if stop > start + 1:
            self.ranges[start:stop] = [_joined(self.ranges[start:stop])]
            del self.starts[start + 1 : stop]
        self.ranges[start].note_writer(engine, writer)

    def _split(self, number: int, address: int) -> None:
        """Makes a range two."""
        self.starts.insert(number + 1, address)
        self.ranges.insert(number, self.ranges[number])


def _joined(ranges: Sequence[_Range]) -> _Range:
    """Several ranges as one."""
    joined = _Range({})
    readers: dict[Engine, list[tuple[int, tuple[int, int]]]] = defaultdict(list)
    for range_ in dict.fromkeys(ranges):
        for engine, writers in range_.writers.items():
            joined.writers[engine] = [*joined.writers.get(engine, ()), *writers]
        for engine, those in range_.readers.items():
            readers[engine] += [(position, bytes_) for bytes_, position in those.items()]
    for writers in joined.writers.values():
        writers.sort()
    for engine, known in readers.items():
        for position, (first, end) in sorted(known):
            joined.note_reader(engine, position, first, end)
    return joined


def dependences(commands: Sequence[Command]) -> list[list[int]]:
    """For each command the commands it must wait for: positions, ascending.

    Of several on one engine only the last is kept, and none that an earlier command of the same
    engine waits for: what an engine knows to be finished stays so. Of its own engine none, unless
    it overtakes.
    """
    spaces: dict[int, _Space] = defaultdict(_Space)
    writes = {interval[:3] for command in commands for interval in command.writes}
    for space, first, end in sorted(writes):
        spaces[space].written.add(first, end)
    known = [[-1] * len(Engine) for _ in Engine]
    found = []
    for position, command in enumerate(commands):
        before = known[command.engine]
        after = known[command.engine] = _depend(command, position, spaces, before)
        found.append([] if after == before else sorted(
            [new for new, old in zip(after, before, strict=True) if new > old]))
    return found


def _depend(command: Command, position: int, spaces: Mapping[int, _Space], known: Sequence[int]
            ) -> list[int]:
    """Of each engine the last command that is finished when this one starts.

    Args:
        known: the same of the engine's previous command.
    """
    engine = command.engine
    found = [*known]
    if not command.overtakes:
        found[engine] = position
    access, writes = _Access(position, engine, found), command.writes
    for interval in command.reads:
        # Sums that are added to: whoever wrote them is found when they are written.
        if len(interval) > 3 or interval not in writes:
            spaces[interval[0]].read(interval, access)
    for interval in writes:
        spaces[interval[0]].write(interval, access)
    if not command.overtakes:
        found[engine] = known[engine]
    return found
