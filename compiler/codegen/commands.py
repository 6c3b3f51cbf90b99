"""Commands: pieces of work of one engine, with the memory they touch.

Everything after this module (dependences, schedule, semaphores, emission) sees commands only.
Sizes and strides are in bytes, bounds in elements or iterations, addresses as in
`docs/architecture.md`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any, NamedTuple

from compiler.errors import Location
from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.dma import Load
from hw.isa.dtypes import DType
from hw.isa.encoding import Instruction, make
from hw.isa.host import Engine
from hw.isa.params import (
    LEVELS,
    VECTOR_STRIP,
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

IMMEDIATE_LO = Load.FIELDS["imm"].lo
"""Lowest bit of the immediate, which every instruction has in the same place."""


class Repeat(NamedTuple):
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


def moved(interval: Interval, distance: int) -> Interval:
    """The interval so many bytes on."""
    return interval[0], interval[1] + distance, interval[2] + distance, *interval[3:]


def encoded(form: type[Instruction], **fields: int) -> int:
    """The word of an instruction; fields left out are zero."""
    return _encoded(form.MNEMONIC, **fields)


@lru_cache(maxsize=4096)
def _encoded(mnemonic: str, **fields: int) -> int:
    return make(mnemonic, **fields).encode()


def with_immediate(word: int, value: int) -> int:
    """A word whose immediate is zero, with another one, modulo 2**32."""
    return word | (value & 0xFFFFFFFF) << IMMEDIATE_LO


def displaced(word: int, distance: int) -> int:
    """A word with its immediate so much larger, modulo 2**32."""
    return with_immediate(word & (1 << IMMEDIATE_LO) - 1, (word >> IMMEDIATE_LO) + distance)


def signed(value: int) -> int:
    """A number modulo 2**32 as the instruction's immediate."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


class Stream(NamedTuple):
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


@lru_cache(maxsize=4096)
def _reach(walk: tuple[Any, ...]) -> Interval:
    """Interval of the stream with base 0 and these other fields: most have the same."""
    stream = Stream(0, *walk)
    levels = stream.levels
    if stream.lane_level:
        # n0 counts elements along the lanes and this level together.
        levels = levels[: stream.lane_level - 1] + levels[stream.lane_level :]
    return span(0, stream.dtype.size, [(stream.n0, stream.stride0), *levels])


@lru_cache(maxsize=4096)
def _walk_parameters(walk: tuple[Any, ...], first: int, is_output: bool) -> dict[int, int]:
    """Parameters beside the base, which is the first one, of a stream with these other fields."""
    stream = Stream(0, *walk)
    p = {first + StreamParam.N0: stream.n0, first + StreamParam.STRIDE0: stream.stride0,
         first + StreamParam.LANE_LEVEL: stream.lane_level, first + StreamParam.TYPE: stream.dtype}
    for level, (bound, stride) in enumerate(stream.levels):
        p[first + StreamParam.BOUND1 + level] = bound
        if bound > 1:
            p[first + StreamParam.STRIDE1 + level] = stride
    for level in range(len(stream.levels), LEVELS):
        p[first + StreamParam.BOUND1 + level] = 1
    if is_output:
        p[first + StreamParam.SATURATE] = int(stream.saturate or stream.clamp is not None)
        if stream.clamp is not None:
            p[first + StreamParam.LOW], p[first + StreamParam.HIGH] = stream.clamp
    else:
        p[first + StreamParam.FILL] = stream.fill
    return {number: int(value) & 0xFFFFFFFF for number, value in p.items()}


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

    @cached_property
    def parameters(self) -> dict[int, int]:
        """The constants as parameters."""
        return {constant(k): value for k, value in enumerate(self.constants)}


@dataclass(slots=True)
class KernelForm:
    """A kernel wherever its streams begin, which many have in common.

    Attributes:
        parameters: those of `Command`; `bases` are the indices of the streams' first addresses,
            inputs before outputs.
        reads, writes: what streams walk when they begin at address 0, with their position in
            `bases`; `tables`, `scattered`: what is read and written beside them.
    """

    words: tuple[int, ...]
    parameters: dict[int, int]
    bases: tuple[int, ...]
    reads: tuple[tuple[int, Interval], ...]
    writes: tuple[tuple[int, Interval], ...]
    tables: tuple[Interval, ...]
    scattered: tuple[Interval, ...]
    cycles: int

    def at(self, addresses: Sequence[int], location: Location) -> Command:
        """The kernel whose streams begin at these addresses."""
        parameters = self.parameters.copy()
        for index, address in zip(self.bases, addresses, strict=True):
            parameters[index] = address & 0xFFFFFFFF
        reads = [moved(reach, addresses[n]) for n, reach in self.reads]
        writes = [moved(reach, addresses[n]) for n, reach in self.writes]
        return Command(Engine.VECTOR, self.words, None, parameters, (*self.tables, *reads),
                       (*self.scattered, *writes), self.cycles, timing.KERNEL_RETIRE, location)


def kernel_form(config: AcceleratorConfig, groups: int, body: Body, inputs: Mapping[int, Stream],
                outputs: Mapping[int, Stream], strip: int, tables: Sequence[Interval] = (),
                scattered: Sequence[Interval] = ()) -> KernelForm:
    """What `kernel` makes for streams that begin anywhere."""
    parameters, bases = {VECTOR_STRIP: strip, **body.parameters}, []
    for streams, is_output in ((inputs, False), (outputs, True)):
        for number, stream in streams.items():
            bases.append((output_stream if is_output else input_stream)(number, StreamParam.BASE))
            parameters[bases[-1]] = 0
            parameters.update(_walk_parameters(stream[1:], bases[-1], is_output))
    reads = [(n, _reach(stream[1:])) for n, stream in enumerate(inputs.values())
             if stream.dtype is not DType.ADDR]
    writes = [(n, _reach(stream[1:])) for n, stream in enumerate(outputs.values(), len(inputs))]
    slow = [config.lanes for stream in (*inputs.values(), *outputs.values()) if stream.is_strided]
    cycles = timing.kernel_cycles(config, groups, body.issues, special=body.special,
                                  strided_lanes=slow)
    return KernelForm((_run_word(len(body.words), groups), *body.words), parameters, tuple(bases),
                      tuple(reads), tuple(writes), tuple(tables), tuple(scattered), cycles)


def kernel(config: AcceleratorConfig, groups: int, body: Body, inputs: Mapping[int, Stream],
           outputs: Mapping[int, Stream], strip: int, location: Location,
           tables: Sequence[Interval] = (), scattered: Sequence[Interval] = ()) -> Command:
    """A run of `body` over `groups` groups of lanes, `strip` at a time.

    Args:
        inputs, outputs: streams by number.
        tables: memory read by `gather`; `scattered`: memory written by `scatter`.
    """
    form = kernel_form(config, groups, body, inputs, outputs, strip, tables, scattered)
    return form.at([stream.base for stream in (*inputs.values(), *outputs.values())], location)


@lru_cache(maxsize=4096)
def _run_word(length: int, groups: int) -> int:
    return Run(length=length, imm=groups).encode()
