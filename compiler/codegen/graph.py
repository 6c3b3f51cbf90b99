"""The computation of a kernel as a graph of vector operations.

Templates write into it through the `Builder` vocabulary. Equal operations become one, operations
on constants are computed at once, and a product that is only added becomes part of `fmac`, which
rounds the same way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.codegen import special
from compiler.ops.builder import Builder
from hw.isa.kernel import lane_function
from hw.isa.vector import BINARY, SPECIAL, TERNARY, UNARY

INPUT, CONSTANT, LANE, REGISTER = "input", "constant", "lane", "register"
"""Kinds of nodes that are operands only."""
LEAVES = frozenset((INPUT, CONSTANT, LANE, REGISTER))
PURE = UNARY.keys() | SPECIAL.keys() | BINARY.keys() | TERNARY.keys()
_NEUTRAL = {"iadd": 0, "isub": 0, "ior": 0, "ixor": 0, "shl": 0, "shr": 0, "sar": 0}
"""Second operands that leave the first one's bits as they are."""


@dataclass(frozen=True, slots=True)
class Node:
    """An operation, or an operand: `value` is an input's number, a constant's bits, or a
    register's operand code. `swizzle` applies to the second operand."""

    kind: str
    operands: tuple[int, ...] = ()
    value: int = 0
    swizzle: int = 0


class Graph(Builder[int]):
    """Nodes in the order they were made; a value is the position of its node.

    Args:
        hardware_special: the machine has a special function unit; without it special functions
            expand, and `tables` lists those whose tables `gather` then reads, in this order.
    """

    def __init__(self, hardware_special: bool = True) -> None:
        self.nodes: list[Node] = []
        self.tables: list[str] = []
        self._hardware_special = hardware_special
        self._known: dict[Node, int] = {}

    def append(self, node: Node) -> int:
        """The value of a node, an equal one if there is one already."""
        position = self._known.get(node)
        if position is None:
            position = self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return position

    def input(self, number: int) -> int:
        """The elements of an operand."""
        return self.append(Node(INPUT, value=number))

    def register(self, code: int) -> int:
        """What a vector register held before the kernel, or the section, began."""
        return self.append(Node(REGISTER, value=code))

    def lane(self) -> int:
        """The number of the lane."""
        return self.append(Node(LANE))

    def bits(self, value: int) -> int:
        return self.append(Node(CONSTANT, value=value))

    def swizzled(self, mnemonic: str, a: int, b: int, swizzle: int) -> int:
        """A binary operation on lane j of a and lane j xor swizzle of b."""
        return self.append(Node(mnemonic, (a, b), swizzle=swizzle))

    def exchanged(self, value: int, swizzle: int) -> int:
        """Lane j of the result is lane j xor `swizzle`; free as second operand of an operation."""
        return self.swizzled("ior", self.bits(0), value, swizzle)

    def _is_exchange(self, node: Node) -> bool:
        return node.kind == "ior" and node.swizzle > 0 and \
            self.nodes[node.operands[0]] == Node(CONSTANT)

    def emit(self, mnemonic: str, *operands: int) -> int:
        if mnemonic in SPECIAL and not self._hardware_special:
            return special.expand(self, mnemonic, operands[0],
                                  lambda index, column: self._lookup(mnemonic, index, column))
        values = [self.nodes[o] for o in operands]
        if mnemonic in PURE and all(node.kind == CONSTANT for node in values):
            lanes = [np.array([node.value], np.uint32) for node in values]
            return self.bits(int(lane_function(mnemonic)(*lanes)[0]))
        if mnemonic in BINARY and self._is_exchange(values[1]):
            return self.swizzled(mnemonic, operands[0], values[1].operands[1], values[1].swizzle)
        if mnemonic in _NEUTRAL and values[1] == Node(CONSTANT, value=_NEUTRAL[mnemonic]):
            return operands[0]
        return self.append(Node(mnemonic, operands))

    def _lookup(self, name: str, index: int, column: int) -> int:
        if name not in self.tables:
            self.tables.append(name)
        before = sum(3 * special.column_words(t) for t in self.tables[: self.tables.index(name)])
        offset = before + column * special.column_words(name)
        return self.append(Node("gather", (self.emit("iadd", index, self.bits(offset)),)))

    def table_bytes(self) -> bytes:
        """What `gather` reads, as one array of words."""
        return b"".join(special.table(name) for name in self.tables)


def fuse_products(graph: Graph, outputs: Sequence[int]) -> tuple[Graph, list[int]]:
    """The nodes that outputs need, products fused into sums: a new graph and its outputs."""
    uses = count_uses(graph, outputs)
    sums = {p: fused for p in uses if (fused := _fused(graph, graph.nodes[p], uses))}
    absorbed = {product for product, _ in sums.values()}
    result = Graph()
    result.tables = graph.tables
    renamed: dict[int, int] = {}
    for position in sorted(uses.keys() - absorbed):
        node = graph.nodes[position]
        if position in sums:
            product, addend = sums[position]
            node = Node("fmac", (*graph.nodes[product].operands, addend))
        operands = tuple(renamed[o] for o in node.operands)
        renamed[position] = result.append(Node(node.kind, operands, node.value, node.swizzle))
    return result, [renamed[o] for o in outputs]


def count_uses(graph: Graph, outputs: Iterable[int]) -> dict[int, int]:
    """How many instructions (and outputs) use each node that the outputs depend on."""
    uses: dict[int, int] = {}
    for output in outputs:
        uses[output] = uses.get(output, 0) + 1
    for position in range(len(graph.nodes) - 1, -1, -1):
        if position in uses:
            for operand in set(graph.nodes[position].operands):
                uses[operand] = uses.get(operand, 0) + 1
    return uses


def inputs(graph: Graph, outputs: Iterable[int]) -> list[int]:
    """Numbers of the inputs that outputs depend on, ascending."""
    needed = count_uses(graph, outputs)
    return sorted({graph.nodes[p].value for p in needed if graph.nodes[p].kind == INPUT})


def _fused(graph: Graph, node: Node, uses: dict[int, int]) -> tuple[int, int] | None:
    """A sum's product that nothing else uses, and its other operand."""
    if node.kind != "fadd" or node.swizzle:
        return None
    for product, addend in (node.operands, node.operands[::-1]):
        factors = graph.nodes[product]
        if factors.kind == "fmul" and uses[product] == 1 and not factors.swizzle \
                and product != addend:
            return product, addend
    return None
