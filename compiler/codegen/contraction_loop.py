"""The loop nest of every contraction: blocks of the result, slabs of k, weight tiles.

A block is a set of result rows times a set of columns whose sums stay in the accumulators while k
runs; a slab is a range of k whose operands are loaded together. Dot products and convolutions
differ in how operands are fetched and addressed (`contraction_work.Source`) and in what becomes of
finished sums (`contraction_work.Sink`); the order of the work is the same:

    for block:
        for slab:
            fetch the activations and weights of (block, slab) unless they are resident,
                weights for some column tiles after the other where there is little room
            for column tile, for k tile of the slab:     # or the other way round, if rows are few
                loadw, matmul
            after the last slab of a segment: sink the finished tiles

Slabs go in ascending k, and so do the k tiles of a slab: every sum is made in ascending k. A
*segment* is a run of slabs that is summed in the accumulators without interruption; only
integers made of digits have more than one (`contraction_prepare`).
"""

from collections.abc import Hashable, Sequence
from itertools import islice
from typing import NamedTuple

from compiler.codegen.context import Context
from compiler.codegen.contraction_residents import Acquired, Residents
from compiler.codegen.contraction_shape import Plan, steady_tiles
from compiler.codegen.contraction_sweep import Form, Line, Tile, runs, sweep
from compiler.codegen.contraction_work import (
    Activations,
    Block,
    Piece,
    Sink,
    Slab,
    Visit,
    Weights,
    accumulator_levels,
)
from compiler.codegen.staying import Staying
from compiler.errors import Location
from hw import timing

FINAL_PIECES = 4
"""Row pieces of the very last tile: its store is short."""
INITIAL_PIECES = 4
"""Row pieces of the first tiles when the activations are still being made."""
ONE = Line(1)


class ContractionLoop:
    """Emits the commands of one contraction.

    Args:
        blocks: in the order of their computation.
        slabs: of every block.
        integer: operands are s8.
        steady: other contractions keep the array busy at its start and its end.
        plan: of a product that may share its activations with the next one.
    """

    def __init__(self, context: Context, activations: Activations, weights: Weights, sink: Sink,
                 slabs: Sequence[Slab], integer: bool, location: Location, *,
                 steady: bool = False, plan: Plan | None = None) -> None:
        self.context, self.location, self.integer = context, location, integer
        self.plan = plan
        self.steady = steady
        self.activations, self.weights, self.sink = activations, weights, sink
        self.slabs = slabs
        self.row_cycles = sum(len(slab.tiles) for slab in slabs)
        self.tile_runs: dict[Hashable, list[tuple[int, Line]]] = {}
        self.column_runs: dict[Hashable, list[tuple[int, Line]]] = {}
        # The places of both operands are one region: two could leave no room between them.
        first, total = sum(activations.slots), sum((*activations.slots, *weights.slots))
        self.region, held = self._taken_over()
        if self.region is None and total:
            self.region = context.scratchpad.allocate(total, location)
        self.residents = (Residents(context, activations, self.region or 0, location, held),
                          Residents(context, weights, (self.region or 0) + first, location))

    def _taken_over(self) -> tuple[int | None, Sequence[Hashable]]:
        """The region of a product before, and what that left of the activations there, if this one
        holds as much of them."""
        staying = self.context.staying
        if staying is None or self.plan is None:
            return None, ()
        if self.weights.slots or staying.slots != tuple(self.activations.slots):
            self.context.give_up()
            return None, ()
        self.context.staying = None
        return staying.region, staying.held

    def _hand_on(self) -> bool:
        """Leaves the activations that are held to the next product; whether it wants them."""
        context = self.context
        if self.region is None or self.plan is None or context.shared is None \
                or not context.keeps or self.weights.slots:
            return False
        context.staying = Staying(context.shared, self.plan, self.region,
                                  tuple(self.activations.slots), tuple(self.residents[0].held))
        return True

    def run(self, blocks: Sequence[Block]) -> None:
        for number, block in enumerate(blocks):
            if self.activations.ahead:
                self._bring_ahead(blocks[number:])
            self._block(block, number == 0, number == len(blocks) - 1 and not self.steady)
        if self.region is not None and not self._hand_on():
            self.context.scratchpad.free(self.region)
        self.sink.end()

    def _bring_ahead(self, blocks: Sequence[Block]) -> None:
        """What the first block needs, and what the next one with other needs does."""
        visits = [Visit(block, self.slabs[0]) for block in blocks]
        key = self.activations.key(visits[0])
        others = (at for at in visits if self.activations.key(at) != key)
        for at in (visits[0], *islice(others, 1)):
            self.residents[0].acquire(at)

    def _block(self, block: Block, initial: bool, final: bool) -> None:
        columns = self.weights.column_tiles(block)
        pieces = self.activations.pieces(Visit(block, self.slabs[0]), 1)
        rows = sum(piece.rows for piece in pieces)
        sums = _Sums(columns, self.context.accumulators.allocate(
            rows * len(columns), self.location), rows)
        for slab in self.slabs:
            self._slab(Visit(block, slab), sums, initial, final)
        self.context.accumulators.free(sums.base)

    def _slab(self, at: Visit, sums: "_Sums", initial: bool, final: bool) -> None:
        closes, parts = at.slab is self.slabs[-1], sums.parts(self.weights.together(at.slab))
        activations: Acquired | None = None
        for part in parts:
            here = at if part is sums else at._replace(columns=part.extent)
            if closes:
                self.sink.open(here)
            activations = activations or self.residents[0].acquire(at)
            weights = self.residents[1].acquire(here)
            # What is on chip may still be in the making: row by row, or column by column where
            # short pieces would cost other work its time.
            fresh = initial and activations.is_in_place
            by_rows = fresh and at.slab is self.slabs[0] and not self.steady
            _SlabWork(self, here, part, activations.address, weights.address,
                      by_tiles=fresh and self.steady).emit(
                INITIAL_PIECES if by_rows else 1,
                FINAL_PIECES if final and closes and part is parts[-1] else 1)
            self.residents[1].release(weights)
            if closes:
                self.sink.close()
        if activations is not None:
            self.residents[0].release(activations)


