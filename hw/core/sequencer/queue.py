"""The command queue in front of an engine."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.decode import field, is_a, retires
from hw.core.interfaces import ACTIVITY_BITS, COMMAND
from hw.core.sequencer.semaphores import SEMAPHORE_OPERATION
from hw.isa.host import Activity
from hw.isa.sync import Post, Wait

PENDING_POSTS = 8
TICKET_BITS = 8
"""Work is numbered modulo 2^8; far fewer commands than half of that are ever in an engine."""

PENDING_POST = data.StructLayout({"operation": SEMAPHORE_OPERATION, "ticket": TICKET_BITS})


class CommandQueue(wiring.Component):
    """In-order commands of one engine; `wait` and `post` are handled here.

    A `wait` at the head blocks until its semaphore grants it. A `post` does not block: it is put
    aside with the number of the last work command that has been passed on, and fires when that one
    has retired. Only when eight posts are put aside the next one blocks.

    Members:
        input: from the sequencer. commands, retire: to and from the engine.
        waits, posts: to the semaphores.
        engine_activity, activity: the engine's own, and the one to be counted.
        idle: queue empty, all work retired, all posts done.
        stop: passes nothing on.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._depth = config.queue_depth
        super().__init__({
            "input": In(stream.Signature(COMMAND)),
            "commands": Out(stream.Signature(COMMAND)),
            "retire": In(1),
            "waits": Out(stream.Signature(SEMAPHORE_OPERATION)),
            "posts": Out(stream.Signature(SEMAPHORE_OPERATION)),
            "engine_activity": In(ACTIVITY_BITS),
            "activity": Out(ACTIVITY_BITS),
            "idle": Out(1),
            "stop": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo = fifo = SyncFIFO(width=COMMAND.size, depth=self._depth)
        head = COMMAND(fifo.r_data)
        is_wait, is_post = Signal(), Signal()
        m.d.comb += [
            fifo.w_data.eq(self.input.payload), fifo.w_en.eq(self.input.valid),
            self.input.ready.eq(fifo.w_rdy),
            is_wait.eq(fifo.r_rdy & is_a(head.word, Wait)),
            is_post.eq(fifo.r_rdy & is_a(head.word, Post)),
            self.commands.payload.eq(head),
            self.commands.valid.eq(fifo.r_rdy & ~is_wait & ~is_post & ~self.stop),
            self.waits.valid.eq(is_wait & ~self.stop),
            self.waits.payload.semaphore.eq(field(head.word, Wait, "semaphore")),
            self.waits.payload.n.eq(field(head.word, Wait, "n")),
        ]
        issued, retired = self._tickets(m)
        posts = self._posts(m, head, is_post, issued, retired)
        m.d.comb += [
            fifo.r_en.eq(Mux(is_wait, self.waits.ready,
                             Mux(is_post, posts.w_rdy, self.commands.ready)) & ~self.stop),
            self.idle.eq(~fifo.r_rdy & (issued == retired) & ~posts.r_rdy),
            self.activity.eq(self.engine_activity),
        ]
        with m.If(self.engine_activity == Activity.IDLE):
            with m.If(is_wait):
                m.d.comb += self.activity.eq(Activity.SEMAPHORE)
            with m.Elif(fifo.r_rdy):
                m.d.comb += self.activity.eq(Activity.OVERHEAD)
        return m

    def _tickets(self, m: Module) -> tuple[Signal, Signal]:
        """Numbers of the work commands that were passed on and that have retired."""
        issued, retired = Signal(TICKET_BITS), Signal(TICKET_BITS)
        work = self.commands.valid & self.commands.ready & retires(self.commands.payload.word)
        m.d.sync += [issued.eq(issued + work), retired.eq(retired + self.retire)]
        return issued, retired

    def _posts(self, m: Module, head: data.View, is_post: Signal, issued: Signal, retired: Signal
               ) -> SyncFIFO:
        """Puts posts aside and fires them in order."""
        m.submodules.pending = pending = SyncFIFO(width=PENDING_POST.size, depth=PENDING_POSTS)
        put, first = Signal(PENDING_POST), PENDING_POST(pending.r_data)
        progress = Signal(TICKET_BITS)
        m.d.comb += [
            put.operation.semaphore.eq(field(head.word, Post, "semaphore")),
            put.operation.n.eq(field(head.word, Post, "n")),
            put.ticket.eq(issued),
            pending.w_data.eq(put),
            pending.w_en.eq(is_post & ~self.stop),
            progress.eq(retired - first.ticket),
            self.posts.valid.eq(pending.r_rdy & ~progress[-1] & ~self.stop),
            self.posts.payload.eq(first.operation),
            pending.r_en.eq(self.posts.ready & self.posts.valid),
        ]
        return pending
