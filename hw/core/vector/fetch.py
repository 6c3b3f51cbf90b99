"""Fetches a kernel's body: once for each strip, with its repeats unrolled."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.vector.kernel import ENTRY, KERNEL
from hw.isa.params import BODY_LENGTH, REP_DEPTH

_POSITION = range(BODY_LENGTH + 1)
_LOOP = data.StructLayout({"start": _POSITION, "end": _POSITION, "remaining": 32})


def operation_layout(config: AcceleratorConfig) -> data.StructLayout:
    """An instruction of the body and the number of groups, at least one, that it works on."""
    return data.StructLayout({"entry": ENTRY, "groups": range(config.strip_groups + 1)})


class Fetch(wiring.Component):
    """Runs ahead by one operation, which hides the cycle that each end of a loop takes.

    Members:
        load: begin with `kernel`, in strips of `strip` groups; an illegal kernel is empty.
        address, entry: of the body memory, combinational.
        operation: what to do next.
        done: the kernel's last operation has been taken.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__({
            "load": In(1), "kernel": In(KERNEL), "strip": In(range(config.strip_groups + 1)),
            "address": Out(range(2 * BODY_LENGTH)), "entry": In(ENTRY),
            "operation": Out(stream.Signature(operation_layout(config))),
            "done": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._position, self._length = Signal(_POSITION), Signal(_POSITION)
        self._loops = Signal(data.ArrayLayout(_LOOP, REP_DEPTH))
        self._depth = Signal(range(REP_DEPTH + 1))
        self._remaining, self._groups = Signal(32), Signal.like(self.strip)
        buffer, strip = Signal(), Signal.like(self.strip)
        active = self._remaining.any()
        m.d.comb += [
            self._groups.eq(Mux(self._remaining < strip, self._remaining, strip)),
            self.address.eq(Cat(self._position[:-1], buffer)),
            self.done.eq(~active & ~self.operation.valid),
        ]
        with m.If(self.operation.ready):
            m.d.sync += self.operation.valid.eq(0)
        with m.If(self.load):
            m.d.sync += [
                self._remaining.eq(Mux(self.kernel.illegal, 0, self.kernel.groups)),
                buffer.eq(self.kernel.buffer), self._length.eq(self.kernel.length),
                strip.eq(self.strip), self._position.eq(0), self._depth.eq(0),
            ]
        with m.Elif(active):
            self._advance(m)
        return m

    def _advance(self, m: Module) -> None:
        entry, position = self.entry, self._position
        top = Signal(_LOOP)
        m.d.comb += top.eq(self._loops[(self._depth - 1)[:2]])
        with m.If((self._depth != 0) & (position == top.end)):
            self._end_loop(m, top)
        with m.Elif(position == self._length):
            m.d.sync += [position.eq(0), self._remaining.eq(self._remaining - self._groups)]
        with m.Elif(entry.usage.repeat):
            self._begin_loop(m)
        with m.Elif(~self.operation.valid | self.operation.ready):
            m.d.sync += [
                self.operation.valid.eq(1), position.eq(position + 1),
                self.operation.payload.entry.eq(entry),
                self.operation.payload.groups.eq(self._groups),
            ]

    def _begin_loop(self, m: Module) -> None:
        entry, start = self.entry, self._position + 1
        with m.If(entry.count == 0):
            m.d.sync += self._position.eq(start + entry.length)
        with m.Else():
            loop = self._loops[self._depth[:2]]
            m.d.sync += [
                self._position.eq(start), self._depth.eq(self._depth + 1),
                loop.start.eq(start), loop.end.eq(start + entry.length),
                loop.remaining.eq(entry.count - 1),
            ]

    def _end_loop(self, m: Module, top: data.View) -> None:
        with m.If(top.remaining == 0):
            m.d.sync += self._depth.eq(self._depth - 1)
        with m.Else():
            m.d.sync += [
                self._position.eq(top.start),
                self._loops[(self._depth - 1)[:2]].remaining.eq(top.remaining - 1),
            ]
