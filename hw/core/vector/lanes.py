"""All lanes, with the control they share and the special functions beside them."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core.vector.lane import STAGES, Lane
from hw.core.vector.operations import LANE_CONTROL, Result
from hw.core.vector.special import SpecialFunction


class Lanes(wiring.Component):
    """A group of L elements a cycle; special functions `sfu_lanes` elements a cycle.

    Members:
        a, b, c: operands, one element for each lane.
        control: the operation on them.
        step: which `sfu_lanes` elements a special function is to be evaluated of. The steps
            of a group come in ascending order.
        result: of the operands `STAGES` cycles before; for special functions valid after the
            last step only.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        group = data.ArrayLayout(32, config.lanes)
        super().__init__({
            "a": In(group), "b": In(group), "c": In(group),
            "control": In(LANE_CONTROL),
            "step": In(range(special_steps(config))),
            "result": Out(group),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        controls = Signal(data.ArrayLayout(LANE_CONTROL, STAGES))
        final = Signal(LANE_CONTROL)
        m.d.comb += controls[0].eq(self.control)
        m.d.sync += [controls[i + 1].eq(controls[i]) for i in range(STAGES - 1)]
        m.d.sync += final.eq(controls[STAGES - 1])
        results = []
        number_bits = exact_log2(self.config.lanes)
        elements = Array(self.a)
        for number in range(self.config.lanes):
            m.submodules[f"lane{number}"] = lane = Lane()
            m.d.comb += [
                lane.a.eq(self.a[number]), lane.b.eq(self.b[number]), lane.c.eq(self.c[number]),
                lane.permuted.eq(elements[self.b[number][:number_bits]]),
                lane.control.eq(controls),
            ]
            results.append(lane.result)
        ordinary = Cat(results)
        if not self.config.special_function_unit:
            m.d.comb += self.result.eq(ordinary)
            return m
        special = self._special(m, final.result == Result.SPECIAL)
        m.d.comb += self.result.eq(Mux(final.result == Result.SPECIAL, special, ordinary))
        return m

    def _special(self, m: Module, arrived: Signal) -> Signal:
        """The results of all steps so far, the latest one in the highest lanes."""
        width = 32 * self.config.sfu_lanes
        steps = range(special_steps(self.config))
        operands = Array(self.a.as_value().word_select(step, width) for step in steps)[self.step]
        newest = []
        for number in range(self.config.sfu_lanes):
            m.submodules[f"special{number}"] = unit = SpecialFunction()
            m.d.comb += [
                unit.a.eq(operands[32 * number:32 * number + 32]),
                unit.function.eq(self.control.special),
            ]
            newest.append(unit.result)
        if special_steps(self.config) == 1:
            return Cat(newest)
        earlier = Signal(32 * self.config.lanes - width)
        group = Cat(earlier, newest)
        with m.If(arrived):
            m.d.sync += earlier.eq(group[width:])
        return group


def special_steps(config: AcceleratorConfig) -> int:
    """Cycles a special function takes for one group."""
    return config.lanes // config.sfu_lanes
