"""What must wait for what: hazards between commands of different engines.

Memory is followed as disjoint segments, each with its last writers and, per engine, its last
reader since. An engine finishes its commands in order, so the last ones stand for all earlier.
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
"""Writers that a segment tells apart; the next one waits for all of them."""

Stripe = tuple[int, int, int] | None
"""(start modulo pitch, pitch, width); None for all bytes."""


def overlap(a: tuple[int, int, int], b: tuple[int, int, int]) -> bool:
    """Whether two stripes have bytes in common; in doubt they do."""
    if a[1] != b[1]:
        return True
    distance = (b[0] - a[0]) % a[1]
    return distance < a[2] or a[1] - distance < b[2]


@dataclass(slots=True)
class _Access:
    """A command that reads or writes, by its position.

    Attributes:
        ignored: the engine that it need not wait for: its own does one thing after the other.
        found: of each engine the last command it must wait for.
    """

    position: int
    engine: Engine
    ignored: Engine | None
    found: dict[Engine, int]

    def follow(self, engine: Engine, position: int) -> None:
        """Waits for a command, unless it is itself or precedes one it waits for."""
        if self.found.get(engine, -1) < position != self.position:
            self.found[engine] = position


class _Segment:
    """Accesses to a range of bytes, as positions in the command list.

    Attributes:
        writers: for each engine what it has written since a command wrote all of it, the last
            one of each stripe, in order.
        readers: the last one of each engine.
    """

    __slots__ = ("readers", "writers")

    def __init__(self, writers: dict[Engine, dict[Stripe, int]], readers: dict[Engine, int]
                 ) -> None:
        self.writers, self.readers = writers, readers

    def copy(self) -> "_Segment":
        return _Segment({engine: stripes.copy() for engine, stripes in self.writers.items()},
                        self.readers.copy())

    @property
    def is_full(self) -> bool:
        return sum(map(len, self.writers.values())) == MOST_WRITERS

    def written_by(self, stripe: Stripe, access: _Access) -> None:
        """Lets an access wait for the writers of a stripe."""
        found, position, ignored = access.found, access.position, access.ignored
        for engine, stripes in self.writers.items():
            if engine is ignored:
                continue
            # Of each engine the last one counts.
            known = found.get(engine, -1)
            for other, writer in reversed(stripes.items()):
                if writer <= known:
                    break
                if writer != position and (
                        stripe is None or other is None or overlap(stripe, other)):
                    found[engine] = writer
                    break

    def read_by(self, access: _Access) -> None:
        """Lets an access wait for the readers."""
        for engine, reader in self.readers.items():
            if engine is not access.ignored:
                access.follow(engine, reader)

    def add(self, engine: Engine, writer: int, stripe: Stripe) -> None:
        """Notes a writer of a stripe; it has waited for earlier ones of the same."""
        for stripes in self.writers.values():
            stripes.pop(stripe, None)
        self.writers.setdefault(engine, {})[stripe] = writer


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


class _Space:
    """One address space; segment i covers starts[i] up to starts[i + 1]."""

    def __init__(self) -> None:
        self.written = _Written()
        self.starts = [-END, END]
        self.segments = [_Segment({}, {})]

    def _cut(self, first: int, end: int) -> tuple[int, int]:
        """Positions of the segments that start at two addresses, splitting some if needed."""
        start = bisect_left(self.starts, first)
        if self.starts[start] != first:
            self._split(start, first)
        stop = bisect_left(self.starts, end, start)
        if self.starts[stop] != end:
            self._split(stop, end)
        return start, stop

    def _split(self, position: int, address: int) -> None:
        self.starts.insert(position, address)
        self.segments.insert(position, self.segments[position - 1].copy())

    def read(self, interval: Interval, access: _Access) -> None:
        # What nobody writes, weights above all, is nothing to wait for.
        if not self.written.touches(interval[1], interval[2]):
            return
        start, stop = self._cut(interval[1], interval[2])
        if start == stop:
            return
        stripe = _stripe(interval)
        previous = self.segments[start]
        previous.readers[access.engine] = access.position
        previous.written_by(stripe, access)
        if stop == start + 1:
            return
        kept = [start]
        for number in range(start + 1, stop):
            segment = self.segments[number]
            segment.readers[access.engine] = access.position
            if segment.writers != previous.writers:
                segment.written_by(stripe, access)
            elif segment.readers == previous.readers:
                continue
            previous = segment
            kept.append(number)
        if len(kept) < stop - start:
            # Equal neighbours become one: the next reader has fewer to look at.
            self.starts[start:stop] = [self.starts[number] for number in kept]
            self.segments[start:stop] = [self.segments[number] for number in kept]

    def write(self, interval: Interval, access: _Access) -> None:
        stripe = _stripe(interval)
        start, stop = self._cut(interval[1], interval[2])
        written = self.segments[start:stop]
        if stripe is not None and any(segment.is_full for segment in written):
            stripe = None
        for segment in written:
            segment.written_by(stripe, access)
            segment.read_by(access)
        if stripe is None:
            self.segments[start:stop] = [_Segment({access.engine: {None: access.position}}, {})]
            del self.starts[start + 1 : stop]
            return
        for segment in written:
            segment.add(access.engine, access.position, stripe)


def _stripe(interval: Interval) -> Stripe:
    if len(interval) == 3:
        return None
    _, first, _, pitch, width = interval
    return first % pitch, pitch, width


def dependences(commands: Sequence[Command]) -> list[list[int]]:
    """For each command the commands it must wait for: positions, ascending.

    Of several on one engine only the last is kept; of its own engine none, unless it overtakes.
    """
    spaces: dict[int, _Space] = defaultdict(_Space)
    writes = {interval[:3] for command in commands for interval in command.writes}
    for space, first, end in sorted(writes):
        spaces[space].written.add(first, end)
    return [_depend(command, position, spaces) for position, command in enumerate(commands)]


def _depend(command: Command, position: int, spaces: dict[int, _Space]) -> list[int]:
    engine = command.engine
    access = _Access(position, engine, None if command.overtakes else engine, {})
    for interval in command.reads:
        # Sums that are added to: whoever wrote them is found when they are written.
        if len(interval) == 3 and interval in command.writes:
            continue
        spaces[interval[0]].read(interval, access)
    for interval in command.writes:
        spaces[interval[0]].write(interval, access)
    return sorted(access.found.values())
