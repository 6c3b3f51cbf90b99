"""The counting semaphores by which engines wait for each other."""

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.isa.host import SEMAPHORE_MAX, SEMAPHORES, Engine

COUNTER_BITS = SEMAPHORE_MAX.bit_length()

SEMAPHORE_OPERATION = data.StructLayout({"semaphore": range(SEMAPHORES), "n": COUNTER_BITS})
OVERFLOW = data.StructLayout({"valid": 1, "engine": 3, "semaphore": range(SEMAPHORES)})


class Semaphores(wiring.Component):
    """All counters, behind one wait and one post port per engine.

    A post is ready in the cycle in which n is added, a wait in the cycle in which the counter
    was at least n and n is subtracted. One operation is done per cycle. The sequencer
    comes last: it feeds the others, which run dry, so that nobody starves.

    Members:
        waits, posts: one of each per engine, by engine number.
        overflow: a post was taken that exceeds 65535; the counter keeps its value.
    """

    def __init__(self) -> None:
        super().__init__({
            "waits": In(stream.Signature(SEMAPHORE_OPERATION)).array(len(Engine)),
            "posts": In(stream.Signature(SEMAPHORE_OPERATION)).array(len(Engine)),
            "overflow": Out(OVERFLOW),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.counters = counters = Memory(shape=COUNTER_BITS, depth=SEMAPHORES, init=[])
        # Cleared flags instead of cleared counters, so that the counters can be distributed RAM.
        touched = Signal(SEMAPHORES)
        write = counters.write_port()

        def read(semaphore: Value) -> Value:
            port = counters.read_port(domain="comb")
            m.d.comb += port.addr.eq(semaphore)
            return Mux(touched.bit_select(semaphore, 1), port.data, 0)

        satisfied = [self._satisfied(m, wait, read) for wait in self.waits]
        post, wait, engine = Signal(), Signal(), Signal(range(len(Engine)))
        self._choose(m, post, wait, engine, satisfied)
        chosen = Signal(SEMAPHORE_OPERATION)
        requests = Mux(post, Array(p.payload.as_value() for p in self.posts)[engine],
                       Array(w.payload.as_value() for w in self.waits)[engine])
        value, total = Signal(COUNTER_BITS), Signal(COUNTER_BITS + 1)
        m.d.comb += [
            chosen.as_value().eq(requests),
            value.eq(read(chosen.semaphore)),
            total.eq(Mux(post, value + chosen.n, value - chosen.n)),
            self.overflow.valid.eq(post & total[COUNTER_BITS]),
            self.overflow.engine.eq(engine), self.overflow.semaphore.eq(chosen.semaphore),
            write.addr.eq(chosen.semaphore), write.data.eq(total),
            write.en.eq((post | wait) & ~self.overflow.valid),
        ]
        with m.If(write.en):
            m.d.sync += touched.bit_select(chosen.semaphore, 1).eq(1)
        return m

    def _satisfied(self, m: Module, wait: stream.Interface, read: object) -> Signal:
        satisfied = Signal()
        m.d.comb += satisfied.eq(
            wait.valid & (read(wait.payload.semaphore) >= wait.payload.n)  # type: ignore[operator]
        )
        return satisfied

    def _choose(self, m: Module, post: Signal, wait: Signal, engine: Signal,
                satisfied: list[Signal]) -> None:
        """Posts of the engines, then their waits, then the sequencer's post and wait."""
        order: list[tuple[bool, int]] = [
            *((True, number) for number in range(1, len(Engine))),
            *((False, number) for number in range(1, len(Engine))),
            (True, Engine.SEQUENCER), (False, Engine.SEQUENCER),
        ]
        taken: Value = Const(0)
        for is_post, number in order:
            request = self.posts[number].valid if is_post else satisfied[number]
            port = self.posts[number] if is_post else self.waits[number]
            m.d.comb += port.ready.eq(request & ~taken)
            with m.If(request & ~taken):
                m.d.comb += [engine.eq(number), post.eq(is_post), wait.eq(not is_post)]
            taken = taken | request
