"""Which accumulator rows have a result under way."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2


class BusyTable(wiring.Component):
    """A row is busy while the bits that two memories hold for it differ.

    One memory is toggled when a row is launched, the other one when its result is written, so
    each needs a single write port. Neither is cleared by a reset: whoever launched a row
    completes it, reset or not.

    Members:
        row, busy: is this row under way?
        launch: it is from the next cycle on. phase: to be handed back with its result.
        complete, complete_row, complete_phase: a result is being written.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        index = ceil_log2(rows)
        super().__init__({
            "row": In(index), "busy": Out(1), "launch": In(1), "phase": Out(1),
            "complete": In(1), "complete_row": In(index), "complete_phase": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.launched = launched = Memory(shape=1, depth=self._rows, init=[])
        m.submodules.completed = completed = Memory(shape=1, depth=self._rows, init=[])
        before, after = launched.read_port(domain="comb"), completed.read_port(domain="comb")
        launch, complete = launched.write_port(), completed.write_port()
        m.d.comb += [
            before.addr.eq(self.row), after.addr.eq(self.row),
            self.busy.eq(before.data != after.data),
            self.phase.eq(~before.data),
            launch.addr.eq(self.row), launch.data.eq(self.phase), launch.en.eq(self.launch),
            complete.addr.eq(self.complete_row), complete.data.eq(self.complete_phase),
            complete.en.eq(self.complete),
        ]
        return m
