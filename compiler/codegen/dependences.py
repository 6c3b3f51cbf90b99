"""What must wait for what: hazards between commands of different engines.

Memory is followed as disjoint segments, each with its last writer and, per engine, its last
reader since. An engine finishes its commands in order, so the last ones stand for all earlier.
"""

from bisect import bisect_left
from collections.abc import Sequence

from compiler.codegen.commands import Command
from hw.isa.host import Engine

END = 1 << 33
"""Above every address and offset."""


class _Segment:
    """Accesses to a range of bytes, as positions in the command list; -1 for none."""

    __slots__ = ("readers", "writer")

    def __init__(self, writer: int, readers: dict[Engine, int]) -> None:
        self.writer, self.readers = writer, readers


class _Space:
    """One address space; segment i covers starts[i] up to starts[i + 1]."""

    def __init__(self) -> None:
        self.starts = [-END, END]
        self.segments = [_Segment(-1, {})]

    def _cut(self, address: int) -> int:
        """Position of the segment that starts at an address, splitting one if needed."""
        position = bisect_left(self.starts, address)
        if self.starts[position] != address:
            before = self.segments[position - 1]
            self.starts.insert(position, address)
            self.segments.insert(position, _Segment(before.writer, dict(before.readers)))
        return position

    def read(self, first: int, end: int, reader: int, engine: Engine, found: set[int]) -> None:
        for segment in self.segments[self._cut(first) : self._cut(end)]:
            found.add(segment.writer)
            segment.readers[engine] = reader

    def write(self, first: int, end: int, writer: int, found: set[int]) -> None:
        start, stop = self._cut(first), self._cut(end)
        for segment in self.segments[start:stop]:
            found.add(segment.writer)
            found.update(segment.readers.values())
        self.segments[start:stop] = [_Segment(writer, {})]
        del self.starts[start + 1 : stop]


def dependences(commands: Sequence[Command]) -> list[list[int]]:
    """For each command the commands it must wait for: positions, ascending.

    Of several on one engine only the last is kept; of its own engine none, unless it overtakes.
    """
    spaces: dict[int, _Space] = {}
    return [_depend(commands, position, spaces) for position in range(len(commands))]


def _depend(commands: Sequence[Command], position: int, spaces: dict[int, _Space]) -> list[int]:
    command = commands[position]
    found: set[int] = set()
    for space, first, end in command.reads:
        spaces.setdefault(space, _Space()).read(first, end, position, command.engine, found)
    for space, first, end in command.writes:
        spaces.setdefault(space, _Space()).write(first, end, position, found)
    last: dict[Engine, int] = {}
    for other in found:
        if 0 <= other != position:
            engine = commands[other].engine
            last[engine] = max(last.get(engine, -1), other)
    if not command.overtakes:
        last.pop(command.engine, None)
    return sorted(last.values())
