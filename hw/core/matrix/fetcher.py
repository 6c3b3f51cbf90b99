"""Fetches weight tiles from local memory, row by row."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.interfaces import FAULT, read_port
from hw.core.matrix.transposer import ELEMENT_BITS, tile_layout, tile_row
from hw.isa.host import Cause

ROWS_AHEAD = 8
"""Rows fetched while the transposer is occupied; hides the latency of memory."""
TILES_AHEAD = 4


def load_job(config: AcceleratorConfig) -> data.StructLayout:
    """A `loadw` and its snapshot of the parameters; `tile.k` and `tile.n` are in range."""
    return data.StructLayout({
        "base": 32, "stride": 32, "transposed": 1, "tile": tile_layout(config),
    })


def elements(operands: Value, integer: Value) -> list[Value]:
    """The 16-bit elements of a fetched row: bf16, or int8 in the low byte when `integer`."""
    return [
        Mux(integer, operands.word_select(i, 8), operands.word_select(i, ELEMENT_BITS))
        for i in range(len(operands) // ELEMENT_BITS)
    ]


class WeightFetcher(wiring.Component):
    """Runs one `loadw` after the other, without a pause between them.

    Members:
        jobs: tiles in program order.
        port: where weights are read.
        rows: rows of the tiles as they are in memory.
        waiting: memory keeps a fetch waiting.
        fault: a misaligned row; nothing is fetched from there on.
        stop: nothing more is requested.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._operand_bytes = 2 * max(config.array_rows, config.array_cols)
        super().__init__({
            "jobs": In(stream.Signature(load_job(config))),
            "port": Out(read_port(self._operand_bytes)),
            "rows": Out(stream.Signature(tile_row(config))),
            "waiting": Out(1),
            "fault": Out(wiring.Signature({"valid": Out(1), "payload": Out(FAULT)})),
            "stop": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        description = data.StructLayout({"transposed": 1, "tile": tile_layout(self._config)})
        m.submodules.fetched = fetched = SyncFIFO(width=8 * self._operand_bytes, depth=ROWS_AHEAD)
        m.submodules.tiles = tiles = SyncFIFO(width=description.size, depth=TILES_AHEAD)
        job = self.jobs.payload
        m.d.comb += [
            tiles.w_data.eq(Cat(job.transposed, job.tile)),
            tiles.w_en.eq(self.jobs.valid & self.jobs.ready),
            fetched.w_data.eq(self.port.response.data),
            fetched.w_en.eq(self.port.response.valid),
        ]
        self._request(m, tiles.w_rdy)
        self._emit(m, fetched, tiles, description(tiles.r_data))
        return m

    def _request(self, m: Module, room_for_tile: Value) -> None:
        job, request = self.jobs.payload, self.port.request
        rows_left = Signal(range(self._operand_bytes // 2 + 1))
        ahead = Signal(range(ROWS_AHEAD + 1))
        address, stride, integer = Signal(32), Signal(32), Signal()
        size = Signal.like(request.payload.size)
        accepted = request.valid & request.ready
        taken = self.rows.valid & self.rows.ready
        misaligned = (rows_left != 0) & address[0] & ~integer
        m.d.comb += [
            request.payload.address.eq(address),
            request.payload.size.eq(size),
            request.valid.eq((rows_left != 0) & ~misaligned & (ahead != ROWS_AHEAD) & ~self.stop),
            self.waiting.eq(request.valid & ~request.ready),
            self.jobs.ready.eq(((rows_left == 0) | ((rows_left == 1) & accepted))
                               & room_for_tile & ~self.stop),
            self.fault.valid.eq(misaligned),
            self.fault.payload.cause.eq(Cause.MISALIGNED),
            self.fault.payload.address.eq(address),
        ]
        m.d.sync += ahead.eq(ahead + accepted - taken)
        with m.If(accepted):
            m.d.sync += [address.eq(address + stride), rows_left.eq(rows_left - 1)]
        with m.If(self.jobs.valid & self.jobs.ready):
            width = Mux(job.transposed, job.tile.k, job.tile.n)
            m.d.sync += [
                address.eq(job.base), stride.eq(job.stride), integer.eq(job.tile.integer),
                rows_left.eq(Mux(job.transposed, job.tile.n, job.tile.k)),
                size.eq(Mux(job.tile.integer, width, width << 1)),
            ]

    def _emit(self, m: Module, fetched: SyncFIFO, tiles: SyncFIFO, tile: data.View) -> None:
        rows = self.rows.payload
        count = Signal(range(self._operand_bytes // 2))
        taken = self.rows.valid & self.rows.ready
        m.d.comb += [
            self.rows.valid.eq(fetched.r_rdy),
            rows.elements.eq(Cat(elements(fetched.r_data, tile.tile.integer))),
            rows.by_column.eq(tile.transposed),
            rows.last.eq(count + 1 == Mux(tile.transposed, tile.tile.n, tile.tile.k)),
            rows.tile.eq(tile.tile),
            fetched.r_en.eq(taken),
            tiles.r_en.eq(taken & rows.last),
        ]
        with m.If(taken):
            m.d.sync += count.eq(Mux(rows.last, 0, count + 1))
