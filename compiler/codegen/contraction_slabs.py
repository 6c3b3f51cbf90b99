"""The slabs of a contraction: which products of parts are made, in which order."""

from collections.abc import Sequence
from dataclasses import replace

from compiler.codegen.contraction_axes import Box
from compiler.codegen.contraction_operands import cut
from compiler.codegen.contraction_prepare import BASE_BITS, Scheme
from compiler.codegen.contraction_work import KTile, Slab


def make_slabs(made: Scheme, tiles: Sequence[tuple[KTile, ...]]) -> list[Slab]:
    """All slabs of a block: for each term of each group all of k.

    Args:
        tiles: weight tiles of each range of k that is loaded together.
    """
    extents = [sum(tile.size for tile in box) for box in tiles]
    slabs: list[Slab] = []
    term = length = segment = shift = 0
    for number, group in enumerate(made.groups):
        for position in range(len(group) * len(extents)):
            box = position % len(extents)
            opens = position == 0 or (made.run is not None and length + extents[box] > made.run)
            length = extents[box] if opens else length + extents[box]
            if opens:
                segment += bool(slabs)
                shift = BASE_BITS if number and position == 0 else 0
            slabs.append(Slab(
                len(slabs), box, term + position // len(extents), tiles[box], opens, closes=False,
                last=False, segment=segment, shift=shift))
        term += len(group)
    return [_closed(slab, after) for slab, after in zip(slabs, [*slabs[1:], None], strict=True)]


def _closed(slab: Slab, after: Slab | None) -> Slab:
    return replace(slab, closes=after is None or after.opens, last=after is None)


def k_tiles(box: Box, height: int) -> tuple[KTile, ...]:
    """Weight tiles of at most `height`: k that are neighbours in the activations (operand 0)."""
    run = box.axes[-1].size if box.axes[-1].strides[0] == 1 else 1
    return tuple(KTile(start + first, size) for start in range(0, box.count, run)
                 for first, size in cut(run, height))


def dense_k_tiles(count: int, height: int) -> tuple[KTile, ...]:
    """Weight tiles of a range of k that is contiguous in the activations."""
    return tuple(KTile(first, size) for first, size in cut(count, height))
