"""The hardware loop stack."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.isa.host import LOOP_DEPTH

LOOP = data.StructLayout({"start": 32, "end": 32, "remaining": 32})


class LoopStack(wiring.Component):
    """Where a program goes on that arrives somewhere in sequence.

    The innermost loop is in entry 0, so that a look at two fixed entries tells what happens at
    the end of a loop. An arrival closes at most one loop per cycle; when the loop around it ends
    at the same place, `settled` is clear and the arrival must be kept up.

    Members:
        arrive: an instruction that goes on in sequence is at its end; `at` is its successor.
        settled: `next_pc` is where the program goes on. The stack changes when `commit` is set, or
            when it is not settled.
        push: enter `loop`; not together with `arrive`.
        full: there is no room for a further loop.
        fetch_pc, fetch_next: prediction of the successor of an instruction that is being fetched.
        in_flight: instructions between fetch and arrival that end the innermost loop.
        fetch_ends: this one does, too.
    """

    def __init__(self) -> None:
        super().__init__({
            "arrive": In(1),
            "at": In(32),
            "commit": In(1),
            "settled": Out(1),
            "next_pc": Out(32),
            "push": In(1),
            "loop": In(LOOP),
            "full": Out(1),
            "fetch_pc": In(32),
            "fetch_next": Out(32),
            "fetch_ends": Out(1),
            "in_flight": In(2),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stack = Signal(data.ArrayLayout(LOOP, LOOP_DEPTH))
        depth = Signal(range(LOOP_DEPTH + 1))
        ends, last, outer_ends = Signal(), Signal(), Signal()
        m.d.comb += [
            self.full.eq(depth == LOOP_DEPTH),
            ends.eq((depth != 0) & (stack[0].end == self.at)),
            last.eq(stack[0].remaining == 1),
            outer_ends.eq((depth > 1) & (stack[1].end == self.at)),
            self.settled.eq(~(ends & last & outer_ends)),
            self.next_pc.eq(Mux(ends & ~last, stack[0].start, self.at)),
        ]
        with m.If(self.push):
            m.d.sync += [stack[level + 1].eq(stack[level]) for level in range(LOOP_DEPTH - 1)]
            m.d.sync += [stack[0].eq(self.loop), depth.eq(depth + 1)]
        with m.Elif(self.arrive & ends & (self.commit | ~self.settled)):
            with m.If(last):
                m.d.sync += [stack[level].eq(stack[level + 1]) for level in range(LOOP_DEPTH - 1)]
                m.d.sync += depth.eq(depth - 1)
            with m.Else():
                m.d.sync += stack[0].remaining.eq(stack[0].remaining - 1)
        self._predict(m, stack, depth)
        return m

    def _predict(self, m: Module, stack: data.View, depth: Signal) -> None:
        following = Signal(32)
        m.d.comb += [
            following.eq(self.fetch_pc + 1),
            self.fetch_ends.eq((depth != 0) & (stack[0].end == following)),
            self.fetch_next.eq(following),
        ]
        with m.If(self.fetch_ends):
            with m.If(stack[0].remaining > self.in_flight + 1):
                m.d.comb += self.fetch_next.eq(stack[0].start)
            with m.Elif((depth > 1) & (stack[1].end == following) & (stack[1].remaining > 1)):
                m.d.comb += self.fetch_next.eq(stack[1].start)
