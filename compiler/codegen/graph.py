"""The computation of a kernel as a graph of vector operations.

Templates write into it through the `Builder` vocabulary. Equal operations become one, operations
on constants are computed at once, and a product that is only added becomes part of `fmac`, which
rounds the same way. Signs move into constants and sums, and rounding what is a bf16 number already
is dropped. None of it changes a bit.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.codegen import special
from compiler.ir.types import ElementType
from compiler.ops.builder import Builder
from hw.isa.kernel import lane_function
from hw.isa.numerics import SIGN, fadd
from hw.isa.vector import BINARY, SPECIAL, TERNARY, UNARY

INPUT, CONSTANT, LANE, REGISTER = "input", "constant", "lane", "register"
"""Kinds of nodes that are operands only."""
LEAVES = frozenset((INPUT, CONSTANT, LANE, REGISTER))
PURE = UNARY.keys() | SPECIAL.keys() | BINARY.keys() | TERNARY.keys()
_NEUTRAL = {"iadd": 0, "isub": 0, "ior": 0, "ixor": 0, "shl": 0, "shr": 0, "sar": 0}
"""Second operands that leave the first one's bits as they are."""
_ARITHMETIC = frozenset(("fadd", "fsub", "fmul", "fmac", "fmin", "fmax", "rbf", "rf16", *SPECIAL))
"""What never results in a subnormal, nor in a NaN but the canonical one."""
_KEEPS_SHORT = frozenset(("fmin", "fmax", "iand", "ior", "ixor"))
"""Of operands whose low halves are zero, results of the same kind."""
MINUS_ZERO = SIGN


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
        self._bf16_inputs: set[int] = set()
        self._known: dict[Node, int] = {}

    @property
    def key(self) -> Hashable:
        """Equal for graphs that compute the same in the same way."""
        return (tuple(self.nodes), tuple(self.tables), frozenset(self._bf16_inputs),
                self._hardware_special)

    def append(self, node: Node) -> int:
        """The value of a node, an equal one if there is one already."""
        position = self._known.get(node)
        if position is None:
            position = self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return position

    def input(self, number: int, *, bf16: bool = False) -> int:
        """The elements of an operand; `bf16` says that they are bf16 numbers."""
        if bf16:
            self._bf16_inputs.add(number)
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
        if mnemonic == "rbf" and self._is_canonical(operands[0]) and self.is_short(operands[0]):
            return operands[0]
        mnemonic, operands = self._with_signs_moved(mnemonic, operands)
        return self.append(Node(mnemonic, operands))

    def _negated(self, value: int) -> int | None:
        """What a value is the negative of, or the negative constant; None for anything else."""
        node = self.nodes[value]
        if node.kind == CONSTANT:
            return self.bits(node.value ^ SIGN) if self._is_canonical(value) else None
        if node.kind == "fsub" and not node.swizzle and \
                self.nodes[node.operands[0]] == Node(CONSTANT, value=MINUS_ZERO):
            return node.operands[1]
        return None

    def _is_constant(self, value: int) -> bool:
        return self.nodes[value].kind == CONSTANT

    def _with_signs_moved(self, mnemonic: str, operands: tuple[int, ...]
                          ) -> tuple[str, tuple[int, ...]]:
        """The same product, sum or difference without negated operands; differences with a
        constant, or with a constant's product, as sums, which may become `fmac`."""
        if mnemonic == "fmul":
            signs = [self._negated(o) for o in operands]
            constants = sum(map(self._is_constant, operands))
            if None not in signs and constants < 2:
                operands = tuple(s for s in signs if s is not None)
        elif mnemonic == "fadd":
            for a, b in (operands, operands[::-1]):
                negated = self._negated(b)
                if negated is not None and not self._is_constant(b):
                    return "fsub", (a, negated)
        elif mnemonic == "fsub":
            negated = self._negated(operands[1])
            if negated is None:
                negated = self._negative_product(operands[1])
            if negated is not None:
                return "fadd", (operands[0], negated)
        return mnemonic, operands

    def _negative_product(self, value: int) -> int | None:
        """The negative of a product with a constant."""
        node = self.nodes[value]
        if node.kind == "fmul" and not node.swizzle:
            for a, b in (node.operands, node.operands[::-1]):
                if self._is_constant(b) and self._is_canonical(b):
                    return self.append(Node("fmul", (a, self.bits(self.nodes[b].value ^ SIGN))))
        return None

    def _is_canonical(self, value: int) -> bool:
        """Whether a value is certainly no subnormal, and no NaN but the canonical one."""
        node = self.nodes[value]
        if node.kind == CONSTANT:
            lanes = np.array([node.value], np.uint32)
            return bool(fadd(lanes, np.array([MINUS_ZERO], np.uint32))[0] == node.value)
        if node.kind == "sel":
            return all(map(self._is_canonical, node.operands[1:]))
        return node.kind in _ARITHMETIC

    def is_short(self, value: int) -> bool:
        """Whether the low half of a value is certainly zero, as that of bf16 numbers is."""
        node = self.nodes[value]
        if node.kind == CONSTANT:
            return node.value & 0xFFFF == 0
        if node.kind == INPUT:
            return node.value in self._bf16_inputs
        if node.kind == "fsub":
            return self._negated(value) is not None and self.is_short(node.operands[1])
        if node.kind == "fmul" and not node.swizzle:
            return any(self._is_power_of_two(b) and self.is_short(a)
                       for a, b in (node.operands, node.operands[::-1]))
        if node.kind == "sel":
            return all(map(self.is_short, node.operands[1:]))
        if node.kind in _KEEPS_SHORT and not node.swizzle:
            return all(map(self.is_short, node.operands))
        return node.kind == "rbf"

    def _is_power_of_two(self, value: int) -> bool:
        """A factor that leaves a number's mantissa as it is."""
        node = self.nodes[value]
        return node.kind == CONSTANT and node.value & 0x7FFFFF == 0 and \
            0 < (node.value >> 23) & 0xFF < 0xFF

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


