"""Pieces of a contraction's operands in the scratchpad: in reserved places, or in any free one."""

from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import NamedTuple

from compiler.codegen.context import Context
from compiler.codegen.contraction_work import Source, Visit
from compiler.errors import Location


class Acquired(NamedTuple):
    """A local address; whether the operand lies there anyway, or was given a buffer for one use."""

    address: int
    is_in_place: bool = False
    is_buffer: bool = False


class Residents:
    """Which pieces of an operand are in the scratchpad.

    Args:
        region: local address of its reserved places.
        held: what they hold already.
    """

    def __init__(self, context: Context, source: Source, region: int, location: Location,
                 held: Sequence[Hashable] = ()) -> None:
        self.context, self.source, self.location = context, source, location
        self.held: list[Hashable] = [*held] or [None] * len(source.slots)
        self.addresses = [region + n for n in accumulate(source.slots, initial=0)]

    def acquire(self, at: Visit) -> Acquired:
        """What is needed, loaded if it is not there."""
        address = self.source.in_place(at)
        if address is not None:
            return Acquired(address, is_in_place=True)
        slot = self.source.slot(at) if self.held else None
        if slot is not None:
            key = self.source.key(at)
            if self.held[slot] != key:
                self.held[slot] = key
                self.source.load(at, self.addresses[slot])
            return Acquired(self.addresses[slot])
        address = self.context.scratchpad.allocate(self.source.size(at), self.location)
        self.source.load(at, address)
        return Acquired(address, is_buffer=True)

    def release(self, acquired: Acquired) -> None:
        if acquired.is_buffer:
            self.context.scratchpad.free(acquired.address)
