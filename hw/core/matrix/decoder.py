"""Commands of the matrix unit to jobs of its two halves."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.config import AcceleratorConfig
from hw.core.decode import field, is_a
from hw.core.interfaces import COMMAND, FAULT
from hw.core.matrix.fetcher import load_job
from hw.core.matrix.nest import multiply_job
from hw.core.matrix.transposer import TICKET_BITS
from hw.isa.host import Cause, Engine
from hw.isa.matrix import LoadWeights, Multiply
from hw.isa.params import LEVELS, PARAMETER_COUNT, MatrixParam
from hw.isa.sync import Set


class MatrixDecoder(wiring.Component):
    """Keeps the parameters and hands each work command a snapshot of them.

    Members:
        commands: legal words for this engine, `wait` and `post` excepted.
        loads, multiplies: jobs in program order.
        room: a work command may be passed on.
        idle: everything passed on has retired; an illegal command is reported then.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({
            "commands": In(stream.Signature(COMMAND)),
            "loads": Out(stream.Signature(load_job(config))),
            "multiplies": Out(stream.Signature(multiply_job(config))),
            "room": In(1),
            "idle": In(1),
            "fault": Out(wiring.Signature({"valid": Out(1), "payload": Out(FAULT)})),
            "stop": In(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, a = self.commands.payload.word, self.commands.payload.a
        parameters = Signal(data.ArrayLayout(32, PARAMETER_COUNT[Engine.MATRIX]))
        is_set, is_load, illegal = Signal(), Signal(), Signal()
        free = self.room & ~illegal & ~self.stop
        m.d.comb += [
            is_set.eq(is_a(word, Set)),
            is_load.eq(is_a(word, LoadWeights)),
            illegal.eq(Mux(is_set, field(word, Set, "index") >= len(parameters),
                           is_load & self._bad_tile(word, parameters))),
            self.loads.valid.eq(self.commands.valid & is_load & free),
            self.multiplies.valid.eq(self.commands.valid & is_a(word, Multiply) & free),
            self.commands.ready.eq(~self.stop & ~illegal & Mux(
                is_set, 1, self.room & Mux(is_load, self.loads.ready, self.multiplies.ready))),
            self.fault.valid.eq(self.commands.valid & illegal & self.idle),
            self.fault.payload.cause.eq(Cause.ILLEGAL),
            self.fault.payload.address.eq(word),
        ]
        with m.If(self.commands.valid & self.commands.ready & is_set):
            m.d.sync += parameters[field(word, Set, "index")].eq(a)
        self._jobs(m, parameters)
        return m

    def _bad_tile(self, word: Value, parameters: data.View) -> Value:
        k, n = parameters[MatrixParam.K], parameters[MatrixParam.N]
        size = (k == 0) | (k > self._config.array_rows) | (n == 0) | (n > self._config.array_cols)
        return size if self._config.int8 else size | field(word, LoadWeights, "integer")

    def _jobs(self, m: Module, parameters: data.View) -> None:
        """The tickets say which tile belongs to which `matmul`, whatever overlaps."""
        word, load, multiply = self.commands.payload.word, self.loads, self.multiplies
        loads, swaps = Signal(TICKET_BITS), Signal(TICKET_BITS)
        kind = data.StructLayout({"k": range(self._config.array_rows + 1), "integer": 1})
        loaded, active, used = Signal(kind), Signal(kind), Signal(kind)
        tile, flags = load.payload.tile, multiply.payload.flags
        m.d.comb += [
            load.payload.base.eq(self.commands.payload.a),
            load.payload.stride.eq(parameters[MatrixParam.WSTRIDE]),
            load.payload.transposed.eq(field(word, LoadWeights, "transposed")),
            tile.k.eq(parameters[MatrixParam.K]),
            tile.n.eq(parameters[MatrixParam.N]),
            tile.integer.eq(field(word, LoadWeights, "integer")),
            tile.diagonal.eq(field(word, LoadWeights, "diagonal")),
            tile.ticket.eq(swaps),
            multiply.payload.activation.eq(self.commands.payload.a),
            multiply.payload.row.eq(self.commands.payload.b),
            multiply.payload.bounds.eq(self._levels(parameters, MatrixParam.BOUND1)),
            multiply.payload.activation_strides.eq(self._levels(parameters, MatrixParam.ASTRIDE1)),
            multiply.payload.row_strides.eq(self._levels(parameters, MatrixParam.CSTRIDE1)),
            flags.accumulate.eq(field(word, Multiply, "accumulate")),
            flags.swap.eq(field(word, Multiply, "swap")),
            flags.ticket.eq(loads),
            used.eq(Mux(flags.swap, loaded, active)),
            flags.k.eq(used.k),
            flags.integer.eq(used.integer),
        ]
        with m.If(load.valid & load.ready):
            m.d.sync += [loads.eq(loads + 1), loaded.k.eq(tile.k), loaded.integer.eq(tile.integer)]
        with m.If(multiply.valid & multiply.ready):
            m.d.sync += [swaps.eq(swaps + flags.swap), active.eq(used)]

    def _levels(self, parameters: data.View, first: MatrixParam) -> Value:
        return Cat(parameters[first + n] for n in range(LEVELS))
