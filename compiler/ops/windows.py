"""Windows sliding over spatial dimensions, of convolutions and poolings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compiler.ops.registry import NdArray


@dataclass(frozen=True, kw_only=True)
class SpatialWindow:
    """One spatial dimension of a convolution or pooling.

    Output o reads, for each kernel position k, the input index
    `(o*stride + k*dilation - low) / base_dilation` when that is whole and inside the input.
    `reversed` walks the kernel backwards.
    """

    extent: int
    size: int
    stride: int = 1
    low: int = 0
    high: int = 0
    base_dilation: int = 1
    dilation: int = 1
    reverse: bool = False

    @property
    def outputs(self) -> int:
        """Number of positions the window takes."""
        spread = (self.extent - 1) * self.base_dilation + 1 if self.extent else 0
        reach = (self.size - 1) * self.dilation + 1
        return max(0, (spread + self.low + self.high - reach) // self.stride + 1)

    def sources(self, k: int) -> tuple[NdArray, NdArray]:
        """(input index, inside the input) of every output for kernel position k."""
        k = self.size - 1 - k if self.reverse else k
        spread = np.arange(self.outputs) * self.stride + k * self.dilation - self.low
        index = spread // self.base_dilation
        inside = (spread % self.base_dilation == 0) & (index >= 0) & (index < self.extent)
        return np.where(inside, index, 0), inside


def gather_window(x: NdArray, windows: Sequence[SpatialWindow], position: Sequence[int],
                  fill: Any) -> NdArray:
    """Elements under one kernel position: the last dimensions of x are the windows'."""
    first = x.ndim - len(windows)
    for axis, (window, k) in enumerate(zip(windows, position, strict=True)):
        index, inside = window.sources(k)
        x = np.take(x, index, axis=first + axis) if window.extent else np.full(
            (*x.shape[:first + axis], len(index), *x.shape[first + axis + 1:]), fill, x.dtype)
        mask = inside.reshape(-1, *[1] * (x.ndim - first - axis - 1))
        x = np.where(mask, x, fill)
    return x
