"""How busy an engine keeps the scratchpad, over time."""

from bisect import bisect_right


class Traffic:
    """Accesses of one engine's ports, as spans of even rate in the order of their starts."""

    def __init__(self) -> None:
        self._starts: list[int] = [0]
        self._ends: list[int] = [0]
        self._before: list[float] = [0.0]
        self._total = 0.0

    def add(self, start: int, end: int, accesses: float) -> None:
        """Accounts for a piece of work that follows the one before."""
        start = max(start, self._starts[-1])
        self._starts.append(start)
        self._ends.append(max(end, start + 1))
        self._before.append(self._total)
        self._total += accesses

    def _until(self, cycle: int) -> float:
        """Accesses made before a cycle."""
        span = bisect_right(self._starts, cycle) - 1
        start, end = self._starts[span], max(self._ends[span], self._starts[span] + 1)
        following = self._before[span + 1] if span + 1 < len(self._before) else self._total
        share = min((cycle - start) / (end - start), 1.0)
        return self._before[span] + share * (following - self._before[span])

    def rate(self, start: int, end: int) -> float:
        """Accesses per cycle in [start, end), as far as they are known."""
        return min((self._until(end) - self._until(start)) / max(end - start, 1), 1.0)
