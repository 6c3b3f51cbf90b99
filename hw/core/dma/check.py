"""The last look at a row before anything of it is done."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.dma.index import ADDRESSED
from hw.core.dma.layouts import ROW, TRANSFER, WINDOW
from hw.core.interfaces import FAULT
from hw.isa.host import ACCUMULATOR_BASE, Cause


class RowCheck(wiring.Component):
    """Passes rows that stay inside their window and memory and are aligned; stops at others.

    A bad row is reported for good and never passed, so nothing of it is done.

    Members:
        count: elements that a row copies.
        local_elements: elements of local memory that a row touches.
    """

    def __init__(self, config: AcceleratorConfig, *, store: bool) -> None:
        self._config = config
        self._store = store
        super().__init__({
            "transfer": In(TRANSFER),
            "window": In(WINDOW),
            "count": In(32),
            "local_elements": In(32),
            "input": In(stream.Signature(ADDRESSED)),
            "rows": Out(stream.Signature(ROW)),
            "fault": Out(wiring.Signature({"valid": Out(1), "payload": Out(FAULT)})),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row = self.input.payload
        full = Signal()
        report = Signal(FAULT)
        good = report.cause == Cause.NONE
        take = Signal()
        copies = row.exists & row.inside & (self.count != 0)
        m.d.comb += [
            take.eq(~full | (good & self.rows.ready)),
            self.input.ready.eq(take),
            self.rows.valid.eq(full & good),
            self.fault.valid.eq(full & ~good),
            self.fault.payload.eq(report),
        ]
        with m.If(take):
            m.d.sync += [
                full.eq(self.input.valid),
                self.rows.payload.address.eq(self.window.base + row.dram),
                self.rows.payload.dram.eq(row.dram),
                self.rows.payload.local.eq(row.local),
                self.rows.payload.exists.eq(row.exists),
                self.rows.payload.copy.eq(copies),
                self.rows.payload.last.eq(row.last),
                report.cause.eq(Cause.NONE),
            ]
            self._judge(m, row, report, copies)
        return m

    def _judge(self, m: Module, row: data.View, report: data.View, copies: Value) -> None:
        touches = copies if self._store else row.exists & (self.local_elements != 0)
        outside, local_address = self._outside(row.local)
        checks = (
            (copies & _misaligned(row.dram, self.transfer.dram_scale),
             Cause.MISALIGNED, row.dram),
            (copies & self._forbidden(row.dram), Cause.WINDOW, row.dram),
            (touches & _misaligned(row.local, self.transfer.local_scale),
             Cause.MISALIGNED, row.local),
            (touches & outside, Cause.LOCAL, local_address),
        )
        # Later assignments win, so the check that comes first in the list is written last.
        for violated, cause, address in reversed(checks):
            with m.If(violated):
                m.d.sync += [report.cause.eq(cause), report.address.eq(address)]

    def _forbidden(self, offset: Value) -> Value:
        right = self.window.writable if self._store else self.window.readable
        end = offset + (self.count << self.transfer.dram_scale)
        return ~right | (end > self.window.size)

    def _outside(self, address: Value) -> tuple[Value, Value]:
        """Whether the row leaves local memory, and the first address outside."""
        in_accumulators = address[31]
        capacity = Mux(in_accumulators, self._config.accumulator_bytes if self._store else 0,
                       self._config.scratchpad_bytes)
        end = address[:31] + (self.local_elements << self.transfer.local_scale)
        starts_outside = address[:31] >= capacity
        first = Mux(starts_outside, address,
                    Mux(in_accumulators, ACCUMULATOR_BASE, Const(0)) | capacity)
        return end > capacity, first


def _misaligned(address: Value, scale: Value) -> Value:
    return (scale >= 1) & address[0] | (scale == 2) & address[1]

