"""Shapes of loop nests: merging dimensions and cutting into tiles."""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod


def merge_dimensions(shape: Sequence[int], walks: Sequence[Sequence[int]],
                     kinds: Sequence[object] | None = None) -> list[tuple[int, ...]]:
    """Groups of neighbouring dimensions that every walk covers with one stride.

    Args:
        walks: strides per dimension of each operand and result.
        kinds: of each dimension; only dimensions of one kind merge.

    Returns:
        The groups outermost first, each a range of dimensions; extents of 1 are left out.
    """
    groups: list[tuple[int, ...]] = []
    for d, extent in enumerate(shape):
        if extent == 1:
            continue
        last = groups[-1][-1] if groups else d
        same_kind = kinds is None or kinds[last] == kinds[d]
        if groups and same_kind and all(walk[last] == walk[d] * extent for walk in walks):
            groups[-1] = (*groups[-1], d)
        else:
            groups.append((d,))
    return groups


Box = tuple[tuple[int, ...], tuple[int, ...]]
"""(start, extents)."""


def tiles(shape: Sequence[int], target: int, depth: int, granule: int = 1) -> Iterator[Box]:
    """Cuts a shape into boxes of consecutive elements in row-major order.

    Args:
        target: elements a box should have at most.
        depth: dimensions in which a box may extend beyond 1.
        granule: cuts of the last dimension are at multiples of it.
    """
    if not shape:
        yield (), ()
        return
    cut = len(shape) - 1
    while cut > 0 and len(shape) - cut < depth and prod(shape[cut:]) * 2 <= target:
        cut -= 1
    inner = prod(shape[cut + 1:])
    chunk = max(min(target // inner, shape[cut]), 1)
    # Pieces of equal size: a short last piece costs as much overhead as a long one.
    pieces = -(-shape[cut] // chunk)
    chunk = -(-shape[cut] // pieces)
    if cut == len(shape) - 1:
        chunk = -(-chunk // granule) * granule
    for outer in product(*(range(n) for n in shape[:cut])):
        for first in range(0, shape[cut], chunk):
            extent = min(chunk, shape[cut] - first)
            yield ((*outer, first, *(0,) * (len(shape) - cut - 1)),
                   (*(1,) * cut, extent, *shape[cut + 1:]))
