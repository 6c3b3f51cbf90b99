"""Boxes of strided operands in the scratchpad.

A box of a loop nest touches some elements of an operand. `footprint` lays them out in local
memory: each element once however often the nest visits it, in the order of DRAM so that the DMA
moves long rows, small gaps included. The nest then walks the copy with strides of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from compiler.codegen.transfer import NO_LIMIT, Level, Pattern, Transfer
from hw.isa.dtypes import DType
from hw.isa.params import LEVELS

WIDEST_GAP = 8
"""Elements a row may be apart to be fetched as one row with its gaps."""


class Step(NamedTuple):
    """One loop of a copy: iterations outside lo <= i < hi are padding. Strides in bytes."""

    size: int
    dram: int
    local: int
    lo: int = 0
    hi: int = NO_LIMIT

    @property
    def is_padded(self) -> bool:
        return self.lo > 0 or self.hi < self.size


@dataclass(slots=True)
class _Run:
    """Positions 0 to count - 1, `unit` elements apart in DRAM and `local` in the copy."""

    unit: int
    local: int
    count: int
    axis: "PaddedAxis | None"
    dims: list[int]


@dataclass(frozen=True)
class Footprint:
    """A box of an operand in local memory.

    Attributes:
        elements: size of the copy.
        first: position in the copy of the box's element of index 0.
        dram_first: elements from that element's place in DRAM back to the first one copied.
        strides: elements of the copy between neighbours along each dimension of the nest.
        steps: the copy, in elements; innermost first.
    """

    elements: int
    first: int
    dram_first: int
    strides: tuple[int, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class PaddedAxis:
    """A dimension of DRAM some of whose positions do not exist.

    Attributes:
        name: tells axes apart; several dimensions of a nest may walk along one.
        pitch: elements between neighbouring positions.
        lo, hi: positions that exist, counted from that of the box's first element.
    """

    name: int
    pitch: int
    lo: int
    hi: int


def footprint(strides: Sequence[int], extents: Sequence[int],
              padded: Mapping[int, PaddedAxis] | None = None) -> Footprint:
    """The copy of a box.

    Args:
        strides: elements of DRAM between neighbours along each dimension, 0 where it repeats;
            not negative along padded axes.
        extents: size of the box.
        padded: the axis of each dimension that walks along a padded one.
    """
    padded = padded or {}
    runs: list[_Run] = []
    dims = sorted((d for d in range(len(strides))
                   if d in padded or (strides[d] and extents[d] > 1)),
                  key=lambda d: (padded[d].pitch if d in padded else abs(strides[d]), d))
    for d in dims:
        _extend(runs, d, abs(strides[d]), extents[d], padded.get(d))
    local = [0] * len(strides)
    for run in runs:
        for d in run.dims:
            local[d] = strides[d] // run.unit * run.local
    backwards = [d for d in dims if strides[d] < 0]
    steps = tuple(
        Step(r.count, r.unit, r.local, *((max(r.axis.lo, 0), max(r.axis.hi, 0)) if r.axis else ()))
        for r in runs)
    return Footprint(
        runs[-1].local * runs[-1].count if runs else 1,
        -sum(local[d] * (extents[d] - 1) for d in backwards),
        -sum(strides[d] * (extents[d] - 1) for d in backwards), tuple(local), steps)


def _extend(runs: list[_Run], d: int, stride: int, extent: int, axis: PaddedAxis | None) -> None:
    """Joins a dimension to the outermost run, or starts a new one."""
    unit = axis.pitch if axis else stride
    if runs:
        last = runs[-1]
        joins = stride // last.unit <= last.count if axis is None else axis == last.axis
        if (axis is None) == (last.axis is None) and stride % last.unit == 0 and joins:
            last.count += (extent - 1) * (stride // last.unit)
            last.dims.append(d)
            return
        runs.append(_Run(unit, last.local * last.count, 0, axis, [d]))
    else:
        runs.append(_Run(unit if axis or unit > WIDEST_GAP else 1, 1, 0, axis, [d]))
    runs[-1].count = (extent - 1) * (stride // runs[-1].unit) + 1


def scaled(steps: Sequence[Step], dram_bytes: int, local_bytes: int) -> list[Step]:
    """Steps in elements as steps in bytes."""
    return [Step(s.size, s.dram * dram_bytes, s.local * local_bytes, s.lo, s.hi) for s in steps]


def transfers(window: int, offset: int, local: int, steps: Sequence[Step], dram_type: DType,
              local_type: DType) -> Iterator[Transfer]:
    """Transfers that copy a nest of any depth; `offset`, `local` and steps in bytes."""
    for dram, at, pattern in _patterns(tuple(steps), dram_type, local_type):
        yield Transfer(window, offset + dram, local + at, pattern)


@lru_cache(maxsize=1024)
def _patterns(steps: tuple[Step, ...], dram_type: DType, local_type: DType
              ) -> tuple[tuple[int, int, Pattern], ...]:
    """What can be moved at once, and how far from the first bytes it begins on each side: most
    copies are the same but for where they are."""
    nest = _merged([s for s in steps if s.size > 1 or s.is_padded])
    rows = [s for s in nest if (s.dram, s.local) == (dram_type.size, local_type.size)][:1]
    row = rows[0] if rows else Step(1, 0, 0)
    # Short strides innermost: neighbouring rows stay in one DRAM page.
    outer = sorted((s for s in nest if s is not row), key=lambda s: abs(s.dram))
    levels = tuple(Level(s.size, s.dram, s.local, s.lo, s.hi) for s in outer[:LEVELS])
    loops, found = outer[LEVELS:], []
    for position in product(*(range(s.size) for s in loops)):
        inside = all(s.lo <= i < s.hi for i, s in zip(position, loops, strict=True))
        dram = sum(i * s.dram for i, s in zip(position, loops, strict=True))
        at = sum(i * s.local for i, s in zip(position, loops, strict=True))
        found.append((dram, at, Pattern(row.size, levels, dram_type, local_type,
                                        row.lo, row.hi if inside else 0)))
    return tuple(found)


def _merged(steps: list[Step]) -> list[Step]:
    """Joins steps that walk on where another ends, on both sides."""
    nest = list(steps)
    while pair := next(((o, i) for o in nest for i in nest if _continues(o, i)), None):
        outer, inner = pair
        nest.remove(outer)
        nest[nest.index(inner)] = Step(inner.size * outer.size, inner.dram, inner.local)
    return nest


def _continues(outer: Step, inner: Step) -> bool:
    return (outer is not inner and not outer.is_padded and not inner.is_padded
            and (outer.dram, outer.local) == (inner.size * inner.dram, inner.size * inner.local))
