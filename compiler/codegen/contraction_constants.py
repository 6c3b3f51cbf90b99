"""Constant weights of a dot product, as the program reads them.

They lie panel after panel: the columns of one block, k by k. So a slab of a
block is one contiguous row, which is all the bus can do, and weights that are used once are read in
the order in which they lie.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Axis, Box
from compiler.codegen.contraction_operands import Operand
from compiler.ir.types import row_major
from hw.isa.program import CONSTANT_WINDOW

Array = NDArray[np.generic]


def lay_out(context: Context, parts: Sequence[Array], weights: Operand, columns: Sequence[Box]
            ) -> tuple[Operand, tuple[Box, ...]]:
    """Weights in panels: the operand, and the ranges of columns as they lie in it.

    Args:
        parts: [batch, k, columns] each, in any number of dimensions.
        columns: ranges of consecutive columns, together all of them.
    """
    width = max(box.count for box in columns)
    k = prod(axis.size for axis in weights.k)
    places = tuple(
        (CONSTANT_WINDOW, context.constants.add(_panels(
            part.reshape(len(weights.batch), k, -1), columns, width)))
        for part in parts)
    axes = tuple(Axis(axis.size, (axis.strides[0], width * stride)) for axis, stride in zip(
        weights.k, row_major(tuple(axis.size for axis in weights.k)), strict=True))
    batch = tuple(number * len(columns) * k * width for number in range(len(weights.batch)))
    boxes = tuple(replace(box, offsets=(number * k * width, *box.offsets[1:]))
                  for number, box in enumerate(columns))
    return replace(weights, places=places, batch=batch, k=axes), boxes


def side_by_side(factors: Sequence[Sequence[Array]], k: int, width: int) -> tuple[Array, ...]:
    """Parts of several factors as those of one: a tile of columns of each after the other.

    Args:
        factors: parts of each, [k, columns] in any number of dimensions.
        width: of a tile.
    """
    return tuple(np.stack([part.reshape(k, -1, width) for part in parts], axis=2).reshape(k, -1)
                 for parts in zip(*factors, strict=True))


def _panels(part: Array, columns: Sequence[Box], width: int) -> Array:
    """[batch, panel, k, column]; a panel of fewer columns is padded."""
    batch, k, _ = part.shape
    panels = np.zeros((batch, len(columns), k, width), part.dtype)
    for number, box in enumerate(columns):
        panels[:, number, :, : box.count] = part[:, :, box.start : box.start + box.count]
    return panels
