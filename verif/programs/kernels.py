"""Random vector kernels."""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hw.isa.dtypes import DType
from hw.isa.encoding import INSTRUCTIONS, Instruction, make
from hw.isa.host import ACCUMULATOR_BASE, Engine
from hw.isa.params import (
    CONSTANTS,
    INPUT_STREAMS,
    LEVELS,
    OUTPUT_STREAMS,
    VECTOR_REGISTERS,
    VECTOR_STRIP,
    StreamParam,
    constant,
    input_stream,
)
from hw.isa.vector import (
    BINARY,
    CONSTANT_OPERAND,
    LANE_OPERAND,
    SPECIAL,
    STREAM_OPERAND,
    TERNARY,
    UNARY,
)
from verif.programs.engines import PLAIN_TYPES, Placement, place
from verif.programs.order import Span

if TYPE_CHECKING:
    from verif.programs.generator import Maker

INTERESTING = (0x3F800000, 0x40490FDB, 0xBF000000, 0x7F800000, 0x7FC00000, 0x80000000, 0, 1,
               0xFFFFFFFF, 0x00000007, 0x00800000, 0x4F000000)
INDEX_MASK = 31
MASK_CONSTANT, LAST_REGISTER = 15, 15
"""Constant and register that indexed accesses compute their indices in."""


@dataclass
class Body:
    """A kernel's body, and how many groups per group of the kernel each stream moves."""

    ops: list[Instruction] = field(default_factory=list)
    moved: Counter[int] = field(default_factory=Counter)
    """By stream number: inputs 0 to 3, outputs 4 and 5."""


