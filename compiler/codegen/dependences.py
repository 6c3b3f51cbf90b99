"""What must wait for what: hazards between commands of different engines.

Memory is followed as disjoint ranges, those of equal last writers and, for each engine, those of
an equal last reader since. An engine finishes its commands in order, so the last ones stand for
all earlier.
Columns of a matrix are stripes of the same bytes: a reader of some does not wait for the writer
of others.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from compiler.codegen.commands import Command, Interval
from hw.isa.host import Engine

END = 1 << 33
"""Above every address and offset."""


MOST_WRITERS = 64
"""Writers that a range tells apart; the next one waits for all of them."""

Stripe = tuple[int, int, int] | None
"""(start modulo pitch, pitch, width); None for all bytes."""


def overlap(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    """Whether two stripes have bytes in common; in doubt they do."""
    if a[1] != b[1]:
        return True
    start, pitch, width = a
    distance = (b[0] - start) % pitch
    return distance < width or pitch - distance < b[2]


@dataclass(slots=True)
class _Access:
    """A command that reads or writes, by its position.

    Attributes:
        ignored: the engine that it need not wait for: its own does one thing after the other.
        found: of each engine the last command that it, or one before it on its engine, must wait
            for.
    """

    position: int
    engine: Engine
    ignored: Engine | None
    found: dict[Engine, int]

    def follow(self, engine: Engine, position: int) -> None:
        """Waits for a command, unless it is itself or precedes one it waits for."""
        if self.found.get(engine, -1) < position != self.position:
            self.found[engine] = position


class _Readers:
    """For each byte the last command of one engine that has read it since all of it was written,
    -1 for none; range i covers starts[i] up to starts[i + 1]."""

    __slots__ = ("positions", "starts")

    def __init__(self) -> None:
        self.starts, self.positions = [-END], [-1]

    def latest(self, first: int, end: int) -> int:
        """The last one of any of these bytes."""
        start = bisect_right(self.starts, first) - 1
        if start + 1 == len(self.starts) or self.starts[start + 1] >= end:
            return self.positions[start]
        return max(self.positions[start : bisect_left(self.starts, end, start)])

    def put(self, first: int, end: int, position: int) -> None:
        """Notes a command for all of these bytes."""
        starts, positions = self.starts, self.positions
        start = bisect_left(starts, first)
        stop = bisect_left(starts, end, start)
        bounds, inside = ([first], [position]) if positions[start - 1] != position else ([], [])
        if stop == len(starts) or starts[stop] != end:
            bounds.append(end)
            inside.append(positions[stop - 1])
        starts[start:stop], positions[start:stop] = bounds, inside


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


_Writers = dict[Engine, dict[Stripe, int]]
"""What each engine has written to a range of bytes since a command wrote all of it: the last
position for each stripe, in order."""


class _Space:
    """One address space.

    Attributes:
        writers: number i is of the bytes starts[i] up to starts[i + 1].
        counts: how many writers each range tells apart.
        newest: of each engine, for each range its last writer, -1 for none: of the many ranges
            that an access touches few have to be looked into.
        readers: of each engine that has read.
    """

    def __init__(self) -> None:
        self.written = _Written()
        self.starts = [-END]
        self.writers: list[_Writers] = [{}]
        self.counts = [0]
        self.newest: dict[Engine, list[int]] = {}
        self.readers: dict[Engine, _Readers] = defaultdict(_Readers)

    def read(self, interval: Interval, access: _Access) -> None:
        first, end = interval[1], interval[2]
        # What nobody writes, weights above all, is nothing to wait for.
        if first >= end or not self.written.touches(first, end):
            return
        self.readers[access.engine].put(first, end, access.position)
        start = bisect_right(self.starts, first) - 1
        self._follow_writers(start, bisect_left(self.starts, end, start), _stripe(interval), access)

    def write(self, interval: Interval, access: _Access) -> None:
        first, end = interval[1], interval[2]
        if first >= end:
            return
        stripe = _stripe(interval)
        start = bisect_right(self.starts, first) - 1
        stop = bisect_left(self.starts, end, start)
        if stripe is not None and MOST_WRITERS in self.counts[start:stop]:
            stripe = None
        self._follow_writers(start, stop, stripe, access)
        for engine, readers in self.readers.items():
            last = readers.latest(first, end)
            if engine is not access.ignored:
                access.follow(engine, last)
            if stripe is None and last >= 0:
                readers.put(first, end, -1)
        if access.engine not in self.newest:
            self.newest[access.engine] = [-1] * len(self.starts)
        if stripe is None:
            self._put(start, stop, interval, access)
            return
        if self.starts[start] != first:
            start, stop = start + 1, stop + 1
            self._split(start, first)
        if stop == len(self.starts) or self.starts[stop] != end:
            self._split(stop, end)
        for number in range(start, stop):
            self._add(number, stripe, access)

    def _split(self, position: int, address: int) -> None:
        """Makes a range begin at an address, with the writers of the one it was part of."""
        self.starts.insert(position, address)
        self.writers.insert(position, {
            engine: stripes.copy() for engine, stripes in self.writers[position - 1].items()})
        self.counts.insert(position, self.counts[position - 1])
        for newest in self.newest.values():
            newest.insert(position, newest[position - 1])

    def _follow_writers(self, start: int, stop: int, stripe: Stripe, access: _Access) -> None:
        """Lets an access wait for the writers of a stripe of some ranges."""
        found, ignored, one = access.found, access.ignored, stop == start + 1
        for engine, newest in self.newest.items():
            if engine is ignored:
                continue
            last = newest[start] if one else max(newest[start:stop])
            if last <= found.get(engine, -1):
                continue
            if stripe is None and last != access.position:
                found[engine] = last
                continue
            # Of each engine the last one counts: often there is nothing to find after this one.
            self._follow_range(newest.index(last, start), engine, stripe, access)
            known = found.get(engine, -1)
            if known < last and not one:
                for number, writer in enumerate(newest[start:stop], start):
                    if writer > known:
                        self._follow_range(number, engine, stripe, access)
                        known = found.get(engine, -1)

    def _follow_range(self, number: int, engine: Engine, stripe: Stripe, access: _Access) -> None:
        known = access.found.get(engine, -1)
        for other, writer in reversed(self.writers[number][engine].items()):
            if writer <= known:
                break
            if writer != access.position and (other == stripe or stripe is None or other is None
                                              or overlap(stripe, other)):
                access.found[engine] = writer
                return

    def _put(self, start: int, stop: int, interval: Interval, access: _Access) -> None:
        """Notes a writer of all bytes of an interval, which becomes one range; it begins in range
        `start` and ends before range `stop`."""
        first, end = interval[1], interval[2]
        writers: list[_Writers] = [{access.engine: {None: access.position}}]
        starts, counts = [first], [1]
        is_inside = self.starts[start] != first
        rest = stop == len(self.starts) or self.starts[stop] != end
        if rest:
            last = self.writers[stop - 1]
            starts.append(end)
            counts.append(self.counts[stop - 1])
            writers.append({engine: stripes.copy() for engine, stripes in last.items()}
                           if is_inside and stop - 1 == start else last)
        start += is_inside
        for engine, newest in self.newest.items():
            mine = access.position if engine is access.engine else -1
            newest[start:stop] = [mine, newest[stop - 1]] if rest else [mine]
        self.starts[start:stop], self.writers[start:stop] = starts, writers
        self.counts[start:stop] = counts

    def _add(self, number: int, stripe: Stripe, access: _Access) -> None:
        """Notes a writer of a stripe; it has waited for earlier ones of the same."""
        writers, count = self.writers[number], self.counts[number]
        for engine, stripes in writers.items():
            if stripe in stripes:
                del stripes[stripe]
                count -= 1
                self.newest[engine][number] = next(reversed(stripes.values()), -1)
        writers.setdefault(access.engine, {})[stripe] = access.position
        self.counts[number] = count + 1
        self.newest[access.engine][number] = access.position


def _stripe(interval: Interval) -> Stripe:
    if len(interval) == 3:
        return None
    _, first, _, pitch, width = interval
    return first % pitch, pitch, width


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
    known: dict[Engine, dict[Engine, int]] = {engine: {} for engine in Engine}
    found = []
    for position, command in enumerate(commands):
        before = known[command.engine]
        after = known[command.engine] = _depend(command, position, spaces, before)
        found.append(sorted([n for engine, n in after.items() if n > before.get(engine, -1)]))
    return found


def _depend(command: Command, position: int, spaces: dict[int, _Space], known: dict[Engine, int]
            ) -> dict[Engine, int]:
    """Of each engine the last command that is finished when this one starts.

    Args:
        known: the same of the engine's previous command.
    """
    engine = command.engine
    access = _Access(position, engine, None if command.overtakes else engine, known.copy())
    for interval in command.reads:
        # Sums that are added to: whoever wrote them is found when they are written.
        if len(interval) == 3 and interval in command.writes:
            continue
        spaces[interval[0]].read(interval, access)
    for interval in command.writes:
        spaces[interval[0]].write(interval, access)
    return access.found
