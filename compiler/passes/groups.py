"""Sets of operations that are about to become groups, and which of them may be one."""

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush

from xdsl.ir import Operation, SSAValue

from compiler.ir.loops import is_contraction, is_reduction, leaf
from compiler.ir.ops import HloOp
from compiler.ir.types import tensor_of
from compiler.ops.elementwise import Elementwise
from compiler.ops.views import ViewOperation

WORTH_LOADING_ONCE = 1 << 14
"""Bytes that two groups read: loading fewer once more costs less than what waits for both."""
CONTROL = ("while", "case")


def is_control(op: Operation) -> bool:
    return isinstance(op, HloOp) and op.kind in CONTROL


def is_free(op: Operation) -> bool:
    """A view, an iota or a scalar constant: every group that uses it gets a copy."""
    return isinstance(op, HloOp) and (
        isinstance(op.definition, ViewOperation) or leaf(op) is not None)


def is_elementwise(op: HloOp) -> bool:
    return isinstance(op.definition, Elementwise)


def is_fusible(op: HloOp) -> bool:
    """May share a group with others."""
    return is_elementwise(op) or is_reduction(op) or is_contraction(op)


def iteration_shape(op: HloOp) -> tuple[int, ...]:
    """The space an operation's loop walks."""
    return tensor_of(op.operands[0] if is_reduction(op) else op.results[0]).shape


def inputs(op: Operation) -> Iterator[SSAValue]:
    """Operands of an operation and what its regions use from outside, with repetitions."""
    yield from op.operands
    for region in op.regions:
        for inner in region.walk():
            yield from (v for v in inner.operands if _is_outside(v, op))


def _is_outside(value: SSAValue, op: Operation) -> bool:
    block = value.owner.parent if isinstance(value.owner, Operation) else value.owner
    while block is not None:
        parent = block.parent_op()
        if parent is op:
            return False
        block = parent.parent if parent is not None else None
    return True


