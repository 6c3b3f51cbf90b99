"""From a transfer to its checked rows; shared by both directions."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.check import RowCheck
from hw.core.dma.index import IndexLookup
from hw.core.dma.layouts import ROW, SHAPE, TRANSFER, WINDOW
from hw.core.dma.nest import RowNest
from hw.core.interfaces import FAULT
from hw.isa.host import WINDOWS, Cause
from hw.isa.params import DmaParam


class RowGenerator(wiring.Component):
    """Yields the rows of one transfer after the other, up to one a cycle.

    A transfer is taken when its last row is, so `transfer` and `shape` are stable for whoever
    uses the rows. The first row comes 4 cycles after its transfer.

    Members:
        settled: earlier writes to local memory have been done; an indexed transfer waits for it.
        stop: begin nothing and yield nothing.
    """

    def __init__(self, config: AcceleratorConfig, *, store: bool) -> None:
        self._config = config
        self._store = store
        super().__init__({
            "transfer": In(stream.Signature(TRANSFER)),
            "windows": In(data.ArrayLayout(WINDOW, WINDOWS)),
            "settled": In(1),
            "stop": In(1),
            "index": Out(interfaces.read_port(4)),
            "rows": Out(stream.Signature(ROW)),
            "shape": Out(SHAPE),
            "fault": Out(wiring.Signature({"valid": Out(1), "payload": Out(FAULT)})),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.nest = nest = RowNest(store=self._store)
        m.submodules.lookup = lookup = IndexLookup()
        m.submodules.check = check = RowCheck(self._config, store=self._store)
        connect(m, nest.steps, lookup.steps)
        connect(m, lookup.read, wiring.flipped(self.index))
        connect(m, lookup.rows, check.input)
        transfer = self.transfer.payload
        finished = self.rows.valid & self.rows.ready & self.rows.payload.last
        n0 = transfer.parameters[DmaParam.N0]
        m.d.comb += [
            nest.transfer.eq(transfer),
            nest.finished.eq(finished),
            lookup.indexed.eq(transfer.indexed),
            lookup.stride.eq(transfer.parameters[DmaParam.DSTRIDE1]),
            check.transfer.eq(transfer),
            check.window.eq(self.windows[transfer.window]),
            check.count.eq(nest.shape.count),
            check.local_elements.eq(nest.shape.count if self._store else n0),
            self.shape.eq(nest.shape),
            self.rows.payload.eq(check.rows.payload),
            self.rows.valid.eq(check.rows.valid & ~self.stop),
            check.rows.ready.eq(self.rows.ready & ~self.stop),
            self.transfer.ready.eq(finished),
        ]
        self._begin(m, nest, check)
        return m

    def _begin(self, m: Module, nest: RowNest, check: RowCheck) -> None:
        transfer = self.transfer.payload
        base = transfer.parameters[DmaParam.INDEX_BASE]
        misaligned = Signal()
        m.d.comb += [
            misaligned.eq(self.transfer.valid & transfer.indexed & base[:2].any()
                          & (transfer.parameters[DmaParam.BOUND1] != 0)),
            nest.start.eq(self.transfer.valid & ~misaligned & ~self.stop
                          & (self.settled | ~transfer.indexed)),
            self.fault.valid.eq(misaligned | check.fault.valid),
            self.fault.payload.eq(check.fault.payload),
        ]
        with m.If(misaligned):
            m.d.comb += [
                self.fault.payload.cause.eq(Cause.MISALIGNED),
                self.fault.payload.address.eq(base),
            ]
