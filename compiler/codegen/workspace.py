"""The DRAM workspace: where tensors lie that are neither arguments, results nor on chip.

Places are handed out while code is generated, in program order, and given back after the last
reader; so reusing one only makes the next writer wait for that reader (`dependences`).
"""

from bisect import insort
from copy import copy

ALIGNMENT = 64


class Workspace:
    """Grows, and reuses what was freed: the smallest range that is large enough.

    Attributes:
        size: bytes of the window.
        live_peak: most bytes in use at once; no order of places can do with less.
    """

    def __init__(self) -> None:
        self.size = self.live_peak = 0
        self._live = 0
        self._free: list[tuple[int, int]] = []

    def copy(self) -> "Workspace":
        other = copy(self)
        other._free = self._free.copy()
        return other

    def allocate(self, size: int) -> int:
        """Offset of `size` bytes in the workspace window."""
        size = _aligned(size)
        self._live += size
        self.live_peak = max(self.live_peak, self._live)
        fitting = [(end - first, first) for first, end in self._free if end - first >= size]
        if not fitting:
            return self._grow(size)
        _, first = min(fitting)
        self._take(first, first + size)
        return first

    def _grow(self, size: int) -> int:
        """New bytes at the end, together with a free range there."""
        offset = self.size
        if self._free and self._free[-1][1] == self.size:
            offset, _ = self._free.pop()
        self.size = offset + size
        return offset

    def _take(self, first: int, end: int) -> None:
        position = next(i for i, (start, _) in enumerate(self._free) if start == first)
        _, stop = self._free.pop(position)
        if stop > end:
            self._free.insert(position, (end, stop))

    def free(self, offset: int, size: int) -> None:
        """Gives back an allocation; neighbouring free ranges merge."""
        size = _aligned(size)
        self._live -= size
        insort(self._free, (offset, offset + size))
        merged: list[tuple[int, int]] = []
        for first, end in self._free:
            if merged and merged[-1][1] == first:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((first, end))
        self._free = merged


def _aligned(size: int) -> int:
    return -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
