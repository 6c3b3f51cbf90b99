"""The timing model against the RTL, cycle counts within 5 %."""

import numpy as np
import pytest

from hw.config import TINY
from hw.isa.asm import assemble, encode
from hw.isa.program import INPUT_WINDOW, OUTPUT_WINDOW, Program, Tensor
from sim import model, rtl

BYTES = 1 << 14
RANGES = "\n".join(f"set {engine}, x0, hi{level}, 0x7fffffff"
                   for engine in ("load", "store") for level in range(5))


def bounds(engine: str, prefix: str, *values: int) -> str:
    return "\n".join(f"set {engine}, x0, {prefix}bound{level}, {value}"
                     for level, value in enumerate(values, 1))


def transfers(engine: str, n0: int, rows: int, stride: int, count: int) -> str:
    mnemonic = {"load": "ld 2", "store": "st 3"}[engine]
    lines = [f"set {engine}, x0, n0, {n0}", f"set {engine}, x0, dstride1, {stride}",
             f"set {engine}, x0, lstride1, {4 * n0}", bounds(engine, "", rows, 1, 1, 1)]
    return "\n".join([*lines, *[f"{mnemonic}, x0, x0, f32, f32, 0, 0"] * count])


def products(count: int, rows: int) -> str:
    lines = ["set matrix, x0, astride1, 8", "set matrix, x0, cstride1, 1",
             "set matrix, x0, wstride, 8", "set matrix, x0, k, 4", "set matrix, x0, n, 4",
             bounds("matrix", "", rows, 1, 1, 1)]
    return "\n".join([*lines, *["loadw x0, 0, 0, 0, 0\nmatmul x0, x0, 1, 1, 0"] * count])


def kernels(body: list[str], groups: int, count: int) -> str:
    lines = ["set vector, x0, strip, 8"]
    for stream, base in (("s0", 0), ("d0", 8192)):
        lines += [f"set vector, x0, {stream}.{name}, {value}" for name, value in
                  {"base": base, "n0": 4, "stride0": 4, "stride1": 16}.items()]
        lines.append(bounds("vector", f"{stream}.", groups, 1, 1, 1))
    kernel = "\n".join([f"run x0, {len(body)}, {groups}", *body])
    return "\n".join([*lines, *[kernel] * count])


CASES = {
    "scalars": "loop x0, 2, 300\naddi x1, x1, 1\nmul x2, x1, x1",
    "branches": "addi x2, x0, 100\ntop: addi x1, x1, 1\nbne x1, x2, top",
    "long loads": transfers("load", 512, 1, 0, 6),
    "rows of 64 bytes": transfers("load", 16, 32, 128, 6),
    "short rows": transfers("load", 1, 64, 64, 6),
    "stores": transfers("store", 512, 1, 0, 6),
    "tall tiles": products(8, 64),
    "flat tiles": products(40, 4),
    "one operation": kernels(["fadd d0, s0, k0"], 128, 6),
    "chain": kernels(["fadd v0, s0, k0", "fmul v0, v0, v0", "fmax d0, v0, k1"], 128, 4),
    "special function": kernels(["exp d0, s0"], 64, 4),
    "short strips": kernels(["fadd v0, s0, k0", "fmul d0, v0, v0"], 4, 40),
    "overlap": transfers("load", 512, 1, 0, 4) + "\n" + products(16, 64),
}


@pytest.mark.parametrize("name", CASES)
def test_cycles(name: str) -> None:
    text = encode(assemble("\n".join([RANGES, CASES[name], "halt"])))
    tensor = Tensor("in", "f32", (BYTES // 4,), INPUT_WINDOW, 0)
    program = Program(TINY, np.array(text, np.uint64), b"", [tensor],
                      [Tensor("out", "f32", (BYTES // 4,), OUTPUT_WINDOW, 0)], BYTES, BYTES)
    data = [np.ones(BYTES // 4, np.float32)]
    measured = rtl.run(program, data).cycles
    assert model.run(program).cycles == pytest.approx(measured, rel=0.05)
