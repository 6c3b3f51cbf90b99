"""Chains of convolutions, poolings and products that alone read each other.

What elementwise work combines with a stage's result may come from an earlier stage (a residual), or
from a product of the chain's input or of an earlier result (a residual of another shape).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
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
from compiler.passes.sink import is_free_conversion
from compiler.passes.slicing import follow, only_slice

KINDS = ("convolution", "dot_general", "reduce_window")
"""Of a stage's first operation."""


@dataclass(frozen=True)
class Stage:
    """An operation that is not elementwise, and the elementwise work on its result.

    Attributes:
        ops: in order; what alone uses the result of the first, and so on, and the products that it
            is combined with.
        window: of the first one along the lines; None for a product, which works line by line.
    """

    ops: list[HloOp]
    window: SpatialWindow | None

    @property
    def first(self) -> HloOp:
        return self.ops[0]

    @property
    def products(self) -> list[HloOp]:
        """The contractions: of the chain, and those that are combined with it."""
        return [op for op in self.ops if is_contraction(op)]

    @property
    def weight_bytes(self) -> int:
        return sum(tensor_of(op.operands[1]).bytes for op in self.products)

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
class Read:
    """Of a value of a chain.

    Attributes:
        maker: number of the stage whose result it is; -1 for the chain's input.
        is_sliced: whether some of the lines are left out.
    """

    maker: int
    bytes: int
    is_sliced: bool


@dataclass(frozen=True)
class Chain:
    """Stages that alone read each other; `lines` is the dimension of lines in all results."""

    stages: list[Stage]
    lines: int

    @property
    def members(self) -> set[HloOp]:
        """The operations of all stages."""
        return {op for stage in self.stages for op in stage.ops}

    def part(self, start: int, end: int) -> "Chain":
        """Some stages of it."""
        return Chain(self.stages[start:end], self.lines)

    def reads(self, number: int) -> list["Read"]:
        """What a stage reads of the chain's input and of earlier results."""
        makers = {stage.result: n for n, stage in enumerate(self.stages[:number])}
        makers[self.stages[0].first.operands[0]] = -1
        stage = self.stages[number]
        values = [stage.first.operands[0], *(v for op in stage.ops[1:] for v in op.operands)]
        seen = ((value, origin(value)) for value in dict.fromkeys(values))
        return [Read(makers[origin], _narrow_bytes(value), isinstance(value.owner, HloOp)
                     and value.owner.kind == "slice")
                for value, origin in seen if origin in makers]

    @property
    def extent(self) -> int:
        """Lines of the last result."""
        return tensor_of(self.stages[-1].result).shape[self.lines]


def read_outside(chain: Chain) -> list[int]:
    """Numbers of the stages but the last one whose results others than the chain read."""
    members = chain.members
    return [number for number, stage in enumerate(chain.stages[:-1])
            if not _is_read_by(members, stage.result)]


def slice_outside(chain: Chain, number: int) -> HloOp | None:
    """The slice which is all that others than the chain read of an inner stage's result."""
    members = chain.members
    outside = [use.operation for use in chain.stages[number].result.uses
               if use.operation not in members and not (
                   isinstance(use.operation, HloOp) and _hands_on(use.operation)
                   and _is_read_by(members, use.operation.results[0]))]
    return only_slice(outside)


def are_read_later(chain: Chain) -> bool:
    """Whether others read results of inner stages behind the chain's last operation only."""
    last, members = chain.stages[-1].ops[-1], chain.members
    return all(op in members or last.is_before_in_block(op) or (
        isinstance(op, HloOp) and _hands_on(op) and _is_read_by(members, op.results[0]))
        for stage in chain.stages[:-1] for op in (use.operation for use in stage.result.uses))


def chain_from(first: HloOp) -> Chain | None:
    """The longest chain that begins with an operation, if there is one."""
    lines = _lines(first)
    if lines is None or prod(first.tensor.shape[:lines]) != 1:
        return None
    stages: list[Stage] = []
    sources = {first.operands[0]}
    op: HloOp | None = first
    while op is not None and _lines(op) == lines and (op is first or _reads_lines(op, lines)):
        stage = Stage([op, *_elementwise(op.results[0], lines, sources)], _window(op, lines))
        stages.append(stage)
        sources.add(stage.result)
        op = _next(stage.result)
    return _closed(Chain(stages, lines))


def _next(value: SSAValue) -> HloOp | None:
    """The first operation that reads a value and may continue a chain."""
    found = [op for op in _readers(value) if op.kind in KINDS
             and [number for number, v in enumerate(op.operands) if v is value] == [0]]
    return next((op for op in found if all(
        op is other or op.is_before_in_block(other) for other in found)), None)


def _readers(value: SSAValue) -> Iterator[HloOp]:
    """The operations that read a value, or a part of it, of any width."""
    for use in value.uses:
        if isinstance(use.operation, HloOp):
            if _hands_on(use.operation):
                yield from _readers(use.operation.results[0])
            else:
                yield use.operation


def _hands_on(op: HloOp) -> bool:
    return op.kind == "slice" or is_free_conversion(op)


def origin(value: SSAValue) -> SSAValue:
    """What a value is a part of, or a wider form."""
    while isinstance(value.owner, HloOp) and _hands_on(value.owner):
        value = value.owner.operands[0]
    return value


def _narrow_bytes(value: SSAValue) -> int:
    """Bytes of a value in memory, before streams widen it."""
    return tensor_of(value).size * tensor_of(origin(value)).element.size


def _closed(chain: Chain) -> Chain | None:
    """The longest part of a chain, from its beginning, whose inner values nothing else reads."""
    for length in range(len(chain.stages), 1, -1):
        part = chain.part(0, length)
        if not read_outside(part):
            return part
    return None


def _is_read_by(members: Collection[HloOp], value: SSAValue) -> bool:
    """Whether all that read a value are among some operations."""
    return all(isinstance(op, HloOp) and (op in members or (
        _hands_on(op) and _is_read_by(members, op.results[0])))
        for op in (use.operation for use in value.uses))


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


def _elementwise(value: SSAValue, lines: int, sources: Collection[SSAValue]) -> list[HloOp]:
    """What alone uses a value, and so on, with the products of other values of the chain that it
    is combined with."""
    found: list[HloOp] = []
    user = only_user(value)
    while user is not None and isinstance(user.definition, Elementwise):
        for other in user.operands:
            if other is not value:
                found += _side(other, lines, sources)
        found.append(user)
        value = user.results[0]
        user = only_user(value)
    return found


def _side(value: SSAValue, lines: int, sources: Collection[SSAValue]) -> list[HloOp]:
    """The operations that make a value, for nothing else, of one product of another value of the
    chain, line by line; none when it is not made so."""
    found: list[HloOp] = []
    pending = [value]
    while pending:
        op = pending.pop().owner
        if not isinstance(op, HloOp) or op in found or len(op.results) != 1:
            continue
        if op.kind == "dot_general" and _lines(op) == lines and _reads_lines(op, lines) \
                and origin(op.operands[0]) in sources:
            found.append(op)
        elif isinstance(op.definition, Elementwise) and op.tensor.rank == tensor_of(value).rank:
            found.append(op)
            pending += op.operands
        elif op.kind not in ("broadcast_in_dim", "constant"):
            return []
    alone = all(only_user(op.results[0]) is not None for op in found)
    products = sum(op.kind == "dot_general" for op in found)
    return found[::-1] if alone and products == 1 else []


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
