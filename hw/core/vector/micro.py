"""What the issue stage sends down the pipeline, one micro-operation a cycle."""

from amaranth.lib import data

from hw.config import AcceleratorConfig
from hw.core.vector.lane import STAGES
from hw.core.vector.lanes import special_steps
from hw.core.vector.writer import Kind
from hw.isa.vector import LANE_OPERAND

TRANSPOSED_OPERAND = LANE_OPERAND + 1
"""Code of a source that instructions cannot name: a column of the transposer."""

LATENCY = STAGES + 2
"""Cycles from issue to the cycle in which the result is written: operands, lanes, write."""


def target_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Where a result goes: to a `register`, to the `writer` as `kind`, or nowhere."""
    return data.StructLayout({
        "register": 1, "vd": 4, "group": range(config.strip_groups), "writer": 1, "kind": Kind,
    })


def micro_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One group (or, for special functions, a part of it) of one instruction.

    va, vb, vc: operand codes; uses_a, uses_b, uses_c: whether they count.
    group: of the registers read and written.
    step: part of the group, for special functions.
    indices, transposer: operand a goes to the gathering stream, b to the transposer.
    """
    return data.StructLayout({
        "opcode": 8, "va": 6, "vb": 6, "vc": 6, "uses_a": 1, "uses_b": 1, "uses_c": 1, "swz": 6,
        "group": range(config.strip_groups), "step": range(special_steps(config)),
        "indices": 1, "transposer": 1, "target": target_layout(config),
    })
