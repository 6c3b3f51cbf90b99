"""Fetches activation rows from local memory."""

from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2, exact_log2

from hw.config import AcceleratorConfig
from hw.core.interfaces import FAULT, read_port
from hw.core.matrix.nest import RowNest, multiply_job, row_flags
from hw.isa.host import ACCUMULATOR_BASE, Cause

ROWS_AHEAD = 8
"""Rows requested but not launched; hides the latency of memory and some refusals."""


def pending_row(config: AcceleratorConfig) -> data.StructLayout:
    """A row that has been requested; `fetched`: it has operands to wait for."""
    return data.StructLayout({
        "row": ceil_log2(config.accumulator_rows), "exists": 1, "last": 1, "fetched": 1,
        "flags": row_flags(config),
    })


def fetched_row(config: AcceleratorConfig) -> data.StructLayout:
    """A row to be launched: the accumulator row, and 2R bytes of operands."""
    return data.StructLayout({
        "pending": pending_row(config), "operands": 16 * config.array_rows,
    })


class ActivationFetcher(wiring.Component):
    """Requests the rows of one `matmul` after the other, some ahead of their use.

    Members:
        jobs: in program order. port: where activations are read.
        rows: `fetched_row`, valid once the operands are there.
        waiting: rows are under way, but `rows` has none.
        fault: misaligned activations, or no such accumulator row. It is raised when all rows
            before have been taken; nothing is requested from there on.
        stop: nothing more is requested.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "jobs": In(stream.Signature(multiply_job(config))),
            "port": Out(read_port(2 * config.array_rows)),
            "rows": Out(stream.Signature(fetched_row(config))),
            "waiting": Out(1),
            "fault": Out(wiring.Signature({"valid": Out(1), "payload": Out(FAULT)})),
            "stop": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = pending_row(self._config)
        m.submodules.nest = nest = RowNest(self._config)
        m.submodules.pending = pending = SyncFIFO(width=layout.size, depth=ROWS_AHEAD)
        m.submodules.operands = operands = SyncFIFO(
            width=16 * self._config.array_rows, depth=ROWS_AHEAD)
        connect(m, flipped(self.jobs), nest.jobs)
        self._request(m, nest, pending)
        head, taken = layout(pending.r_data), self.rows.valid & self.rows.ready
        m.d.comb += [
            operands.w_data.eq(self.port.response.data),
            operands.w_en.eq(self.port.response.valid),
            self.rows.valid.eq(pending.r_rdy & (operands.r_rdy | ~head.fetched)),
            self.rows.payload.eq(Cat(pending.r_data, operands.r_data)),
            self.waiting.eq((pending.r_rdy | nest.rows.valid) & ~self.rows.valid),
            pending.r_en.eq(taken),
            operands.r_en.eq(taken & head.fetched),
        ]
        return m

    def _request(self, m: Module, nest: RowNest, pending: SyncFIFO) -> None:
        row, request = nest.rows.payload, self.port.request
        flags, entry = row.flags, pending_row(self._config)(pending.w_data)
        fetched = row.exists & (flags.k != 0)
        misaligned = fetched & row.activation[0] & ~flags.integer
        outside = row.exists & (row.row >= self._config.accumulator_rows)
        ready = nest.rows.valid & pending.w_rdy & ~misaligned & ~outside & ~self.stop
        row_shift = exact_log2(self._config.accumulator_row_bytes)
        m.d.comb += [
            request.valid.eq(ready & fetched),
            request.payload.address.eq(row.activation),
            request.payload.size.eq(Mux(flags.integer, flags.k, flags.k << 1)),
            nest.rows.ready.eq(ready & (request.ready | ~fetched)),
            pending.w_en.eq(nest.rows.valid & nest.rows.ready),
            entry.row.eq(row.row), entry.exists.eq(row.exists), entry.last.eq(row.last),
            entry.fetched.eq(fetched), entry.flags.eq(flags),
            self.fault.valid.eq(nest.rows.valid & (misaligned | outside) & ~pending.r_rdy),
            self.fault.payload.cause.eq(Mux(misaligned, Cause.MISALIGNED, Cause.LOCAL)),
            self.fault.payload.address.eq(
                Mux(misaligned, row.activation, ACCUMULATOR_BASE + (row.row << row_shift))),
        ]