def leave_to_streams(graph: Graph, outputs: Sequence[int], elements: Sequence[ElementType],
                     others: Sequence[int] = ()) -> list[int]:
    """Outputs without the rounding or wrapping that the stream which stores them does anyway.

    Args:
        elements: the types they are stored as.
        others: what else is needed of the graph.
    """
    # What is stored twice in the same way is rounded by both streams.
    different = dict.fromkeys(zip(outputs, elements, strict=True))
    uses = count_uses(graph, (*(output for output, _ in different), *others))
    return [_unrounded(graph, output, element, uses)
            for output, element in zip(outputs, elements, strict=True)]


_ROUNDING = {ElementType.BF16: "rbf", ElementType.F16: "rf16"}


def _unrounded(graph: Graph, value: int, element: ElementType, uses: Mapping[int, int]) -> int:
    node = graph.nodes[value]
    if uses.get(value, 1) > 1:
        return value
    if node.kind == _ROUNDING.get(element):
        return node.operands[0]
    if node.kind in ("fmin", "fmax") and element in _ROUNDING and not node.swizzle:
        return _unrounded_extreme(graph, value, element, uses)
    if element.bits in (8, 16) and not element.is_float:
        return _unwrapped(graph, value, element)
    return value


def _unrounded_extreme(graph: Graph, value: int, element: ElementType, uses: Mapping[int, int]
                       ) -> int:
    """Rounding keeps order: the maximum of rounded numbers is the rounded maximum. Constants and
    rounded values that others use are rounded numbers already."""
    node, rounding = graph.nodes[value], _ROUNDING[element]
    if not all(graph.nodes[o].kind in (rounding, "fmin", "fmax") or _is_rounded(graph, o, element)
               for o in node.operands):
        return value
    return graph.emit(node.kind, *(_unrounded(graph, o, element, uses) for o in node.operands))


def _is_rounded(graph: Graph, value: int, element: ElementType) -> bool:
    if graph.nodes[value].kind == CONSTANT:
        return graph.emit(_ROUNDING[element], value) == value
    return element is ElementType.BF16 and graph.is_short(value)


def _unwrapped(graph: Graph, value: int, element: ElementType) -> int:
    """Streams store the low bits of integers."""
    node, spare = graph.nodes[value], graph.bits(32 - element.bits)
    if node.kind == "iand" and node.operands[1] == graph.bits((1 << element.bits) - 1):
        return node.operands[0]
    if node.kind == "sar" and node.operands[1] == spare:
        inner = graph.nodes[node.operands[0]]
        if inner.kind == "shl" and inner.operands[1] == spare:
            return inner.operands[0]
    return value


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
