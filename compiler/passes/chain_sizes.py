"""What the stages of a chain need room for."""

from dataclasses import dataclass, replace
from math import prod

from compiler.ir.types import Tensor, tensor_of
from compiler.passes.chains import Stage


@dataclass(frozen=True)
class Sizes:
    """Of a stage.

    Attributes:
        bytes, lines, line_bytes, positions: of its result, all or a line's; `channels`.
        weights: bytes.
        halo: lines of its input that a band reads after the one before has read them as well.
        input_bytes: of its input, with the padding around it.
        added: results that are there beside its own, as another product is added to them.
    """

    bytes: int
    lines: int
    line_bytes: int
    positions: int
    channels: int
    weights: int
    halo: int
    input_bytes: int
    added: int

    @classmethod
    def of(cls, stage: Stage, lines: int) -> "Sizes":
        halo = max(stage.lines_read(0, 1)[1] - stage.lines_read(1, 2)[0], 0)
        return replace(cls.of_copy(tensor_of(stage.result), lines), weights=stage.weight_bytes,
                       halo=halo, input_bytes=_input_bytes(stage), added=len(stage.products) > 1)

    @classmethod
    def of_copy(cls, tensor: Tensor, lines: int) -> "Sizes":
        """Of a stage that puts its input on chip."""
        count = max(tensor.shape[lines], 1)
        return cls(tensor.bytes, tensor.shape[lines], tensor.bytes // count,
                   prod(tensor.shape[:-1]) // count, tensor.shape[-1], 0, 0, tensor.bytes, 0)


def _input_bytes(stage: Stage) -> int:
    """Bytes of a stage's input with the padding around it."""
    tensor = tensor_of(stage.first.operands[0])
    around = [0, *map(sum, stage.padding), 0] if stage.padding else [0] * tensor.rank
    return prod(n + added for n, added in zip(tensor.shape, around, strict=True)
                ) * tensor.element.size
