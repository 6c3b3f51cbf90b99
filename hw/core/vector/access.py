"""Accesses of the vector unit to local memory, and their check."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hw.config import AcceleratorConfig
from hw.core.interfaces import FAULT
from hw.isa.dtypes import DType
from hw.isa.host import ACCUMULATOR_BASE, Cause


def beat_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One step through the lanes of a group: at most one access to memory.

    address, bytes: what is accessed, if `access` is set.
    lanes: valid lanes of the group; `lane` is the one this beat is for, unless it is
        `contiguous`: then it is for all of them.
    first, last: beat of the group.
    fault: cause (0 for none) and address of the error the access would be.
    """
    return data.StructLayout({
        "address": 32, "bytes": range(4 * config.lanes + 1),
        "lane": range(config.lanes), "lanes": range(config.lanes + 1),
        "first": 1, "last": 1, "access": 1, "contiguous": 1, "fault": FAULT,
    })


def log2_size(dtype: Value) -> Value:
    """0, 1 or 2: logarithm of the element's bytes."""
    sizes = Const(sum((t.size.bit_length() - 1) << (2 * t) for t in DType), 2 * len(DType))
    return sizes.bit_select(dtype << 1, 2)


def check_access(m: Module, config: AcceleratorConfig, beat: data.View, size: Value) -> None:
    """Drives `beat.fault` from its address, bytes and the logarithm of its element size.

    The error is that of the access's first bad element: all of them are misaligned alike; the
    first one outside of a memory is the access's own first or the one at the memory's end.
    """
    address = beat.address
    last, limit = Signal(32), Signal(32)
    scratchpad_end = config.scratchpad_bytes
    accumulator_end = ACCUMULATOR_BASE + config.accumulator_bytes
    misaligned = ((size >= 1) & address[0]) | ((size >= 2) & address[1])
    m.d.comb += [
        last.eq(address + beat.bytes - 1),
        limit.eq(Mux(address[31], accumulator_end, scratchpad_end)),
    ]

    def outside(position: Value) -> Value:
        inside = Mux(position[31], position < accumulator_end, position < scratchpad_end)
        return ~inside

    starts_outside = outside(address)
    with m.If(beat.access & misaligned):
        m.d.comb += [beat.fault.cause.eq(Cause.MISALIGNED), beat.fault.address.eq(address)]
    with m.Elif(beat.access & (starts_outside | outside(last))):
        m.d.comb += [
            beat.fault.cause.eq(Cause.LOCAL),
            beat.fault.address.eq(Mux(starts_outside, address, limit)),
        ]
