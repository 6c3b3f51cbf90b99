"""Writes segments to local memory, as their data comes in."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.convert import converted, converted_bytes
from hw.core.dma.segments import segment_layout


class Receiver(wiring.Component):
    """One beat from the bus, or two beats' worth of padding, a cycle.

    A beat is one write: its first byte is moved down, local memory takes any byte address.

    Members:
        stop: throw the data of the bus away.
        retire: the last write of a transfer is accepted in this cycle.
        working: a segment or a write is under way.
        bus_error: the bus has answered with an error; the window offset of the segment.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._bus_bytes = config.bus_bytes
        self._segment = segment_layout(config)
        super().__init__({
            "segments": In(stream.Signature(self._segment)),
            "beats": interfaces.axi_read(config).members["r"],
            "write": Out(interfaces.write_port(2 * config.bus_bytes)),
            "stop": In(1),
            "retire": Out(1),
            "working": Out(1),
            "bus_error": Out(data.StructLayout({"valid": 1, "address": 32})),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        active = Signal()
        now = Signal(self._segment)
        request = self.write.request
        taken = Signal(range(2 * self._bus_bytes + 1))
        done = Signal()
        room = Signal()
        go = Signal()
        error = self.beats.payload.response[1] & ~now.pad
        limit = Mux(now.pad, 2 * self._bus_bytes, self._bus_bytes - now.skip)
        m.d.comb += [
            done.eq(now.bytes <= limit),
            taken.eq(Mux(done, now.bytes, limit)),
            room.eq(~request.valid | request.ready),
            go.eq(active & room & (now.pad | self.beats.valid) & ~self.stop),
            self.beats.ready.eq(self.stop | (active & ~now.pad & room)),
            self.segments.ready.eq(~active | (go & done)),
            self.working.eq(active | request.valid),
            self.bus_error.valid.eq(go & error),
            self.bus_error.address.eq(now.info),
        ]
        self._write(m, now, taken, go=go, last=now.last & done, error=error)
        with m.If(self.segments.ready):
            m.d.sync += [active.eq(self.segments.valid), now.eq(self.segments.payload)]
        with m.If(self.stop):
            m.d.sync += active.eq(0)
        return m

    def _write(self, m: Module, now: data.View, taken: Value, *, go: Value, last: Value,
               error: Value) -> None:
        """Makes a request of `taken` bytes of the segment, and moves on behind them."""
        request = self.write.request
        last_write = Signal()
        written = converted_bytes(m, now.conversion, taken)
        m.d.comb += self.retire.eq(request.valid & request.ready & last_write)
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(go):
            m.d.sync += [
                request.valid.eq(~error),
                request.payload.address.eq(now.local),
                request.payload.size.eq(written),
                request.payload.data.eq(self._data(m, now)),
                last_write.eq(last),
                now.local.eq(now.local + written),
                now.bytes.eq(now.bytes - taken),
                now.skip.eq(0),
            ]

    def _data(self, m: Module, now: data.View) -> Value:
        moved = Signal(8 * self._bus_bytes)
        m.d.comb += moved.eq(self.beats.payload.data >> (now.skip << 3))
        beat = converted(m, now.conversion, moved, width_bytes=2 * self._bus_bytes)
        return Mux(now.pad, now.info.replicate(self._bus_bytes // 2), beat)
