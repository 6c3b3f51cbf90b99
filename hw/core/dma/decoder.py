"""Commands to transfers: the parameter file and the legality of a command."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.core.decode import field, is_a
from hw.core.dma.layouts import PARAMETERS, TRANSFER, Conversion
from hw.core.interfaces import COMMAND, FAULT
from hw.isa.dma import DmaForm
from hw.isa.dtypes import DType
from hw.isa.host import Cause
from hw.isa.sync import Set


class Decoder(wiring.Component):
    """Performs `set`, and presents a work command until the transfer's rows have been taken.

    Nothing behind a presented command is decoded, so its parameters need no copy. An
    illegal command is reported and blocks the queue.

    Args:
        form: the work instruction of the engine.
        narrow: (DRAM type, local type) of the transfer that turns f32 into bf16.
    """

    def __init__(self, form: type[DmaForm], *, narrow: tuple[DType, DType]) -> None:
        self._form = form
        self._narrow = narrow
        super().__init__({
            "commands": In(stream.Signature(COMMAND)),
            "transfer": Out(stream.Signature(TRANSFER)),
            "fault": Out(wiring.Signature({"valid": Out(1), "payload": Out(FAULT)})),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word = self.commands.payload.word
        is_set = is_a(word, Set)
        is_work = is_a(word, self._form) & self._types_legal(word)
        index = field(word, Set, "index")
        parameters = Signal(data.ArrayLayout(32, PARAMETERS))
        legal = Signal()
        m.d.comb += [
            legal.eq(Mux(is_set, index < PARAMETERS, is_work)),
            self.transfer.valid.eq(self.commands.valid & is_work),
            self.commands.ready.eq(legal & (is_set | self.transfer.ready)),
            self.fault.valid.eq(self.commands.valid & ~legal),
            self.fault.payload.cause.eq(Cause.ILLEGAL),
            self.fault.payload.address.eq(word),
        ]
        with m.If(self.commands.valid & is_set):
            m.d.sync += parameters[index].eq(self.commands.payload.a)
        self._present(m, parameters)
        return m

    def _present(self, m: Module, parameters: data.View) -> None:
        transfer, word = self.transfer.payload, self.commands.payload.word
        m.d.comb += [
            transfer.dram.eq(self.commands.payload.a),
            transfer.local.eq(self.commands.payload.b),
            transfer.window.eq(field(word, self._form, "window")),
            transfer.dram_scale.eq(_scale(field(word, self._form, "dram_type"))),
            transfer.local_scale.eq(_scale(field(word, self._form, "local_type"))),
            transfer.indexed.eq(field(word, self._form, "indexed")),
            transfer.parameters.eq(parameters),
        ]
        with m.If(self._types_are(word, *self._narrow)):
            m.d.comb += transfer.conversion.eq(Conversion.NARROW)
        with m.Elif(self._types_are(word, *reversed(self._narrow))):
            m.d.comb += transfer.conversion.eq(Conversion.WIDEN)

    def _types_are(self, word: Value, dram: DType, local: DType) -> Value:
        return ((field(word, self._form, "dram_type") == dram)
                & (field(word, self._form, "local_type") == local))

    def _types_legal(self, word: Value) -> Value:
        dram = field(word, self._form, "dram_type")
        same = (dram == field(word, self._form, "local_type")) & (dram < DType.ADDR)
        return (same | self._types_are(word, *self._narrow)
                | self._types_are(word, *reversed(self._narrow)))


def _scale(dtype: Value) -> Value:
    """log2 of an element's size in bytes."""
    result: Value = Const(0, 2)
    for size in (2, 4):
        codes = [code for code in DType if code.size == size]
        result = Mux(dtype.matches(*codes), exact_log2(size), result)
    return result
