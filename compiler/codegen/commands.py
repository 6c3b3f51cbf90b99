"""Commands: pieces of work of one engine, with the memory they touch.

Everything after this module (dependences, schedule, semaphores, emission) sees commands only.
Sizes and strides are in bytes, bounds in elements or iterations, addresses as in
`docs/architecture.md`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod

from compiler.errors import Location
from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.dma import Load, Store
from hw.isa.dtypes import DType
from hw.isa.encoding import Instruction, make
from hw.isa.host import Engine
from hw.isa.params import (
    LEVELS,
    VECTOR_STRIP,
    DmaParam,
    StreamParam,
    constant,
    input_stream,
    output_stream,
)
from hw.isa.vector import Run

LOCAL = 8
"""The space of local addresses; spaces 0 to 7 are DRAM windows."""

Interval = tuple[int, ...]
"""Bytes first <= address < end of a space: (space, first, end). With (..., pitch, width) behind
it, of every `pitch` bytes from the first on only the first `width`."""

NO_LIMIT = 0xFFFFFFFF
"""An upper end of a valid range that excludes nothing."""

IMMEDIATE_LO = Load.FIELDS["imm"].lo
"""Lowest bit of the immediate, which every instruction has in the same place."""


@dataclass(slots=True)
class Repeat:
    """Loops around a command's instructions, and what changes from one round to the next.

    Attributes:
        counts: rounds of each loop, outermost first.
        a: for each instruction the step of its address in each loop.
        b: the step of the last instruction's register operand in each loop.
    """

    counts: tuple[int, ...]
    a: tuple[tuple[int, ...], ...]
    b: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Command:
    """One piece of work of an engine.

    Attributes:
        words: encoded instructions; rs1 and the last one's rs2 are still register 0.
        b: value of the register operand of the last instruction, None when it has none.
        parameters: engine parameters that must hold when it starts, by index.
        reads, writes: memory touched; bounding intervals, never too small.
        cycles: how long it occupies its engine; estimate.
        latency: how much later its results are visible; estimate.
        overtakes: it may read memory before its own engine's earlier commands have written it.
        repeat: loops around all of it.
    """

    engine: Engine
    words: tuple[int, ...]
    b: int | None
    parameters: dict[int, int]
    reads: tuple[Interval, ...]
    writes: tuple[Interval, ...]
    cycles: int
    latency: int
    location: Location
    overtakes: bool = False
    repeat: Repeat | None = None

    @property
    def entries(self) -> int:
        """Queue entries of its instructions."""
        return len(self.words) * (1 if self.repeat is None else prod(self.repeat.counts))


@dataclass(slots=True)
class Level:
    """One loop of a transfer: iterations outside lo <= i < hi are padding (load) or skipped."""

    bound: int
    dram: int = 0
    local: int = 0
    lo: int = 0
    hi: int = NO_LIMIT


@dataclass(slots=True)
class Transfer:
    """A nest of rows between a DRAM window and local memory.

    Attributes:
        offset: of the first element in the window; may be negative when padding comes first.
        n0: elements of a row, contiguous on both sides.
        levels: outer loops, innermost first, at most 4.
        lo0, hi0: valid elements of a row.
        index: local address of a list of s32 that replaces level 1's iteration numbers in DRAM,
            None for none.
        within: first byte of the window that an index may lead to, and the one after the last.
    """

    window: int
    offset: int
    local: int
    n0: int
    levels: tuple[Level, ...]
    dram_type: DType
    local_type: DType
    lo0: int = 0
    hi0: int = NO_LIMIT
    index: int | None = None
    within: tuple[int, int] = (0, 1 << 32)

    def parameters(self) -> dict[int, int]:
        p: dict[int, int] = {DmaParam.N0: self.n0, DmaParam.LO0: self.lo0, DmaParam.HI0: self.hi0}
        for number in range(LEVELS):
            level = self.levels[number] if number < len(self.levels) else Level(1)
            p[DmaParam.BOUND1 + number] = level.bound
            p[DmaParam.LO1 + number], p[DmaParam.HI1 + number] = level.lo, level.hi
            if level.bound > 1:
                p[DmaParam.DSTRIDE1 + number] = level.dram
                p[DmaParam.LSTRIDE1 + number] = level.local
        if self.index is not None:
            p[DmaParam.INDEX_BASE] = self.index
            p[DmaParam.DSTRIDE1] = self.levels[0].dram
        return p

    def dram_interval(self) -> Interval | None:
        """Bytes of valid elements; None when there is none."""
        start, stop = max(self.lo0, 0), min(self.hi0, self.n0)
        first = self.offset + start * self.dram_type.size
        end = self.offset + stop * self.dram_type.size
        if stop <= start:
            return None
        for number, level in enumerate(self.levels):
            lo, hi = level.lo, min(level.hi, level.bound)
            if hi <= lo:
                return None
            if number == 0 and self.index is not None:
                return self.window, *self.within
            low, high = sorted((lo * level.dram, (hi - 1) * level.dram))
            first, end = first + low, end + high
        return self.window, first, end

    def local_interval(self) -> Interval:
        """Bounding interval of all rows, valid or not."""
        strides = [(level.bound, level.local) for level in self.levels]
        return span(self.local, self.n0 * self.local_type.size, strides)

    def cycles(self, config: AcceleratorConfig) -> int:
        """Estimated time it occupies its engine."""
        rows = prod(level.bound for level in self.levels)
        return timing.dma_cycles(config, rows, self.n0 * self.dram_type.size)


def _stride(level: tuple[int, int]) -> int:
    return abs(level[1])


def span(base: int, size: int, strides: Sequence[tuple[int, int]]) -> Interval:
    """Local bytes of blocks of `size` at base + sum(i*stride), for (bound, stride) pairs.

    Blocks that repeat at a pitch wider than what lies between are a striped interval.
    """
    first, end, width, pitch = base, base + size, size, 0
    moving = [level for level in strides if level[0] != 1 and level[1]]
    if len(moving) > 1:
        moving.sort(key=_stride)
    for bound, stride in moving:
        reach = (bound - 1) * stride
        if reach > 0:
            end += reach
        else:
            first += reach
        if bound > 1 and not pitch:
            if stride > width:
                pitch = stride
            else:
                width += abs(reach)
        elif pitch and stride % pitch and bound > 1:
            width, pitch = end - first, 0
    return (LOCAL, first, end, pitch, width) if pitch else (LOCAL, first, end)


def load(config: AcceleratorConfig, transfer: Transfer, location: Location,
         pad: int = 0) -> Command:
    """DRAM to scratchpad; invalid elements become `pad`, raw bits of the local type."""
    word = _transfer_word(Load, transfer)
    parameters = transfer.parameters()
    parameters[DmaParam.PAD] = pad
    reads = [transfer.dram_interval()]
    if transfer.index is not None:
        reads.append(span(transfer.index, 4 * transfer.levels[0].bound, ()))
    return Command(Engine.LOAD, (word,), transfer.local, parameters,
                   tuple(r for r in reads if r is not None), (transfer.local_interval(),),
                   transfer.cycles(config), timing.dma_latency(config), location,
                   overtakes=transfer.index is not None)


def store(config: AcceleratorConfig, transfer: Transfer, location: Location) -> Command:
    """Local memory to DRAM; invalid elements are skipped."""
    word = _transfer_word(Store, transfer)
    reads = [transfer.local_interval()]
    if transfer.index is not None:
        reads.append(span(transfer.index, 4 * transfer.levels[0].bound, ()))
    interval = transfer.dram_interval()
    return Command(Engine.STORE, (word,), transfer.local, transfer.parameters(), tuple(reads),
                   (interval,) if interval else (), transfer.cycles(config),
                   timing.dma_latency(config), location)


def _transfer_word(form: type[Load] | type[Store], t: Transfer) -> int:
    word = _unplaced_word(form.MNEMONIC, t.window, t.dram_type, t.local_type,
                          t.index is not None)
    return with_immediate(word, t.offset)


@cache
def _unplaced_word(mnemonic: str, window: int, dram_type: DType, local_type: DType,
                   indexed: bool) -> int:
    return _encoded(mnemonic, window=window, dram_type=dram_type, local_type=local_type,
                    indexed=int(indexed))


def encoded(form: type[Instruction], **fields: int) -> int:
    """The word of an instruction; fields left out are zero."""
    return _encoded(form.MNEMONIC, **fields)


@lru_cache(maxsize=4096)
def _encoded(mnemonic: str, **fields: int) -> int:
    return make(mnemonic, **fields).encode()


def with_immediate(word: int, value: int) -> int:
    """A word whose immediate is zero, with another one, modulo 2**32."""
    return word | (value & 0xFFFFFFFF) << IMMEDIATE_LO


def signed(value: int) -> int:
    """A number modulo 2**32 as the instruction's immediate."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