class _Sums(NamedTuple):
    """Where the sums of some columns are made: tile after tile, `rows` accumulator rows each.

    Attributes:
        columns: (first column in the block, columns) of each tile.
    """

    columns: Sequence[tuple[int, int]]
    base: int
    rows: int

    @property
    def extent(self) -> tuple[int, int]:
        """(first column in the block, columns)."""
        first, (last, width) = self.columns[0][0], self.columns[-1]
        return first, last + width - first

    def parts(self, tiles: int | None) -> "Sequence[_Sums]":
        """Those of so many tiles at a time."""
        if tiles is None or tiles >= len(self.columns):
            return (self,)
        return [_Sums(self.columns[n : n + tiles], self.base + n * self.rows, self.rows)
                for n in range(0, len(self.columns), tiles)]


def _single(tiles: Sequence[tuple[int, Line]]) -> list[tuple[int, Line]]:
    """The tiles of some runs, each as a run of its own."""
    return [(first + n, ONE) for first, line in tiles for n in range(line.length)]


class _SlabWork:
    """The weight tiles of one slab of one block.

    Args:
        by_tiles: the first column's k tiles are commands of their own, each of which waits for its
            activations only.
    """

    def __init__(self, loop: ContractionLoop, at: Visit, sums: _Sums, activations: int,
                 weights: int, *, by_tiles: bool) -> None:
        self.loop, self.at = loop, at
        self.columns, self.base, self.rows = sums
        self.activations, self.weights, self.by_tiles = activations, weights, by_tiles

    def emit(self, first_pieces: int, final_pieces: int) -> None:
        """Few rows: consecutive matmuls go to different columns, so that none waits for sums
        still in flight. Many rows: column after column, so that stores begin early."""
        config = self.loop.context.config
        pieces = self.loop.activations.pieces(self.at, 1)
        if min(p.rows for p in pieces) < timing.array_latency(config) and len(self.columns) > 1:
            self._interleaved(pieces)
            self._finish(range(len(self.columns)), pieces)
            return
        # Shorter pieces would wait for their own sums.
        first_pieces = min(first_pieces, max(self.rows // timing.array_latency(config), 1))
        tiles = self._tile_runs()
        if not self.at.slab.closes:
            column_runs = self._column_runs(range(len(self.columns)))
            for piece in self.loop.activations.pieces(self.at, first_pieces):
                for first, line in tiles:
                    for column, columns in column_runs:
                        self._sweep(first, column, piece, columns, line)
            return
        if first_pieces > 1:
            for piece in self.loop.activations.pieces(self.at, first_pieces):
                for group in self._groups():
                    self._whole_sums(group, piece, tiles)
            return
        for group in self._groups():
            last = group[-1] == len(self.columns) - 1
            count = final_pieces if last else 1
            for piece in self.loop.activations.pieces(self.at, count) if count > 1 else pieces:
                self._whole_sums(group, piece, tiles)

    def _whole_sums(self, group: range, piece: Piece,
                    tiles: Sequence[tuple[int, Line]]) -> None:
        """All of k for some rows of some columns, which are finished then."""
        alone = 1 if self.by_tiles and group[0] == 0 else 0
        for first, line in _single(tiles) if alone else ():
            self._sweep(first, 0, piece, ONE, line)
        lines = self._column_runs(group[alone:])
        for first, line in tiles:
            for column, columns in lines:
                self._sweep(first, column, piece, columns, line)
        self._finish(group, [piece])

    def _groups(self) -> list[range]:
        """Numbers of the columns that are finished together."""
        loop, unit = self.loop, self.loop.sink.unit
        count = len(self.columns) // unit
        together = loop.sink.together(loop.row_cycles)
        if loop.steady:
            together = max(together, steady_tiles(self.rows * len(self.at.slab.tiles)))
        parts = -(-count * unit // max(together, unit))
        return [range(i * count // parts * unit, (i + 1) * count // parts * unit)
                for i in range(parts)]

    def _interleaved(self, pieces: Sequence[Piece]) -> None:
        """All columns of a k tile before the next one."""
        columns = self._column_runs(range(len(self.columns)))
        for first, line in self._tile_runs():
            if len(columns) == 1:
                self._sweep(first, 0, pieces[0], line, columns[0][1])
                continue
            for tile in range(first, first + line.length):
                for column, columns_line in columns:
                    self._sweep(tile, column, pieces[0], ONE, columns_line)

    def _tile_runs(self) -> list[tuple[int, Line]]:
        """Runs of evenly spaced k tiles: number of the first, and the line from there."""
        known, block = self.loop.tile_runs, self.at.block
        key = (self.at.slab.number, self._width, self.loop.weights.layout(block),
               self.loop.activations.layout(block))
        if key not in known:
            known[key] = self._find_tile_runs()
        return known[key]

    @property
    def _width(self) -> int | None:
        """Columns whose weights lie side by side if they are not all of the block."""
        return None if self.at.columns is None else self.at.columns[1]

    def _find_tile_runs(self) -> list[tuple[int, Line]]:
        tiles, column = self.at.slab.tiles, self.columns[0][0]
        found = [self.loop.weights.tile(self.at, tile, column) for tile in tiles]
        keys = [(tile.size, self._accumulates(number), *layout)
                for number, (tile, (_, *layout)) in enumerate(zip(tiles, found, strict=True))]
        values = [(offset, self.loop.activations.k_offset(self.at, tile))
                  for tile, (offset, *_) in zip(tiles, found, strict=True)]
        return [(first, Line(count, *step)) for first, count, step in runs(keys, values)]

    def _column_runs(self, numbers: range) -> list[tuple[int, Line]]:
        """Of some columns runs of evenly spaced ones of equal width."""
        if len(numbers) == 1:
            return [(numbers[0], ONE)]
        known, block = self.loop.column_runs, self.at.block
        key = (self.at.slab.number, self._width, self.loop.weights.layout(block), self.rows,
               tuple(self.columns), numbers)
        if key not in known:
            known[key] = self._find_column_runs(numbers)
        return known[key]

    def _find_column_runs(self, numbers: range) -> list[tuple[int, Line]]:
        tile = self.at.slab.tiles[0]
        columns = [self.columns[number] for number in numbers]
        values = [(self.loop.weights.tile(self.at, tile, first)[0], self._row(number, 0))
                  for number, (first, _) in zip(numbers, columns, strict=True)]
        return [(numbers[first], Line(count, step[0], 0, step[1]))
                for first, count, step in runs([width for _, width in columns], values)]

    def _finish(self, columns: Sequence[int], pieces: Sequence[Piece]) -> None:
        if not self.at.slab.closes:
            return
        for piece in pieces:
            tiles = [(*self.columns[c], self._row(c, piece.first)) for c in columns]
            self.loop.sink.finish(self.at, tiles, piece)

    def _row(self, column: int, row: int) -> int:
        return self.base + column * self.rows + row

    def _accumulates(self, tile: int) -> bool:
        return tile > 0 or not self.at.slab.opens

    def _sweep(self, number: int, column: int, piece: Piece, outer: Line, inner: Line) -> None:
        """The tiles of two lines from a k tile and a column on."""
        loop, tile = self.loop, self.at.slab.tiles[number]
        first, width = self.columns[column]
        offset, stride, transposed = loop.weights.tile(self.at, tile, first)
        activations = self.activations + loop.activations.k_offset(self.at, tile) + piece.offset
        form = Form(tile.size, width, stride, transposed, accumulator_levels(piece), loop.integer,
                    self._accumulates(number))
        start = Tile(self.weights + offset, activations, self._row(column, piece.first), form)
        for command in sweep(loop.context.config, start, outer, inner, loop.location):
            loop.context.add(command)
