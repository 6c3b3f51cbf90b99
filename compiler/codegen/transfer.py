"""Transfers: rows between DRAM and local memory, as commands of the two DMA engines.

What a transfer is but for its two addresses is a `Pattern`, which the many transfers of a loop
share: what depends on it alone is found once.
"""

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from math import prod
from typing import NamedTuple

from compiler.codegen.commands import Command, Interval, encoded, moved, span, with_immediate
from compiler.errors import Location
from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.dma import Load, Store
from hw.isa.dtypes import DType
from hw.isa.host import Engine
from hw.isa.params import LEVELS, DmaParam

NO_LIMIT = 0xFFFFFFFF
"""An upper end of a valid range that excludes nothing."""


class Level(NamedTuple):
    """One loop of a transfer: iterations outside lo <= i < hi are padding (load) or skipped."""

    bound: int
    dram: int = 0
    local: int = 0
    lo: int = 0
    hi: int = NO_LIMIT


@dataclass(frozen=True)
class Pattern:
    """Rows between DRAM and local memory, wherever they begin: many transfers share one.

    Attributes:
        n0: elements of a row, contiguous on both sides.
        levels: outer loops, innermost first, at most 4.
        lo0, hi0: valid elements of a row.
    """

    n0: int
    levels: tuple[Level, ...]
    dram_type: DType
    local_type: DType
    lo0: int = 0
    hi0: int = NO_LIMIT

    @cached_property
    def parameters(self) -> dict[int, int]:
        """Of a store; not to be changed."""
        p: dict[int, int] = {DmaParam.N0: self.n0, DmaParam.LO0: self.lo0, DmaParam.HI0: self.hi0}
        for number in range(LEVELS):
            level = self.levels[number] if number < len(self.levels) else Level(1)
            p[DmaParam.BOUND1 + number] = level.bound
            p[DmaParam.LO1 + number], p[DmaParam.HI1 + number] = level.lo, level.hi
            if level.bound > 1:
                p[DmaParam.DSTRIDE1 + number] = level.dram
                p[DmaParam.LSTRIDE1 + number] = level.local
        return p

    @cached_property
    def load_parameters(self) -> dict[int, int]:
        """Of a load that pads with zeros; not to be changed."""
        return self.parameters | {DmaParam.PAD: 0}

    @cached_property
    def dram_reach(self) -> tuple[int, int] | None:
        """Bytes of valid elements, from the first element on; None when there is none."""
        start, stop = max(self.lo0, 0), min(self.hi0, self.n0)
        first, end = start * self.dram_type.size, stop * self.dram_type.size
        if stop <= start:
            return None
        for level in self.levels:
            lo, hi = level.lo, min(level.hi, level.bound)
            if hi <= lo:
                return None
            low, high = sorted((lo * level.dram, (hi - 1) * level.dram))
            first, end = first + low, end + high
        return first, end

    @cached_property
    def local_reach(self) -> Interval:
        """Bounding interval of all rows, valid or not, when they begin at address 0."""
        strides = [(level.bound, level.local) for level in self.levels]
        return span(0, self.n0 * self.local_type.size, strides)

    @cached_property
    def rows(self) -> int:
        return prod(level.bound for level in self.levels)

    @cached_property
    def row_bytes(self) -> int:
        """In DRAM."""
        return self.n0 * self.dram_type.size


@dataclass(slots=True)
class Transfer:
    """A pattern of rows between a DRAM window and local memory.

    Attributes:
        offset: of the first element in the window; may be negative when padding comes first.
        index: local address of a list of s32 that replaces level 1's iteration numbers in DRAM,
            None for none.
        within: first byte of the window that an index may lead to, and the one after the last.
    """

    window: int
    offset: int
    local: int
    pattern: Pattern
    index: int | None = None
    within: tuple[int, int] = (0, 1 << 32)

    def parameters(self) -> dict[int, int]:
        """Of a store; not to be changed."""
        if self.index is None:
            return self.pattern.parameters
        return self.pattern.parameters | {
            DmaParam.INDEX_BASE: self.index, DmaParam.DSTRIDE1: self.pattern.levels[0].dram}

    def dram_intervals(self) -> tuple[Interval, ...]:
        """Bytes of valid elements: one interval, or none when there are none."""
        reach = self.pattern.dram_reach
        if reach is None:
            return ()
        if self.index is not None:
            return ((self.window, *self.within),)
        return ((self.window, self.offset + reach[0], self.offset + reach[1]),)

    def index_intervals(self) -> tuple[Interval, ...]:
        """Bytes of the list of indices."""
        if self.index is None:
            return ()
        return (span(self.index, 4 * self.pattern.levels[0].bound, ()),)

    def local_interval(self) -> Interval:
        """Bounding interval of all rows, valid or not."""
        return moved(self.pattern.local_reach, self.local)


def load(config: AcceleratorConfig, transfer: Transfer, location: Location,
         pad: int = 0) -> Command:
    """DRAM to scratchpad; invalid elements become `pad`, raw bits of the local type."""
    pattern, plain = transfer.pattern, not pad and transfer.index is None
    parameters = pattern.load_parameters if plain else transfer.parameters() | {DmaParam.PAD: pad}
    return Command(Engine.LOAD, (_transfer_word(Load, transfer),), transfer.local, parameters,
                   transfer.dram_intervals() + transfer.index_intervals(),
                   (transfer.local_interval(),),
                   _dma_cycles(config, pattern.rows, pattern.row_bytes), timing.dma_latency(),
                   location, overtakes=transfer.index is not None)


def store(config: AcceleratorConfig, transfer: Transfer, location: Location) -> Command:
    """Local memory to DRAM; invalid elements are skipped."""
    pattern = transfer.pattern
    return Command(Engine.STORE, (_transfer_word(Store, transfer),), transfer.local,
                   transfer.parameters(), (transfer.local_interval(), *transfer.index_intervals()),
                   transfer.dram_intervals(), _dma_cycles(config, pattern.rows, pattern.row_bytes),
                   timing.dma_latency(), location)


_dma_cycles = lru_cache(maxsize=4096)(timing.dma_cycles)


def _transfer_word(form: type[Load] | type[Store], t: Transfer) -> int:
    word = _unplaced_word(form is Load, t.window, t.pattern.dram_type, t.pattern.local_type,
                          t.index is not None)
    return with_immediate(word, t.offset)


@cache
def _unplaced_word(is_load: bool, window: int, dram_type: DType, local_type: DType,
                   indexed: bool) -> int:
    return encoded(Load if is_load else Store, window=window, dram_type=dram_type,
                   local_type=local_type, indexed=int(indexed))
