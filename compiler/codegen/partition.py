"""A computation as one kernel, or as several when one is not enough.

Values that cross from one kernel to a later one go through 32-bit temporaries; operands are read
again by every kernel that uses them. So are results whose 32 bits are stored as they are.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from compiler.codegen.body import OUTPUT, Assembler, DoesNotFitError
from compiler.codegen.clamps import Clamp, leave_clamps
from compiler.codegen.commands import Body
from compiler.codegen.graph import INPUT, LEAVES, Graph, Node, fuse_products
from compiler.ir.types import ElementType
from hw.isa.params import BODY_LENGTH, OUTPUT_STREAMS

RESULT = 1 << 20
"""In `Kernel.inputs`: from here on numbers of results, which earlier kernels have written."""


@dataclass(frozen=True)
class Kernel:
    """One kernel of a computation.

    Attributes:
        inputs: what each input stream carries: the number of an operand, -1 - t for the
            temporary t, or RESULT + r for the result r.
        outputs: where each output stream goes: the number of a result, or -1 - t.
        clamps: what each output stream clamps to.
        tables: contents of the tables `gather` reads, empty for none.
    """

    body: Body
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    clamps: tuple[Clamp | None, ...]
    tables: bytes


def partition(graph: Graph, outputs: Sequence[int], elements: Sequence[ElementType] = (),
              readable: Collection[int] = ()) -> list[Kernel]:
    """Kernels that compute the outputs, in order.

    Args:
        outputs: nodes; output number i goes to result i.
        elements: the types that results are stored as, for output streams to clamp; without
            them nothing is left to streams.
        readable: results that later kernels may read in the place of temporaries.
    """
    return list(_partitioned(_Computation(graph.key, tuple(outputs), tuple(elements),
                                          frozenset(readable), graph)))


@dataclass(frozen=True)
class _Computation:
    """What a partition depends on: all but the graph itself, for which its key stands."""

    key: Hashable
    outputs: tuple[int, ...]
    elements: tuple[ElementType, ...]
    readable: frozenset[int]
    graph: Graph = field(compare=False)


@lru_cache(maxsize=256)
def _partitioned(computation: _Computation) -> tuple[Kernel, ...]:
    """The layers of a network, and the parts they are cut into, compute the same."""
    outputs, clamps = leave_clamps(computation.graph, computation.outputs, computation.elements)
    graph, outputs = fuse_products(computation.graph, outputs)
    try:
        return (_kernel(graph, list(zip(outputs, range(len(outputs)), strict=True)), clamps),)
    except DoesNotFitError:
        return tuple(_Partition(graph, outputs, clamps, computation.readable).kernels)


def _kernel(graph: Graph, outputs: Sequence[tuple[int, int]], clamps: Sequence[Clamp | None]
            ) -> Kernel:
    """One kernel; `outputs` pairs nodes with result numbers, `clamps` are those of results."""
    if len(outputs) > OUTPUT_STREAMS:
        raise DoesNotFitError("output streams")
    assembler = Assembler(gathers=bool(graph.tables))
    assembler.section(graph, [(node, OUTPUT + i) for i, (node, _) in enumerate(outputs)],
                      double_streams=True)
    return Kernel(assembler.finish(), tuple(assembler.streams),
                  tuple(number for _, number in outputs),
                  tuple(clamps[number] if number >= 0 else None for _, number in outputs),
                  graph.table_bytes())


class _Partition:
    """Cuts the instructions, in their order, into the longest runs that fit."""

    def __init__(self, graph: Graph, outputs: Sequence[int], clamps: Sequence[Clamp | None],
                 readable: Collection[int]) -> None:
        self.graph, self.clamps = graph, clamps
        self.results: dict[int, list[int]] = {}
        for number, node in enumerate(self._as_instructions(outputs)):
            self.results.setdefault(node, []).append(number)
        self.last_use = {operand: position for position, node in enumerate(graph.nodes)
                         for operand in node.operands}
        self.order = [p for p, node in enumerate(graph.nodes) if node.kind not in LEAVES
                      and (p in self.last_use or p in self.results)]
        self.readable = {
            node: RESULT + number for node, numbers in self.results.items() for number in numbers
            if number in readable and clamps[number] is None}
        self.temporaries: dict[int, int] = {}
        self.kernels: list[Kernel] = []
        start = 0
        while start < len(self.order):
            start = self._cut(start)

    def _as_instructions(self, outputs: Sequence[int]) -> list[int]:
        """Every output as an instruction of its own."""
        seen: set[int] = set()
        nodes: list[int] = []
        for node in outputs:
            if node in seen or self.graph.nodes[node].kind in LEAVES:
                self.graph.nodes.append(Node("mov", (node,)))
                node = len(self.graph.nodes) - 1
            seen.add(node)
            nodes.append(node)
        return nodes

    def _cut(self, start: int) -> int:
        """Makes a kernel of the instructions from `start`; returns where the next one starts."""
        for end in range(min(start + BODY_LENGTH, len(self.order)), start, -1):
            run = self.order[start:end]
            leaving = [p for p in run if p in self.results or self.last_use.get(p, -1) > run[-1]]
            if len(leaving) <= OUTPUT_STREAMS and self._try(run, leaving):
                return end
        raise AssertionError("a single instruction always fits a kernel")

    def _try(self, run: Sequence[int], leaving: Sequence[int]) -> bool:
        part = Graph()
        part.tables = self.graph.tables if any(
            self.graph.nodes[p].kind == "gather" for p in run) else []
        names: dict[int, int] = {}
        for position in run:
            node = self.graph.nodes[position]
            operands = tuple(self._operand(part, names, o) for o in node.operands)
            names[position] = part.append(Node(node.kind, operands, swizzle=node.swizzle))
        crossing = [p for p in leaving
                    if self.last_use.get(p, -1) > run[-1] and p not in self.readable]
        new = {p: len(self.temporaries) + i for i, p in enumerate(crossing)}
        ports = [(names[p], number) for p in leaving for number in self.results.get(p, [])]
        ports += [(names[p], -1 - temporary) for p, temporary in new.items()]
        try:
            self.kernels.append(_kernel(part, ports, self.clamps))
        except DoesNotFitError:
            return False
        self.temporaries.update(new)
        return True

    def _operand(self, part: Graph, names: dict[int, int], position: int) -> int:
        if position in names:
            return names[position]
        node = self.graph.nodes[position]
        if node.kind not in LEAVES:
            number = self.readable.get(position)
            node = Node(INPUT, value=-1 - self.temporaries[position] if number is None
                        else number)
        names[position] = part.append(node)
        return names[position]
