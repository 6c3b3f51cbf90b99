"""A matrix product written by hand: what the machine reaches when nothing is left to a compiler.

C[M, N] = A[M, K] @ B[K, N], all row-major in DRAM. C is cut into blocks of `tiles` array widths,
two of which fit the accumulators: one fills while the other is stored. A block walks K in slabs,
each a strip of A and one of B, loaded into a ring of slots well before their use. The first slabs
are thin, so that the array starts early; the last slab of a block finishes its tiles one after
another, so that stores overlap with the rest, and the very last tile is stored in row chunks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw.config import AcceleratorConfig
from hw.isa.dma import Load, Store
from hw.isa.dtypes import DType
from hw.isa.encoding import INSTRUCTIONS, Instruction
from hw.isa.host import ACCUMULATOR_BASE, Engine
from hw.isa.matrix import LoadWeights, Multiply
from hw.isa.params import DmaParam, MatrixParam
from hw.isa.program import INPUT_WINDOW, OUTPUT_WINDOW, Program, Tensor
from hw.isa.scalar import Halt, LoopInstruction
from hw.isa.sync import Post, Set, Wait

FULL, FREE, DONE, DRAINED = range(4)
"""Semaphores: slab loaded, slot free again, tile finished, accumulator half stored."""
SLOTS = 4
PREFETCH = 2
"""Slabs by which loads precede their use in the program's text."""
LAST_CHUNKS = 4
"""Row chunks of the very last tile."""
A_ROW, W_ROW, ACC_ROW = 1, 2, 3
"""Scalar registers: activation and weight address, accumulator row."""
NAMES = {DType.BF16: "bf16", DType.F32: "f32", DType.S8: "i8", DType.S32: "i32"}



def _set_register(register: int, value: int, base: int = 0) -> Instruction:
    """x[register] = x[base] + value."""
    return INSTRUCTIONS["addi"](rd=register, rs1=base, imm=value)  # type: ignore[call-arg]


@dataclass(frozen=True)
class Slab:
    """A strip of K of one block of C."""

    m0: int
    n0: int
    k0: int
    depth: int
    first: bool
    last: bool


