"""Which of a DMA's faults is reported."""

from amaranth.hdl import Module
from amaranth.lib import data
from amaranth.lib.wiring import PureInterface

from hw.isa.host import Cause


def report(m: Module, fault: PureInterface, decoder: PureInterface,
           generator: PureInterface, bus_error: data.View) -> None:
    """Drives `fault`; what lies further on in the pipeline is earlier in the program."""
    with m.If(bus_error.valid):
        m.d.comb += [
            fault.valid.eq(1), fault.payload.cause.eq(Cause.BUS),
            fault.payload.address.eq(bus_error.address),
        ]
    for source in (generator, decoder):
        with m.Elif(source.valid):
            m.d.comb += [fault.valid.eq(1), fault.payload.eq(source.payload)]
