"""A convolution with its operands as the generators see them."""

from dataclasses import dataclass

from compiler.codegen.contraction_axes import Axis
from compiler.codegen.contraction_prepare import Prepared, Scheme
from compiler.codegen.convolution_operands import Input
from compiler.ir.loops import Contraction
from compiler.ir.types import row_major
from compiler.ops.contraction import spatial_windows


@dataclass(frozen=True)
class Layout:
    """Dimensions of a tensor: batch (or kernel output features), spatial, features."""

    batch: int
    spatial: tuple[int, ...]
    features: int

    @property
    def order(self) -> tuple[int, ...]:
        """Features innermost."""
        return self.batch, *self.spatial, self.features


@dataclass(frozen=True)
class Convolution:
    """A convolution with operands the matrix unit understands."""

    source: Input
    kernel: Prepared
    kernel_layout: Layout
    result_layout: Layout
    result: tuple[int, ...]
    groups: int
    scheme: Scheme

    @property
    def rows(self) -> tuple[int, ...]:
        """Results along batch and spatial dimensions."""
        return tuple(self.result[d] for d in self.result_layout.order[:-1])

    @property
    def features(self) -> int:
        return self.result[self.result_layout.features]

    @property
    def is_depthwise(self) -> bool:
        """Whether the vector unit does it: one feature a group, in two dimensions at most."""
        return (self.source.channels == 1 and self.groups > 1 and len(self.source.windows) <= 2
                and self.scheme.parts == (1, 1) and not self.scheme.is_folded)

    def k_axes(self, packed: bool = False) -> tuple[Axis, ...]:
        """k with strides in the input tile, or in the packed window, and in the kernel.

        Outer kernel dimensions get strides in the tile that join with nothing: how far apart
        their positions are depends on the tile.
        """
        if packed:
            return self._packed_axes()
        view, source = self.kernel.view, self.source
        axes = [Axis(w.size, (-1 - number, view.strides[d])) for number, (w, d) in enumerate(
            zip(source.windows, self.kernel_layout.spatial, strict=True))]
        if axes:
            last = source.windows[-1].dilation * source.channels
            axes[-1] = Axis(axes[-1].size, (last, axes[-1].strides[1]))
        return (*axes, Axis(source.channels, (1, view.strides[self.kernel_layout.features])))

    def _packed_axes(self) -> tuple[Axis, ...]:
        layout, strides = self.kernel_layout, self.kernel.view.strides
        shape = (*(w.size for w in self.source.windows), self.source.channels)
        return tuple(Axis(n, (packed, strides[d])) for n, packed, d in zip(
            shape, row_major(shape), (*layout.spatial, layout.features), strict=True))


def reads_on_chip(contraction: Contraction, made: Scheme) -> bool:
    """Whether a convolution takes its input from the scratchpad. Depthwise ones leave the vector
    unit no time for copies."""
    attrs, load = contraction.op.attrs, contraction.lhs
    dim = attrs["dimension_numbers"]["input_feature_dimension"]
    features = load.view.strides[dim]
    return (made.parts == (1, 1) and load.element is made.local and features == 1
            and min(load.view.strides) >= 0
            and attrs.get("feature_group_count", 1) in (1, load.view.shape[dim])
            and all(w.base_dilation == 1 for w in spatial_windows(contraction.op.call)))