@cache
def _stream_fields(first: int) -> tuple[int, ...]:
    """Numbers of the parameters that every stream has."""
    return tuple(first + int(field) for field in (
        StreamParam.BASE, StreamParam.N0, StreamParam.STRIDE0, StreamParam.LANE_LEVEL,
        StreamParam.TYPE, StreamParam.BOUND1, StreamParam.STRIDE1))


@dataclass(slots=True)
class Stream:
    """The walk of a vector stream (architecture, section 7).

    Attributes:
        base: local address; for type `addr` the first number.
        n0: valid elements along the lanes.
        stride0: bytes between lanes.
        levels: (bound, stride in bytes), innermost first, at most 4.
        lane_level: level that advances by L elements along the lanes, 0 for none.
        saturate: an output stream cuts integers off at the ends of their type.
        clamp: bounds of an output stream of floats, bits of f32.
    """

    base: int
    n0: int
    stride0: int
    levels: tuple[tuple[int, int], ...]
    dtype: DType
    lane_level: int = 0
    fill: int = 0
    saturate: bool = False
    clamp: tuple[int, int] | None = None

    @property
    def is_strided(self) -> bool:
        """Whether lanes are fetched one by one."""
        return self.stride0 not in (0, self.dtype.size) and self.dtype is not DType.ADDR

    def interval(self) -> Interval:
        """Bounding interval of the valid elements."""
        levels = self.levels
        lanes = (self.n0, self.stride0)
        if self.lane_level:
            # n0 counts elements along the lanes and this level together.
            levels = levels[: self.lane_level - 1] + levels[self.lane_level :]
        return span(self.base, self.dtype.size, [lanes, *levels])

    def parameters(self, number: int, is_output: bool) -> dict[int, int]:
        first = (output_stream if is_output else input_stream)(number, StreamParam.BASE)
        base, n0, stride0, lane_level, dtype, bound1, stride1 = _stream_fields(first)
        p = {base: self.base & 0xFFFFFFFF, n0: self.n0, stride0: self.stride0 & 0xFFFFFFFF,
             lane_level: self.lane_level, dtype: int(self.dtype)}
        for level, (bound, stride) in enumerate(self.levels):
            p[bound1 + level] = bound
            if bound > 1:
                p[stride1 + level] = stride & 0xFFFFFFFF
        for level in range(len(self.levels), LEVELS):
            p[bound1 + level] = 1
        if is_output:
            p[first + StreamParam.SATURATE] = int(self.saturate or self.clamp is not None)
            if self.clamp is not None:
                p[first + StreamParam.LOW], p[first + StreamParam.HIGH] = self.clamp
        else:
            p[first + StreamParam.FILL] = self.fill
        return p


