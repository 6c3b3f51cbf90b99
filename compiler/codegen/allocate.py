"""Where data lives: arenas of local memory, and the constants section.

An arena hands out addresses at once. Commands are made in program order, so a buffer is
released right after its last command was made; reusing its bytes is safe because `dependences`
makes the next writer wait for the last reader.
"""

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterator
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compiler.errors import Location, NoRoomError

SCRATCHPAD, ACCUMULATORS = "scratchpad", "accumulators"
"""Names of the arenas."""


class Allocated(NamedTuple):
    """A buffer of so many units was handed out."""

    arena: str
    size: int
    address: int


class Freed(NamedTuple):
    """The buffer at an address was given back."""

    arena: str
    address: int


class Arena:
    """A local memory handed out in rotation.

    A freed buffer is reused as late as possible: the search for a free place starts where the
    previous one ended. So loads of the next tiles, or of the next group, land in bytes whose last
    readers finished long ago, and run ahead of the computation as far as the memory allows. When
    the limit rises, what lies beyond the old one has only just been given up: the search goes there
    last.

    Attributes:
        what: name.
        size: capacity in units; `limit`: how many of them, from the first, may be handed out now.
        events: where to note what is allocated and freed, when somebody wants to know.
    """

    def __init__(self, what: str, size: int, alignment: int, base: int = 0) -> None:
        self.what, self.size, self.alignment, self.base = what, size, alignment, base
        self._limit = self._wrap = size
        self._live: list[tuple[int, int]] = []
        self._next = 0
        self.events: list[Any] | None = None

    def copy(self) -> "Arena":
        other = copy(self)
        other._live = self._live.copy()
        return other

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        if limit != self._limit:
            self._wrap = min(self._limit, limit)
        self._limit = limit

    def allocate(self, size: int, location: Location) -> int:
        """Address of `size` free units.

        Raises:
            NoRoomError: no free place is large enough.
        """
        size = _round_up(max(size, 1), self.alignment)
        if self._next + size > self._wrap:
            if self._wrap < self._limit:
                self._next = 0
            self._wrap = self._limit
        for candidate in self._candidates():
            if candidate + size <= self._limit and self._is_free(candidate, candidate + size):
                insort(self._live, (candidate, candidate + size))
                self._next = candidate + size
                if self.events is not None:
                    self.events.append(Allocated(self.what, size, self.base + candidate))
                return self.base + candidate
        raise NoRoomError(
            f"{size} more bytes do not fit the {self.what} of {self.size}: "
            "use a configuration with a larger one", location)

    def free(self, address: int) -> None:
        """Gives back what `allocate` returned."""
        start = address - self.base
        position = bisect_left(self._live, (start, start))
        assert self._live[position][0] == start
        del self._live[position]
        if self.events is not None:
            self.events.append(Freed(self.what, address))

    def _candidates(self) -> Iterator[int]:
        """Places to try, in order."""
        begin = self._next
        yield begin
        yield from [end for _, end in self._live if end > begin]
        yield 0
        yield from [end for _, end in self._live]

    def _is_free(self, first: int, end: int) -> bool:
        """Live ranges are disjoint and in ascending order."""
        after = bisect_left(self._live, (first, first))
        return (after == len(self._live) or end <= self._live[after][0]) and (
            not after or self._live[after - 1][1] <= first)


class Constants:
    """The constants section: arrays in the layout the program reads them, equal ones once."""

    ALIGNMENT = 64

    def __init__(self) -> None:
        self._pieces: list[memoryview] = []
        self._size = 0
        self._offsets: dict[bytes, int] = {}

    def add(self, data: bytes | NDArray[np.generic]) -> int:
        """Offset of `data` in the constants window."""
        raw = memoryview(data if isinstance(data, bytes)
                         else np.ascontiguousarray(data).reshape(-1).view(np.uint8).data)
        key = hashlib.blake2b(raw).digest()
        if key not in self._offsets:
            self._append(memoryview(bytes(-self._size % self.ALIGNMENT)))
            self._offsets[key] = self._size
            self._append(raw)
        return self._offsets[key]

    def __len__(self) -> int:
        """Number of arrays."""
        return len(self._offsets)

    def shorten(self, count: int) -> None:
        """Drops all but the first `count` arrays."""
        while len(self._offsets) > count:
            _, offset = self._offsets.popitem()
            _, padding = self._pieces.pop(), self._pieces.pop()
            self._size = offset - len(padding)

    def _append(self, raw: memoryview) -> None:
        self._pieces.append(raw)
        self._size += len(raw)

    @property
    def data(self) -> bytes:
        return b"".join(self._pieces)


def _round_up(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
