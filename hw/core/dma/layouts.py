"""What the stages of a DMA hand to each other."""

from amaranth.lib import data, enum

from hw.isa.host import Engine
from hw.isa.params import PARAMETER_COUNT

PARAMETERS = PARAMETER_COUNT[Engine.LOAD]

WINDOW = data.StructLayout({"base": 64, "size": 32, "readable": 1, "writable": 1})
"""A region of DRAM the host has granted. `base` is a multiple of the bus width."""


class Conversion(enum.Enum, shape=2):  # type: ignore[call-arg]
    """What happens to an element on the way from the source to the destination."""

    NONE = 0
    NARROW = 1
    """f32 to bf16."""
    WIDEN = 2
    """bf16 to f32."""


TRANSFER = data.StructLayout({
    "dram": 32,
    "local": 32,
    "window": 3,
    "dram_scale": 2,
    "local_scale": 2,
    "conversion": Conversion,
    "indexed": 1,
    "parameters": data.ArrayLayout(32, PARAMETERS),
})
"""A work command with the parameters it sees. A scale is log2 of an element size in bytes."""

SHAPE = data.StructLayout({"lead": 32, "count": 32, "tail": 32})
"""Level 0 of a transfer: elements before, in and after the range that is copied. With a count of
zero the others mean nothing."""

ROW = data.StructLayout({
    "address": 64,
    "dram": 32,
    "local": 32,
    "exists": 1,
    "copy": 1,
    "last": 1,
})
"""One row. `address` and `dram` are the bus address and the window offset of the first copied
element, `local` that of element 0 (load) or of the first copied element (store). Without `copy`
the row is all padding; without `exists` the transfer has no rows and this only ends it."""
