"""Where commands arrive: parameters are stored, kernels captured and checked."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.decode import field, is_a
from hw.core.interfaces import COMMAND
from hw.core.vector.check import EntryCheck, stream_illegal
from hw.core.vector.kernel import ENTRY, GATHER_STREAM, KERNEL, SCATTER_STREAM
from hw.core.vector.operations import decode_usage
from hw.core.vector.parameters import PARAMETERS, ParameterFile
from hw.isa.dtypes import DType
from hw.isa.params import BODY_LENGTH, INPUT_STREAMS
from hw.isa.sync import Set
from hw.isa.vector import Rep, Run, TernaryForm


class FrontEnd(wiring.Component):
    """Takes commands up to the end of a kernel's body, then holds the kernel until it is taken.

    So parameters do not change while a kernel waits, and the body of the next one is captured
    while one runs. What is wrong with a kernel is reported with it, to be in order.

    Members:
        commands: `set`, `run` and body instructions.
        parameters: the parameter file.
        kernel: a complete kernel, its body in half `buffer` of the body memory.
        fetch: address in the body memory, `buffer` the highest bit; `entry` is what is there.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({
            "commands": In(stream.Signature(COMMAND)),
            "parameters": Out(PARAMETERS),
            "kernel": Out(stream.Signature(KERNEL)),
            "fetch": In(range(2 * BODY_LENGTH)),
            "entry": Out(ENTRY),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kernel, command = self.kernel.payload, self.commands.payload
        found = Signal(KERNEL)
        position = Signal(range(BODY_LENGTH))
        accepted = Signal()
        self._scatter, self._capturing = Signal(), Signal()
        m.d.comb += [
            self.commands.ready.eq(~self.kernel.valid),
            accepted.eq(self.commands.valid & self.commands.ready),
            kernel.eq(found), kernel.illegal.eq(found.illegal | self._illegal(found)),
            kernel.gather_illegal.eq(self._gather_illegal()),
            kernel.scatter_illegal.eq(self._stream_illegal(SCATTER_STREAM)),
        ]
        self._store_parameters(m, accepted & ~self._capturing)
        with m.If(self.kernel.valid & self.kernel.ready):
            m.d.sync += [self.kernel.valid.eq(0), found.buffer.eq(~found.buffer)]
        with m.If(accepted & ~self._capturing):
            self._begin(m, found, position, command)
        check = self._store_entry(m, found, position, command, accepted & self._capturing)
        with m.If(accepted & self._capturing):
            self._continue(m, found, position, command, check)
        return m

    def _store_parameters(self, m: Module, accepted: Value) -> None:
        m.submodules.file = file = ParameterFile()
        word = self.commands.payload.word
        m.d.comb += [
            file.write.eq(accepted & is_a(word, Set)),
            file.index.eq(field(word, Set, "index")), file.value.eq(self.commands.payload.a),
            self.parameters.eq(file.values),
        ]

    def _begin(self, m: Module, found: data.View, position: Signal, command: data.View) -> None:
        length = field(command.word, Run, "length")
        starts = is_a(command.word, Run)
        sound = starts & length.any() & (length <= BODY_LENGTH)
        with m.If(~is_a(command.word, Set)):
            m.d.sync += [
                self._capturing.eq(sound), self.kernel.valid.eq(~sound), position.eq(0),
                found.groups.eq(command.a), found.length.eq(length),
                Cat(found.sources, found.destinations, found.gather, self._scatter).eq(0),
                found.illegal.eq(~sound), found.word.eq(Mux(sound, 0, command.word[:32])),
            ]

    def _store_entry(self, m: Module, found: data.View, position: Signal, command: data.View,
                     enter: Value) -> EntryCheck:
        """Decodes an instruction into the body memory and checks it."""
        m.submodules.body = body = Memory(shape=ENTRY, depth=2 * BODY_LENGTH, init=[])
        m.submodules.check = check = EntryCheck(self.config)
        write, read = body.write_port(), body.read_port(domain="comb")
        entry, word = Signal(ENTRY), command.word
        m.d.comb += [
            entry.usage.eq(decode_usage(m, word[:8], self.config)), entry.opcode.eq(word[:8]),
            entry.length.eq(field(word, Rep, "length")), entry.count.eq(command.a),
            *(entry[name].eq(field(word, TernaryForm, name))
              for name in ("vd", "va", "vb", "vc", "swz")),
            write.addr.eq(Cat(position, found.buffer)), write.data.eq(entry), write.en.eq(enter),
            read.addr.eq(self.fetch), self.entry.eq(read.data),
            check.entry.eq(entry), check.enter.eq(enter),
            check.position.eq(position), check.length.eq(found.length),
        ]
        return check

    def _continue(self, m: Module, found: data.View, position: Signal, command: data.View,
                  check: EntryCheck) -> None:
        usage = check.entry.usage
        complete = (position + 1 == found.length) | ~usage.body
        m.d.sync += [
            position.eq(position + 1),
            self._capturing.eq(~complete), self.kernel.valid.eq(complete),
            found.sources.eq(found.sources | check.sources),
            found.destinations.eq(found.destinations | check.destinations),
            found.gather.eq(found.gather | usage.gather),
            self._scatter.eq(self._scatter | usage.scatter),
        ]
        with m.If(check.illegal & ~found.illegal):
            m.d.sync += [found.illegal.eq(1), found.word.eq(command.word[:32])]

    def _illegal(self, found: data.View) -> Value:
        """What is wrong with the kernel as a whole."""
        used = Cat(found.sources, found.destinations)
        streams = Cat(self._stream_illegal(i) for i in range(len(used)))
        indexed = (found.gather & found.sources[3]) | (self._scatter & found.destinations[1])
        strip = self.parameters.strip
        return (used & streams).any() | indexed | (strip == 0) | (strip > self.config.strip_groups)

    def _stream_illegal(self, number: int) -> Value:
        parameters = self.parameters.streams[number]
        return stream_illegal(parameters, is_output=number >= INPUT_STREAMS)

    def _gather_illegal(self) -> Value:
        fetches_nothing = self.parameters.streams[GATHER_STREAM].type == DType.ADDR
        return self._stream_illegal(GATHER_STREAM) | fetches_nothing
