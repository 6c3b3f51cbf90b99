"""When instructions arrive: the sequencer's cache, and the lines it asks for ahead of the program.

A line comes back behind the load DMA's beats that were asked for before it, and takes the bus from
the ones after it.
"""

from hw.config import AcceleratorConfig
from hw.isa.encoding import WORD_BYTES
from hw.timing import FETCH_LATENCY, Memory

LINE_WORDS = 8
LINES_AHEAD = 8
"""Lines behind the one in use that are asked for."""


class Fetch:
    """Lines of the program's text, by number.

    Attributes:
        beats: that a line takes on the bus.
    """

    def __init__(self, config: AcceleratorConfig, memory: Memory) -> None:
        self.latency = memory.latency + FETCH_LATENCY
        self.beats = -(-LINE_WORDS * WORD_BYTES // config.bus_bytes)
        self.backlog = memory.latency
        self._slots = config.icache_bytes // (LINE_WORDS * WORD_BYTES)
        self._held: dict[int, tuple[int, int]] = {}
        self._line = -1
        self._arrived = 0

    def enter(self, pc: int, cycle: int, loads_until: int) -> tuple[int, int]:
        """The cycle in which an instruction is there, and beats the bus spends on new lines.

        Args:
            loads_until: the load DMA's beats asked for so far take the bus until then.
        """
        line = pc // LINE_WORDS
        if line == self._line:
            return cycle, 0
        self._line, asked = line, 0
        for number in range(line, line + LINES_AHEAD):
            slot = number % self._slots
            if self._held.get(slot, (-1, 0))[0] != number:
                self._held[slot] = number, self._arrival(cycle, loads_until)
                asked += self.beats
        return max(cycle, self._held[line % self._slots][1]), asked

    def _arrival(self, cycle: int, loads_until: int) -> int:
        """Of a line's first word; the others follow as fast as they are used."""
        waiting = min(max(loads_until - cycle - self.latency, 0), self.backlog)
        first = max(cycle + self.latency + waiting, self._arrived)
        self._arrived = first + self.beats
        return first
