"""Which values are cheaper to compute again in every group that uses them than to store.

Storing costs a pass over DRAM for the write. Computing again costs the instructions, and loads
the operands instead of the value; so it pays for a few plain instructions on one large operand.
That may be another result of the same group, if it is stored in any case.
"""

from collections.abc import Sequence

from xdsl.ir import SSAValue

from compiler.ir.loops import is_reduction
from compiler.ir.ops import HloOp
from compiler.ir.types import tensor_of
from compiler.ops.builder import Builder
from compiler.ops.elementwise import Elementwise, expand
from compiler.passes.groups import Groups, is_elementwise, is_free
from hw.isa.special import FUNCTIONS

INSTRUCTIONS = 2
"""A value of more instructions is stored."""
NEVER = 1000


class InstructionCounter(Builder[int]):
    """Counts what templates emit; special functions, which are slower, count as too many."""

    def __init__(self) -> None:
        self.instructions = 0

    def emit(self, mnemonic: str, *operands: int) -> int:
        del operands
        self.instructions += NEVER if mnemonic in FUNCTIONS else 1
        return 0

    def bits(self, value: int) -> int:
        return value


class Recomputed:
    """The choice for one block.

    Attributes:
        instead_of_storing: operations whose result no group hands on.
        copyable: these, and what they need copied with them.
    """

    def __init__(self, groups: Groups) -> None:
        self.instead_of_storing: set[HloOp] = set()
        self.copyable: set[HloOp] = set()
        self._groups = groups
        for op in groups.operations:
            if is_elementwise(op) and self._is_read_by_loops_only(op):
                self._consider(op)

    def _is_read_by_loops_only(self, op: HloOp) -> bool:
        outside = [use for use in op.results[0].uses
                   if not self._groups.together(op, use.operation)]
        return bool(outside) and all(
            isinstance(use.operation, HloOp) and use.operation.parent is op.parent
            and (is_elementwise(use.operation) or (is_reduction(use.operation) and not use.index))
            for use in outside)

    def _consider(self, op: HloOp) -> None:
        chain = self._chain(op, op)
        loads = {v for o in chain for v in o.operands
                 if v.owner not in chain and _is_large(v, op)}
        if sum(map(instruction_count, chain)) <= INSTRUCTIONS and len(loads) <= 1:
            self.instead_of_storing.add(op)
            self.copyable.update(chain)

    def _chain(self, op: HloOp, last: HloOp) -> list[HloOp]:
        """An operation and those before it that are in no memory either."""
        chain = [op]
        for value in op.operands:
            owner = value.owner
            if isinstance(owner, HloOp) and (owner in self.instead_of_storing or (
                    self._groups.together(last, owner) and not self._is_stored(owner))):
                chain += self._chain(owner, last)
        return list(dict.fromkeys(chain))

    def _is_stored(self, op: HloOp) -> bool:
        """Whether another group reads an operation's result from memory in any case."""
        return op not in self.instead_of_storing and any(
            not self._groups.together(op, use.operation) for use in op.results[0].uses)


def _is_large(value: SSAValue, op: HloOp) -> bool:
    """Whether reading a value costs about as much as reading the operation's result."""
    while isinstance(value.owner, HloOp) and is_free(value.owner) and value.owner.operands:
        value = value.owner.operands[0]
    return tensor_of(value).size >= op.tensor.size


def instruction_count(op: HloOp) -> int:
    """Vector instructions of an elementwise operation; anything else is never computed again."""
    if not isinstance(op.definition, Elementwise):
        return NEVER
    counter = InstructionCounter()
    expand(op.definition, counter, op.call, *([0] * len(op.operands)))
    return counter.instructions


def outputs(members: Sequence[HloOp], recomputed: Recomputed) -> list[SSAValue]:
    """Results of a group's operations that others read from memory."""
    inside = set(members)
    return [r for op in members if op not in recomputed.instead_of_storing for r in op.results
            if any(use.operation not in inside for use in r.uses)]
