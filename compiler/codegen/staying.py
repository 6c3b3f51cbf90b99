"""What stays in the scratchpad of a product's left factor when the product is done."""

from collections.abc import Hashable
from typing import NamedTuple

from compiler.codegen.contraction_shape import Plan
from compiler.codegen.contraction_work import Activations, Slab
from compiler.ir.loops import Load


class Staying(NamedTuple):
    """Slabs in the scratchpad.

    Attributes:
        factor: what they are slabs of; plan: how it is cut.
        region: local address of their places, `slots` bytes each.
        held: what each of them holds, None for nothing.
    """

    factor: Load
    plan: Plan
    region: int
    slots: tuple[int, ...]
    held: tuple[Hashable, ...]

    @property
    def end(self) -> int:
        return self.region + sum(self.slots)


class Ahead(NamedTuple):
    """How a product to come goes through its left factor.

    Attributes:
        depths: of its slabs.
    """

    activations: Activations
    slabs: tuple[Slab, ...]
    depths: tuple[int, ...]
