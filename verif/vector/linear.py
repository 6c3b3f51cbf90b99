"""Kernels over contiguous arrays, for counting cycles."""

from hw.config import AcceleratorConfig
from hw.isa.dtypes import DType
from hw.isa.encoding import Instruction, make
from hw.isa.host import Engine
from hw.isa.params import INPUT_STREAMS, VECTOR_STRIP, StreamParam, input_stream
from verif.vector.bench import Command

S0, S1, D0, D1 = 16, 17, 16, 17
"""Operand codes of streams."""


def set_parameter(index: int, value: int) -> Command:
    return make("set", engine=Engine.VECTOR, index=index), value & 0xFFFFFFFF


def set_stream(number: int, **values: int) -> list[Command]:
    """Sets parameters of a stream by their lower-case names; output streams follow inputs."""
    return [set_parameter(input_stream(number, StreamParam[name.upper()]), value)
            for name, value in values.items()]


def linear_stream(config: AcceleratorConfig, number: int, base: int, groups: int,
                  dtype: DType = DType.F32) -> list[Command]:
    """A stream of contiguous elements."""
    return set_stream(
        number, base=base, n0=config.lanes, stride0=dtype.size, lane_level=0,
        bound1=groups, bound2=1, bound3=1, bound4=1, stride1=config.lanes * dtype.size,
        stride2=0, stride3=0, stride4=0, type=dtype, fill=0, saturate=0,
    )


def kernel(groups: int, body: list[Instruction]) -> list[Command]:
    return [(make("run", length=len(body)), groups), *((op, getattr(op, "imm", 0)) for op in body)]


def chain(operations: int) -> list[Instruction]:
    """A fused chain of two inputs and one output; each operation needs the one before."""
    if operations == 1:
        return [make("fadd", vd=D0, va=S0, vb=S1)]
    return [
        make("fadd", vd=1, va=S0, vb=S1),
        *(make("fmul", vd=1, va=1, vb=1) for _ in range(operations - 2)),
        make("fmul", vd=D0, va=1, vb=1),
    ]


def chain_program(config: AcceleratorConfig, operations: int, groups: int, kernels: int
                  ) -> list[Command]:
    """So many equal kernels of `chain`, each preceded by the setting of its bases."""
    size = groups * config.lanes * 4
    assert 2 * size <= config.scratchpad_bytes
    program = [set_parameter(VECTOR_STRIP, config.strip_groups)]
    for number, base in ((0, 0), (1, 0), (INPUT_STREAMS, size)):
        program += linear_stream(config, number, base, groups)
    for _ in range(kernels):
        program += set_stream(0, base=0) + set_stream(1, base=0)
        program += set_stream(INPUT_STREAMS, base=size)
        program += kernel(groups, chain(operations))
    return program
