"""Random commands of the DMAs and the matrix unit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hw.isa.dma import CONVERSIONS
from hw.isa.dtypes import DType
from hw.isa.host import ACCUMULATOR_BASE, Engine
from hw.isa.params import LEVELS, DmaParam, MatrixParam
from verif.programs.order import Span

if TYPE_CHECKING:
    from verif.programs.generator import Maker

ALL = 0x7FFFFFFF
PLAIN_TYPES = [t for t in DType if t is not DType.ADDR]


@dataclass
class Placement:
    """Strides and a base that keep an address pattern inside a region."""

    base: int
    strides: list[int]
    first: int
    last: int


def place(maker: "Maker", bounds: list[int], row_bytes: int, align: int, region: tuple[int, int],
          largest: int = 256) -> Placement:
    """Random strides (multiples of `align`, some negative or zero) that fit the region."""
    low, size = region
    strides, below, above = [], 0, row_bytes
    for bound in bounds:
        room = max(size - (above + below) - align, 0)
        limit = min(largest, room // (2 * max(bound - 1, 1))) // align
        stride = align * maker.integer(-(limit // 3), limit) if limit else 0
        strides.append(stride)
        reach = stride * max(bound - 1, 0)
        above, below = above + max(reach, 0), below + max(-reach, 0)
    slack = max(size - above - below, 0) // align
    base = low + below + align * maker.integer(0, slack)
    return Placement(base, strides, base - below, base + above - 1)


class DmaMaker:
    """Loads, stores and plain copies."""

    def __init__(self, maker: "Maker") -> None:
        self.maker = maker

    def _nest(self, engine: Engine, n0: int, bounds: list[int], dstrides: list[int],
              lstrides: list[int]) -> None:
        maker = self.maker
        maker.set(engine, DmaParam.N0, n0)
        for level in range(LEVELS):
            maker.set(engine, DmaParam.BOUND1 + level, bounds[level])
            maker.set(engine, DmaParam.DSTRIDE1 + level, dstrides[level])
            maker.set(engine, DmaParam.LSTRIDE1 + level, lstrides[level])

    def _ranges(self, engine: Engine, n0: int, bounds: list[int], whole: bool) -> None:
        maker = self.maker
        for level, bound in enumerate([n0, *bounds]):
            cut = not whole and maker.chance(0.3)
            maker.set(engine, DmaParam.LO0 + level, maker.integer(0, bound) if cut else 0)
            maker.set(engine, DmaParam.HI0 + level, maker.integer(0, bound + 1) if cut else ALL)

    def _types(self) -> tuple[DType, DType]:
        """DRAM and local element type."""
        if self.maker.chance(0.4):
            pairs = sorted(CONVERSIONS)
            return pairs[self.maker.integer(0, len(pairs) - 1)]
        same = PLAIN_TYPES[self.maker.integer(0, len(PLAIN_TYPES) - 1)]
        return same, same

    def _indices(self, count: int, written: Placement | None) -> int | None:
        """Writes a list of small indices to the scratchpad, outside of what the transfer writes.

        Returns its address, or None where it would overlap.
        """
        maker = self.maker
        address = 4 * maker.integer(0, maker.local_bytes // 4 - count)
        if written and address <= written.last and written.first < address + 4 * count:
            return None
        for i in range(count):
            at = address + 4 * i
            maker.order.before(Engine.SEQUENCER, (Span("local", at, at + 3, True),))
            register = maker.address_register(maker.integer(-2, 7))
            maker.emit("sts", rs2=register, imm=at)
        return address

    def _random(self, engine: Engine, mnemonic: str, window: int) -> None:
        from verif.programs.generator import WINDOW_BYTES
        maker = self.maker
        dram_type, local_type = self._types()
        n0 = maker.integer(0, 40)
        bounds = [maker.integer(1, 5) for _ in range(LEVELS)]
        if maker.chance(0.05):
            bounds[maker.integer(0, 3)] = 0
        indexed = bounds[0] > 0 and maker.chance(0.2)
        reach = [8, *bounds[1:]] if indexed else bounds
        d = place(maker, reach, n0 * dram_type.size, dram_type.size, (0, WINDOW_BYTES))
        write = engine is Engine.LOAD
        region = (0, maker.local_bytes)
        if not write and maker.chance(0.3):
            region = (ACCUMULATOR_BASE, maker.accumulator_bytes)
        at = place(maker, bounds, n0 * local_type.size, local_type.size, region)
        spans = [Span("local", at.first, at.last, write),
                 Span(f"dram{window}", d.first, d.last, not write)]
        index = self._indices(bounds[0], at if write else None) if indexed else None
        if index is not None:
            maker.set(engine, DmaParam.INDEX_BASE, index)
            spans.append(Span("local", index, index + 4 * bounds[0] - 1, False))
        self._nest(engine, n0, bounds, d.strides, at.strides)
        self._ranges(engine, n0, bounds, whole=maker.chance(0.4))
        maker.set(engine, DmaParam.PAD, maker.integer(0, 2**32 - 1))
        maker.command(mnemonic, engine, d.base, at.base, tuple(spans), window=window,
                      dram_type=dram_type, local_type=local_type, indexed=int(index is not None))

    def load(self) -> None:
        from verif.programs.generator import DATA_WINDOW, MIXED_WINDOW
        self._random(Engine.LOAD, "ld", self.maker.choice([DATA_WINDOW, MIXED_WINDOW]))

    def store(self) -> None:
        from verif.programs.generator import MIXED_WINDOW
        self._random(Engine.STORE, "st", MIXED_WINDOW)

    def fill_scratchpad(self, window: int) -> None:
        """Gives every byte of the scratchpad's used part a value."""
        words = self.maker.local_bytes // 4
        self._copy(Engine.LOAD, "ld", words, 0, window, 0)

    def dump(self, local: int, size: int, window: int, offset: int) -> None:
        """Stores `size` bytes from a local address to a window."""
        self._copy(Engine.STORE, "st", size // 4, local, window, offset)

    def _copy(self, engine: Engine, mnemonic: str, words: int, local: int, window: int,
              offset: int) -> None:
        write = engine is Engine.LOAD
        self._nest(engine, words, [1] * LEVELS, [0] * LEVELS, [0] * LEVELS)
        self._ranges(engine, words, [1] * LEVELS, whole=True)
        spans = (Span("local", local, local + 4 * words - 1, write),
                 Span(f"dram{window}", offset, offset + 4 * words - 1, not write))
        self.maker.command(mnemonic, engine, offset, local, spans, window=window,
                           dram_type=DType.F32, local_type=DType.F32)


class MatrixMaker:
    """Weight loads followed by products."""

    def __init__(self, maker: "Maker") -> None:
        self.maker = maker
        self.k, self.size = 0, 2

    def product(self) -> None:
        """A weight tile and one or two products with it, or one more with the old tile."""
        maker = self.maker
        if self.k == 0 or maker.chance(0.85):
            self._weights()
            self._multiply(swap=True)
        if maker.chance(0.4):
            self._multiply(swap=False)

    def _weights(self) -> None:
        maker, config = self.maker, self.maker.config
        integer = config.int8 and maker.chance(0.4)
        self.size = 1 if integer else 2
        k, n = maker.integer(1, config.array_rows), maker.integer(1, config.array_cols)
        self.k, transposed = k, maker.chance(0.5)
        rows, columns = (n, k) if transposed else (k, n)
        at = place(maker, [rows], columns * self.size, self.size, (0, maker.local_bytes), 64)
        maker.set(Engine.MATRIX, MatrixParam.K, k)
        maker.set(Engine.MATRIX, MatrixParam.N, n)
        maker.set(Engine.MATRIX, MatrixParam.WSTRIDE, at.strides[0])
        maker.command("loadw", Engine.MATRIX, at.base, 0,
                      (Span("local", at.first, at.last, False),),
                      transposed=int(transposed), integer=int(integer),
                      diagonal=int(maker.chance(0.2)))

    def _multiply(self, swap: bool) -> None:
        maker, row_bytes = self.maker, self.maker.config.accumulator_row_bytes
        bounds = [maker.integer(1, 6) for _ in range(LEVELS)]
        if maker.chance(0.05):
            bounds[maker.integer(0, 3)] = 0
        x = place(maker, bounds, self.k * self.size, self.size, (0, maker.local_bytes), 64)
        rows = place(maker, bounds, 1, 1, (0, maker.accumulator_bytes // row_bytes), 4)
        for level in range(LEVELS):
            maker.set(Engine.MATRIX, MatrixParam.BOUND1 + level, bounds[level])
            maker.set(Engine.MATRIX, MatrixParam.ASTRIDE1 + level, x.strides[level])
            maker.set(Engine.MATRIX, MatrixParam.CSTRIDE1 + level, rows.strides[level])
        first = ACCUMULATOR_BASE + rows.first * row_bytes
        last = ACCUMULATOR_BASE + (rows.last + 1) * row_bytes - 1
        maker.command("matmul", Engine.MATRIX, x.base, rows.base,
                      (Span("local", x.first, x.last, False), Span("local", first, last, True)),
                      accumulate=int(maker.chance(0.7)), swap=int(swap))
