"""Chains of convolutions, poolings and products that alone read each other, and where to cut them.

A chain is cut into parts, and each part into bands of lines (`bands`), so that the fewest bytes
move: values between parts that do not stay on chip are stored and loaded, and each band loads the
weights of its part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from compiler.ir.loops import is_contraction
from compiler.ir.ops import HloOp, only_user
from compiler.ir.types import tensor_of
from compiler.ops.contraction import products_summed, spatial_windows
from compiler.ops.elementwise import Elementwise
from compiler.ops.reduction import identity, reduction_windows
from compiler.ops.windows import SpatialWindow
from compiler.passes.slicing import follow

SMALL = 3
"""Values of at most this part of the scratchpad are on chip anyway."""
BANDS_HELD = 2
"""Bands of a value on chip at once: one is made while the one before is read."""
ROOM = 3, 8
"""Share of the scratchpad that bands may take."""
WHOLE = 3, 4
"""The same for values of a chain that is not cut."""


@dataclass(frozen=True)
class Stage:
    """An operation that is not elementwise, and the elementwise work on its result.

    Attributes:
        ops: in order; each of them alone uses the one before.
        window: of the first one along the lines; None for a product, which works line by line.
    """

    ops: list[HloOp]
    window: SpatialWindow | None

    @property
    def first(self) -> HloOp:
        return self.ops[0]

    @property
    def result(self) -> SSAValue:
        return self.ops[-1].results[0]

    @property
    def is_depthwise(self) -> bool:
        """Whether array and vector unit share the work."""
        return bool(self.first.attrs.get("feature_group_count", 1) > 1)

    def lines_read(self, start: int, end: int) -> tuple[int, int]:
        """The lines of the padded input that some lines of the result need."""
        w = self.window
        if w is None or start >= end:
            return start, end
        return start * w.stride, (end - 1) * w.stride + (w.size - 1) * w.dilation + 1

    def ends_read(self, end: int) -> int:
        """Where the lines of the input end that the result needs up to some line."""
        w = self.window
        return end if w is None else min(self.lines_read(0, end)[1] - w.low, w.extent)

    @property
    def padding(self) -> tuple[tuple[int, int], ...]:
        """Of the input, low and high, for lines and positions; none for a product."""
        if self.window is None:
            return ()
        windows = reduction_windows(self.first.call)[1:-1] \
            if self.is_pooling else spatial_windows(self.first.call)
        return tuple((w.low, w.high) for w in windows)

    @property
    def is_pooling(self) -> bool:
        return self.first.kind == "reduce_window"

    def padded(self, padding: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """The first operation's attributes with another padding of lines and positions."""
        around = ((0, 0),) if self.is_pooling else ()
        changed = {"padding": (*around, *padding, *around)} if padding else {}
        return {**self.first.attrs, **changed}

    @property
    def outside(self) -> np.ndarray[Any, Any]:
        """What padding counts as."""
        element = tensor_of(self.first.operands[0]).element
        value = identity(self.first.attrs["combiner"], element) if self.is_pooling else 0
        return np.array(value, element.numpy)


@dataclass(frozen=True)
class Chain:
    """Stages that alone read each other; `lines` is the dimension of lines in all results."""

    stages: list[Stage]
    lines: int

    @property
    def weight_bytes(self) -> int:
        """Of all stages: each band loads them."""
        return sum(tensor_of(stage.first.operands[1]).bytes for stage in self.stages)

    @property
    def extent(self) -> int:
        """Lines of the last result."""
        return tensor_of(self.stages[-1].result).shape[self.lines]


def chain_from(first: HloOp) -> Chain | None:
    """The longest chain that begins with an operation, if there is one."""
    lines = _lines(first)
    if lines is None or prod(first.tensor.shape[:lines]) != 1:
        return None
    stages: list[Stage] = []
    op: HloOp | None = first
    while op is not None and _lines(op) == lines and (op is first or _reads_lines(op, lines)):
        stage = Stage([op, *_elementwise(op.results[0])], _window(op, lines))
        stages.append(stage)
        op = _next(stage.result)
    return _closed(Chain(stages, lines))


