"""Sweeps: weight tiles in a regular order, and rows of activations through each of them.

A sweep is one command, however many tiles it has: the sequencer repeats `loadw` and `matmul` and
steps their addresses. So the text of a large contraction stays short, which matters where every
weight is used once and instructions share the bus with them, and the compiler orders and
synchronises few commands.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod
from typing import NamedTuple

from compiler.codegen.commands import (
    Command,
    Interval,
    Repeat,
    encoded,
    moved,
    span,
    with_immediate,
)
from compiler.errors import Location
from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.host import ACCUMULATOR_BASE, Engine
from hw.isa.matrix import LoadWeights, Multiply
from hw.isa.params import LEVELS, MatrixParam

LONGEST_CYCLES = 1200
"""A sweep of more tiles than the queue holds keeps the sequencer from other engines meanwhile."""


class Form(NamedTuple):
    """A weight tile and the rows that stream through it, wherever they are.

    Attributes:
        k, n: size of the tile.
        stride: bytes from one row (column if transposed) of weights to the next.
        levels: (bound, activation stride in bytes, accumulator stride in rows), innermost first.
        integer: s8 instead of bf16.
        diagonal: only weights with k = n exist.
    """

    k: int
    n: int
    stride: int
    transposed: bool
    levels: tuple[tuple[int, int, int], ...]
    integer: bool
    accumulate: bool
    diagonal: bool = False

    @property
    def rows(self) -> int:
        return prod(bound for bound, _, _ in self.levels)


@dataclass(slots=True)
class Tile:
    """A form at its place.

    Attributes:
        weights, activations: local addresses of the first elements; row: of the accumulators.
    """

    weights: int
    activations: int
    row: int
    form: Form

    def at(self, line: "Line", index: int) -> "Tile":
        """The tile so many steps on."""
        if not index:
            return self
        return Tile(self.weights + index * line.weights,
                    self.activations + index * line.activations, self.row + index * line.rows,
                    self.form)


class Line(NamedTuple):
    """`length` tiles whose weights, activations and accumulator rows are so far apart."""

    length: int
    weights: int = 0
    activations: int = 0
    rows: int = 0


def runs(keys: Sequence[Hashable], values: Sequence[tuple[int, int]]
         ) -> list[tuple[int, int, tuple[int, int]]]:
    """Cuts a sequence into runs of equal keys and evenly spaced values: (first, count, step)."""
    found: list[tuple[int, int, tuple[int, int]]] = []
    for i, (key, (x, y)) in enumerate(zip(keys, values, strict=True)):
        if found and key == keys[i - 1]:
            first, count, step = found[-1]
            here = x - values[i - 1][0], y - values[i - 1][1]
            if count == 1 or here == step:
                found[-1] = first, count + 1, here
                continue
        found.append((i, 1, (0, 0)))
    return found


def sweep(config: AcceleratorConfig, tile: Tile, outer: Line, inner: Line, location: Location
          ) -> list[Command]:
    """The commands of a rectangle of tiles from `tile` on."""
    return [_command(pattern, tile.weights + first.weights, tile.activations + first.activations,
                     tile.row + first.row, location)
            for first, pattern in _patterns(config, tile.form, outer, inner)]


@lru_cache(maxsize=4096)
def _patterns(config: AcceleratorConfig, form: Form, outer: Line, inner: Line
              ) -> "tuple[tuple[Tile, _Pattern], ...]":
    """The commands of a sweep, each with its first tile when that of the sweep is at zero."""
    return tuple((first, _pattern(config, form, lines))
                 for first, lines in _parts(config, Tile(0, 0, 0, form), outer, inner))


def _parts(config: AcceleratorConfig, tile: Tile, outer: Line, inner: Line
           ) -> Iterator[tuple[Tile, tuple[Line, ...]]]:
    """First tile and loops of each command."""
    if inner.length == outer.length == 1:
        yield tile, ()
        return
    limit = _longest(config, tile.form.rows)
    if inner.length > limit:
        for i in range(outer.length):
            for first, part in _even(inner, limit):
                yield tile.at(outer, i).at(inner, first), (part,)
        return
    for first, part in _even(outer, limit // inner.length):
        yield tile.at(outer, first), tuple(line for line in (part, inner) if line.length > 1)


def _longest(config: AcceleratorConfig, rows: int) -> int:
    """Tiles of the longest sweep: a quarter of the queue to twice the queue (of two a tile)."""
    few = LONGEST_CYCLES // timing.matmul_cycles(config, rows)
    return min(max(few, config.queue_depth // 4, 1), config.queue_depth)


def _even(line: Line, limit: int) -> Iterator[tuple[int, Line]]:
    """Parts of a line, at most `limit` long and of similar length: (first, part)."""
    if line.length <= limit:
        yield 0, line
        return
    parts = -(-line.length // limit)
    for i in range(parts):
        first, end = i * line.length // parts, (i + 1) * line.length // parts
        yield first, line._replace(length=end - first)


def _command(pattern: "_Pattern", weights: int, activations: int, row: int, location: Location
             ) -> Command:
    load, product = pattern.words
    written = moved(pattern.written, row * pattern.row_bytes)
    reads = moved(pattern.weights, weights), moved(pattern.activations, activations)
    return Command(Engine.MATRIX,
                   (with_immediate(load, weights), with_immediate(product, activations)), row,
                   pattern.parameters, (*reads, written) if pattern.accumulates else reads,
                   (written,), pattern.cycles, pattern.latency, location, repeat=pattern.repeat)


class _Pattern(NamedTuple):
    """What a sweep is but for its place: words without addresses, intervals of operands at
    address 0 and of sums from accumulator row 0 on, bytes of such a row, whether sums are added
    to."""

    words: tuple[int, int]
    parameters: dict[int, int]
    weights: Interval
    activations: Interval
    written: Interval
    row_bytes: int
    accumulates: bool
    cycles: int
    latency: int
    repeat: Repeat | None


def _pattern(config: AcceleratorConfig, form: Form, lines: tuple[Line, ...]) -> _Pattern:
    """A network has few different ones."""
    repeat = Repeat(tuple(line.length for line in lines),
                    (tuple(line.weights for line in lines),
                     tuple(line.activations for line in lines)),
                    tuple(line.rows for line in lines))
    return _Pattern(
        _unplaced_words(form.transposed, form.integer, form.diagonal, form.accumulate),
        _parameters(form.k, form.n, form.stride, form.levels), *_intervals(config, form, lines),
        config.accumulator_row_bytes, form.accumulate, _cycles(config, form.rows, lines),
        timing.array_latency(config), repeat if lines else None)


@cache
def _unplaced_words(transposed: bool, integer: bool, diagonal: bool, accumulate: bool
                    ) -> tuple[int, int]:
    """`loadw` and `matmul` without addresses."""
    weights = encoded(LoadWeights, transposed=int(transposed), integer=int(integer),
                      diagonal=int(diagonal))
    return weights, encoded(Multiply, accumulate=int(accumulate), swap=1)


@lru_cache(maxsize=1024)
def _parameters(k: int, n: int, stride: int, levels: tuple[tuple[int, int, int], ...]
                ) -> dict[int, int]:
    """Not to be changed: sweeps that share it need not be compared."""
    parameters: dict[int, int] = {MatrixParam.K: k, MatrixParam.N: n, MatrixParam.WSTRIDE: stride}
    for number in range(LEVELS):
        bound, astride, cstride = levels[number] if number < len(levels) else (1, 0, 0)
        parameters[MatrixParam.BOUND1 + number] = bound
        if bound > 1:
            parameters[MatrixParam.ASTRIDE1 + number] = astride
            parameters[MatrixParam.CSTRIDE1 + number] = cstride
    return parameters


def _intervals(config: AcceleratorConfig, tile: Form, lines: Sequence[Line]
               ) -> tuple[Interval, Interval, Interval]:
    """Weights, activations and accumulators."""
    size, row = 1 if tile.integer else 2, config.accumulator_row_bytes
    fetched, length = (tile.n, tile.k) if tile.transposed else (tile.k, tile.n)
    weights = span(0, length * size, [
        (fetched, tile.stride), *((line.length, line.weights) for line in lines)])
    activations = span(0, tile.k * size, [
        *((bound, stride) for bound, stride, _ in tile.levels),
        *((line.length, line.activations) for line in lines)])
    written = span(ACCUMULATOR_BASE, row, [
        *((bound, stride * row) for bound, _, stride in tile.levels),
        *((line.length, line.rows * row) for line in lines)])
    return weights, activations, written


def _cycles(config: AcceleratorConfig, rows: int, lines: Sequence[Line]) -> int:
    """Tiles that add to the same accumulators follow each other at the array's latency."""
    cycles = timing.matmul_cycles(config, rows)
    for line in reversed(lines):
        if not line.rows:
            cycles = max(cycles, timing.array_latency(config))
        cycles *= line.length
    return cycles
