"""The four outer loops of a transfer."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.core.dma.layouts import SHAPE, TRANSFER
from hw.isa.params import LEVELS, DmaParam

STEP = data.StructLayout({
    "dram": 32, "local": 32, "index": 32, "inside": 1, "exists": 1, "last": 1,
})
"""One iteration of the nest: `inside` the valid ranges of levels 1 to 4; `index` is the address
of its entry of the index list. Without the indexed part of `dram`."""


class RowNest(wiring.Component):
    """Walks levels 1 to 4, one row a cycle, from one running address per level.

    An empty nest yields one step without `exists`.

    Args:
        store: `local` starts at the first copied element, not at element 0.

    Members:
        start: the transfer may begin; it is looked at while the nest rests.
        finished: the transfer's rows have been used, the nest may rest.
        shape: constant from the first step to `finished`.
    """

    def __init__(self, *, store: bool) -> None:
        self._store = store
        super().__init__({
            "transfer": In(TRANSFER),
            "start": In(1),
            "finished": In(1),
            "steps": Out(stream.Signature(STEP)),
            "shape": Out(SHAPE),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._counters = [Signal(32, name=f"counter{n + 1}") for n in range(LEVELS)]
        self._dram = [Signal(32, name=f"dram{n + 1}") for n in range(LEVELS)]
        self._local = [Signal(32, name=f"local{n + 1}") for n in range(LEVELS)]
        more = Cat(
            counter + 1 != self._parameter(DmaParam.BOUND1 + n)
            for n, counter in enumerate(self._counters)
        )
        with m.FSM():
            with m.State("REST"):
                with m.If(self.start):
                    self._set_up(m)
                    m.next = "WALK"
                    with m.If(self._empty()):
                        m.next = "EMPTY"
            with m.State("WALK"):
                m.d.comb += self.steps.valid.eq(1)
                with m.If(self.steps.ready):
                    self._advance(m, more)
                    with m.If(~more.any()):
                        m.next = "WAIT"
            with m.State("EMPTY"):
                m.d.comb += self.steps.valid.eq(1)
                with m.If(self.steps.ready):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(self.finished):
                    m.next = "REST"
        m.d.comb += [
            self.steps.payload.dram.eq(self._dram[0]),
            self.steps.payload.local.eq(self._local[0]),
            self.steps.payload.index.eq(
                self._parameter(DmaParam.INDEX_BASE) + (self._counters[0] << 2)),
            self.steps.payload.inside.eq(self._inside()),
            self.steps.payload.exists.eq(~self._empty()),
            self.steps.payload.last.eq(~more.any() | self._empty()),
        ]
        return m

    def _parameter(self, index: int) -> Value:
        return self.transfer.parameters[index]

    def _empty(self) -> Value:
        return Cat(self._parameter(DmaParam.BOUND1 + n) == 0 for n in range(LEVELS)).any()

    def _inside(self) -> Value:
        return Cat(
            (counter >= self._parameter(DmaParam.LO1 + n))
            & (counter < self._parameter(DmaParam.HI1 + n))
            for n, counter in enumerate(self._counters)
        ).all()

    def _set_up(self, m: Module) -> None:
        n0, first = self._parameter(DmaParam.N0), self._parameter(DmaParam.LO0)
        end = Mux(self._parameter(DmaParam.HI0) < n0, self._parameter(DmaParam.HI0), n0)
        some = first < end
        dram = self.transfer.dram + (first << self.transfer.dram_scale)
        skipped = (first << self.transfer.local_scale) if self._store else Const(0)
        m.d.sync += [
            self.shape.lead.eq(first),
            self.shape.count.eq(Mux(some, end - first, 0)),
            self.shape.tail.eq(n0 - end),
            *(counter.eq(0) for counter in self._counters),
            *(level.eq(dram) for level in self._dram),
            *(level.eq(self.transfer.local + skipped) for level in self._local),
        ]

    def _advance(self, m: Module, more: Value) -> None:
        for n in range(LEVELS):
            stride = self._parameter(DmaParam.DSTRIDE1 + n)
            if n == 0:
                stride = Mux(self.transfer.indexed, 0, stride)
            dram = self._dram[n] + stride
            local = self._local[n] + self._parameter(DmaParam.LSTRIDE1 + n)
            with m.If(more[n] & ~more[:n].any()):
                m.d.sync += [
                    self._counters[n].eq(self._counters[n] + 1),
                    *(counter.eq(0) for counter in self._counters[:n]),
                    *(level.eq(dram) for level in self._dram[:n + 1]),
                    *(level.eq(local) for level in self._local[:n + 1]),
                ]
