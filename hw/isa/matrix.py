"""Instructions of the matrix unit."""

import numpy as np
from numpy.typing import NDArray

from hw.isa import numerics
from hw.isa.dtypes import DType
from hw.isa.encoding import Instruction, bits, imm, instruction, rs1, rs2
from hw.isa.host import ACCUMULATOR_BASE, Cause, Engine
from hw.isa.numerics import Bits
from hw.isa.params import LEVELS, MatrixParam
from hw.isa.state import MASK32, Fault, MachineState, Tile, nest_indices


def accumulate(acc: Bits, x: NDArray[np.unsignedinteger], tile: Tile) -> Bits:
    """acc (+) x @ W in ascending k, one rounding a step.

    Args:
        acc: (M, n) old accumulators.
        x: (M, k) raw activations; `tile.weights`: (k, n) raw weights.
    """
    if tile.diagonal:
        return _accumulate_diagonal(acc, x, tile)
    if tile.integer:
        product = x.view(np.int8).astype(np.int32) @ tile.weights.view(np.int8).astype(np.int32)
        return acc + product.view(np.uint32)
    xs, ws = numerics.bf16_to_f32(x), numerics.bf16_to_f32(tile.weights)
    for k in range(x.shape[1]):
        acc = numerics.fmac(xs[:, k, None], ws[None, k, :], acc)
    return acc


def _accumulate_diagonal(acc: Bits, x: NDArray[np.unsignedinteger], tile: Tile) -> Bits:
    """Column c takes x[:, c] alone: what is beside the diagonal is not even added."""
    count = min(tile.weights.shape)
    x, weights, result = x[:, :count], np.diagonal(tile.weights), acc.copy()
    if tile.integer:
        products = x.view(np.int8).astype(np.int32) * weights.view(np.int8)
        result[:, :count] += products.view(np.uint32)
    else:
        result[:, :count] = numerics.fmac(
            numerics.bf16_to_f32(x), numerics.bf16_to_f32(weights)[None, :], acc[:, :count])
    return result


@instruction("loadw", 0x48, engine=Engine.MATRIX, retires=True)
class LoadWeights(Instruction):
    """Loads the shadow weight tile, K x N elements, from local address x[rs1] + imm. Of a
    `diagonal` one only elements with k = n are weights, the others pass partial sums through."""

    rs1: int = rs1()
    transposed: int = bits(23, 1)
    integer: int = bits(24, 1)
    diagonal: int = bits(25, 1)
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        p, config = machine.params[Engine.MATRIX], machine.config
        k, n = p[MatrixParam.K], p[MatrixParam.N]
        if not (1 <= k <= config.array_rows and 1 <= n <= config.array_cols):
            raise Fault(Cause.ILLEGAL, Engine.MATRIX, self.encode(), f"weight tile of {k} x {n}")
        if self.integer and not config.int8:
            raise Fault(Cause.ILLEGAL, Engine.MATRIX, self.encode(), "no int8 in this machine")
        dtype = DType.S8 if self.integer else DType.BF16
        rows, columns = (n, k) if self.transposed else (k, n)
        row = np.arange(rows, dtype=np.int64)[:, None] * p[MatrixParam.WSTRIDE]
        addresses = a + row + np.arange(columns) * dtype.size
        raw = machine.local.read(addresses, dtype, Engine.MATRIX, accumulators=False)
        machine.shadow = Tile(raw.T if self.transposed else raw, bool(self.integer),
                              bool(self.diagonal))


@instruction("matmul", 0x49, engine=Engine.MATRIX, retires=True)
class Multiply(Instruction):
    """Streams activation rows from x[rs1] + imm through the tile into accumulator rows x[rs2]."""

    rs1: int = rs1()
    rs2: int = rs2()
    accumulate: int = bits(23, 1)
    swap: int = bits(24, 1)
    imm: int = imm()

    def execute(self, machine: MachineState, a: int, b: int) -> None:
        if self.swap:
            machine.active = machine.shadow
        tile, config = machine.active, machine.config
        k, n = tile.weights.shape
        p = machine.params[Engine.MATRIX]
        index = nest_indices(p[:LEVELS], Engine.MATRIX)
        x_base, row = np.full(index.shape[1], a, np.int64), np.full(index.shape[1], b, np.int64)
        for level in range(LEVELS):
            x_base += index[level] * p[MatrixParam.ASTRIDE1 + level]
            row += index[level] * p[MatrixParam.CSTRIDE1 + level]
        dtype = DType.S8 if tile.integer else DType.BF16
        x = machine.local.read(x_base[:, None] + np.arange(k) * dtype.size, dtype, Engine.MATRIX,
                               accumulators=False)
        row &= MASK32
        if np.any(bad := row >= config.accumulator_rows):
            address = ACCUMULATOR_BASE + int(row[bad][0]) * config.accumulator_row_bytes
            raise Fault(Cause.LOCAL, Engine.MATRIX, address, f"accumulator row {row[bad][0]}")
        acc = machine.local.accumulators.reshape(-1, config.array_cols)
        for start, stop in _distinct_runs(row):
            rows = row[start:stop]
            old = acc[rows] if self.accumulate else np.zeros((len(rows), config.array_cols),
                                                             np.uint32)
            old[:, :n] = accumulate(old[:, :n], x[start:stop], tile)
            acc[rows] = old


def _distinct_runs(row: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cuts a row sequence into runs that name no accumulator row twice."""
    if len(np.unique(row)) == len(row):
        return [(0, len(row))]
    runs, start, seen = [], 0, set[int]()
    for position, value in enumerate(row.tolist()):
        if value in seen:
            runs.append((start, position))
            start, seen = position, set()
        seen.add(value)
    return [*runs, (start, len(row))]
