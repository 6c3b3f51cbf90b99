"""Counters of what every engine did."""

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.core.interfaces import ACTIVITY_BITS
from hw.isa.host import Activity, Engine

COUNTER_BITS = 48
"""Three days at 1 GHz."""


class ActivityCounters(wiring.Component):
    """Cycles of each engine by activity: each running cycle counts once per engine.

    Members:
        clear: all to zero. running: this cycle counts. activities: in this cycle.
        engine, activity: which counter to look at; `count` is zero where there is none.
    """

    def __init__(self) -> None:
        super().__init__({
            "clear": In(1),
            "running": In(1),
            "activities": In(data.ArrayLayout(ACTIVITY_BITS, len(Engine))),
            "engine": In(3),
            "activity": In(3),
            "count": Out(64),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        places = 1 << len(self.activity)
        counters = [[Signal(COUNTER_BITS, name=f"{engine.name}_{activity.name}".lower())
                     for activity in Activity] for engine in Engine]
        for engine in Engine:
            with m.If(self.clear):
                m.d.sync += [counter.eq(0) for counter in counters[engine]]
            with m.Elif(self.running), m.Switch(self.activities[engine]):
                for activity in Activity:
                    with m.Case(activity):
                        counter = counters[engine][activity]
                        m.d.sync += counter.eq(counter + 1)
        nothing = [0] * (places - len(Activity))
        rows = [Array([*counters[engine], *nothing])[self.activity] for engine in Engine]
        with m.If(self.engine < len(Engine)):
            m.d.comb += self.count.eq(Array(rows)[self.engine])
        return m
