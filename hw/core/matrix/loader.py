"""Brings weight tiles from local memory into the array's shadow registers."""

from amaranth.hdl import Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.config import AcceleratorConfig
from hw.core.float.product import decode_factor
from hw.core.interfaces import FAULT, read_port
from hw.core.matrix.fetcher import WeightFetcher, load_job
from hw.core.matrix.pe import weight_load
from hw.core.matrix.transposer import TICKET_BITS, Transposer


class WeightLoader(wiring.Component):
    """Runs one `loadw` after the other: fetches, transposes, and feeds the array column by column.

    Members:
        jobs: tiles in program order.
        port: where weights are read.
        swaps: number of tiles made active so far; the feed of a tile waits for its ticket.
        weights: `weight_load` of each row of the array, not skewed.
        done: pulse; a swap to the tile may be launched from the next cycle on, and is then counted
            in `swaps` another cycle later.
        waiting, fault, stop: as of `WeightFetcher`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "jobs": In(stream.Signature(load_job(config))),
            "port": Out(read_port(2 * max(config.array_rows, config.array_cols))),
            "swaps": In(TICKET_BITS),
            "weights": Out(data.ArrayLayout(weight_load(config.array_cols), config.array_rows)),
            "done": Out(1),
            "waiting": Out(1),
            "fault": Out(wiring.Signature({"valid": Out(1), "payload": Out(FAULT)})),
            "stop": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetcher = fetcher = WeightFetcher(self._config)
        m.submodules.transposer = transposer = Transposer(self._config)
        for member in ("jobs", "port", "fault"):
            connect(m, flipped(getattr(self, member)), getattr(fetcher, member))
        connect(m, fetcher.rows, transposer.rows)
        m.d.comb += [fetcher.stop.eq(self.stop), self.waiting.eq(fetcher.waiting)]
        self._feed(m, transposer)
        return m

    def _feed(self, m: Module, transposer: Transposer) -> None:
        """Elements outside the tile become weights that pass partial sums through."""
        columns = transposer.columns
        column, tile = columns.payload, columns.payload.tile
        # Once it has begun a feed goes on: no other swap can come before the tile's own.
        m.d.comb += columns.ready.eq(tile.ticket == self.swaps)
        fed = columns.valid & columns.ready
        for k in range(self._config.array_rows):
            inside = ((k < tile.k) & (column.index < tile.n)
                      & (~tile.diagonal | (column.index == k)))
            m.d.comb += [
                self.weights[k].load.eq(fed),
                self.weights[k].tag.eq(column.index),
                self.weights[k].weight.factor.eq(
                    decode_factor(Mux(inside, column.elements[k], 0), tile.integer)),
                self.weights[k].weight.raw.eq(tile.integer | ~inside),
            ]
        # The weights enter the array one cycle before the activations of the same decision.
        m.d.comb += self.done.eq(fed & (column.index == self._config.array_cols - 2))
