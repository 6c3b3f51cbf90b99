"""The load DMA: from DRAM to the scratchpad."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.bursts import BurstSplitter
from hw.core.dma.decoder import Decoder
from hw.core.dma.faults import report
from hw.core.dma.layouts import WINDOW
from hw.core.dma.read_issue import ReadIssue
from hw.core.dma.receive import Receiver
from hw.core.dma.row_generator import RowGenerator
from hw.core.dma.segments import Segmenter, segment_layout
from hw.isa.dma import Load
from hw.isa.dtypes import DType
from hw.isa.host import WINDOWS, Activity


class LoadDma(wiring.Component):
    """Copies nests of rows from DRAM to the scratchpad, with padding and conversion.

    Rows are generated, checked and asked for well before their data arrives, across transfers.

    Members, besides those of every engine:
        windows: what the host has granted; constant while a program runs.
        write, index: ports of local memory.
        axi: read channels of the bus.
        quiet: no burst is in flight.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            **interfaces.engine(config),
            "windows": In(data.ArrayLayout(WINDOW, WINDOWS)),
            "write": Out(interfaces.write_port(2 * config.bus_bytes)),
            "index": Out(interfaces.read_port(4)),
            "axi": Out(interfaces.axi_read(config)),
            "quiet": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = Decoder(Load, narrow=(DType.F32, DType.BF16))
        m.submodules.generator = generator = RowGenerator(self._config, store=False)
        m.submodules.segmenter = segmenter = Segmenter(self._config)
        m.submodules.splitter = splitter = BurstSplitter(self._config)
        m.submodules.issue = issue = ReadIssue(self._config)
        m.submodules.receiver = receiver = Receiver(self._config)
        connect(m, flipped(self.commands), decoder.commands)
        connect(m, decoder.transfer, generator.transfer)
        connect(m, generator.index, flipped(self.index))
        connect(m, generator.rows, segmenter.rows)
        connect(m, segmenter.spans, splitter.spans)
        connect(m, splitter.bursts, issue.bursts)
        connect(m, issue.axi, flipped(self.axi))
        connect(m, issue.beats, receiver.beats)
        connect(m, receiver.write, flipped(self.write))
        waiting = self._queue(m, segmenter, receiver)
        m.d.comb += [
            generator.windows.eq(self.windows),
            generator.settled.eq(~waiting & ~receiver.working),
            segmenter.transfer.eq(decoder.transfer.payload),
            segmenter.shape.eq(generator.shape),
            generator.stop.eq(self.stop), issue.stop.eq(self.stop), receiver.stop.eq(self.stop),
            self.retire.eq(receiver.retire),
            self.quiet.eq(issue.quiet),
        ]
        report(m, self.fault, decoder.fault, generator.fault, receiver.bus_error)
        self._report_activity(m, waiting | receiver.working)
        return m

    def _queue(self, m: Module, segmenter: Segmenter, receiver: Receiver) -> Signal:
        """Segments whose data is on the way. Returns whether there are any."""
        layout = segment_layout(self._config)
        depth = max(8, 2 * self._config.outstanding_bursts)
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=depth)
        m.d.comb += [
            queue.w_data.eq(segmenter.segments.payload),
            queue.w_en.eq(segmenter.segments.valid),
            segmenter.segments.ready.eq(queue.w_rdy),
            receiver.segments.payload.eq(queue.r_data),
            receiver.segments.valid.eq(queue.r_rdy),
            queue.r_en.eq(receiver.segments.ready),
        ]
        return queue.r_rdy

    def _report_activity(self, m: Module, in_flight: Signal) -> None:
        with m.If(self.write.request.valid & self.write.request.ready):
            m.d.comb += self.activity.eq(Activity.BUSY)
        with m.Elif(in_flight):
            m.d.comb += self.activity.eq(Activity.MEMORY)
        with m.Elif(self.commands.valid):
            m.d.comb += self.activity.eq(Activity.OVERHEAD)
        with m.Else():
            m.d.comb += self.activity.eq(Activity.IDLE)
