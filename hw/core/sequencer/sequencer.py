"""The sequencer: runs the program and feeds the engines."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.dma.layouts import WINDOW
from hw.core.interfaces import ACTIVITY_BITS, COMMAND
from hw.core.sequencer.execute import Execute
from hw.core.sequencer.fetch import Fetch
from hw.core.sequencer.issue import ISSUED, Issue
from hw.core.sequencer.loops import LoopStack
from hw.core.sequencer.semaphores import SEMAPHORE_OPERATION
from hw.isa.host import Activity, Engine


class Sequencer(wiring.Component):
    """Fetch, issue, execute: three stages, one instruction per cycle.

    An instruction is executed at `pc` once everything before it has been; the stages before
    execution only predict. An instruction that does not go on where the prediction went drops
    what follows it, which costs two cycles.

    Members:
        entry: first instruction. window: of the program. stop: execute nothing more.
        commands: to the queues of engines 1 to 4. idle: of the queues.
        waits, posts: to the semaphores.
        scalar_read, scalar_write: ports of local memory. bus: AXI read channels.
        pc: instruction being executed or waited for; in the end that of the fault or of `halt`.
        halted: the program has ended and all engines have finished.
        fault, activity: as of every engine.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        engine = interfaces.engine(config)
        super().__init__({
            "entry": In(32),
            "window": In(WINDOW),
            "stop": engine["stop"],
            "commands": Out(stream.Signature(COMMAND)).array(len(Engine) - 1),
            "idle": In(len(Engine) - 1),
            "waits": Out(stream.Signature(SEMAPHORE_OPERATION)),
            "posts": Out(stream.Signature(SEMAPHORE_OPERATION)),
            "scalar_read": Out(interfaces.read_port(4)),
            "scalar_write": Out(interfaces.write_port(4)),
            "bus": Out(interfaces.axi_read(config)),
            "pc": Out(32),
            "halted": Out(1),
            "fault": engine["fault"],
            "activity": Out(ACTIVITY_BITS),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch = fetch = Fetch(self._config)
        m.submodules.issue = issue = Issue()
        m.submodules.execute = execute = Execute(self._config)
        m.submodules.loops = loops = LoopStack()
        wiring.connect(m, fetch.bus, wiring.flipped(self.bus))
        for port in ("scalar_read", "scalar_write", "waits", "posts", "fault"):
            wiring.connect(m, getattr(execute, port), wiring.flipped(getattr(self, port)))
        for number, commands in enumerate(self.commands):
            wiring.connect(m, execute.commands[number], wiring.flipped(commands))
        valid, running = Signal(), Signal()
        next_pc = self._follow(m, execute, loops, valid)
        m.d.sync += running.eq(1)
        m.d.comb += [
            fetch.redirect.valid.eq(~running | (execute.done & (next_pc != execute.now.next_pc))),
            fetch.redirect.pc.eq(Mux(running, next_pc, self.entry)),
            fetch.window.eq(self.window), fetch.run.eq(~self.stop & ~execute.halting),
            execute.idle.eq(self.idle), execute.pc.eq(self.pc),
            self.halted.eq(execute.halted),
        ]
        with m.If(~running | execute.done):
            m.d.sync += self.pc.eq(fetch.redirect.pc)
        self._move(m, fetch, issue, execute, valid)
        self._predict(m, fetch, execute, loops, valid)
        self._report_activity(m, execute, valid)
        return m

    def _follow(self, m: Module, execute: Execute, loops: LoopStack, valid: Signal) -> Signal:
        """Where the executing instruction goes on, and what that does to the loops."""
        next_pc = Signal(32)
        m.d.comb += [
            loops.at.eq(execute.sequel),
            loops.arrive.eq(valid & ~execute.leaves & ~self.stop),
            loops.commit.eq(execute.done),
            loops.push.eq(execute.done & execute.enters),
            loops.loop.eq(execute.loop),
            execute.loops_full.eq(loops.full),
            execute.act.eq(valid & ~self.stop & (execute.leaves | loops.settled)),
            next_pc.eq(Mux(execute.leaves, execute.target, loops.next_pc)),
        ]
        return next_pc

    def _move(self, m: Module, fetch: Fetch, issue: Issue, execute: Execute, valid: Signal) -> None:
        """Instructions from stage to stage."""
        now = Signal(ISSUED)
        advance = ~valid | execute.done
        m.d.comb += [
            issue.fetched.eq(fetch.output.payload), issue.write.eq(execute.write),
            execute.now.eq(now), fetch.output.ready.eq(advance),
        ]
        with m.If(advance):
            m.d.sync += [now.eq(issue.issued), valid.eq(fetch.output.valid & ~fetch.redirect.valid)]

    def _predict(self, m: Module, fetch: Fetch, execute: Execute, loops: LoopStack, valid: Signal
                 ) -> None:
        ahead = fetch.output.valid & fetch.output.payload.ends_loop
        m.d.comb += [
            loops.fetch_pc.eq(fetch.pc),
            loops.in_flight.eq(ahead + (valid & execute.now.ends_loop)),
            fetch.predicted.eq(loops.fetch_next),
            fetch.ends_loop.eq(loops.fetch_ends),
        ]

    def _report_activity(self, m: Module, execute: Execute, valid: Signal) -> None:
        with m.If(execute.halted | self.fault.valid):
            m.d.comb += self.activity.eq(Activity.IDLE)
        with m.Elif(~valid):
            m.d.comb += self.activity.eq(Activity.MEMORY)
        with m.Elif(execute.act):
            m.d.comb += self.activity.eq(execute.activity)
        with m.Else():
            m.d.comb += self.activity.eq(Activity.OVERHEAD)