def _next(value: SSAValue) -> HloOp | None:
    """The only operation that reads a value and is not elementwise, if it may continue a chain."""
    readers = [use.operation for use in value.uses]
    found = [op for op in readers if isinstance(op, HloOp)
             and not isinstance(op.definition, Elementwise)]
    if len(found) != 1 or not all(isinstance(op, HloOp) for op in readers):
        return None
    first, *others = found[0].operands
    return found[0] if first is value and value not in others else None


def _closed(chain: Chain) -> Chain | None:
    """The longest part of a chain, from its beginning, whose inner values nothing else reads."""
    for length in range(len(chain.stages), 1, -1):
        stages = chain.stages[:length]
        members = {op for stage in stages for op in stage.ops}
        if all(use.operation in members for stage in stages[:-1] for use in stage.result.uses):
            return Chain(stages, chain.lines)
    return None


def _lines(op: HloOp) -> int | None:
    """The dimension of lines of an operation's result; None when it is not of a chain."""
    if len(op.results) != 1:
        return None
    if op.kind == "dot_general":
        numbers = op.attrs["dot_dimension_numbers"]
        flat = not numbers["lhs_batching_dimensions"] and len(
            numbers["lhs_contracting_dimensions"]) == 1
        return 1 if flat and op.tensor.rank == 4 and follow(op, 0, 1) == 1 else None
    if op.kind == "convolution":
        return _lines_of_convolution(op)
    return 1 if op.kind == "reduce_window" and _is_pooling(op) else None


def _is_pooling(op: HloOp) -> bool:
    """Whether windows slide over lines and positions of one image with features innermost."""
    if op.tensor.rank != 4:
        return False
    image, *spatial, features = reduction_windows(op.call)
    return all(map(_is_plain, spatial)) and all(
        (w.size, w.stride, w.low, w.high) == (1, 1, 0, 0) for w in (image, features))


def _lines_of_convolution(op: HloOp) -> int | None:
    dims = op.attrs["dimension_numbers"]
    spatial, last = tuple(dims["output_spatial_dimensions"]), op.tensor.rank - 1
    usual = (len(spatial) == 2 and tuple(dims["input_spatial_dimensions"]) == spatial
             and spatial == (last - 2, last - 1)
             and dims["output_feature_dimension"] == dims["input_feature_dimension"] == last)
    return spatial[0] if usual and all(map(_is_plain, spatial_windows(op.call))) else None


def _is_plain(window: SpatialWindow) -> bool:
    """Whether a window walks forwards over the input and what is added around it."""
    return window.base_dilation == 1 and not window.reverse and min(window.low, window.high) >= 0


def _window(op: HloOp, lines: int) -> SpatialWindow | None:
    if op.kind == "convolution":
        return spatial_windows(op.call)[0]
    return reduction_windows(op.call)[lines] if op.kind == "reduce_window" else None


def _reads_lines(op: HloOp, lines: int) -> bool:
    return follow(op, 0, lines) == lines if op.kind == "dot_general" else True


def _elementwise(value: SSAValue) -> list[HloOp]:
    """What alone uses a value, and so on."""
    found: list[HloOp] = []
    user = only_user(value)
    while user is not None and isinstance(user.definition, Elementwise):
        found.append(user)
        user = only_user(user.results[0])
    return found


