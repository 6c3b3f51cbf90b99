"""Layouts of a captured kernel and of its body."""

from amaranth.lib import data

from hw.core.vector.operations import USAGE
from hw.isa.params import BODY_LENGTH, INPUT_STREAMS, OUTPUT_STREAMS

GATHER_STREAM = 3
"""Input stream whose parameters and port `gather` uses."""
SCATTER_STREAM = INPUT_STREAMS + 1
"""Output stream that `scatter` uses, counted after the input streams."""

KERNEL = data.StructLayout({
    "groups": 32, "length": range(BODY_LENGTH + 1), "buffer": 1,
    "sources": INPUT_STREAMS, "destinations": OUTPUT_STREAMS, "gather": 1,
    "illegal": 1, "word": 32, "gather_illegal": 1, "scatter_illegal": 1,
})
"""A kernel that waits to run.

buffer: which half of the body memory holds its body.
sources, destinations, gather: streams its body names, and whether it gathers.
illegal: it must not run; `word` is the low half of the offending instruction, if there is one.
gather_illegal, scatter_illegal: parameters that make executing these illegal.
"""

ENTRY = data.StructLayout({
    "usage": USAGE, "opcode": 8, "vd": 6, "va": 6, "vb": 6, "vc": 6, "swz": 6,
    "length": range(2 * BODY_LENGTH), "count": 32,
})
"""An instruction of a body; `length` and `count` are those of `rep`."""
