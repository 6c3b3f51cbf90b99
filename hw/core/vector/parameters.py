"""The parameter file of the vector unit."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.isa.params import (
    CONSTANTS,
    INPUT_STREAMS,
    OUTPUT_STREAMS,
    PARAMETER_COUNT,
    VECTOR_STRIP,
    StreamParam,
    constant,
    input_stream,
)

STREAM_PARAMETERS = data.StructLayout({parameter.name.lower(): 32 for parameter in StreamParam})
"""The parameters of one stream by their lower-case names."""

PARAMETERS = data.StructLayout({
    "strip": 32,
    "constants": data.ArrayLayout(32, CONSTANTS),
    "streams": data.ArrayLayout(STREAM_PARAMETERS, INPUT_STREAMS + OUTPUT_STREAMS),
})
"""Everything a kernel takes a snapshot of; input streams come first."""


class ParameterFile(wiring.Component):
    """Registers written by `set`; indices that mean nothing are accepted and forgotten.

    Members:
        write: store `value` under `index`.
        values: what is stored, from the next cycle on.
    """

    write: In(1)
    index: In(range(PARAMETER_COUNT[4]))
    value: In(32)
    values: Out(PARAMETERS)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.write), m.Switch(self.index):
            for index, register in self._registers().items():
                with m.Case(index):
                    m.d.sync += register.eq(self.value)
        return m

    def _registers(self) -> dict[int, Signal]:
        values = self.values
        registers = {VECTOR_STRIP: values.strip}
        registers |= {constant(k): values.constants[k] for k in range(CONSTANTS)}
        for stream in range(INPUT_STREAMS + OUTPUT_STREAMS):
            registers |= {
                input_stream(stream, parameter): values.streams[stream][parameter.name.lower()]
                for parameter in StreamParam
            }
        return registers
