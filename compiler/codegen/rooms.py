"""How much of the scratchpad each operation of a block has for its buffers.

Tensors on chip leave some (`residency`), and tiles are chosen to fit it. No plan foresees every
buffer, though. When an operation runs out of room, fewer tensors stay on chip while it is at work;
if none does, its tiles get smaller.
"""

from collections.abc import Mapping

from xdsl.ir import Block, Operation, SSAValue

from compiler.codegen.residency import Residency, plan, working_bytes
from compiler.codegen.residents import candidates_of
from compiler.errors import NoRoomError
from compiler.ir.ops import HloOp
from hw.config import AcceleratorConfig

MOST_TIGHT = 4
"""Halvings of the room for tiles that are tried."""
SHORT = 4
"""Room below this share of the scratchpad, as divisor, is often too little for a contraction."""


class Rooms:
    """The plan for a block, and how it changes.

    Args:
        wholes: values that are made in their place in a larger one, with that one.
        on_chip: tensors may stay in the scratchpad from one operation to the next.

    Attributes:
        residency: what stays on chip.
        tightness: how often the room of an operation's tiles is halved.
    """

    def __init__(self, block: Block, config: AcceleratorConfig,
                 wholes: Mapping[SSAValue, SSAValue], *, on_chip: bool) -> None:
        self.block, self.config, self.wholes = block, config, dict(wholes)
        self._reserved: dict[Operation, int] = {}
        self.tightness: dict[Operation, int] = {}
        self._candidates = candidates_of(block, config, self.wholes) if on_chip else []
        self.residency = self._planned() if on_chip else Residency()

    def _planned(self) -> Residency:
        return plan(self.block, self.config, self._candidates, self._reserved)

    def room(self, op: Operation) -> int:
        """Bytes that an operation's buffers may use."""
        return self.residency.limits.get(op, self.config.scratchpad_bytes)

    def is_short(self, op: Operation) -> bool:
        """Whether a contraction has so little room that its plan may miss it by a buffer."""
        return self.room(op) < self.config.scratchpad_bytes // SHORT and isinstance(op, HloOp) \
            and op.kind == "fused" and op.attrs["kind"] in ("dot_general", "convolution")

    def enlarge(self, op: Operation, error: NoRoomError) -> Operation:
        """Changes the plan for an operation that has run out of room.

        Returns:
            The first operation that the change concerns.

        Raises:
            NoRoomError: the error given; nothing is left to try.
        """
        room, before = self.room(op), self.residency
        if room < self.config.scratchpad_bytes:
            self._reserve(op, room)
        elif self.tightness.get(op, 0) < MOST_TIGHT:
            self.tightness[op] = self.tightness.get(op, 0) + 1
        else:
            raise error
        return next(other for other in self.block.ops
                    if other is op or self._concerns(other, before))

    def _reserve(self, op: Operation, room: int) -> None:
        """Plans again with more than the room that was too small."""
        needed = working_bytes(op, self.config)
        while needed <= room:
            needed *= 2
        self._reserved[op] = needed
        self.residency = self._planned()

    def _concerns(self, op: Operation, before: Residency) -> bool:
        """Whether the plan may have changed for an operation."""
        now, made = self.residency, [self.wholes.get(result, result) for result in op.results]
        return (now.constants != before.constants or now.limits.get(op) != before.limits.get(op)
                or any(now.addresses.get(v) != before.addresses.get(v) for v in made))