class MatmulProgram:
    """Emits the product for one machine.

    Args:
        m, n, k: sizes; k and n multiples of the array's rows and columns, m of the block's rows.
        operand: BF16 or S8, element type of A and B.
        result: F32 or BF16 for bf16 operands, S32 for s8.
        tiles, rows: array widths and rows of a block, at most.

    Raises:
        ValueError: sizes this schedule does not cover.
    """

    def __init__(self, config: AcceleratorConfig, m: int, n: int, k: int,
                 operand: DType = DType.BF16, result: DType = DType.F32, tiles: int = 8,
                 rows: int = 128) -> None:
        self.config, self.m, self.n, self.k = config, m, n, k
        self.operand, self.result = operand, result
        self.tiles = min(tiles, n // config.array_cols)
        self.rows = min(m, rows, config.accumulator_rows // (2 * self.tiles))
        self.columns = self.tiles * config.array_cols
        if m % self.rows or n % self.columns or k % config.array_rows:
            raise ValueError(f"{m}x{n}x{k} is not a multiple of {self.rows}x{self.columns}x"
                             f"{config.array_rows}")
        limit = config.scratchpad_bytes // SLOTS // ((self.rows + self.columns) * operand.size)
        self.depth = min(8 * config.array_rows, limit // config.array_rows * config.array_rows)
        self.slot_bytes = (self.rows + self.columns) * self.depth * operand.size
        self.text: list[Instruction] = []
        self.parameters: dict[tuple[Engine, int], int] = {}

    def slabs(self) -> Iterator[Slab]:
        """All slabs in the order of their use; those of the first block start thin."""
        for m0 in range(0, self.m, self.rows):
            for n0 in range(0, self.n, self.columns):
                k0, depth = 0, self.config.array_rows if (m0, n0) == (0, 0) else self.depth
                while k0 < self.k:
                    depth = min(depth, self.depth, self.k - k0)
                    yield Slab(m0, n0, k0, depth, k0 == 0, k0 + depth == self.k)
                    k0 += depth
                    depth = k0

    def build(self) -> Program:
        """The whole program."""
        slabs = list(self.slabs())
        self.text += [Post(Engine.SEQUENCER, FREE, SLOTS), Post(Engine.SEQUENCER, DRAINED, 2)]
        self._set_fixed()
        for step in range(len(slabs) + PREFETCH):
            if step < len(slabs):
                self._load(slabs[step], step)
            if step >= PREFETCH:
                self._compute(slabs[step - PREFETCH], step - PREFETCH,
                              final=step == len(slabs) + PREFETCH - 1)
        self.text.append(Halt())
        return self._program()

    def _set(self, engine: Engine, **values: int) -> None:
        """Writes the parameters that change; keyword names are the parameters'."""
        enum = MatrixParam if engine is Engine.MATRIX else DmaParam
        for name, value in values.items():
            key = engine, enum[name.upper()]
            if self.parameters.get(key) != value:
                self.parameters[key] = value
                self.text.append(Set(engine, 0, key[1], value))

    def _set_fixed(self) -> None:
        for engine in (Engine.LOAD, Engine.STORE):
            self._set(engine, bound2=1, bound3=1, bound4=1,
                      hi0=-1, hi1=-1, hi2=-1, hi3=-1, hi4=-1)
        size = self.operand.size
        self._set(Engine.MATRIX, bound2=1, bound3=1, bound4=1, cstride1=1,
                  wstride=self.columns * size, k=self.config.array_rows, n=self.config.array_cols)
        self._set(Engine.STORE, n0=self.config.array_cols, dstride1=self.n * self.result.size,
                  lstride1=self.config.accumulator_row_bytes)

    def _slot(self, step: int) -> int:
        return step % SLOTS * self.slot_bytes

    def _load(self, slab: Slab, step: int) -> None:
        size, slot = self.operand.size, self._slot(step)
        self.text.append(Wait(Engine.LOAD, FREE, 1))
        b_offset = self.m * self.k * size + (slab.k0 * self.n + slab.n0) * size
        self._load_strip(b_offset, slot + self.rows * self.depth * size,
                         self.columns, slab.depth, self.n)
        self._load_strip((slab.m0 * self.k + slab.k0) * size, slot, slab.depth, self.rows, self.k)
        self.text.append(Post(Engine.LOAD, FULL, 1))

    def _load_strip(self, dram: int, local: int, width: int, rows: int, pitch: int) -> None:
        """`rows` rows of `width` elements, `pitch` elements apart in DRAM, dense locally."""
        size = self.operand.size
        self._set(Engine.LOAD, n0=width, bound1=rows, dstride1=pitch * size,
                  lstride1=width * size)
        self.text.append(_set_register(A_ROW, local))
        self.text.append(Load(INPUT_WINDOW, 0, A_ROW, self.operand, self.operand, 0, dram))

    def _compute(self, slab: Slab, step: int, final: bool) -> None:
        half = (slab.n0 // self.columns + slab.m0 // self.rows * (self.n // self.columns)) % 2
        self._set(Engine.MATRIX, astride1=slab.depth * self.operand.size)
        self.text.append(Wait(Engine.MATRIX, FULL, 1))
        if slab.first:
            self.text.append(Wait(Engine.MATRIX, DRAINED, 1))
        for tile in range(self.tiles):
            chunks = LAST_CHUNKS if final and tile == self.tiles - 1 else 1
            for chunk in range(chunks):
                rows = self.rows // chunks
                acc_row = (half * self.tiles + tile) * self.rows + chunk * rows
                self._tile(slab, self._slot(step), tile, chunk * rows, rows, acc_row)
                if slab.last:
                    self._finish(slab, tile, chunk * rows, rows, acc_row)
        self.text.append(Post(Engine.MATRIX, FREE, 1))
        if slab.last:
            self.text.append(Post(Engine.STORE, DRAINED, 1))

    def _tile(self, slab: Slab, slot: int, tile: int, row: int, rows: int, acc_row: int) -> None:
        """One tile of C over the slab's depth: a weight tile each `array_rows` of K."""
        size, r = self.operand.size, self.config.array_rows
        weights = slot + self.rows * self.depth * size + tile * self.config.array_cols * size
        self._set(Engine.MATRIX, bound1=rows)
        self.text += [
            _set_register(A_ROW, slot + row * slab.depth * size),
            _set_register(W_ROW, weights), _set_register(ACC_ROW, acc_row),
        ]
        passes = slab.depth // r
        if slab.first:
            self._pass(accumulate=0)
            passes -= 1
        if passes:
            self.text.append(LoopInstruction(0, 4, passes))
            self._pass(accumulate=1)

    def _pass(self, accumulate: int) -> None:
        size, r = self.operand.size, self.config.array_rows
        integer = int(self.operand is DType.S8)
        self.text += [
            LoadWeights(W_ROW, 0, integer, 0),
            Multiply(A_ROW, ACC_ROW, accumulate, 1, 0),
            _set_register(A_ROW, r * size, A_ROW),
            _set_register(W_ROW, r * self.columns * size, W_ROW),
        ]

    def _finish(self, slab: Slab, tile: int, row: int, rows: int, acc_row: int) -> None:
        column = slab.n0 + tile * self.config.array_cols
        dram = ((slab.m0 + row) * self.n + column) * self.result.size
        local_type = DType.S32 if self.operand is DType.S8 else DType.F32
        self._set(Engine.STORE, bound1=rows)
        self.text += [
            Post(Engine.MATRIX, DONE, 1), Wait(Engine.STORE, DONE, 1),
            _set_register(ACC_ROW, ACCUMULATOR_BASE + acc_row * self.config.accumulator_row_bytes),
            Store(OUTPUT_WINDOW, 0, ACC_ROW, self.result, local_type, 0, dram),
        ]

    def _program(self) -> Program:
        size = self.operand.size
        a = Tensor("a", NAMES[self.operand], (self.m, self.k), INPUT_WINDOW, 0)
        b = Tensor("b", NAMES[self.operand], (self.k, self.n), INPUT_WINDOW, a.nbytes)
        c = Tensor("c", NAMES[self.result], (self.m, self.n), OUTPUT_WINDOW, 0)
        words = np.array([i.encode() for i in self.text], np.uint64)
        notes = {"macs": self.m * self.n * self.k,
                 "dram_bytes": (self.m + self.n) * self.k * size + c.nbytes}
        return Program(self.config, words, b"", [a, b], [c], a.nbytes + b.nbytes, c.nbytes, 0,
                       [(0, f"matmul {self.m}x{self.n}x{self.k} by hand")], notes)
