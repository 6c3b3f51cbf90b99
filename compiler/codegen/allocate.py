"""Where data lives: arenas of local memory, and the DRAM workspace.

Both allocators hand out addresses at once. Commands are made in program order, so a buffer is
released right after its last command was made; reusing its bytes is safe because `dependences`
makes the next writer wait for the last reader.
"""

from bisect import insort

from compiler.errors import CompileError, Location


class Arena:
    """A local memory handed out in rotation.

    A freed buffer is reused as late as possible: the search for a free place starts where the
    previous one ended. So loads of the next tiles, or of the next group, land in bytes whose last
    readers finished long ago, and run ahead of the computation as far as the memory allows.

    Attributes:
        what: name for error messages.
        size: capacity in `unit`s.
    """

    def __init__(self, what: str, size: int, alignment: int, base: int = 0) -> None:
        self.what, self.size, self.alignment, self.base = what, size, alignment, base
        self._live: list[tuple[int, int]] = []
        self._next = 0

    def allocate(self, size: int, location: Location) -> int:
        """Address of `size` free units.

        Raises:
            CompileError: no free place is large enough.
        """
        size = _round_up(max(size, 1), self.alignment)
        for candidate in (self._next, *self._ends(after=self._next), 0, *self._ends(after=-1)):
            if candidate + size <= self.size and self._is_free(candidate, candidate + size):
                insort(self._live, (candidate, candidate + size))
                self._next = candidate + size
                return self.base + candidate
        raise CompileError(
            f"{size} more bytes do not fit the {self.what} of {self.size}: "
            "use a configuration with a larger one", location)

    def free(self, address: int) -> None:
        """Gives back what `allocate` returned."""
        start = address - self.base
        position = next(i for i, (first, _) in enumerate(self._live) if first == start)
        del self._live[position]

    def _ends(self, after: int) -> list[int]:
        return [end for _, end in self._live if end > after]

    def _is_free(self, first: int, end: int) -> bool:
        return all(end <= start or stop <= first for start, stop in self._live)


class Workspace:
    """DRAM for intermediate tensors; grows, and reuses what was freed, first fit."""

    ALIGNMENT = 64

    def __init__(self) -> None:
        self.size = 0
        self._free: list[tuple[int, int]] = []

    def allocate(self, size: int) -> int:
        """Offset of `size` bytes in the workspace window."""
        size = _round_up(max(size, 1), self.ALIGNMENT)
        for position, (first, end) in enumerate(self._free):
            if end - first >= size:
                self._free[position : position + 1] = [(first + size, end)] if end - first > size \
                    else []
                return first
        offset = self.size
        self.size += size
        return offset

    def free(self, offset: int, size: int) -> None:
        """Gives back an allocation; neighbouring free ranges merge."""
        insort(self._free, (offset, offset + _round_up(max(size, 1), self.ALIGNMENT)))
        merged: list[tuple[int, int]] = []
        for first, end in self._free:
            if merged and merged[-1][1] == first:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((first, end))
        self._free = merged


class Constants:
    """The constants section: arrays in the layout the program reads them, equal ones once."""

    ALIGNMENT = 64

    def __init__(self) -> None:
        self._data = bytearray()
        self._offsets: dict[bytes, int] = {}

    def add(self, data: bytes) -> int:
        """Offset of `data` in the constants window."""
        if data not in self._offsets:
            self._data.extend(bytes(-len(self._data) % self.ALIGNMENT))
            self._offsets[data] = len(self._data)
            self._data.extend(data)
        return self._offsets[data]

    @property
    def data(self) -> bytes:
        return bytes(self._data)


def _round_up(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
