"""Kernels the vector unit must refuse or stop at, and empty ones that it must not stumble over."""

import os
from typing import Any

import cocotb
import numpy as np

from hw.config import load
from hw.isa.dtypes import DType
from hw.isa.encoding import Instruction, make
from hw.isa.host import ACCUMULATOR_BASE, Cause
from hw.isa.params import INPUT_STREAMS, VECTOR_STRIP
from hw.isa.state import Fault, LocalMemory, MachineState
from verif.vector.bench import Bench, Command
from verif.vector.linear import D0, D1, S0, S1, kernel, linear_stream, set_parameter, set_stream
from verif.vector.programs import execute

CONFIG = load(os.environ["CONFIG"])
L, G = CONFIG.lanes, CONFIG.strip_groups
GROUPS = 2 * G
OUTPUT = 0x1000
END = CONFIG.scratchpad_bytes
ACCUMULATOR_END = ACCUMULATOR_BASE + CONFIG.accumulator_bytes
ADD = make("fadd", vd=D0, va=S0, vb=S1)
S3 = S0 + 3


def _program(body: list[Instruction], *changes: list[Command], groups: int = GROUPS
             ) -> list[Command]:
    """A kernel over contiguous f32 streams, with some parameters changed."""
    program = [set_parameter(VECTOR_STRIP, G)]
    for number in range(INPUT_STREAMS + 2):
        base = OUTPUT * (number >= INPUT_STREAMS)
        program += linear_stream(CONFIG, number, base, groups * len(body))
    for change in changes:
        program += change
    return program + kernel(groups, body)


def _stream(number: int, **values: int) -> list[Command]:
    return _program([ADD], set_stream(number, **values))


def _body(*body: Instruction) -> list[Command]:
    return _program(list(body))


def _indexed(op: Instruction, number: int, **values: int) -> list[Command]:
    """An indexed access by the lane numbers, which grow to L - 1."""
    index = make("mov", vd=1, va=48)
    return _program([index, op], set_stream(number, **values), groups=G)


def _nested(depth: int) -> list[Instruction]:
    mov = make("mov", vd=1, va=1)
    return [*(make("rep", length=depth - i, imm=1) for i in range(depth)), mov]


GATHER = make("gather", vd=2, va=1)
SCATTER = make("scatter", va=1, vb=1)
MOV = make("mov", vd=1, va=1)

FAULTS: dict[str, list[Command]] = {
    "empty body": [(make("run", length=0), 1)],
    "body too long": [(make("run", length=65), 1)],
    "outside run": [(MOV, 0)],
    "operand": _body(make("mov", vd=1, va=20)),
    "operand above the lane number": _body(MOV, make("fadd", vd=1, va=1, vb=49)),
    "third operand": _body(make("sel", vd=1, va=1, vb=1, vc=63)),
    "destination": _body(make("mov", vd=18, va=1), make("mov", vd=19, va=1)),
    "swizzle": _body(make("fadd", vd=1, va=1, vb=1, swz=L)),
    "transpose of a stream": _body(make("trans", vd=1, va=S0)),
    "transpose to a stream": _body(make("trans", vd=D0, va=1)),
    "transpose of a short strip": _program(
        [make("trans", vd=3, va=1)], [set_parameter(VECTOR_STRIP, L - 1)], groups=2 * L),
    "rep of nothing": _body(make("rep", length=0), MOV),
    "rep beyond the body": _body(make("rep", length=2, imm=1), MOV),
    "rep beyond its rep": _body(
        make("rep", length=2, imm=1), make("rep", length=2, imm=1), MOV, MOV),
    "nested too deeply": _body(*_nested(5)),
    "input type": _stream(0, type=9),
    "type with high bits": _stream(1, type=1 << 16),
    "output type": _stream(4, type=DType.ADDR),
    "lane level": _stream(1, lane_level=5),
    "strip of zero": _program([ADD], [set_parameter(VECTOR_STRIP, 0)]),
    "strip too long": _program([ADD], [set_parameter(VECTOR_STRIP, G + 1)]),
    "strip of an empty kernel": _program([ADD], [set_parameter(VECTOR_STRIP, 0)], groups=0),
    "input ends": _stream(0, bound1=GROUPS - 1),
    "input without groups": _stream(1, bound3=0),
    "output ends": _stream(4, bound1=GROUPS - 3),
    "input misaligned": _stream(0, base=2),
    "bf16 misaligned": _stream(1, base=1, type=DType.BF16, stride0=2),
    "broadcast misaligned": _stream(0, base=0x201, stride0=0),
    "element misaligned": _stream(0, stride0=6),
    "output misaligned": _stream(4, base=OUTPUT + 1),
    "output element misaligned": _stream(4, base=OUTPUT, stride0=10, type=DType.S32),
    "input leaves the scratchpad": _stream(0, base=END - 4 * L * 3 - 8),
    "input outside": _stream(1, base=END, stride1=0),
    "input wraps around": _stream(1, base=0xFFFFFFFC),
    "element outside": _stream(0, base=END - 16, stride0=8, stride1=0),
    "input leaves the accumulators": _stream(0, base=ACCUMULATOR_END - 4),
    "output leaves the scratchpad": _stream(4, base=END - 4 * L - 4),
    "output element outside": _stream(4, base=8, stride0=-4, stride1=0),
    "gather and its stream": _body(make("mov", vd=1, va=S3), GATHER),
    "scatter and its stream": _body(make("mov", vd=D1, va=1), SCATTER),
    "gather of addresses": _indexed(GATHER, 3, type=DType.ADDR),
    "gather of an unknown type": _indexed(GATHER, 3, type=12),
    "gather misaligned": _indexed(GATHER, 3, stride0=5),
    "gather outside": _indexed(GATHER, 3, base=END - 4, stride0=4),
    "scatter of an unknown type": _indexed(SCATTER, 5, type=8),
    "scatter lane level": _indexed(SCATTER, 5, lane_level=7),
    "scatter misaligned": _indexed(SCATTER, 5, stride0=3),
    "scatter outside": _indexed(SCATTER, 5, base=4, stride0=-4),
}
"""Each ends the machine in the golden model; cause and address must be the same."""

