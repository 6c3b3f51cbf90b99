"""Tensors that may stay on chip between the groups that make and use them, and what that saves."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xdsl.ir import Block, Operation, SSAValue

from compiler.codegen.inplace import overwritten
from compiler.codegen.readable import (
    ON_CHIP,
    bytes_read,
    constants,
    loaded_again,
    loads,
    unreadable,
)
from compiler.codegen.shared_factors import runs_of
from compiler.ir.loops import Contraction, Movement, analyse
from compiler.ir.ops import HloOp, is_constant
from compiler.ir.types import tensor_of
from hw.config import AcceleratorConfig

OTHER_WORKING = 4
"""What share of the scratchpad most groups keep for their buffers, as divisor."""
IN_PLACE_WORKING = 6
"""What share of the scratchpad, as divisor, a convolution needs that reads its input, padding
included, where it lies on chip: for weights and a block of results."""


@dataclass(frozen=True, eq=False)
class Resident:
    """A tensor that may stay on chip, from the position of its maker to that of its last reader.
    There is one for each tensor, so that they are told apart by identity.

    Attributes:
        bytes: rounded up to whole lines of the scratchpad.
        saved: bytes that need not be loaded or stored.
        takes_over: values in whose place it may be made, as they are read for the last time then.
        is_buffer: the value is a factor that one contraction keeps in its own buffers, for which
            there has to be room.
    """

    value: SSAValue
    first: int
    last: int
    bytes: int
    saved: int
    takes_over: tuple[SSAValue, ...] = ()
    is_buffer: bool = False

    @property
    def is_constant(self) -> bool:
        return is_constant(self.value)

    @property
    def gain(self) -> float:
        """DRAM passes saved for each group it is held through."""
        return self.saved / self.bytes / (1 + self.last - self.first)

    def meets(self, other: "Resident") -> bool:
        """Whether both live at the same time."""
        return self.first <= other.last and other.first <= self.last

    def shares_with(self, other: "Resident") -> bool:
        """Whether one may be made in the place of the other."""
        return (other.value in self.takes_over and other.last == self.first) or (
            self.value in other.takes_over and self.last == other.first)


def candidates_of(block: Block, config: AcceleratorConfig, parts: dict[SSAValue, SSAValue]
                  ) -> list[Resident]:
    """The tensors of a block that may stay on chip, those that save most for their time first.

    Args:
        parts: values that are made in their place in a larger one, with that one.
    """
    found = _Candidates(list(block.ops), config, parts).found
    return sorted(found, key=lambda r: (-r.gain, r.first))


class _Candidates:
    """Values that all their makers and readers can handle on chip."""

    def __init__(self, operations: Sequence[Operation], config: AcceleratorConfig,
                 parts: dict[SSAValue, SSAValue]) -> None:
        self.config = config
        self.position = {op: n for n, op in enumerate(operations)}
        self.made: dict[SSAValue, list[int]] = {}
        self.read: dict[SSAValue, list[int]] = {}
        self.refused: set[SSAValue] = set()
        self.constants: dict[SSAValue, list[int]] = {}
        self.widths: dict[SSAValue, int] = {}
        self.buffers: list[Resident] = []
        self.moved: Counter[SSAValue] = Counter()
        for number, op in enumerate(operations):
            self._note(number, op, parts)
        self.found = [r for r in map(self._resident, self.made) if r is not None]
        self.found += [self._constant(value, readers) for value, readers in self.constants.items()
                       if len(readers) > 1]
        self.found += self.buffers
        self.found += self._shared(operations)

    def _note(self, number: int, op: Operation, parts: dict[SSAValue, SSAValue]) -> None:
        readable: set[SSAValue] = set()
        makes = False
        if isinstance(op, HloOp) and op.kind == "fused":
            analysed = analyse(op)
            readable = set(op.operands) - set(unreadable(analysed, self.config))
            makes = not isinstance(analysed, Movement) or analysed.op.kind in (
                *ON_CHIP, "reduce_window")
            if isinstance(analysed, Contraction):
                for value, width in constants(analysed, self.config).items():
                    self.constants.setdefault(value, []).append(number)
                    self.widths[value] = max(self.widths.get(value, 0), width)
                self._note_buffer(number, analysed)
            for load in loads(analysed):
                if load.value not in parts:
                    self.moved[load.value] += bytes_read(load)
                elif isinstance(analysed, Contraction):
                    # An earlier version of the whole would be stored and loaded again.
                    self.moved[parts[load.value]] += 2 * bytes_read(load)
        for value in op.operands:
            whole = parts.get(value, value)
            self.read.setdefault(whole, []).append(number)
            if value not in readable:
                self.refused.add(whole)
        for region in op.regions if not (isinstance(op, HloOp) and op.kind == "fused") else ():
            for inner in region.walk():
                self.refused.update(inner.operands)
        for value in op.results:
            whole = parts.get(value, value)
            self.made.setdefault(whole, []).append(number)
            if value not in parts:
                self.moved[value] += tensor_of(value).bytes
            if not makes:
                self.refused.add(whole)

    def _constant(self, value: SSAValue, readers: Sequence[int]) -> Resident:
        line, tensor = self.config.line_bytes, tensor_of(value)
        size = tensor.size * self.widths[value]
        return Resident(value, readers[0], readers[-1], -(-size // line) * line,
                        tensor.bytes * (len(readers) - 1))

    def _note_buffer(self, number: int, contraction: Contraction) -> None:
        weights = contraction.rhs.value
        room = self.config.scratchpad_bytes - self.config.scratchpad_bytes // IN_PLACE_WORKING
        again = loaded_again(contraction, self.config, room)
        if again:
            self.buffers.append(Resident(weights, number, number, tensor_of(weights).bytes, again,
                                         is_buffer=True))

    def _shared(self, operations: Sequence[Operation]) -> Iterator[Resident]:
        """Factors that products in a row share, unless they may be on chip as a whole."""
        room = self.config.scratchpad_bytes - self.config.scratchpad_bytes // OTHER_WORKING
        for run in runs_of(operations, self.config):
            value, whole = run.factor.value, tensor_of(run.factor.value).bytes
            size = min(whole, room)
            if whole >= room or isinstance(value.owner, Block):
                yield Resident(value, run.first, run.last, size, size * (len(run.readers) - 1),
                               is_buffer=True)

    def _resident(self, value: SSAValue) -> Resident | None:
        if value in self.refused or value not in self.read:
            return None
        line = self.config.line_bytes
        size = -(-max(tensor_of(value).bytes, 1) // line) * line
        readers = self.read[value]
        owner = value.owner
        shared = tuple(overwritten(owner)) if isinstance(owner, HloOp) else ()
        return Resident(value, min(self.made[value]), max(readers), size, self.moved[value],
                        shared)
