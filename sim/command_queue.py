"""An engine's queue as the timing model sees it: when there is room, when a command leaves."""

from collections import deque
from dataclasses import dataclass, field

from hw.isa.encoding import Instruction


@dataclass
class Queue:
    """An engine's queue: what is in it since when, and when earlier entries left."""

    depth: int
    waiting: deque[tuple[Instruction, int, int, int, int]] = field(default_factory=deque)
    """(instruction, a, b, pc, cycle of dispatch)."""
    left: deque[int] = field(default_factory=deque)
    """Cycles in which the last `depth` entries were taken out."""

    def room_from(self) -> int | None:
        """The first cycle with room for another command; None while that is not known."""
        if len(self.waiting) == self.depth:
            return None
        missing = self.depth - len(self.waiting)
        return self.left[-missing] + 1 if len(self.left) >= missing else 0

    def take(self, cycle: int) -> None:
        self.waiting.popleft()
        self.left.append(cycle)
        if len(self.left) > self.depth:
            self.left.popleft()
