"""The store DMA: from local memory to DRAM."""

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.bursts import BurstSplitter
from hw.core.dma.decoder import Decoder
from hw.core.dma.faults import report
from hw.core.dma.gather import Gather
from hw.core.dma.layouts import WINDOW
from hw.core.dma.row_generator import RowGenerator
from hw.core.dma.write_issue import WriteIssue
from hw.isa.dma import Store
from hw.isa.dtypes import DType
from hw.isa.host import WINDOWS, Activity


class StoreDma(wiring.Component):
    """Copies nests of rows from local memory to DRAM, with conversion.

    A burst is announced to the bus when the reading of its data begins, so data follows its
    address by a few cycles and a burst, once announced, always ends.

    Members, besides those of every engine:
        windows: what the host has granted; constant while a program runs.
        read, index: ports of local memory.
        axi: write channels of the bus.
        quiet: no burst is in flight.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            **interfaces.engine(config),
            "windows": In(data.ArrayLayout(WINDOW, WINDOWS)),
            "read": Out(interfaces.read_port(2 * config.bus_bytes)),
            "index": Out(interfaces.read_port(4)),
            "axi": Out(interfaces.axi_write(config)),
            "quiet": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = Decoder(Store, narrow=(DType.BF16, DType.F32))
        m.submodules.generator = generator = RowGenerator(self._config, store=True)
        m.submodules.issue = issue = WriteIssue(self._config)
        m.submodules.splitter = splitter = BurstSplitter(self._config)
        m.submodules.gather = gather = Gather(self._config)
        connect(m, flipped(self.commands), decoder.commands)
        connect(m, decoder.transfer, generator.transfer)
        connect(m, generator.index, flipped(self.index))
        connect(m, generator.rows, issue.rows)
        connect(m, issue.spans, splitter.spans)
        connect(m, splitter.bursts, issue.bursts)
        connect(m, issue.pieces, gather.pieces)
        connect(m, gather.read, flipped(self.read))
        connect(m, issue.aw, flipped(self.axi.aw))
        connect(m, gather.w, flipped(self.axi.w))
        connect(m, flipped(self.axi.b), issue.b)
        m.d.comb += [
            generator.windows.eq(self.windows),
            generator.settled.eq(1),
            issue.transfer.eq(decoder.transfer.payload),
            issue.shape.eq(generator.shape),
            generator.stop.eq(self.stop), issue.stop.eq(self.stop),
            self.retire.eq(issue.retire),
            self.quiet.eq(issue.quiet),
        ]
        report(m, self.fault, decoder.fault, generator.fault, issue.bus_error)
        with m.If(self.axi.w.valid & self.axi.w.ready):
            m.d.comb += self.activity.eq(Activity.BUSY)
        with m.Elif(gather.working | issue.pending):
            m.d.comb += self.activity.eq(Activity.MEMORY)
        with m.Elif(self.commands.valid):
            m.d.comb += self.activity.eq(Activity.OVERHEAD)
        with m.Else():
            m.d.comb += self.activity.eq(Activity.IDLE)
        return m
