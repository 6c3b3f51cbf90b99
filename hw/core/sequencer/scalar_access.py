"""Loads and stores of scalars in local memory."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.isa.host import Cause


class ScalarAccess(wiring.Component):
    """One access at a time to a 32-bit word of local memory.

    It is checked here and not by the memory, so that a bad one stops the machine before the
    next instruction.

    Members:
        load, store: what to do at `address`; kept with `address` and `value` until `done`.
        done: the store has been accepted, or `data` is what was loaded.
        cause: why it cannot be done, else NONE.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "load": In(1),
            "store": In(1),
            "address": In(32),
            "value": In(32),
            "done": Out(1),
            "data": Out(32),
            "cause": Out(Cause),
            "read": Out(interfaces.read_port(4)),
            "write": Out(interfaces.write_port(4)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        asked, legal, outside = Signal(), Signal(), Signal()
        m.d.comb += [
            outside.eq(Mux(self.address[31],
                           self.address[exact_log2(self._config.accumulator_bytes):31].any(),
                           self.address[exact_log2(self._config.scratchpad_bytes):31].any())),
            self.cause.eq(Mux(self.address[:2] != 0, Cause.MISALIGNED,
                              Mux(outside, Cause.LOCAL, Cause.NONE))),
            legal.eq(self.cause == Cause.NONE),
            self.read.request.valid.eq(self.load & legal & ~asked),
            self.read.request.payload.address.eq(self.address),
            self.read.request.payload.size.eq(4),
            self.write.request.valid.eq(self.store & legal),
            self.write.request.payload.address.eq(self.address),
            self.write.request.payload.size.eq(4),
            self.write.request.payload.data.eq(self.value),
            self.data.eq(self.read.response.data),
            self.done.eq(Mux(self.load, self.read.response.valid,
                             self.write.request.valid & self.write.request.ready)),
        ]
        with m.If(self.read.response.valid):
            m.d.sync += asked.eq(0)
        with m.Elif(self.read.request.valid & self.read.request.ready):
            m.d.sync += asked.eq(1)
        return m
