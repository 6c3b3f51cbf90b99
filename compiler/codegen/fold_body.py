"""Kernel bodies of reductions."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property

from compiler.codegen.body import OUTPUT, Assembler, DoesNotFitError
from compiler.codegen.commands import Body
from compiler.codegen.graph import INPUT, Graph, fuse_products, inputs
from compiler.codegen.operands import Operand
from compiler.ir.types import ElementType, Tensor
from compiler.ops.elementwise import Elementwise, expand
from compiler.ops.interpret import to_lanes
from compiler.ops.reduction import identity
from compiler.ops.registry import Call, lookup
from hw.isa.numerics import SIGN
from hw.isa.params import VECTOR_REGISTERS

ACCUMULATOR = VECTOR_REGISTERS - 1
"""The vector register that holds what was combined so far."""
PARTIAL, INITIAL = -1, -2
"""Input numbers of partial results and of the initial value."""


@dataclass(frozen=True)
class Combiner:
    """A combining operation on one element type."""

    name: str
    element: ElementType

    @property
    def identity(self) -> int:
        """Lane bits that change nothing, down to the sign of a zero."""
        if self.name == "add" and self.element.is_float:
            return SIGN
        value = identity(self.name, self.element)
        return int(to_lanes(value.reshape(1))[0])

    def combine(self, graph: Graph, a: int, b: int) -> int:
        """Appends the combination of two values."""
        operation = lookup(self.name)
        assert isinstance(operation, Elementwise)
        tensor = Tensor((), self.element)
        return expand(operation, graph, Call((tensor, tensor), (tensor,)), a, b)


@dataclass(frozen=True)
class Rounds:
    """How often a kernel combines.

    Attributes:
        outer: times the whole; `inner`: full groups each; `tail`: valid lanes of one more group
            each, 0 for none.
        across: lanes combine at the end.
        first, last: whether the kernel starts from the identity, and delivers the result; else
            partial results are read, and written.
    """

    outer: int
    inner: int
    tail: int
    across: bool
    first: bool
    last: bool


@dataclass(frozen=True)
class AssembledFold:
    """A body and the inputs its streams carry: numbers of operands, PARTIAL or INITIAL."""

    body: Body
    streams: tuple[int, ...]


_MADE: dict[tuple[Hashable, ...], AssembledFold] = {}
"""Bodies by what they depend on: the reductions of a network's layers have the same ones."""


@dataclass
class FoldBodies:
    """Bodies of one reduction.

    Attributes:
        graph, node: what is combined.
        initial: lane bits, or an operand.
        lanes: L.
        stored: a node that is a result itself; it leaves through the second output stream.
    """

    graph: Graph
    node: int
    combiner: Combiner
    initial: int | Operand
    lanes: int
    stored: int | None = None

    @property
    def nodes(self) -> list[int]:
        """Everything the kernel computes for each element."""
        return [self.node] if self.stored is None else [self.node, self.stored]

    @property
    def reads_plainly(self) -> bool:
        """Whether what is combined is an operand as it is, so that its fill can be chosen."""
        return self.graph.nodes[self.node].kind == INPUT

    def inputs(self) -> list[int]:
        """Numbers of the operands that are read."""
        return inputs(self.graph, self.nodes)

    def body(self, rounds: Rounds) -> AssembledFold:
        """Raises DoesNotFitError when one kernel is not enough."""
        key = (*self._key, rounds)
        if key not in _MADE:
            _MADE[key] = self._assemble(rounds)
        return _MADE[key]

    @cached_property
    def _key(self) -> tuple[Hashable, ...]:
        """What bodies depend on beside their rounds."""
        initial = self.initial if isinstance(self.initial, int) else None
        return self.graph.key, self.node, self.stored, self.combiner, initial, self.lanes

    def check(self, across: bool) -> None:
        """Raises DoesNotFitError unless every body fits a kernel."""
        self.body(Rounds(2, 2, int(across and not self.reads_plainly), across, False, True))

    def _assemble(self, rounds: Rounds) -> AssembledFold:
        if not rounds.across and rounds.outer == 1 and rounds.inner > 1:
            try:
                return self._assemble_peeled(rounds)
            except DoesNotFitError:
                pass
        assembler = Assembler(gathers=bool(self.graph.tables))
        start = Graph()
        assembler.section(start, [(self._start(start, rounds), ACCUMULATOR)])
        with assembler.repeated(rounds.outer):
            if rounds.inner:
                with assembler.repeated(rounds.inner):
                    self._step(assembler, 0)
            if rounds.tail:
                self._step(assembler, rounds.tail)
        self._finish(assembler, rounds)
        return AssembledFold(assembler.finish(), tuple(assembler.streams))

    def _assemble_peeled(self, rounds: Rounds) -> AssembledFold:
        """The first step takes the start, the last one delivers the result: neither moves."""
        assembler = Assembler(gathers=bool(self.graph.tables))
        self._combine(assembler, lambda graph: self._start(graph, rounds), ACCUMULATOR)
        if rounds.inner > 2:
            with assembler.repeated(rounds.inner - 2):
                self._step(assembler, 0)
        self._combine(assembler, lambda graph: graph.register(ACCUMULATOR), OUTPUT,
                      last=rounds.last)
        return AssembledFold(assembler.finish(), tuple(assembler.streams))

    def _start(self, graph: Graph, rounds: Rounds) -> int:
        return graph.bits(self.combiner.identity) if rounds.first else graph.input(PARTIAL)

    def _combine(self, assembler: Assembler, total_of: Callable[[Graph], int], target: int, *,
                 last: bool = False) -> None:
        """One step from some total to some place."""
        graph, (value, *stored) = fuse_products(self.graph, self.nodes)
        total = self.combiner.combine(graph, total_of(graph), value)
        if last:
            total = self._with_initial(graph, total)
        graph, (total, *stored) = fuse_products(graph, [total, *stored])
        assembler.section(graph, [(total, target), *((node, OUTPUT + 1) for node in stored)],
                          [ACCUMULATOR])

    def _with_initial(self, graph: Graph, total: int) -> int:
        if self.initial == self.combiner.identity:
            return total
        start = (graph.bits(self.initial) if isinstance(self.initial, int)
                 else graph.input(INITIAL))
        return self.combiner.combine(graph, start, total)

    def _step(self, assembler: Assembler, valid: int) -> None:
        graph, (value, *stored) = fuse_products(self.graph, self.nodes)
        if valid:
            inside = graph.ilt(graph.lane(), graph.bits(valid))
            value = graph.sel(inside, value, graph.bits(self.combiner.identity))
        total = self.combiner.combine(graph, graph.register(ACCUMULATOR), value)
        graph, (total, *stored) = fuse_products(graph, [total, *stored])
        assembler.section(graph, [(total, ACCUMULATOR), *((node, OUTPUT + 1) for node in stored)],
                          [ACCUMULATOR])

    def _finish(self, assembler: Assembler, rounds: Rounds) -> None:
        graph = Graph()
        total = graph.register(ACCUMULATOR)
        if not rounds.last:
            assembler.section(graph, [(total, OUTPUT)], [ACCUMULATOR])
            return
        distance = 1
        while rounds.across and distance < self.lanes:
            total = self.combiner.combine(graph, total, graph.exchanged(total, distance))
            distance *= 2
        assembler.section(graph, [(self._with_initial(graph, total), OUTPUT)], [ACCUMULATOR])
