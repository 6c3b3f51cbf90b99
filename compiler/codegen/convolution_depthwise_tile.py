"""The kernels of a depthwise convolution over one tile of its input."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from compiler.codegen.clamps import clamped
from compiler.codegen.commands import Stream
from compiler.codegen.context import Context
from compiler.codegen.contraction_operands import Operand
from compiler.codegen.convolution_operands import Input
from compiler.codegen.convolution_taps import (
    ACTIVATIONS,
    WEIGHTS,
    Port,
    Strips,
    TapsBody,
    holding_body,
    strips,
)
from compiler.errors import Location
from hw.isa.dtypes import DType


@dataclass(frozen=True)
class Depthwise:
    """A convolution whose groups have one input feature and `features / groups` results each.

    Attributes:
        source: its `channels` are all input features.
        kernel: weights; `free` is the axis of result features, `k` the kernel positions.
        rows: results along batch and spatial dimensions, at most two of the latter.
    """

    source: Input
    kernel: Operand
    rows: tuple[int, ...]
    features: int

    @property
    def multiplier(self) -> int:
        return self.features // self.source.channels

    @property
    def taps(self) -> tuple[int, int]:
        """Kernel positions along lines and along positions."""
        lines, positions = (1, *(w.size for w in self.source.windows))[-2:]
        return lines, positions

    @property
    def is_integer(self) -> bool:
        return self.source.local_type is DType.S8

    @property
    def weight_bytes(self) -> int:
        """Scratchpad for the weights, beside that of a constant on chip."""
        if self.kernel.on_chip:
            return 0
        return prod(self.taps) * self.features * self.kernel.local_type.size


class Tile:
    """Kernels over one tile of the input."""

    def __init__(self, context: Context, conv: Depthwise, sizes: Sequence[int], tile: int,
                 weights: int, location: Location) -> None:
        self.context, self.conv, self.location = context, conv, location
        self.sizes = three(sizes)
        source = conv.source
        unit = source.local_type.size
        local = [n * unit for n in source.pitches(sizes)]
        lines, positions = ((0, *(w.stride * n for w, n in zip(
            source.windows, local[1:-1], strict=True)))[-2:])
        self.read = Port(tile, (local[0], lines, positions, unit), source.local_type)
        spread = (0, *(w.dilation * n for w, n in zip(source.windows, local[1:-1], strict=True)))
        self.read_taps = _taps(conv, spread[-2:])
        position = conv.features * unit
        self.factors = Port(weights, (0, 0, 0, unit), source.local_type)
        self.factor_taps = _taps(conv, (conv.taps[1] * position, position))
        self.held: object = None

    def parts(self, first: int, issues: int) -> list[Strips]:
        """The strips of the input's features from `first` on, of so many instructions a group."""
        channels = self.conv.source.channels - first
        if not channels:
            return []
        return [replace(part, first=(*part.first[:-1], part.first[-1] + first))
                for part in strips(self.context.config, self.sizes, channels, issues)]

    def emit(self, parts: Sequence[Strips], body: TapsBody, operands: dict[int, Port],
             results: Sequence[Port]) -> None:
        """Appends the kernels of some strips."""
        for part in parts:
            for j in range(self.conv.multiplier):
                inputs = {n: self._of_result(port, j) for n, port in operands.items()}
                self._hold(part, j, body, inputs)
                streams = {n: part.stream(port) for n, port in inputs.items()}
                streams[ACTIVATIONS] = part.stream(self.read, self.read_taps)
                streams[WEIGHTS] = part.stream(self._of_result(self.factors, j), self.factor_taps)
                self.context.kernel(
                    part.groups, body.body,
                    {i: streams[number] for i, number in enumerate(body.streams)},
                    {i: clamped(part.stream(self._of_result(port, j)), body.clamps[i])
                     for i, port in enumerate(results)},
                    self.location, strip=part.inner.bound)

    def forget(self) -> None:
        """Other kernels have used the registers."""
        self.held = None

    def _of_result(self, port: Port, j: int) -> Port:
        """The port as seen from the input's features: those of the j-th result of each."""
        image, line, position, feature = port.strides
        return Port(port.address + j * feature,
                    (image, line, position, self.conv.multiplier * feature), port.dtype)

    def _hold(self, part: Strips, j: int, body: TapsBody, inputs: dict[int, Port]) -> None:
        """Loads the registers for features whose operands they do not hold yet."""
        key = part.first[-1], j, part.inner.bound
        if not body.held or key == self.held:
            return
        self.held = key
        alone = part.only_strip()
        streams: dict[int, Stream] = {i: alone.stream(inputs[number])
                                      for i, number in enumerate(body.held)}
        self.context.kernel(alone.groups, holding_body(body.held), streams, {}, self.location,
                            strip=part.inner.bound)


def _taps(conv: Depthwise, spread: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Levels of a stream over the kernel positions, the last dimension fastest."""
    return (conv.taps[1], spread[1]), (conv.taps[0], spread[0])


def three(sizes: Sequence[int]) -> tuple[int, int, int]:
    """Images, lines, positions; one spatial dimension is a single line of two."""
    lines, positions = (1, *sizes[1:])[-2:]
    return sizes[0], lines, positions


def four(strides: Sequence[int]) -> tuple[int, int, int, int]:
    """Strides of four dimensions; outer ones that are missing have one index."""
    image, line, position, feature = (*(0,) * (4 - len(strides)), *strides)
    return image, line, position, feature
