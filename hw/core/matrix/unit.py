"""The matrix unit: an engine around the systolic array."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Out, connect, flipped
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core.interfaces import engine, read_port, write_port
from hw.core.matrix.array import UnskewedArray, array_latency
from hw.core.matrix.decoder import MatrixDecoder
from hw.core.matrix.loader import WeightLoader
from hw.core.matrix.nest import multiply_job
from hw.core.matrix.pe import SUM_OFFSET
from hw.core.matrix.retire import RetireOrder
from hw.core.matrix.streamer import ActivationStreamer, launched_row
from hw.isa.host import ACCUMULATOR_BASE, Activity

READ_LATENCY = 2
"""Cycles from an accepted read to its response."""
ENTRY_DELAY = 1
"""Cycles from a row's launch to its activations at the array."""
MULTIPLIES_AHEAD = 2
"""`matmul` commands that wait, so that the `loadw` behind them is seen in time."""


def launch_to_write(config: AcceleratorConfig) -> int:
    """Cycles from the launch of a row to the write of its results."""
    return ENTRY_DELAY + array_latency(config)


class MatrixUnit(wiring.Component):
    """Engine 3. Its commands are `set`, `loadw` and `matmul` (`hw/isa/matrix.py`).

    Loads and multiplications overlap as far as the tiles they share allow; they retire in order.
    A `matmul` of M rows follows the one before after max(M, R, C) cycles.

    Members beside those of every engine:
        activations, weights: read ports of the operands.
        acc_read, acc_write: ports of whole accumulator rows; they must never be refused.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            **engine(config),
            "activations": Out(read_port(2 * config.array_rows)),
            "weights": Out(read_port(2 * max(config.array_rows, config.array_cols))),
            "acc_read": Out(read_port(config.accumulator_row_bytes)),
            "acc_write": Out(write_port(config.accumulator_row_bytes)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = self._decoder = MatrixDecoder(self._config)
        m.submodules.loader = self._loader = WeightLoader(self._config)
        m.submodules.streamer = self._streamer = ActivationStreamer(self._config)
        m.submodules.array = self._array = UnskewedArray(self._config)
        m.submodules.order = self._order = RetireOrder()
        self._connect_jobs(m)
        self._connect_array(m)
        self._write_back(m)
        self._report(m)
        return m

    def _connect_jobs(self, m: Module) -> None:
        decoder, loader, streamer, order = (
            self._decoder, self._loader, self._streamer, self._order)
        layout = multiply_job(self._config)
        m.submodules.jobs = jobs = SyncFIFO(width=layout.size, depth=MULTIPLIES_AHEAD)
        connect(m, flipped(self.commands), decoder.commands)
        connect(m, decoder.loads, loader.jobs)
        connect(m, flipped(self.weights), loader.port)
        connect(m, flipped(self.activations), streamer.port)
        connect(m, flipped(self.acc_read), streamer.accumulators)
        m.d.comb += [
            jobs.w_data.eq(decoder.multiplies.payload),
            jobs.w_en.eq(decoder.multiplies.valid),
            decoder.multiplies.ready.eq(jobs.w_rdy),
            streamer.jobs.payload.eq(layout(jobs.r_data)),
            streamer.jobs.valid.eq(jobs.r_rdy),
            jobs.r_en.eq(streamer.jobs.ready),
            decoder.room.eq(order.room),
            decoder.idle.eq(order.idle),
            order.load_issued.eq(decoder.loads.valid & decoder.loads.ready),
            order.multiply_issued.eq(decoder.multiplies.valid & decoder.multiplies.ready),
            order.load_done.eq(loader.done),
            self.retire.eq(order.retire),
        ]
        m.d.comb += [part.stop.eq(self.stop) for part in (decoder, loader, streamer)]

    def _connect_array(self, m: Module) -> None:
        array, response = self._array, self.acc_read.response
        m.d.comb += [
            array.activations.eq(self._streamer.activations),
            array.weights.eq(self._loader.weights),
            self._loader.swaps.eq(self._streamer.swaps),
        ]
        loads = Signal.like(self._streamer.loads)
        m.d.sync += loads.eq(loads + self._loader.done)
        m.d.comb += self._streamer.loads.eq(loads)
        # Only a row that accumulates has asked for its old value; the others start from zero.
        old = Mux(response.valid, response.data, 0)
        for _ in range(ENTRY_DELAY + SUM_OFFSET - READ_LATENCY):
            following = Signal.like(self.acc_read.response.data, reset_less=True)
            m.d.sync += following.eq(old)
            old = following
        m.d.comb += array.sums_in.eq(old)

    def _write_back(self, m: Module) -> None:
        """A row's results leave a fixed time after its launch."""
        launched, complete, write = (
            self._streamer.launched, self._streamer.complete, self.acc_write.request)
        layout = launched_row(self._config)
        latency = launch_to_write(self._config)
        # Not reset: the busy table forgets a row only when its result comes out.
        under_way = Signal((1 + layout.size) * latency, reset_less=True)
        wanted = Signal(latency)
        row_bytes = self._config.accumulator_row_bytes
        m.d.sync += [
            under_way.eq(Cat(launched.valid, launched.payload, under_way)),
            wanted.eq(Cat(launched.valid, wanted)),
        ]
        row = complete.payload
        m.d.comb += [
            Cat(complete.valid, row).eq(under_way[-(1 + layout.size):]),
            write.valid.eq(row.exists & wanted[-1]),
            write.payload.address.eq(
                ACCUMULATOR_BASE + Cat(Const(0, exact_log2(row_bytes)), row.row)),
            write.payload.size.eq(row_bytes),
            write.payload.data.eq(self._array.sums_out),
            self._order.multiply_done.eq(row.last & wanted[-1]),
        ]

    def _report(self, m: Module) -> None:
        first, *others = (part.fault for part in (self._streamer, self._loader, self._decoder))
        with m.If(first.valid):
            m.d.comb += [self.fault.valid.eq(1), self.fault.payload.eq(first.payload)]
        for other in others:
            with m.Elif(other.valid):
                m.d.comb += [self.fault.valid.eq(1), self.fault.payload.eq(other.payload)]
        with m.If(self._streamer.activity != Activity.IDLE):
            m.d.comb += self.activity.eq(self._streamer.activity)
        with m.Elif(self._loader.waiting):
            m.d.comb += self.activity.eq(Activity.MEMORY)
        with m.Elif(~self._order.idle | self.commands.valid):
            m.d.comb += self.activity.eq(Activity.OVERHEAD)
