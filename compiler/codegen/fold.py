"""Reductions: values combined along dimensions of a nest.

The order of combination follows from the reduction's shape and the lane count alone
(`docs/compiler.md`). Neighbouring dimensions that are all reduced, or all kept, count as one.

*Across* (the last dimension is reduced): lane j combines elements j, j + L, j + 2L, ... of that
dimension, for each index of the other reduced dimensions in ascending order, starting from the
combiner's identity; then lanes combine pairwise, j with j xor 1, 2, 4, ...
*Along* (the last dimension is kept): each element combines in ascending order from the identity.
The initial value is combined last.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from compiler.codegen.commands import Stream
from compiler.codegen.context import Context
from compiler.codegen.elementwise import BUFFERS, Target, store_box
from compiler.codegen.fold_body import INITIAL, PARTIAL, FoldBodies, Rounds
from compiler.codegen.footprint import PaddedAxis
from compiler.codegen.nests import tiles
from compiler.codegen.operands import Loader, Operand, Resident
from compiler.errors import Location
from hw.isa.dtypes import DType

WORD = 4
TARGET_ELEMENTS = 4096
"""Elements of a tile when the scratchpad has room for more: enough to hide its overhead."""

Padding = Callable[[Sequence[int]], Mapping[int, PaddedAxis]]
"""Padded axes of a box, by its start."""


@dataclass(frozen=True)
class Fold:
    """A reduction over a nest.

    Attributes:
        reduced: for each dimension of the shape whether it is reduced.
        operands: what the graph's inputs read.
        target: of the kept dimensions, in order.
        padding: padded axes; missing elements become `pad`, raw bits of memory.
    """

    shape: tuple[int, ...]
    reduced: tuple[bool, ...]
    operands: tuple[Operand, ...]
    bodies: FoldBodies
    target: Target
    location: Location
    padding: Padding | None = None
    pad: int = 0


@dataclass(frozen=True)
class Roles:
    """What the dimensions of a fold do; positions in its shape.

    Attributes:
        lane: along the lanes.
        position: kept, one vector group for each index; None when there is none.
        outer: kept, walked outside; the innermost is the last.
        sequence: reduced, walked one after the other, outermost first; the lane dimension
            excepted.
        across: the lane dimension is reduced.
    """

    lane: int
    position: int | None
    outer: tuple[int, ...]
    sequence: tuple[int, ...]
    across: bool


def roles(fold: Fold, across: bool) -> Roles:
    """The roles of a fold's dimensions."""
    kept = [d for d, reduced in enumerate(fold.reduced) if not reduced]
    reduced = [d for d, reduced in enumerate(fold.reduced) if reduced]
    lane = reduced.pop() if across else kept.pop()
    position = kept.pop() if kept else None
    return Roles(lane, position, tuple(kept), tuple(reduced), across)


def generate(context: Context, fold: Fold, across: bool) -> None:
    """Appends the commands of a fold without empty dimensions.

    Args:
        across: the lanes run along the last dimension, which is reduced; else along the last
            kept one.

    Raises:
        DoesNotFitError: what is combined needs more than one kernel.
    """
    _Generator(context, fold, roles(fold, across)).run()