SOUND: dict[str, list[Command]] = {
    "no groups": _program([ADD], set_stream(0, base=1), groups=0),
    "in place": _stream(4, base=0),
    "rep of none": _body(make("rep", length=2, imm=0), ADD, ADD),
    "rep of none at the end": _body(make("mov", vd=D0, va=S0), make("rep", length=1, imm=0), ADD),
    "reps that end together": _body(*(make("rep", length=4 - i, imm=2) for i in range(4)), MOV),
    "rep of none in a rep": _body(
        make("rep", length=2, imm=2), make("rep", length=1, imm=0), ADD, MOV),
    "nothing taken of an empty stream": _program(
        [make("rep", length=1, imm=0), ADD], set_stream(0, bound2=0)),
    "reading ahead of what is taken": _program(
        [ADD], set_stream(0, base=END - 4 * L * GROUPS, bound1=4 * GROUPS)),
    "reading ahead into misalignment": _program(
        [ADD], set_stream(1, bound1=GROUPS, bound2=2, stride2=1)),
    "no lanes of a stream outside": _program(
        [make("mov", vd=D0, va=S0)], set_stream(0, base=END + 1, n0=0, fill=7)),
    "gather of what was just written": _program(
        [make("mov", vd=1, va=48), make("mov", vd=D0, va=S0), make("gather", vd=2, va=1),
         make("ior", vd=D1, va=2, vb=2)],
        set_stream(3, base=OUTPUT + 4 * L * (G - 1)), set_stream(5, base=0x2000)),
    "special function behind a full queue": _program(
        [make("mov", vd=1, va=48), SCATTER, make("exp", vd=D0, va=S0)],
        set_stream(0, base=0x200), set_stream(5, base=0x2000)),
    "negative indices": _program(
        [make("isub", vd=1, va=15, vb=48), make("gather", vd=2, va=1),
         make("ior", vd=D0, va=2, vb=2), make("scatter", va=1, vb=2)],
        set_stream(3, fill=9), set_stream(5, base=0x2000)),
}
"""Kernels that end without an error."""


def _machine() -> MachineState:
    machine = MachineState(CONFIG)
    words = np.arange(len(machine.local.data) // 4, dtype=np.float32)
    machine.local.data[:] = words.view(np.uint8)
    return machine


def _golden_fault(commands: list[Command]) -> tuple[int, int]:
    try:
        execute(_machine(), commands)
    except Fault as fault:
        return fault.cause, fault.address
    raise AssertionError("the golden model does not fault")


async def _run(dut: Any, commands: list[Command], memory: LocalMemory, **traffic: float) -> Bench:
    bench = Bench(dut, CONFIG, memory, **traffic)
    bench.add(commands)
    await bench.reset()
    return bench


@cocotb.test()
async def faults(dut: Any) -> None:
    """Every faulty kernel is stopped behind a sound one, which retires."""
    before = kernel(2, [make("mov", vd=2, va=S0)])
    for name, commands in FAULTS.items():
        program = [set_parameter(VECTOR_STRIP, 1), *linear_stream(CONFIG, 0, 0, 2), *before]
        expected = _golden_fault(program + commands)
        bench = await _run(dut, program + commands, _machine().local, refused=0.1)
        await bench.run(2, limit=2000)
        assert bench.fault == expected, f"{name}: expected {expected}, got {bench.fault}"
        assert len(bench.retired) == 1, f"{name}: {len(bench.retired)} kernels retired"
        await _check_silence(bench, name)


async def _check_silence(bench: Bench, name: str) -> None:
    for _ in range(4):
        await bench.step()
    accesses = bench.accesses
    for _ in range(30):
        await bench.step()
    assert bench.accesses == accesses, f"{name}: accesses after the error"
    assert len(bench.retired) <= 1, f"{name}: a kernel retired after the error"


@cocotb.test()
async def set_in_a_body(dut: Any) -> None:
    """Only body instructions may follow `run`."""
    op = set_parameter(VECTOR_STRIP, 2)
    program = [*_program([ADD])[:-1], op]
    bench = await _run(dut, program, _machine().local)
    await bench.run(1, limit=500)
    assert bench.fault == (Cause.ILLEGAL, op[0].encode() & 0xFFFFFFFF)


@cocotb.test()
async def sound_kernels(dut: Any) -> None:
    for name, commands in SOUND.items():
        machine = _machine()
        memory = _machine().local
        kernels = execute(machine, commands)
        bench = await _run(dut, commands, memory, refused=0.5)
        await bench.run(kernels, limit=4000)
        assert bench.fault is None, f"{name}: fault {bench.fault}"
        assert np.array_equal(memory.data, machine.local.data), f"{name}: wrong memory"


@cocotb.test()
async def stop(dut: Any) -> None:
    """Once stopped, nothing new is issued and nothing retires."""
    bench = await _run(dut, _program([ADD]), _machine().local)
    while not bench.accesses:
        await bench.step()
    for _ in range(14):
        await bench.step()
    dut.stop.value = 1
    await bench.step()
    accesses = bench.accesses
    for _ in range(100):
        await bench.step()
    assert bench.accesses == accesses
    assert not bench.retired
