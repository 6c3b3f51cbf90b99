"""The instruction cache: direct-mapped lines, filled ahead of the program counter."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.layouts import WINDOW
from hw.core.sequencer.prefetch import LINE_BITS, LINE_WORDS, OFFSET_BITS, Prefetcher
from hw.isa.encoding import WORD_BITS, WORD_BYTES
from hw.isa.host import Cause


class InstructionCache(wiring.Component):
    """Looks up one instruction per cycle and keeps the lines behind it coming.

    Members:
        pc: instruction wanted; `ready` tells in the same cycle whether it can be had.
        error: with `ready`: it cannot, and this is the cause (outside its window, or bus error).
        read: take it; `word` is valid from the next cycle until the next `read`.
        window: the one that holds the program; its base is a multiple of the line, 64 bytes.
        run: new lines may be asked for.
        bus: AXI read channels.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        self._index_bits = exact_log2(config.icache_bytes // (LINE_WORDS * WORD_BYTES))
        self._row_bytes = max(WORD_BYTES, config.bus_bytes)
        super().__init__({
            "pc": In(32),
            "ready": Out(1),
            "error": Out(Cause),
            "read": In(1),
            "word": Out(WORD_BITS),
            "window": In(WINDOW),
            "run": In(1),
            "bus": Out(interfaces.axi_read(config)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.prefetcher = prefetcher = Prefetcher(self._config)
        m.submodules.tags = tags = Memory(
            shape=LINE_BITS - self._index_bits, depth=1 << self._index_bits, init=[]
        )
        valid = Signal(1 << self._index_bits)
        pending = Signal(1 << self._index_bits)
        bad = Signal(data.StructLayout({"valid": 1, "line": LINE_BITS}))
        line = self.pc[OFFSET_BITS : OFFSET_BITS + LINE_BITS]
        inside = self._inside()

        def held(line: Value) -> tuple[Value, Value]:
            """Whether the line's tag is in the cache, and whether the line cannot be had."""
            port = tags.read_port(domain="comb")
            m.d.comb += port.addr.eq(line[: self._index_bits])
            return port.data == line[self._index_bits :], bad.valid & (bad.line == line)

        tag_matches, is_bad = held(line)
        arrived = self._arrived(m, prefetcher, line)
        bit = self._bit(line)
        m.d.comb += [
            self.ready.eq(~inside | is_bad | (
                tag_matches & (((valid & bit) != 0) | ((pending & bit) != 0) & arrived))),
            self.error.eq(Mux(inside, Mux(is_bad, Cause.BUS, Cause.NONE), Cause.FETCH)),
            prefetcher.run.eq(self.run),
            prefetcher.window.eq(self.window),
            prefetcher.demand.eq(line),
            prefetcher.demand_held.eq(
                ~inside | is_bad | (tag_matches & (((valid | pending) & bit) != 0))),
        ]
        candidate = prefetcher.candidate
        candidate_matches, candidate_bad = held(candidate)
        there = self._bit(candidate)
        m.d.comb += [
            prefetcher.candidate_held.eq(
                candidate_bad | (candidate_matches & (((valid | pending) & there) != 0))),
            prefetcher.candidate_blocked.eq((pending & there) != 0),
        ]
        self._record(m, prefetcher, tags, valid, pending, bad)
        self._store(m, prefetcher.fill, line)
        wiring.connect(m, prefetcher.bus, wiring.flipped(self.bus))
        return m

    def _bit(self, line: Value) -> Value:
        return Const(1, 1 << self._index_bits) << line[: self._index_bits]

    def _inside(self) -> Value:
        words = self.window.size >> exact_log2(WORD_BYTES)
        aligned = self.window.base[: OFFSET_BITS + exact_log2(WORD_BYTES)] == 0
        return self.window.readable & aligned & (self.pc < words)

    def _arrived(self, m: Module, prefetcher: Prefetcher, line: Value) -> Signal:
        """The wanted word is in the part of the line that has been filled already."""
        arrived, fill = Signal(), prefetcher.fill
        first = Cat(Const(0, exact_log2(WORD_BYTES)), self.pc[:OFFSET_BITS])
        beat = (first + WORD_BYTES - 1) >> exact_log2(self._config.bus_bytes)
        m.d.comb += arrived.eq(
            (fill.line[: self._index_bits] == line[: self._index_bits])
            & (beat < fill.beat) & ~prefetcher.bad)
        return arrived

    def _record(self, m: Module, prefetcher: Prefetcher, tags: Memory, valid: Signal,
                pending: Signal, bad: data.View) -> None:
        write = tags.write_port()
        asked, filled = prefetcher.asked, prefetcher.filled
        m.d.comb += [
            write.addr.eq(prefetcher.candidate), write.en.eq(asked),
            write.data.eq(prefetcher.candidate[self._index_bits :]),
        ]
        gone = Mux(asked, self._bit(prefetcher.candidate), 0)
        done = Mux(filled, self._bit(prefetcher.fill.line), 0)
        failed = prefetcher.failed
        m.d.sync += [
            pending.eq((pending & ~done) | gone),
            valid.eq((valid & ~gone) | Mux(failed, 0, done)),
        ]
        with m.If(filled & failed):
            m.d.sync += [bad.valid.eq(1), bad.line.eq(prefetcher.fill.line)]

    def _store(self, m: Module, fill: data.View, line: Value) -> None:
        """Rows of a bus beat or a word, whichever is wider."""
        rows = self._config.icache_bytes // self._row_bytes
        m.submodules.rows = memory = Memory(shape=8 * self._row_bytes, depth=rows, init=[])
        parts = self._row_bytes // self._config.bus_bytes
        write = memory.write_port(granularity=8 * self._config.bus_bytes)
        read = memory.read_port()
        part_bits, word_bits = exact_log2(parts), exact_log2(self._row_bytes // WORD_BYTES)
        row_bits = exact_log2(LINE_WORDS * WORD_BYTES // self._row_bytes)
        taken = self.bus.r.valid & self.bus.r.ready
        position = Signal(range(self._row_bytes // WORD_BYTES))
        m.d.comb += [
            write.addr.eq(Cat((fill.beat >> part_bits)[:row_bits], fill.line)),
            write.data.eq(self.bus.r.payload.data.replicate(parts)),
            write.en.eq(Mux(taken, Const(1, parts) << fill.beat[:part_bits], 0)),
            read.addr.eq(self.pc >> word_bits), read.en.eq(self.read),
            self.word.eq(read.data.word_select(position, WORD_BITS)),
        ]
        with m.If(self.read):
            m.d.sync += position.eq(self.pc)