class Groups:
    """A partition of a block's working operations; starts with one group for each.

    Attributes:
        refusals: one line for each merge that was tried and refused.
    """

    def __init__(self, operations: Sequence[HloOp]) -> None:
        self.operations = list(operations)
        self.refusals: list[str] = []
        self._number: dict[object, int] = {op: n for n, op in enumerate(self.operations)}
        self._group = list(range(len(self.operations)))
        self._members = {n: [op] for n, op in enumerate(self.operations)}
        self._sources = {op: list(self._sources_of(op)) for op in self.operations}
        # Of each group those that must be finished before it, and that wait for it: bit sets.
        self._before: dict[int, int] = {}
        for n, op in enumerate(self.operations):
            before = 0
            for producer, _ in self._sources[op]:
                m = self._number[producer]
                before |= self._before[m] | 1 << m
            self._before[n] = before
        self._after = dict.fromkeys(range(len(self.operations)), 0)
        for n, op in reversed(list(enumerate(self.operations))):
            behind = self._after[n] | 1 << n
            for m in {self._number[producer] for producer, _ in self._sources[op]}:
                self._after[m] |= behind

    def _sources_of(self, op: HloOp) -> Iterator[tuple[HloOp, int | None]]:
        """(producer, operand it is directly read as; None through views or from a region)."""
        for position, value in enumerate(inputs(op)):
            producer = value.owner
            if isinstance(producer, HloOp) and producer in self._number:
                yield producer, position if position < len(op.operands) else None
            else:
                yield from ((p, None) for p in self._behind(producer))

    def _behind(self, owner: object) -> Iterator[HloOp]:
        """Working operations that a free operation's elements come from."""
        if not isinstance(owner, HloOp):
            return
        for value in owner.operands:
            if isinstance(value.owner, HloOp) and value.owner in self._number:
                yield value.owner
            else:
                yield from self._behind(value.owner)

    def in_order(self) -> list[list[HloOp]]:
        """Members of every group, producers before consumers, else in program order."""
        before = {n: self._direct_sources(n) for n in self._members}
        after: dict[int, list[int]] = {n: [] for n in self._members}
        for n, sources in before.items():
            for m in sources:
                after[m].append(n)
        ready = [(self._place(n), n) for n, sources in before.items() if not sources]
        heapify(ready)
        order = []
        while ready:
            _, n = heappop(ready)
            order.append(self._members[n])
            for m in after[n]:
                before[m].discard(n)
                if not before[m]:
                    heappush(ready, (self._place(m), m))
        return order

    def _direct_sources(self, group: int) -> set[int]:
        """Groups whose results a group reads."""
        found = {self._group[self._number[producer]]
                 for op in self._members[group] for producer, _ in self._sources[op]}
        return found - {group}

    def _place(self, group: int) -> int:
        """Where in the program a group belongs: at its contraction, else where it is complete."""
        members = self._members[group]
        main = next((op for op in members if is_contraction(op)), members[-1])
        return self._number[main]

    def together(self, op: HloOp, other: object) -> bool:
        """Whether two operations are in one group."""
        return other in self._number and \
            self._group[self._number[op]] == self._group[self._number[other]]

    def producers(self, op: HloOp) -> Iterator[HloOp]:
        """Operations whose results `op` reads directly."""
        for producer, operand in self._sources[op]:
            if operand is not None:
                yield producer

    def lateness(self, op: HloOp) -> tuple[int, int]:
        """How many groups must be finished before an operation's group starts, and its place in
        the program."""
        number = self._number[op]
        return self._before[self._group[number]].bit_count(), number

    def merge(self, producer: HloOp, consumer: HloOp, level: str) -> None:
        """Makes one group of two, or notes why not."""
        first, second = (self._group[self._number[op]] for op in (producer, consumer))
        if first == second:
            return
        reason = self._refusal(self._members[first], self._members[second], level)
        if reason is None and self._is_between(first, second):
            reason = "an operation between them cannot join"
        if reason is not None:
            self.refusals.append(f"{consumer.source}: {consumer.kind} is not fused with "
                                 f"{producer.kind} at {producer.source}: {reason}")
            return
        self._unite(first, second)

    def merge_alike(self, level: str) -> None:
        """Makes one group of elementwise ones that read the same tensors: each is loaded once."""
        known: dict[object, HloOp] = {}
        for members in list(self._members.values()):
            if all(map(is_elementwise, members)):
                read = _read(members)
                key = iteration_shape(members[0]), read
                large = sum(tensor_of(value).bytes for value in read) >= WORTH_LOADING_ONCE
                if large and len(read) > 1 and key in known:
                    self.merge(known[key], members[0], level)
                else:
                    known[key] = members[0]

    def _refusal(self, first: Sequence[HloOp], second: Sequence[HloOp],
                 level: str) -> str | None:
        """Why what the operations are keeps two groups apart, if it does."""
        members = [*first, *second]
        if level != "full" and any(is_reduction(op) or is_contraction(op) for op in members):
            return f"fusion level {level}"
        if iteration_shape(first[0]) != iteration_shape(second[0]):
            return "their shapes differ"  # those of one group are the same
        reductions = {tuple(sorted(op.attrs["dimensions"])) for op in members
                      if is_reduction(op)}
        if len(reductions) > 1:
            return "their reductions run along different dimensions"
        contractions = sum(is_contraction(op) for op in members)
        if contractions > 1:
            return "each has a contraction"
        if contractions and reductions:
            return "a reduction does not follow a contraction in one group"
        return self._crossing_refusal(first, second)

    def _crossing_refusal(self, first: Sequence[HloOp], second: Sequence[HloOp]) -> str | None:
        """Values may pass from one group to the other only element by element."""
        for consumers, others in ((first, second), (second, first)):
            for op in consumers:
                for producer, operand in self._sources[op]:
                    if producer not in others:
                        continue
                    if is_reduction(producer):
                        return "it needs the whole reduction"
                    if operand is None:
                        return "it reads elements in another order"
                    if is_contraction(op) or (is_reduction(op) and operand != 0):
                        return "it needs the whole tensor"
        return None

    def _is_between(self, first: int, second: int) -> bool:
        """Whether a third group needs one of two and is needed by the other."""
        pair = 1 << first | 1 << second
        for group in (first, second):
            for op in self._members[group]:
                for producer, _ in self._sources[op]:
                    number = self._group[self._number[producer]]
                    if number not in (first, second) and self._before[number] & pair:
                        return True
        return False

    def _unite(self, first: int, second: int) -> None:
        """Makes one group of two."""
        pair = 1 << first | 1 << second
        before = (self._before[first] | self._before[second]) & ~pair
        after = (self._after[first] | self._after[second]) & ~pair
        # What is behind both already, or ahead of both, knows all that is on the other side.
        behind = (self._after[first] ^ self._after[second]) & ~pair
        ahead = (self._before[first] ^ self._before[second]) & ~pair
        del self._before[second], self._after[second]
        self._before[first], self._after[first] = before, after
        for group in _bits(behind):
            if group in self._before:
                self._before[group] |= before | pair
        for group in _bits(ahead):
            if group in self._after:
                self._after[group] |= after | pair
        self._members[first] += self._members.pop(second)
        self._members[first].sort(key=self._number.__getitem__)
        for op in self._members[first]:
            self._group[self._number[op]] = first


def _read(members: Sequence[HloOp]) -> frozenset[SSAValue]:
    """What a group reads of others, but for constants and the like."""
    inside = {value for op in members for value in op.results}
    return frozenset(value for op in members for value in op.operands if value not in inside
                     and not (isinstance(value.owner, HloOp) and leaf(value.owner) is not None))


def _bits(number: int) -> Iterator[int]:
    """Positions of the bits that are set, ascending."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
