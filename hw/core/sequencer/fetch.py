"""The fetch stage: a stream of instructions in predicted order."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.layouts import WINDOW
from hw.core.sequencer.icache import InstructionCache
from hw.isa.encoding import WORD_BITS
from hw.isa.host import Cause

FETCHED = data.StructLayout({"word": WORD_BITS, "error": Cause, "next_pc": 32, "ends_loop": 1})
"""An instruction, or why it could not be fetched; the pc predicted to follow; whether that
prediction counts on the innermost loop's end."""


class Fetch(wiring.Component):
    """Fetches at the predicted pc until it is redirected.

    An instruction leaves two cycles after its pc was set, then one every cycle.

    Members:
        redirect: drop what has been fetched and go on at `pc`.
        output: instructions. Valid may fall without ready in a redirect.
        pc, predicted: instruction looked up in this cycle and the one predicted to follow it.
        ends_loop: the prediction's property that goes with it.
        window, run, bus: as of `InstructionCache`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "redirect": In(data.StructLayout({"valid": 1, "pc": 32})),
            "output": Out(stream.Signature(FETCHED)),
            "pc": Out(32),
            "predicted": In(32),
            "ends_loop": In(1),
            "window": In(WINDOW),
            "run": In(1),
            "bus": Out(interfaces.axi_read(config)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.cache = cache = InstructionCache(self._config)
        wiring.connect(m, cache.bus, wiring.flipped(self.bus))
        output = self.output
        free = ~output.valid | output.ready
        known = Signal()
        m.d.comb += [
            cache.pc.eq(self.pc), cache.window.eq(self.window), cache.run.eq(self.run & known),
            cache.read.eq(free & known & cache.ready & ~self.redirect.valid),
            output.payload.word.eq(cache.word),
        ]
        with m.If(output.ready):
            m.d.sync += output.valid.eq(0)
        with m.If(self.redirect.valid):
            m.d.sync += [self.pc.eq(self.redirect.pc), output.valid.eq(0), known.eq(1)]
        with m.Elif(cache.read):
            m.d.sync += [
                self.pc.eq(self.predicted),
                output.valid.eq(1),
                output.payload.error.eq(cache.error),
                output.payload.next_pc.eq(self.predicted),
                output.payload.ends_loop.eq(self.ends_loop),
            ]
        return m