class KernelMaker:
    """Kernels of random operations over random streams."""

    def __init__(self, maker: "Maker") -> None:
        self.maker = maker
        self.spans: list[Span] = []
        special = SPECIAL if maker.config.special_function_unit else {}
        self.lane_operations = [*UNARY, *special, *BINARY, *TERNARY, "perm"]

    def random(self) -> None:
        """A kernel that reads one half of the scratchpad and writes the other."""
        maker = self.maker
        gather, scatter, trans = (maker.chance(0.15) for _ in range(3))
        body = Body()
        self._block(body, maker.integer(1, 8), 1, 0, gather, scatter, trans)
        lanes, half = maker.config.lanes, maker.local_bytes // 2
        strip = lanes if trans else maker.integer(1, maker.config.strip_groups)
        groups = lanes * maker.integer(0, 2) if trans else maker.integer(0, 2 * strip)
        # Disjoint halves, so that reading ahead is not observable; they swap at random.
        reads, writes = (0, half) if maker.chance(0.5) else (half, 0)
        self.spans = []
        self._streams(body, groups, (reads, half), (writes, half // 2),
                      (writes + half // 2, half // 2))
        if gather:
            self._indexed(3, (reads, half))
        if scatter:
            self._indexed(INPUT_STREAMS + 1, (writes + half // 2, half // 2))
        self._run(body.ops, strip, groups)

    def _streams(self, body: Body, groups: int, reads: tuple[int, int], *writes: tuple[int, int]
                 ) -> None:
        maker = self.maker
        accumulators = (ACCUMULATOR_BASE, maker.accumulator_bytes)
        for number, times in sorted(body.moved.items()):
            region = writes[number - INPUT_STREAMS] if number >= INPUT_STREAMS else reads
            if number < INPUT_STREAMS and maker.chance(0.2):
                region = accumulators
            if number == INPUT_STREAMS and maker.chance(0.15) and not any(
                    span.first >= ACCUMULATOR_BASE for span in self.spans):
                region = accumulators
            self._stream(number, times * groups, region)

    def _block(self, body: Body, length: int, times: int, depth: int, gather: bool, scatter: bool,
               trans: bool) -> None:
        """Appends about `length` operations that run `times` times per strip."""
        maker = self.maker
        for _ in range(length):
            if depth < 3 and maker.chance(0.12):
                count, start = maker.integer(0, 3), len(body.ops)
                body.ops.append(make("rep", length=1, imm=count))
                self._block(body, maker.integer(1, 3), times * count, depth + 1, gather, scatter,
                            trans)
                body.ops[start] = make("rep", length=len(body.ops) - start - 1, imm=count)
            elif gather and maker.chance(0.3):
                self._masked_index(body)
                self._add(body, times, "gather", vd=self._destination(scatter), va=LAST_REGISTER)
            elif scatter and maker.chance(0.3):
                self._masked_index(body)
                self._add(body, times, "scatter", va=LAST_REGISTER, vb=self._source(gather))
            elif trans and maker.chance(0.3):
                self._add(body, times, "trans", vd=maker.integer(0, 15), va=maker.integer(0, 15))
            else:
                self._lane_operation(body, times, gather, scatter)

    def _lane_operation(self, body: Body, times: int, gather: bool, scatter: bool) -> None:
        maker = self.maker
        mnemonic = self.lane_operations[maker.integer(0, len(self.lane_operations) - 1)]
        fields = INSTRUCTIONS[mnemonic].FIELDS
        values: dict[str, int] = {name: self._source(gather)
                                  for name in ("va", "vb", "vc") if name in fields}
        values["vd"] = self._destination(scatter)
        if "swz" in fields and maker.chance(0.3):
            values["swz"] = maker.integer(0, maker.config.lanes - 1)
        self._add(body, times, mnemonic, **values)

    def _masked_index(self, body: Body) -> None:
        """Makes small indices, a few of them negative, from whatever a register holds."""
        register = self.maker.integer(0, 14)
        self._add(body, 0, "iand", vd=LAST_REGISTER, va=register,
                  vb=CONSTANT_OPERAND + MASK_CONSTANT)
        if self.maker.chance(0.5):
            self._add(body, 0, "isub", vd=LAST_REGISTER, va=LAST_REGISTER, vb=LANE_OPERAND)

    def _add(self, body: Body, times: int, mnemonic: str, **values: int) -> None:
        op = make(mnemonic, **values)
        body.ops.append(op)
        for code in {values[name] for name in ("va", "vb", "vc") if name in values}:
            if STREAM_OPERAND <= code < STREAM_OPERAND + INPUT_STREAMS:
                body.moved[code - STREAM_OPERAND] += times
        if values.get("vd", 0) >= STREAM_OPERAND:
            body.moved[INPUT_STREAMS + values["vd"] - STREAM_OPERAND] += times

    def _source(self, gather: bool) -> int:
        maker = self.maker
        kind = maker.integer(0, 9)
        if kind < 5:
            return maker.integer(0, VECTOR_REGISTERS - 1)
        if kind < 8:
            return STREAM_OPERAND + maker.integer(0, INPUT_STREAMS - 1 - int(gather))
        return LANE_OPERAND if kind == 8 else CONSTANT_OPERAND + maker.integer(0, CONSTANTS - 1)

    def _destination(self, scatter: bool) -> int:
        maker = self.maker
        if maker.chance(0.6):
            return maker.integer(0, VECTOR_REGISTERS - 1)
        return STREAM_OPERAND + maker.integer(0, OUTPUT_STREAMS - 1 - int(scatter))

    def _type(self, number: int) -> DType:
        maker = self.maker
        if number < INPUT_STREAMS and maker.chance(0.1):
            return DType.ADDR
        return PLAIN_TYPES[maker.integer(0, len(PLAIN_TYPES) - 1)]

    def _stream(self, number: int, groups: int, region: tuple[int, int]) -> None:
        """A stream of at least `groups` groups inside the region."""
        maker, dtype = self.maker, self._type(number)
        bounds = [maker.integer(1, 4) for _ in range(LEVELS - 1)]
        done = bounds[0] * bounds[1] * bounds[2]
        bounds.append(max(-(-groups // done), 1))
        lanes = maker.config.lanes
        n0 = maker.integer(0, lanes) if maker.chance(0.3) else lanes
        stride0 = [dtype.size, dtype.size, 0, dtype.size * maker.integer(-2, 3)][
            maker.integer(0, 3)]
        reach = abs(stride0) * (lanes - 1)
        at = place(maker, bounds, 2 * reach + dtype.size, dtype.size, region, 128)
        base = at.base + reach
        level = maker.integer(0, LEVELS)
        if level and maker.chance(0.5):
            n0 = maker.integer(0, lanes * bounds[level - 1])
        self._set(number, base, n0, stride0, level, bounds, at, dtype)

    def _set(self, number: int, base: int, n0: int, stride0: int, level: int, bounds: list[int],
             at: Placement, dtype: DType) -> None:
        values = {
            StreamParam.BASE: base, StreamParam.N0: n0, StreamParam.STRIDE0: stride0,
            StreamParam.LANE_LEVEL: level, StreamParam.TYPE: dtype,
            StreamParam.FILL: self.maker.choice(list(INTERESTING)),
            StreamParam.SATURATE: self.maker.integer(0, 1),
            StreamParam.HIGH: self.maker.choice(list(INTERESTING)),
            **{StreamParam(StreamParam.BOUND1 + i): bounds[i] for i in range(LEVELS)},
            **{StreamParam(StreamParam.STRIDE1 + i): at.strides[i] for i in range(LEVELS)},
        }
        for parameter, value in values.items():
            self.maker.set(Engine.VECTOR, input_stream(number, parameter), value)
        if dtype is not DType.ADDR:
            self.spans.append(Span("local", at.first, at.last, number >= INPUT_STREAMS))

    def _indexed(self, number: int, region: tuple[int, int]) -> None:
        """Base and stride for indices up to the mask constant."""
        maker, dtype = self.maker, PLAIN_TYPES[self.maker.integer(0, len(PLAIN_TYPES) - 1)]
        maker.set(Engine.VECTOR, constant(MASK_CONSTANT), INDEX_MASK)
        at = place(maker, [INDEX_MASK + 1], dtype.size, dtype.size, region, 16)
        if at.strides[0] < 0:
            at.strides[0] = 0
        self._set(number, at.base, 0, at.strides[0], 0, [1] * LEVELS,
                  Placement(at.base, [0] * LEVELS, *region_span(region)), dtype)

    def _run(self, ops: list[Instruction], strip: int, groups: int) -> None:
        maker = self.maker
        maker.set(Engine.VECTOR, VECTOR_STRIP, strip)
        maker.order.before(Engine.VECTOR, tuple(self.spans))
        maker.program.append(make("run", length=len(ops), imm=groups))
        maker.program.extend(ops)

    def _plain(self, number: int, base: int, groups: int) -> None:
        """A contiguous f32 stream."""
        row = 4 * self.maker.config.lanes
        at = Placement(base, [row, 0, 0, 0], base, base + groups * row - 1)
        self._set(number, base, self.maker.config.lanes, 4, 0, [groups, 1, 1, 1], at, DType.S32)

    def fill_accumulators(self) -> None:
        """Copies scratchpad data into the used part of the accumulators."""
        self.spans = []
        groups = self.maker.accumulator_bytes // (4 * self.maker.config.lanes)
        self._plain(0, 0, groups)
        self._plain(INPUT_STREAMS, ACCUMULATOR_BASE, groups)
        mov = make("mov", vd=STREAM_OPERAND, va=STREAM_OPERAND)
        self._run([mov], self.maker.config.strip_groups, groups)

    def fill_registers(self) -> None:
        """Gives every group of every vector register a value."""
        strip = self.maker.config.strip_groups
        self.spans = []
        row = 4 * self.maker.config.lanes
        # All registers read the same groups: the scratchpad may be smaller than the registers.
        at = Placement(0, [row, 0, 0, 0], 0, min(strip * row, self.maker.local_bytes) - 1)
        bounds = [min(strip, self.maker.local_bytes // row), VECTOR_REGISTERS * strip, 1, 1]
        self._set(0, 0, self.maker.config.lanes, 4, 0, bounds, at, DType.S32)
        moves = [make("mov", vd=v, va=STREAM_OPERAND) for v in range(VECTOR_REGISTERS)]
        self._run(moves, strip, strip)

    def dump_registers(self, base: int) -> None:
        """Folds every register's groups into the scratchpad from `base` on, 2 KiB at most."""
        maker = self.maker
        strip, row = maker.config.strip_groups, 4 * maker.config.lanes
        rows = min(VECTOR_REGISTERS * strip, 2048 // row)
        self.spans = []
        self._plain(INPUT_STREAMS, base, rows)
        fold = [make("ixor", vd=0, va=0, vb=v, swz=v % maker.config.lanes)
                for v in range(1, VECTOR_REGISTERS)]
        store = make("mov", vd=STREAM_OPERAND, va=0)
        self._run([*fold, store], strip, min(strip, rows))


def region_span(region: tuple[int, int]) -> tuple[int, int]:
    """First and last byte of a (start, size) region."""
    return region[0], region[0] + region[1] - 1
