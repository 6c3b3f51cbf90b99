"""The vector unit."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Member, Out

from hw.config import AcceleratorConfig
from hw.core import interfaces
from hw.core.vector.control import Control
from hw.core.vector.fetch import Fetch
from hw.core.vector.front import FrontEnd
from hw.core.vector.input_stream import InputStream
from hw.core.vector.issue import Issue
from hw.core.vector.kernel import GATHER_STREAM
from hw.core.vector.lanes import Lanes
from hw.core.vector.micro import micro_layout
from hw.core.vector.operands import Operands
from hw.core.vector.operations import LANE_CONTROL, decode_control
from hw.core.vector.writer import Writer
from hw.isa.host import Activity
from hw.isa.params import CONSTANTS, INPUT_STREAMS, OUTPUT_STREAMS


class VectorUnit(wiring.Component):
    """Engine 4: kernels over streams, as section 7 of `docs/architecture.md` defines them.

    Members, besides those of every engine (`hw.core.interfaces.engine`):
        stream0 to stream3, stream_out0, stream_out1: ports to local memory.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        width = 4 * config.lanes
        ports: dict[str, Member] = {
            f"stream{i}": Out(interfaces.read_port(width)) for i in range(INPUT_STREAMS)
        }
        ports |= {f"stream_out{i}": Out(interfaces.write_port(width))
                  for i in range(OUTPUT_STREAMS)}
        super().__init__(interfaces.engine(config) | ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        self._front, self._control = FrontEnd(config), Control()
        self._fetch, self._issue, self._writer = Fetch(config), Issue(config), Writer(config)
        self._streams = [InputStream(config, indexed=number == GATHER_STREAM)
                         for number in range(INPUT_STREAMS)]
        m.submodules.front, m.submodules.control = self._front, self._control
        m.submodules.fetch, m.submodules.issue = self._fetch, self._issue
        m.submodules.writer = self._writer
        for number, stream in enumerate(self._streams):
            m.submodules[f"stream{number}"] = stream
        self._connect_commands(m)
        self._connect_control(m)
        self._connect_streams(m)
        self._connect_pipeline(m)
        self._connect_writer(m)
        self._report_activity(m)
        return m

    def _connect_commands(self, m: Module) -> None:
        front, fetch, issue, control = self._front, self._fetch, self._issue, self._control
        wiring.connect(m, wiring.flipped(self.commands), front.commands)
        wiring.connect(m, front.kernel, control.kernel)
        wiring.connect(m, fetch.operation, issue.operation)
        m.d.comb += [
            fetch.load.eq(control.prepare), fetch.kernel.eq(front.kernel.payload),
            fetch.strip.eq(front.parameters.strip),
            front.fetch.eq(fetch.address), fetch.entry.eq(front.entry),
        ]

    def _connect_control(self, m: Module) -> None:
        control, issue = self._control, self._issue
        m.d.comb += [
            control.stop.eq(self.stop), control.outstanding.eq(issue.outstanding),
            control.issued.eq(self._fetch.done & issue.idle),
            control.write_fault.eq(self._writer.fault), control.issue_fault.eq(issue.fault),
            self.retire.eq(control.retire),
            self.fault.valid.eq(control.fault.valid),
            self.fault.payload.eq(control.fault.payload),
            issue.enable.eq(control.going), issue.completed.eq(self._writer.completed),
        ]
        kernel = self._front.kernel.payload
        with m.If(control.prepare):
            m.d.sync += [
                issue.gather_illegal.eq(kernel.gather_illegal),
                issue.scatter_illegal.eq(kernel.scatter_illegal),
            ]

    def _connect_streams(self, m: Module) -> None:
        control, issue, kernel = self._control, self._issue, self._front.kernel.payload
        used = Signal(INPUT_STREAMS)
        with m.If(control.prepare):
            m.d.sync += used.eq(kernel.sources | (kernel.gather << GATHER_STREAM))
        for number, stream in enumerate(self._streams):
            wiring.connect(m, wiring.flipped(getattr(self, f"stream{number}")), stream.memory)
            m.d.comb += [
                stream.parameters.eq(self._front.parameters.streams[number]),
                stream.load.eq(control.prepare), stream.enable.eq(control.going & used[number]),
                issue.available[number].eq(stream.available),
                issue.failure[number].eq(stream.failure),
                stream.take.eq(issue.take[number]),
            ]
        m.d.comb += self._streams[GATHER_STREAM].gather.eq(kernel.gather)

    def _connect_pipeline(self, m: Module) -> None:
        """Issue, then operands are chosen, then the lanes work, then results are written."""
        issue = self._issue
        m.submodules.operands = operands = Operands(self.config)
        m.submodules.lanes = lanes = Lanes(self.config)
        chosen, worked = (Signal(micro_layout(self.config), name=name)
                          for name in ("chosen", "worked"))
        control, constants = Signal(LANE_CONTROL), Signal(data.ArrayLayout(32, CONSTANTS))
        with m.If(self._control.prepare):
            m.d.sync += constants.eq(self._front.parameters.constants)
        m.d.sync += [
            # What is not issued must not look like a part of a special function to the lanes.
            chosen.eq(Mux(issue.valid, issue.micro.as_value(), 0)),
            worked.eq(chosen), control.eq(decode_control(m, chosen.opcode)),
        ]
        indices = self._streams[GATHER_STREAM].indices
        m.d.comb += [
            operands.issued.eq(issue.micro), operands.chosen.eq(chosen),
            operands.constants.eq(constants),
            *(operands.streams[number].eq(stream.data)
              for number, stream in enumerate(self._streams)),
            lanes.a.eq(operands.a), lanes.b.eq(operands.b), lanes.c.eq(operands.c),
            lanes.control.eq(control), lanes.step.eq(worked.step),
            indices.write.eq(worked.indices), indices.data.eq(operands.a),
            operands.target.eq(issue.target), operands.result.eq(lanes.result),
            self._writer.data.eq(lanes.result),
        ]

    def _connect_writer(self, m: Module) -> None:
        writer, control, target = self._writer, self._control, self._issue.target
        m.d.comb += [
            writer.load.eq(control.launch), writer.enable.eq(~control.halted),
            writer.push.eq(target.writer), writer.kind.eq(target.kind),
        ]
        for number in range(OUTPUT_STREAMS):
            wiring.connect(m, wiring.flipped(getattr(self, f"stream_out{number}")),
                           writer.memory[number])
            m.d.comb += writer.parameters[number].eq(
                self._front.parameters.streams[INPUT_STREAMS + number])

    def _report_activity(self, m: Module) -> None:
        issue = self._issue
        with m.If(issue.valid):
            m.d.comb += self.activity.eq(Activity.BUSY)
        with m.Elif(issue.waits_memory):
            m.d.comb += self.activity.eq(Activity.MEMORY)
        with m.Elif(issue.waits_hazard):
            m.d.comb += self.activity.eq(Activity.HAZARD)
        with m.Elif(self._control.active | self.commands.valid):
            m.d.comb += self.activity.eq(Activity.OVERHEAD)
        with m.Else():
            m.d.comb += self.activity.eq(Activity.IDLE)
