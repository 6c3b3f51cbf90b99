"""Starting and stopping of the machine, and what is kept of how it ended."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.core.interfaces import FAULT
from hw.isa.host import Cause, Engine

ENGINE_FAULT = data.StructLayout({"valid": 1, "fault": FAULT})
OUTCOME = data.StructLayout({
    "done": 1, "error": 1, "cause": Cause, "engine": range(len(Engine)), "address": 32,
    "pc": 32, "cycles": 64,
})
"""How far the machine has come, or how it ended; `done` and `error` only once it has stopped."""
SETTLE_CYCLES = 8
"""The bus is quiet when nothing has been on its way for so long: more than the cycles
from an engine's decision to start a burst to the burst."""


class RunControl(wiring.Component):
    """Runs the machine from `start` to its end.

    While it does not run, the machine is held in reset, so each start finds it as new. An end is
    `halted`, a fault, the watchdog or a request of the host; `stop` is then kept up
    until the bus is quiet, since a reset before would leave bursts without their owner.

    Members:
        start, abort: requests of the host; start counts while idle only.
        watchdog: cycle limit, zero for none.
        faults: of each engine; of several in one cycle the lowest engine's counts.
        halted, pc: of the sequencer. quiet: of the bus.
        reset, stop: to the machine. running: this cycle counts. busy: not idle.
        begins, ends: one-cycle pulses when a run is accepted, and when its outcome is there.
    """

    def __init__(self) -> None:
        super().__init__({
            "start": In(1),
            "abort": In(1),
            "watchdog": In(64),
            "faults": In(data.ArrayLayout(ENGINE_FAULT, len(Engine))),
            "halted": In(1),
            "pc": In(32),
            "quiet": In(1),
            "reset": Out(1),
            "stop": Out(1),
            "running": Out(1),
            "busy": Out(1),
            "begins": Out(1),
            "ends": Out(1),
            "outcome": Out(OUTCOME),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        outcome = self.outcome
        failed = Signal()
        settled = Signal(range(SETTLE_CYCLES + 1))
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += [self.reset.eq(1), self.begins.eq(self.start)]
                with m.If(self.start):
                    m.d.sync += [outcome.eq(0), failed.eq(0), settled.eq(0)]
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.sync += [outcome.cycles.eq(outcome.cycles + 1), outcome.pc.eq(self.pc)]
                with m.If(self._error(m)):
                    m.d.sync += failed.eq(1)
                    m.next = "SETTLE"
                with m.Elif(self.halted):
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.d.sync += settled.eq(Mux(self.quiet, settled + 1, 0))
                with m.If(settled == SETTLE_CYCLES):
                    m.d.comb += self.ends.eq(1)
                    m.d.sync += [outcome.done.eq(~failed), outcome.error.eq(failed)]
                    m.next = "IDLE"
        m.d.comb += [
            self.running.eq(fsm.ongoing("RUN")), self.stop.eq(fsm.ongoing("SETTLE")),
            self.busy.eq(~fsm.ongoing("IDLE")),
        ]
        return m

    def _error(self, m: Module) -> Signal:
        """Whether the run ends with an error now; records which."""
        error, outcome = Signal(), self.outcome
        late = (self.watchdog != 0) & (outcome.cycles >= self.watchdog)
        with m.If(Cat(self.faults[engine].valid for engine in Engine).any()):
            m.d.comb += error.eq(1)
            for engine in reversed(Engine):  # the last assignment wins
                with m.If(self.faults[engine].valid):
                    m.d.sync += [
                        outcome.cause.eq(self.faults[engine].fault.cause),
                        outcome.engine.eq(engine),
                        outcome.address.eq(self.faults[engine].fault.address),
                    ]
        with m.Elif(late & ~self.halted):
            m.d.comb += error.eq(1)
            m.d.sync += [outcome.cause.eq(Cause.WATCHDOG), outcome.address.eq(self.pc)]
        with m.Elif(self.abort & ~self.halted):
            m.d.comb += error.eq(1)
        return error
