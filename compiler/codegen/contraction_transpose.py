"""Transposition by the vector unit: L x L elements at a time, instead of one element a cycle.

`transpose` turns a tile in the scratchpad, `rearrange` copies a tensor whose contiguous dimension
is another one in the target than in the source.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from compiler.codegen.commands import Body, Stream
from compiler.codegen.context import Context, Place
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.operands import Operand
from compiler.errors import Location
from compiler.ops.views import View
from hw.config import AcceleratorConfig
from hw.isa.dtypes import DType
from hw.isa.encoding import INSTRUCTIONS
from hw.isa.vector import DESTINATIONS, OPERANDS, Transpose

TILES = 8
"""Tiles of a rearrangement that fit the scratchpad at once, source and target together."""
RAW = {1: DType.U8, 2: DType.U16, 4: DType.S32}
"""Types that move elements of a size without changing bits."""


def transpose(context: Context, size: int, source: int, target: int, shape: tuple[int, int, int],
              location: Location) -> None:
    """[count][height][width] to [count][width][height] in local memory, dense.

    Args:
        size: bytes of an element.
        shape: count, height, width; the last two are multiples of the lanes.
    """
    lanes, (count, height, width) = context.config.lanes, shape
    down, across, tile = height // lanes, width // lanes, height * width * size
    read = Stream(source, lanes, size, (
        (lanes, width * size), (down, lanes * width * size), (across, lanes * size),
        (count, tile)), RAW[size])
    write = Stream(target, lanes, size, (
        (lanes, height * size), (down, lanes * size), (across, lanes * height * size),
        (count, tile)), RAW[size])
    context.kernel(count * down * across * lanes, _body(), {0: read}, {0: write}, location,
                   strip=lanes)


def _body() -> Body:
    move = INSTRUCTIONS["mov"]
    v0, v1 = DESTINATIONS["v0"], DESTINATIONS["v1"]
    body = (move(vd=v0, va=OPERANDS["s0"]), Transpose(vd=v1, va=v0),  # type: ignore[call-arg]
            move(vd=DESTINATIONS["d0"], va=v1))  # type: ignore[call-arg]
    return Body(tuple(instruction.encode() for instruction in body), (), len(body))


@dataclass(frozen=True)
class _Walk:
    """A copy as dimensions (size, source stride, target stride), in elements.

    Attributes:
        down: contiguous in the target; `across`: contiguous in the source.
        extra: one more dimension that a tile has; others are looped over.
    """

    down: tuple[int, int, int]
    across: tuple[int, int, int]
    extra: tuple[int, int, int]
    others: tuple[tuple[int, int, int], ...]


def _walk(source: View, target: View) -> _Walk | None:
    """The walk of a transposing copy; None when it is not one."""
    dims = [d for d in zip(source.shape, source.strides, target.strides, strict=True) if d[0] > 1]
    down = next((d for d in dims if d[2] == 1), None)
    across = next((d for d in dims if d[1] == 1), None)
    if down is None or across is None or down is across:
        return None
    others = sorted((d for d in dims if d is not down and d is not across), reverse=True)
    return _Walk(down, across, others[0] if others else (1, 0, 0), tuple(others[1:]))


def suits(config: AcceleratorConfig, source: View, target: View) -> bool:
    """Whether `rearrange` is faster than moving elements one by one.

    Args:
        source, target: walks over one shape whose dimensions do not merge.
    """
    walk = _walk(source, target)
    if walk is None:
        return False
    lanes = config.lanes
    whole = [-(-n // lanes) * lanes for n in (walk.down[0], walk.across[0])]
    return 3 * prod(whole) < lanes * walk.down[0] * walk.across[0]


def rearrange(context: Context, source: Operand, target: Place, target_view: View,
              location: Location) -> None:
    """Appends the commands of a copy that `suits` accepts."""
    walk, place = _walk(source.view, target_view), source.place
    assert walk is not None
    assert place is not None
    size, lanes = source.unit, context.config.lanes
    dtype = RAW[size]
    for down, across, extra, offsets in _tiles(walk, context, size):
        height, width = (-(-n // lanes) * lanes for n in (down, across))
        tile = extra * height * width * size
        first = [place.offset + (source.view.offset + offsets[0]) * size,
                 target.offset + (target_view.offset + offsets[1]) * size]
        with context.buffer(tile, location) as staged, context.buffer(tile, location) as turned:
            steps = [Step(across, size, size), Step(down, walk.down[1] * size, width * size),
                     Step(extra, walk.extra[1] * size, height * width * size)]
            for t in transfers(place.window, first[0], staged, steps, dtype, dtype):
                context.load(t, location)
            transpose(context, size, staged, turned, (extra, height, width), location)
            steps = [Step(down, size, size), Step(across, walk.across[2] * size, height * size),
                     Step(extra, walk.extra[2] * size, height * width * size)]
            for t in transfers(target.window, first[1], turned, steps, dtype, dtype):
                context.store(t, location)


def _tiles(walk: _Walk, context: Context, size: int
           ) -> Iterator[tuple[int, int, int, tuple[int, int]]]:
    """(down, across, extra, element offsets in source and target) of each tile."""
    budget = context.scratchpad.limit // TILES // size
    lanes = context.config.lanes
    down = min(walk.down[0], max(budget // (4 * lanes) // lanes, 1) * lanes)
    padded = -(-down // lanes) * lanes
    across = min(walk.across[0], max(budget // padded // lanes, 1) * lanes)
    extra = min(walk.extra[0], max(budget // (padded * -(-across // lanes) * lanes), 1))
    dims = ((walk.down, down), (walk.across, across), (walk.extra, extra),
            *((d, 1) for d in walk.others))
    for start in product(*(range(0, d[0], step) for d, step in dims)):
        sizes = [min(step, d[0] - i) for i, (d, step) in zip(start, dims, strict=True)]
        yield sizes[0], sizes[1], sizes[2], _offsets(start, [d for d, _ in dims])


def _offsets(start: Sequence[int], dims: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    return (sum(i * d[1] for i, d in zip(start, dims, strict=True)),
            sum(i * d[2] for i, d in zip(start, dims, strict=True)))
