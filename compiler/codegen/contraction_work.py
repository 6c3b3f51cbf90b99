"""What a contraction's loop (`contraction_loop`) is made of: parts of the work, where operands come
from, and where finished sums go.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple


class Block(NamedTuple):
    """A part of the result: numbers of the batch index, the row range and the column range."""

    batch: int
    rows: int
    columns: int


class KTile(NamedTuple):
    """`size` steps of k, from step `start` of its slab: one weight tile."""

    start: int
    size: int


@dataclass(frozen=True)
class Slab:
    """A range of k that is loaded together.

    Attributes:
        number: position in the list of slabs.
        box: number of the k range; `term`: number of the pair of operand parts.
        opens, closes: first, last of its segment; `last` of all.
        segment: number of the segment.
        shift: bits by which the total of earlier segments is shifted before this one is added.
    """

    number: int
    box: int
    term: int
    tiles: tuple[KTile, ...]
    opens: bool
    closes: bool
    last: bool
    segment: int = 0
    shift: int = 0


class Visit(NamedTuple):
    """One slab of one block: what is loaded and multiplied together.

    Attributes:
        columns: (first one in the block, how many) of those whose weights are loaded together;
            None for all.
    """

    block: Block
    slab: Slab
    columns: tuple[int, int] | None = None


class Piece(NamedTuple):
    """Rows first, first + 1, ... of a block: an accumulator row each.

    Attributes:
        offset: bytes from the block's first activation row.
        levels: (bound, activation stride in bytes), innermost first, of the matmul's walk.
    """

    first: int
    rows: int
    offset: int
    levels: tuple[tuple[int, int], ...]


class Source(ABC):
    """An operand, in pieces that are loaded as a whole.

    Attributes:
        slots: places reserved for the whole loop, as bytes of each; empty when every piece is
            loaded into any free place and given up after its use.
    """

    slots: Sequence[int] = ()

    @abstractmethod
    def key(self, at: Visit) -> Hashable:
        """What is needed, equal when the same data is."""

    @abstractmethod
    def slot(self, at: Visit) -> int | None:
        """The reserved place it belongs to, None for any free one; asked only when there are
        reserved ones."""

    @abstractmethod
    def size(self, at: Visit) -> int:
        """Bytes of scratchpad."""

    @abstractmethod
    def load(self, at: Visit, address: int) -> None:
        """Appends the commands that bring it to a local address."""

    def in_place(self, at: Visit) -> int | None:  # noqa: ARG002 - for those that are on chip
        """Local address of an operand that is on chip already; None when it must be loaded."""
        return None


class Activations(Source):
    """Operand whose rows stream through the array.

    Attributes:
        ahead: what later blocks need is brought early, as the engine that brings it is also
            the one that finishes blocks.
    """

    ahead: bool = False

    @abstractmethod
    def pieces(self, at: Visit, count: int) -> Sequence[Piece]:
        """The block's rows in walks of one matmul each; about `count` where that is possible."""

    @abstractmethod
    def k_offset(self, at: Visit, tile: KTile) -> int:
        """Bytes from a row's first element in the slab to the k tile."""

    def layout(self, block: Block) -> Hashable:  # noqa: ARG002 - for those it matters to
        """What `k_offset` depends on beside the slab, equal when its results are."""
        return None


class Weights(Source):
    """Operand that is held in the array."""

    def together(self, slab: Slab) -> int | None:  # noqa: ARG002 - for those that are cut
        """Column tiles whose weights of a slab are loaded together; None for all."""
        return None

    @abstractmethod
    def column_tiles(self, block: Block) -> Sequence[tuple[int, int]]:
        """(first column in the block, columns) of each weight tile."""

    @abstractmethod
    def tile(self, at: Visit, tile: KTile, column: int) -> tuple[int, int, bool]:
        """(byte offset, stride, transposed) of a weight tile, as in `contraction_sweep.Tile`.

        The offset is that of the k tile plus that of the column.
        """

    @abstractmethod
    def layout(self, block: Block) -> Hashable:
        """What `tile` depends on beside the slab and the column, equal when its results are."""


class Sink(ABC):
    """What happens to finished sums.

    Attributes:
        unit: column tiles that are finished together: of as many products, side by side.
    """

    unit: int = 1

    def together(self, cycles: int) -> int:  # noqa: ARG002 - for those whose stores are slow
        """Column tiles that are best finished together, when the array takes so many cycles for
        the sums of one row of a tile."""
        return 1

    @abstractmethod
    def open(self, at: Visit) -> None:
        """Called before the last slab of a block, for each part of its columns: loads what
        `finish` will need for them."""

    @abstractmethod
    def close(self) -> None:
        """Called when those columns are finished."""

    @abstractmethod
    def end(self) -> None:
        """Called after the last block."""

    @abstractmethod
    def finish(self, at: Visit, tiles: Sequence[tuple[int, int, int]], piece: Piece) -> None:
        """Takes the sums of a segment: rows of some column tiles.

        Args:
            at: the segment's last slab.
            tiles: (first column in the block, columns, accumulator row of the piece) each.
        """


@lru_cache(maxsize=1024)
def accumulator_levels(piece: Piece) -> tuple[tuple[int, int, int], ...]:
    """The piece's walk with consecutive accumulator rows."""
    levels, rows = [], 1
    for bound, stride in piece.levels:
        levels.append((bound, stride, rows))
        rows *= bound
    return tuple(levels)
