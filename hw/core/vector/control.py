"""When kernels start and end."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.core.interfaces import FAULT
from hw.core.vector.kernel import KERNEL
from hw.isa.host import Cause


class Control(wiring.Component):
    """Hands the unit from one kernel to the next.

    A kernel is *prepared* as soon as the one before has issued everything: its input side
    (streams, constants, body) is set up while the other's results are still being written.
    When these writes are accepted it is *launched*: its output side is set up, and its streams
    begin to read. Its parameters may change only after that.

    Members:
        kernel: the next one; taken when it is launched.
        stop: start nothing, and let nothing go on.
        issued: everything of the prepared kernel has been issued.
        outstanding: results are on their way to memory.
        write_fault, issue_fault: cause (0 for none) and address of an error.
        prepare, launch: set up the input side, the output side.
        going: from the launch on, until everything has been issued.
        retire: a kernel has ended.
        halted: stopped, or stopped by an error.
        fault: the first error, from the next cycle on.
        active: a kernel is prepared, running or draining.
    """

    kernel: In(stream.Signature(KERNEL))
    stop: In(1)
    issued: In(1)
    outstanding: In(1)
    write_fault: In(FAULT)
    issue_fault: In(FAULT)
    prepare: Out(1)
    launch: Out(1)
    going: Out(1)
    retire: Out(1)
    halted: Out(1)
    fault: Out(wiring.Signature({"valid": Out(1), "payload": Out(FAULT)}))
    active: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        prepared, running, draining = Signal(), Signal(), Signal()
        kernel = self.kernel.payload
        turn = prepared & ~(draining & self.outstanding) & ~self.halted
        m.d.comb += [
            self.halted.eq(self.stop | self.fault.valid),
            self.prepare.eq(self.kernel.valid & ~prepared & ~running & ~self.halted),
            self.launch.eq(turn & ~kernel.illegal),
            self.kernel.ready.eq(self.launch),
            self.going.eq((running | self.launch) & ~self.halted),
            self.retire.eq(draining & ~self.outstanding & ~self.halted),
            self.active.eq(prepared | running | draining),
        ]
        with m.If(self.prepare):
            m.d.sync += prepared.eq(1)
        with m.If(self.retire):
            m.d.sync += draining.eq(0)
        with m.If(self.launch):
            m.d.sync += [prepared.eq(0), running.eq(1)]
        with m.If(running & self.issued & ~self.halted):
            m.d.sync += [running.eq(0), draining.eq(1)]
        with m.If(turn & kernel.illegal):
            self._report(m, Cause.ILLEGAL, kernel.word)
        # What is older comes later, to win.
        for fault in (self.issue_fault, self.write_fault):
            with m.If(fault.cause.any() & ~self.halted):
                self._report(m, fault.cause, fault.address)
        return m

    def _report(self, m: Module, cause: object, address: object) -> None:
        m.d.sync += [
            self.fault.valid.eq(1),
            self.fault.payload.cause.eq(cause), self.fault.payload.address.eq(address),
        ]