@dataclass(frozen=True)
class Body:
    """A kernel body: encoded instructions and the constants k0, k1, ... they use.

    `issues` counts the vector instructions of one pass, repeats included; `special` of them are
    special functions.
    """

    words: tuple[int, ...]
    constants: tuple[int, ...]
    issues: int
    special: int = 0


def kernel(config: AcceleratorConfig, groups: int, body: Body, inputs: Mapping[int, Stream],
           outputs: Mapping[int, Stream], strip: int, location: Location,
           tables: Sequence[Interval] = (), scattered: Sequence[Interval] = ()) -> Command:
    """A run of `body` over `groups` groups of lanes, `strip` at a time.

    Args:
        inputs, outputs: streams by number.
        tables: memory read by `gather`; `scattered`: memory written by `scatter`.
    """
    parameters = {VECTOR_STRIP: strip}
    parameters.update((constant(k), value) for k, value in enumerate(body.constants))
    reads, writes = list(tables), list(scattered)
    for number, stream in inputs.items():
        parameters.update(stream.parameters(number, is_output=False))
        if stream.dtype is not DType.ADDR:
            reads.append(stream.interval())
    for number, stream in outputs.items():
        parameters.update(stream.parameters(number, is_output=True))
        writes.append(stream.interval())
    words = (_run_word(len(body.words), groups), *body.words)
    slow = [config.lanes for stream in (*inputs.values(), *outputs.values()) if stream.is_strided]
    cycles = timing.kernel_cycles(config, groups, body.issues, special=body.special,
                                  strided_lanes=slow)
    return Command(Engine.VECTOR, words, None, parameters, tuple(reads), tuple(writes), cycles,
                   timing.KERNEL_RETIRE, location)


@lru_cache(maxsize=4096)
def _run_word(length: int, groups: int) -> int:
    return Run(length=length, imm=groups).encode()
