"""Several left factors of a product, one behind the other along k.

Each is read where it lies, without being put together: their rows are cut alike, and a slab of k
is taken from one of them.
"""

from collections.abc import Sequence
from dataclasses import replace

from compiler.codegen.contraction_axes import Axis, Box, boxes
from compiler.codegen.contraction_operands import Operand


def k_boxes(lefts: Sequence[Operand], limits: Sequence[int]) -> tuple[list[Box], list[int]]:
    """Ranges of k of at most limits[0], limits[1], ... steps, none of two factors; and the number
    of the factor of each. The last limit goes for all further ranges."""
    found: list[Box] = []
    numbers: list[int] = []
    first = 0
    for number, left in enumerate(lefts):
        stride = left.k[-1].strides[1]
        for box in boxes(left.k, limits[min(len(found), len(limits) - 1) :]):
            activations, weights = box.offsets
            found.append(replace(box, start=first + box.start,
                                 offsets=(activations, weights + first * stride)))
            numbers.append(number)
        first += sum(axis.size for axis in left.k) if len(lefts) > 1 else 0
    return found, numbers


def along(lefts: Sequence[Operand], k: Sequence[Axis]) -> tuple[Operand, ...]:
    """The factors with the strides in the weights that axes of all of k have."""
    if len(lefts) == 1:
        return (replace(lefts[0], k=tuple(k)),)
    ((*_, stride),) = (axis.strides for axis in k)
    return tuple(replace(left, k=tuple(Axis(axis.size, (axis.strides[0], stride))
                                       for axis in left.k)) for left in lefts)