def parts_of(chain: Chain, scratchpad_bytes: int) -> list[tuple[Chain, int]]:
    """A chain cut so that the fewest bytes move: the parts, and their numbers of bands."""
    stages, best = chain.stages, [_Choice(0, ())]
    sizes = [_Sizes.of(stage, chain.lines) for stage in stages]
    for end in range(1, len(stages) + 1):
        choices = []
        for start in range(end):
            count = _count(sizes[start:end], scratchpad_bytes)
            if count:
                part = Chain(stages[start:end], chain.lines)
                moved = _moved(chain, start, scratchpad_bytes) + count * part.weight_bytes
                choices.append(_Choice(best[start].bytes + moved,
                                       (*best[start].parts, (part, count))))
        best.append(min(choices, key=lambda choice: choice.bytes))
    return [(part, count) for part, count in best[-1].parts if len(part.stages) > 1]


@dataclass(frozen=True)
class _Choice:
    """How the first stages of a chain are cut, and the bytes that move."""

    bytes: int
    parts: tuple[tuple[Chain, int], ...]


def _moved(chain: Chain, cut: int, scratchpad_bytes: int) -> int:
    """Bytes stored and loaded again where a chain is cut before a stage."""
    if not cut:
        return 0
    before, after = chain.stages[cut - 1 : cut + 1]
    size = tensor_of(before.result).bytes
    apart = before.is_depthwise or after.is_depthwise
    return 2 * size if apart or size > scratchpad_bytes // SMALL else 0


@dataclass(frozen=True)
class _Sizes:
    """Of a stage's result: bytes, lines, bytes of a line; and whether its input is padded."""

    bytes: int
    lines: int
    line_bytes: int
    is_padded: bool

    @classmethod
    def of(cls, stage: Stage, lines: int) -> "_Sizes":
        tensor = tensor_of(stage.result)
        count = tensor.shape[lines]
        return cls(tensor.bytes, count, tensor.bytes // max(count, 1),
                   any(map(any, stage.padding)))


def _count(part: Sequence[_Sizes], scratchpad_bytes: int) -> int:
    """The number of bands of a part of a chain, 0 when there are never few enough lines."""
    if _whole_bytes(part) <= scratchpad_bytes * WHOLE[0] // WHOLE[1]:
        return 1
    room = scratchpad_bytes * ROOM[0] // ROOM[1]
    return next((count for count in range(2, part[-1].lines + 1)
                 if _band_bytes(part, count) <= room), 0)


def _whole_bytes(part: Sequence[_Sizes]) -> int:
    """Most that is on chip at once when the part is not cut."""
    sizes = [0, *(stage.bytes for stage in part[:-1]), 0]
    padded = [2 * before.bytes for before, stage in pairwise(part) if stage.is_padded]
    return max(*padded, *(a + b for a, b in pairwise(sizes)), 0)


def _band_bytes(part: Sequence[_Sizes], count: int) -> int:
    """Of what is on chip while the part is cut in so many bands."""
    sizes = [-(-stage.lines // count) * stage.line_bytes * BANDS_HELD for stage in part[:-1]]
    # With few bands only so many stages are at work at the same time.
    return max(sum(sizes[first : first + count]) for first in range(len(sizes)))


def band_ends(chain: Chain, count: int) -> list[list[int]]:
    """For each stage the line at which each band's result ends."""
    step = -(-chain.extent // count)
    ends = [[min(end + step, chain.extent) for end in range(0, chain.extent, step)]]
    for stage in reversed(chain.stages[1:]):
        ends.insert(0, [stage.ends_read(end) for end in ends[0]])
    return ends


def work_beside(chain: Chain, stage: Stage, count: int) -> tuple[int, int]:
    """Multiply-accumulates and result elements of the other stages during one band, the share of a
    depthwise convolution. These keep both units busy themselves."""
    others = [other.first for other in chain.stages if not other.is_depthwise]
    shared = sum(other.first.tensor.size for other in chain.stages if other.is_depthwise)
    macs = sum(op.tensor.size * products_summed(op.call) for op in others if is_contraction(op))
    elements = sum(op.tensor.size for op in others)
    part = stage.first.tensor.size / max(shared, 1)
    return int(part * macs) // count, int(part * elements) // count
