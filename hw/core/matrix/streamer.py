"""Launches activation rows into the array."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2, exact_log2

from hw.config import AcceleratorConfig
from hw.core.float.product import decode_factor
from hw.core.interfaces import ACTIVITY_BITS, FAULT, read_port
from hw.core.matrix.activations import ActivationFetcher
from hw.core.matrix.busy import BusyTable
from hw.core.matrix.fetcher import elements
from hw.core.matrix.nest import multiply_job
from hw.core.matrix.pe import ACTIVATION
from hw.core.matrix.transposer import TICKET_BITS
from hw.isa.host import ACCUMULATOR_BASE, Activity


def launched_row(config: AcceleratorConfig) -> data.StructLayout:
    """What must be known of a row when its result leaves the array.

    `exists`: there is a result. `last`: it is its `matmul`'s last. `phase`: for the `BusyTable`.
    """
    return data.StructLayout({
        "row": ceil_log2(config.accumulator_rows), "exists": 1, "last": 1, "phase": 1,
    })


def launch(config: AcceleratorConfig) -> wiring.Signature:
    """One row a cycle, which cannot be refused."""
    return wiring.Signature({"valid": Out(1), "payload": Out(launched_row(config))})


class ActivationStreamer(wiring.Component):
    """Runs one `matmul` after the other, launching a row a cycle where nothing is missing.

    A row is launched once its activations are there, no earlier row of the same accumulator is
    under way and, if it swaps, its tile has been loaded. Its old accumulator is requested in the
    same cycle, as the accumulator port is never refused and has a fixed latency.

    Members:
        jobs: in program order. port, accumulators: where operands and old accumulators are read.
        loads: number of tiles loaded so far. swaps: number of tiles made active so far.
        activations: `ACTIVATION` of each array row, not skewed, the cycle after the launch.
        launched: the row of this cycle's launch. complete: the row whose result is written.
        activity: `Activity`, IDLE without any row.
        fault, stop: as of `ActivationFetcher`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "jobs": In(stream.Signature(multiply_job(config))),
            "port": Out(read_port(2 * config.array_rows)),
            "accumulators": Out(read_port(config.accumulator_row_bytes)),
            "loads": In(TICKET_BITS), "swaps": Out(TICKET_BITS),
            "activations": Out(data.ArrayLayout(ACTIVATION, config.array_rows)),
            "launched": Out(launch(config)), "complete": In(launch(config)),
            "activity": Out(ACTIVITY_BITS),
            "fault": Out(wiring.Signature({"valid": Out(1), "payload": Out(FAULT)})),
            "stop": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetcher = fetcher = ActivationFetcher(self._config)
        m.submodules.busy = busy = BusyTable(self._config.accumulator_rows)
        for member in ("jobs", "port", "fault"):
            connect(m, flipped(getattr(self, member)), getattr(fetcher, member))
        row, complete = fetcher.rows.payload.pending, self.complete
        blocked, launched = Signal(), Signal()
        m.d.comb += [
            busy.row.eq(row.row),
            blocked.eq((row.exists & busy.busy)
                       | (row.flags.swap & (row.flags.ticket != self.loads))),
            launched.eq(fetcher.rows.valid & ~blocked & ~self.stop),
            fetcher.rows.ready.eq(~blocked & ~self.stop),
            fetcher.stop.eq(self.stop),
            busy.launch.eq(launched & row.exists),
            busy.complete.eq(complete.valid & complete.payload.exists),
            busy.complete_row.eq(complete.payload.row),
            busy.complete_phase.eq(complete.payload.phase),
            self.launched.valid.eq(launched),
            self.launched.payload.eq(Cat(row.row, row.exists, row.last, busy.phase)),
        ]
        self._read_accumulator(m, row, launched)
        self._enter(m, fetcher.rows.payload, launched)
        with m.If(launched):
            m.d.comb += self.activity.eq(Mux(row.exists, Activity.BUSY, Activity.OVERHEAD))
        with m.Elif(fetcher.rows.valid):
            m.d.comb += self.activity.eq(Activity.HAZARD)
        with m.Elif(fetcher.waiting):
            m.d.comb += self.activity.eq(Activity.MEMORY)
        return m

    def _read_accumulator(self, m: Module, row: data.View, launched: Signal) -> None:
        request, row_bytes = self.accumulators.request, self._config.accumulator_row_bytes
        offset = Cat(Const(0, exact_log2(row_bytes)), row.row)
        m.d.comb += [
            request.valid.eq(launched & row.exists & row.flags.accumulate),
            request.payload.address.eq(ACCUMULATOR_BASE + offset),
            request.payload.size.eq(row_bytes),
        ]

    def _enter(self, m: Module, row: data.View, launched: Signal) -> None:
        flags = row.pending.flags
        operands = elements(row.operands, flags.integer)
        swap = launched & flags.swap
        m.d.sync += self.swaps.eq(self.swaps + swap)
        for k, operand in enumerate(operands):
            m.d.sync += [
                self.activations[k].factor.eq(decode_factor(operand, flags.integer)),
                self.activations[k].swap.eq(swap),
            ]
