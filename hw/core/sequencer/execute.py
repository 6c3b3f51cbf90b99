"""The execution stage: what one instruction does."""

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.decode import field
from hw.core.interfaces import ACTIVITY_BITS, COMMAND
from hw.core.sequencer.alu import Alu
from hw.core.sequencer.issue import ISSUED
from hw.core.sequencer.loops import LOOP
from hw.core.sequencer.registers import REGISTER_WRITE
from hw.core.sequencer.scalar_access import ScalarAccess
from hw.core.sequencer.semaphores import SEMAPHORE_OPERATION
from hw.isa.encoding import WORD_BYTES
from hw.isa.host import Activity, Cause, Engine
from hw.isa.scalar import BranchForm, LoopInstruction, RegisterForm
from hw.isa.sync import Drain, Wait


class Execute(wiring.Component):
    """Executes the instruction it is shown until it is done.

    Members:
        now: the instruction, at `pc`; act: it may take effect in this cycle.
        done: its last cycle; `write` then is its register write.
        leaves: it does not go on in sequence but at `target`; else `sequel` follows.
        enters: it enters `loop`. loops_full: no further one can be entered.
        halting: it is `halt`. halted: and all queues are idle.
        The others are those of `Sequencer`.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        engine = interfaces.engine(config)
        super().__init__({
            "now": In(ISSUED),
            "act": In(1),
            "pc": In(32),
            "done": Out(1),
            "write": Out(REGISTER_WRITE),
            "leaves": Out(1),
            "target": Out(32),
            "sequel": Out(32),
            "enters": Out(1),
            "loop": Out(LOOP),
            "loops_full": In(1),
            "halting": Out(1),
            "halted": Out(1),
            "idle": In(len(Engine) - 1),
            "commands": Out(stream.Signature(COMMAND)).array(len(Engine) - 1),
            "waits": Out(stream.Signature(SEMAPHORE_OPERATION)),
            "posts": Out(stream.Signature(SEMAPHORE_OPERATION)),
            "scalar_read": Out(interfaces.read_port(4)),
            "scalar_write": Out(interfaces.write_port(4)),
            "fault": engine["fault"],
            "activity": Out(ACTIVITY_BITS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.alu = alu = Alu()
        m.submodules.scalar = scalar = ScalarAccess(self._config)
        wiring.connect(m, scalar.read, wiring.flipped(self.scalar_read))
        wiring.connect(m, scalar.write, wiring.flipped(self.scalar_write))
        now, finished, address = self.now, Signal(), Signal(32)
        m.d.comb += [
            address.eq(now.x + now.operand),
            finished.eq(1),
            self.activity.eq(Activity.BUSY),
            alu.function.eq(now.function), alu.condition.eq(now.condition),
            alu.a.eq(now.x), alu.b.eq(now.operand), alu.start.eq(self.act & now.alu),
            scalar.address.eq(address), scalar.value.eq(now.y),
            scalar.load.eq(self.act & now.load), scalar.store.eq(self.act & now.store),
        ]
        self._control(m, alu, address)
        self._synchronise(m, finished)
        self._dispatch(m, address, finished)
        with m.If(now.alu):
            m.d.comb += finished.eq(alu.done)
        with m.If(now.load | now.store):
            m.d.comb += finished.eq(scalar.done)
        self._check(m, scalar, address)
        m.d.comb += [
            self.done.eq(self.act & finished & ~self.fault.valid),
            self.write.valid.eq(self.done & now.writes),
            self.write.index.eq(field(now.word, RegisterForm, "rd")),
            self.write.value.eq(Mux(now.load, scalar.data, alu.result)),
        ]
        with m.If(~self.done):
            self._explain(m)
        return m

    def _control(self, m: Module, alu: Alu, count: Signal) -> None:
        """Branches and loops."""
        now, following = self.now, Signal(32)
        end = following + field(now.word, LoopInstruction, "length")
        m.d.comb += [
            following.eq(self.pc + 1),
            self.enters.eq(now.loop & (count != 0)),
            self.loop.start.eq(following), self.loop.end.eq(end), self.loop.remaining.eq(count),
            self.leaves.eq((now.branch & alu.holds) | self.enters),
            self.target.eq(Mux(now.loop, following,
                               self.pc + field(now.word, BranchForm, "imm"))),
            self.sequel.eq(Mux(now.loop, end, following)),
        ]

    def _synchronise(self, m: Module, finished: Signal) -> None:
        now, operation = self.now, Signal(SEMAPHORE_OPERATION)
        awaited = (self.idle | ~field(now.word, Drain, "mask")[1:]).all()
        m.d.comb += [
            operation.semaphore.eq(field(now.word, Wait, "semaphore")),
            operation.n.eq(field(now.word, Wait, "n")),
            self.waits.payload.eq(operation), self.waits.valid.eq(self.act & now.wait),
            self.posts.payload.eq(operation), self.posts.valid.eq(self.act & now.post),
            self.halting.eq(self.act & now.halt),
            self.halted.eq(self.halting & self.idle.all()),
        ]
        for kind, ready in (("wait", self.waits.ready), ("post", self.posts.ready),
                            ("drain", awaited), ("halt", Const(0))):
            with m.If(now[kind]):
                m.d.comb += finished.eq(ready)

    def _dispatch(self, m: Module, address: Signal, finished: Signal) -> None:
        now = self.now
        for engine, commands in enumerate(self.commands, 1):
            m.d.comb += [
                commands.valid.eq(self.act & now.dispatch & (now.engine == engine)),
                commands.payload.word.eq(now.word),
                commands.payload.a.eq(address), commands.payload.b.eq(now.y),
            ]
        with m.If(now.dispatch):
            ready = Array([Const(0), *(commands.ready for commands in self.commands)])
            m.d.comb += finished.eq(ready[now.engine])

    def _check(self, m: Module, scalar: ScalarAccess, address: Signal) -> None:
        now, fault, cause = self.now, self.fault.payload, Signal(Cause)
        m.d.comb += [
            self.fault.valid.eq(self.act & (cause != Cause.NONE)),
            fault.cause.eq(cause), fault.address.eq(address), cause.eq(now.error),
        ]
        with m.If(now.error == Cause.ILLEGAL):
            m.d.comb += fault.address.eq(now.word)
        with m.Elif(now.error != Cause.NONE):
            m.d.comb += fault.address.eq(self.pc * WORD_BYTES)
        with m.Elif(now.trap):
            m.d.comb += cause.eq(Cause.TRAP)
        with m.Elif(now.load | now.store):
            m.d.comb += cause.eq(scalar.cause)
        with m.Elif(now.loop):
            m.d.comb += fault.address.eq(self.pc)
            with m.If(field(now.word, LoopInstruction, "length") == 0):
                m.d.comb += cause.eq(Cause.ILLEGAL)
            with m.Elif(self.enters & self.loops_full):
                m.d.comb += cause.eq(Cause.LOOP)

    def _explain(self, m: Module) -> None:
        """What an unfinished instruction waits for; arithmetic of several cycles is busy."""
        reasons = {
            Activity.SEMAPHORE: self.now.wait | self.now.post,
            Activity.OVERHEAD: self.now.drain | self.now.halt,
            Activity.HAZARD: self.now.dispatch,
            Activity.MEMORY: self.now.load | self.now.store,
        }
        for activity, reason in reasons.items():
            with m.If(reason):
                m.d.comb += self.activity.eq(activity)
