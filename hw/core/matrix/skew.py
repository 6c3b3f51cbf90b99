"""Delays that differ from lane to lane: into the array's wavefront and out of it."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class Skew(wiring.Component):
    """Lane i of `output` is lane i of `input`, `delays[i]` cycles later.

    Args:
        width: bits of a lane.
        delays: cycles of each lane, 0 or more.
    """

    def __init__(self, width: int, delays: Sequence[int]) -> None:
        self._width = width
        self._delays = tuple(delays)
        lanes = data.ArrayLayout(width, len(self._delays))
        super().__init__({"input": In(lanes), "output": Out(lanes)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # One register a stage, the longest delay in its low bits: each takes the low bits of the
        # one before, which simulators do in whole words.
        order = sorted(range(len(self._delays)), key=lambda lane: -self._delays[lane])
        stage: Value = Cat(Value.cast(self.input[lane]) for lane in order)
        for cycle in range(max(self._delays) + 1):
            for position, lane in enumerate(order):
                if self._delays[lane] == cycle:
                    m.d.comb += self.output[lane].eq(stage.word_select(position, self._width))
            remaining = sum(delay > cycle for delay in self._delays)
            if remaining:
                following = Signal(remaining * self._width, name=f"stage{cycle + 1}")
                m.d.sync += following.eq(stage)
                stage = following
        return m
