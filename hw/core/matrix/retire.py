"""Puts the ends of loads and multiplications, which overlap, into program order."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

COMMANDS_IN_FLIGHT = 31
"""Less than half of what tickets and counters can tell apart."""


class RetireOrder(wiring.Component):
    """Members:
        room: a command may be issued. load_issued, multiply_issued: one has been, in this cycle.
        load_done, multiply_done: the oldest unfinished one of its kind has ended.
        retire: pulse for each command that has ended like all before it.
        idle: everything issued has retired.
    """

    room: Out(1)
    load_issued: In(1)
    multiply_issued: In(1)
    load_done: In(1)
    multiply_done: In(1)
    retire: Out(1)
    idle: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.order = order = SyncFIFO(width=1, depth=COMMANDS_IN_FLIGHT + 1)
        loads, multiplies = (Signal(range(COMMANDS_IN_FLIGHT + 1), name=name)
                             for name in ("loads", "multiplies"))
        is_multiply = order.r_data
        m.d.comb += [
            self.room.eq(order.level < COMMANDS_IN_FLIGHT),
            order.w_en.eq(self.load_issued | self.multiply_issued),
            order.w_data.eq(self.multiply_issued),
            self.idle.eq(~order.r_rdy),
            self.retire.eq(order.r_rdy & Mux(is_multiply, multiplies.any(), loads.any())),
            order.r_en.eq(self.retire),
        ]
        m.d.sync += [
            loads.eq(loads + self.load_done - (self.retire & ~is_multiply)),
            multiplies.eq(multiplies + self.multiply_done - (self.retire & is_multiply)),
        ]
        return m
