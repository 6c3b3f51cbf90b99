"""What must wait for what: hazards between commands of different engines.

Memory is followed as disjoint segments, each with its last writers and, per engine, its last
reader since. An engine finishes its commands in order, so the last ones stand for all earlier.
Columns of a matrix are stripes of the same bytes: a reader of some does not wait for the writer
of others.
"""

from bisect import bisect_left
from collections.abc import Sequence

from compiler.codegen.commands import Command, Interval
from hw.isa.host import Engine

END = 1 << 33
"""Above every address and offset."""


MOST_WRITERS = 64
"""Writers that a segment tells apart; the next one waits for all of them."""

Stripe = tuple[int, int, int] | None
"""(start modulo pitch, pitch, width); None for all bytes."""


def overlap(a: Stripe, b: Stripe) -> bool:
    """Whether two stripes have bytes in common; in doubt they do."""
    if a is None or b is None or a[1] != b[1]:
        return True
    distance = (b[0] - a[0]) % a[1]
    return distance < a[2] or a[1] - distance < b[2]


class _Segment:
    """Accesses to a range of bytes, as positions in the command list.

    Attributes:
        writers: what has been written since a command wrote all of it, that one first; of each
            the position and in `stripes` the bytes.
        readers: the last one of each engine.
    """

    __slots__ = ("readers", "stripes", "writers")

    def __init__(self, writers: list[int], stripes: list[Stripe], readers: dict[Engine, int]
                 ) -> None:
        self.writers, self.stripes, self.readers = writers, stripes, readers

    def copy(self) -> "_Segment":
        return _Segment(self.writers.copy(), self.stripes.copy(), self.readers.copy())

    def written_by(self, stripe: Stripe, found: set[int]) -> None:
        """Adds the writers of a stripe."""
        if stripe is None:
            found.update(self.writers)
            return
        for writer, other in zip(self.writers, self.stripes, strict=True):
            if overlap(stripe, other):
                found.add(writer)

    def add(self, writer: int, stripe: Stripe) -> None:
        """Notes a writer of a stripe; it has waited for earlier ones of the same."""
        if stripe in self.stripes:
            position = self.stripes.index(stripe)
            del self.writers[position], self.stripes[position]
        self.writers.append(writer)
        self.stripes.append(stripe)


class _Space:
    """One address space; segment i covers starts[i] up to starts[i + 1]."""

    def __init__(self) -> None:
        self.starts = [-END, END]
        self.segments = [_Segment([], [], {})]

    def _cut(self, address: int) -> int:
        """Position of the segment that starts at an address, splitting one if needed."""
        position = bisect_left(self.starts, address)
        if self.starts[position] != address:
            self.starts.insert(position, address)
            self.segments.insert(position, self.segments[position - 1].copy())
        return position

    def read(self, interval: Interval, reader: int, engine: Engine, found: set[int]) -> None:
        _, first, end, *_ = interval
        stripe = _stripe(interval)
        for segment in self.segments[self._cut(first) : self._cut(end)]:
            segment.written_by(stripe, found)
            segment.readers[engine] = reader

    def write(self, interval: Interval, writer: int, found: set[int]) -> None:
        _, first, end, *_ = interval
        stripe = _stripe(interval)
        start, stop = self._cut(first), self._cut(end)
        for segment in self.segments[start:stop]:
            segment.written_by(stripe, found)
            found.update(segment.readers.values())
        if stripe is None or any(len(s.writers) == MOST_WRITERS for s in self.segments[start:stop]):
            for segment in self.segments[start:stop]:
                found.update(segment.writers)
            self.segments[start:stop] = [_Segment([writer], [None], {})]
            del self.starts[start + 1 : stop]
            return
        for segment in self.segments[start:stop]:
            segment.add(writer, stripe)


def _stripe(interval: Interval) -> Stripe:
    if len(interval) == 3:
        return None
    _, first, _, pitch, width = interval
    return first % pitch, pitch, width


def dependences(commands: Sequence[Command]) -> list[list[int]]:
    """For each command the commands it must wait for: positions, ascending.

    Of several on one engine only the last is kept; of its own engine none, unless it overtakes.
    """
    spaces: dict[int, _Space] = {}
    return [_depend(commands, position, spaces) for position in range(len(commands))]


def _depend(commands: Sequence[Command], position: int, spaces: dict[int, _Space]) -> list[int]:
    command = commands[position]
    found: set[int] = set()
    for interval in command.reads:
        spaces.setdefault(interval[0], _Space()).read(interval, position, command.engine, found)
    for interval in command.writes:
        spaces.setdefault(interval[0], _Space()).write(interval, position, found)
    last: dict[Engine, int] = {}
    for other in found:
        if 0 <= other != position:
            engine = commands[other].engine
            last[engine] = max(last.get(engine, -1), other)
    if not command.overtakes:
        last.pop(command.engine, None)
    return sorted(last.values())
