"""Kernels made from a graph compute what the graph computes."""

from collections.abc import Sequence

import numpy as np
import pytest

from compiler.codegen.clamps import Clamp, clamped
from compiler.codegen.commands import Stream, kernel
from compiler.codegen.graph import CONSTANT, INPUT, LANE, Graph, leave_to_streams
from compiler.codegen.partition import RESULT, Kernel, partition
from compiler.errors import Location
from compiler.ir.types import ElementType
from compiler.ops.builder import Builder, V
from compiler.ops.elementwise import bring_to_type
from compiler.ops.interpret import BitInterpreter
from hw.config import TINY
from hw.isa.dtypes import DType, from_lane, storage
from hw.isa.encoding import decode
from hw.isa.host import Engine
from hw.isa.kernel import lane_function
from hw.isa.numerics import Bits
from hw.isa.params import BODY_LENGTH
from hw.isa.state import MachineState
from hw.isa.vector import BINARY, TERNARY, UNARY

ARITY = {**dict.fromkeys(UNARY, 1), **dict.fromkeys(BINARY, 2), **dict.fromkeys(TERNARY, 3)}
GROUPS, INPUTS = 6, 5
BYTES = GROUPS * TINY.lanes * 4


def random_graph(rng: np.random.Generator, operations: int, constants: int) -> Graph:
    graph = Graph()
    values = [graph.input(n) for n in range(INPUTS)]
    values += [graph.bits(int(b)) for b in rng.integers(0, 1 << 32, constants)]
    values.append(graph.lane())
    for _ in range(operations):
        name = str(rng.choice(sorted(ARITY)))
        operands = [values[int(i)] for i in rng.integers(0, len(values), ARITY[name])]
        values.append(graph.emit(name, *operands))
    return graph


def evaluate(graph: Graph, inputs: Sequence[Bits]) -> list[Bits]:
    shape = inputs[0].shape
    values: list[Bits] = []
    for node in graph.nodes:
        if node.kind == INPUT:
            values.append(inputs[node.value])
        elif node.kind == CONSTANT:
            values.append(np.full(shape, node.value, np.uint32))
        elif node.kind == LANE:
            values.append(np.broadcast_to(np.arange(shape[1], dtype=np.uint32), shape))
        else:
            values.append(lane_function(node.kind)(*(values[o] for o in node.operands)))
    return values


def execute(kernels: Sequence[Kernel], inputs: Sequence[Bits], outputs: int,
            dtype: DType = DType.S32) -> list[Bits]:
    """Runs kernels on the instructions' own meaning; every port has a buffer of its own, results
    are of a type."""
    state = MachineState(TINY)
    slots: dict[tuple[str, int], int] = {("i", number): number for number in range(INPUTS)}
    for number, bits in enumerate(inputs):
        state.local.scratchpad[number * BYTES : (number + 1) * BYTES] = bits.reshape(-1).view(
            np.uint8)

    def stream(port: tuple[str, int], clamp: Clamp | None = None) -> Stream:
        slot = slots.setdefault(port, len(slots))
        kind = dtype if port[0] == "o" else DType.S32
        return clamped(Stream(slot * BYTES, TINY.lanes, kind.size,
                              ((GROUPS, TINY.lanes * kind.size),), kind), clamp)

    for item in kernels:
        assert len(item.body.words) <= BODY_LENGTH
        made = kernel(
            TINY,
            GROUPS, item.body,
            {s: stream(("o", n - RESULT) if n >= RESULT else ("i" if n >= 0 else "t", n))
             for s, n in enumerate(item.inputs)},
            {s: stream(("o" if n >= 0 else "t", n), clamp)
             for s, (n, clamp) in enumerate(zip(item.outputs, item.clamps, strict=True))},
            4, Location())
        for index, value in made.parameters.items():
            state.params[Engine.VECTOR][index] = value
        for word in made.words:
            instruction = decode(word)
            instruction.execute(state, getattr(instruction, "imm", 0), 0)
    start = [slots["o", n] * BYTES for n in range(outputs)]
    size = BYTES // 4 * dtype.size
    return [state.local.scratchpad[s : s + size].view(storage(dtype)).reshape(GROUPS, -1)
            for s in start]


@pytest.mark.parametrize("readable", [(), range(4)], ids=["temporaries", "results"])
@pytest.mark.parametrize("operations, constants", [(3, 1), (20, 6), (70, 10), (150, 40)])
def test_random_graphs(operations: int, constants: int, readable: Sequence[int],
                       rng: np.random.Generator) -> None:
    for _ in range(6):
        graph = random_graph(rng, operations, constants)
        chosen = [int(i) for i in rng.integers(0, len(graph.nodes), 3)]
        chosen.append(len(graph.nodes) - 1)
        inputs = [rng.integers(0, 1 << 32, (GROUPS, TINY.lanes)).astype(np.uint32)
                  for _ in range(INPUTS)]
        expected = evaluate(graph, inputs)
        kernels = partition(graph, chosen, readable=readable)
        for node, got in zip(chosen, execute(kernels, inputs, len(chosen)), strict=True):
            np.testing.assert_array_equal(got, expected[node])


FLOATS = ("fadd", "fsub", "fmul", "fmin", "fmax", "rbf", "sel", "ixor", "iand")
NUMBERS = np.array([0, -0.0, 1, -1, 0.5, -2, 3, np.inf, -np.inf, np.nan, 1e-38, 3e38, 1e-45],
                   np.float32).view(np.uint32)


def random_expression(b: Builder[V], values: list[V], seed: int) -> list[V]:
    """Operations that the graph simplifies: the same ones for the same seed."""
    choose = np.random.default_rng(seed)
    values = [*values, *(b.bits(int(bits)) for bits in choose.choice(NUMBERS, 5))]
    for _ in range(30):
        name = str(choose.choice(FLOATS))
        operands = [values[int(i)] for i in choose.integers(0, len(values), ARITY[name])]
        if choose.integers(4) == 0:
            name, operands = "fsub", [b.const(-0.0), operands[0]]
        values.append(b.emit(name, *operands))
    return values


@pytest.mark.parametrize("seed", range(30))
def test_simplifying_changes_no_bit(seed: int, rng: np.random.Generator) -> None:
    """Inputs 0 and 1 are bf16 numbers, input 2 is anything."""
    raw = [rng.integers(0, 1 << 32, 400).astype(np.uint32) for _ in range(3)]
    raw = [np.concatenate([bits, rng.choice(NUMBERS, 100)]) for bits in raw]
    inputs = [(bits & np.uint32(0xFFFF0000 if n < 2 else 0xFFFFFFFF)).reshape(5, -1)
              for n, bits in enumerate(raw)]
    graph = Graph()
    nodes = random_expression(graph, [graph.input(n, bf16=n < 2) for n in range(3)], seed)
    expected = random_expression(BitInterpreter(), inputs, seed)
    got = evaluate(graph, inputs)
    for node, bits in zip(nodes, expected, strict=True):
        np.testing.assert_array_equal(got[node], np.broadcast_to(bits, got[node].shape))


@pytest.mark.parametrize("element", [ElementType.BF16, ElementType.F16, ElementType.I8,
                                     ElementType.U16], ids=str)
def test_streams_round_what_is_left_to_them(element: ElementType, rng: np.random.Generator
                                            ) -> None:
    bits = np.concatenate([rng.integers(0, 1 << 32, 4000).astype(np.uint32), NUMBERS])
    a, c = bits, rng.permutation(bits)
    graph = Graph()
    x, y = graph.input(0), graph.input(1)
    values = [bring_to_type(graph, v, element) for v in (graph.emit("fadd", x, y), x)]
    if element.is_float:
        zero, six = graph.const(0.0), graph.const(6.0)
        clipped = graph.fmin(graph.fmax(values[0], zero), six)
        values = [clipped, graph.fmax(values[0], values[1])]
    for value in values:
        (left,) = leave_to_streams(graph, [value], [element])
        assert left != value
        lanes = evaluate(graph, [a.reshape(1, -1), c.reshape(1, -1)])
        np.testing.assert_array_equal(from_lane(lanes[left], element.memory),
                                      from_lane(lanes[value], element.memory))


def test_what_is_stored_twice_is_neither_rounded_nor_copied(rng: np.random.Generator) -> None:
    """Both streams round it, and the last instruction writes to both of them."""
    graph = Graph()
    total = graph.fadd(graph.fadd(graph.input(0), graph.input(1)), graph.input(2))
    value = graph.fmax(graph.rbf(total), graph.const(0.0))
    elements = [ElementType.BF16] * 2
    outputs = leave_to_streams(graph, [value] * 2, elements)
    (only,) = partition(graph, outputs, elements)
    assert [decode(word).MNEMONIC for word in only.body.words] == ["fadd", "fadd", "fmax", "fmax"]
    inputs = [rng.choice(NUMBERS, (GROUPS, TINY.lanes)) for _ in range(INPUTS)]
    expected = from_lane(evaluate(graph, inputs)[value], DType.BF16)
    for got in execute([only], inputs, 2, DType.BF16):
        np.testing.assert_array_equal(got, expected)


def test_an_element_of_a_stream_is_not_read_for_each_result() -> None:
    """What reads a stream leaves its result in a register for two streams; so does what is slow."""
    graph = Graph()
    total = graph.fadd(graph.input(0), graph.input(1))
    for value in (total, graph.emit("exp", total)):
        (only,) = partition(graph, [value] * 2, [ElementType.F32] * 2)
        assert [decode(word).MNEMONIC for word in only.body.words][-2:] == ["mov", "mov"]


@pytest.mark.parametrize("element", [ElementType.F32, ElementType.BF16, ElementType.F16], ids=str)
def test_streams_clamp_what_is_left_to_them(element: ElementType, rng: np.random.Generator) -> None:
    """Chains of minima and maxima in any order, crossing bounds and NaN among them."""
    for _ in range(40):
        graph = Graph()
        value = start = graph.emit("fadd", graph.input(0), graph.input(1))
        for bits in rng.choice(NUMBERS, int(rng.integers(1, 5))):
            operands = rng.permutation([value, graph.bits(int(bits))])
            value = graph.emit(str(rng.choice(["fmin", "fmax"])), *map(int, operands))
        inputs = [rng.choice(NUMBERS, (GROUPS, TINY.lanes)) for _ in range(INPUTS)]
        inputs[2:] = [rng.integers(0, 1 << 32, inputs[0].shape).astype(np.uint32)] * 3
        expected = from_lane(evaluate(graph, inputs)[value], element.memory)
        (only,) = partition(graph, [value], [element])
        assert value == start or len(only.body.words) == 1
        (got,) = execute([only], inputs, 1, element.memory)
        np.testing.assert_array_equal(got, expected)


def test_a_clamp_that_is_used_otherwise_stays() -> None:
    graph = Graph()
    x, y = graph.input(0), graph.input(1)
    relu = graph.fmax(graph.fadd(x, y), graph.const(0.0))
    kernels = partition(graph, [relu, graph.fmul(relu, y)], [ElementType.F32] * 2)
    assert [kernel.clamps for kernel in kernels] == [(None, None)]
    (only,) = partition(graph, [graph.emit("f2i", relu), relu], [ElementType.I32] * 2)
    assert only.clamps == (None, None)


def test_differences_with_constants_become_part_of_a_product() -> None:
    graph = Graph()
    x, y = graph.input(0), graph.input(1)
    half = graph.const(0.5)
    for value in (graph.fsub(graph.fmul(x, y), half), graph.fsub(half, graph.fmul(x, half)),
                  graph.fsub(y, graph.fmul(half, x))):
        (only,) = partition(graph, [value])
        assert [decode(w).MNEMONIC for w in only.body.words] == ["fmac"]


def test_a_product_that_is_only_added_costs_nothing() -> None:
    graph = Graph()
    x, y, z = (graph.input(n) for n in range(3))
    (only,) = partition(graph, [graph.fadd(z, graph.fmul(x, y))])
    assert [decode(w).MNEMONIC for w in only.body.words] == ["fmac"]


def test_an_operand_used_twice_costs_nothing_while_streams_are_left() -> None:
    graph = Graph()
    x = graph.input(0)
    (only,) = partition(graph, [graph.fmul(graph.fadd(x, graph.bits(1)), x)])
    assert [decode(w).MNEMONIC for w in only.body.words] == ["fadd", "fmul"]
    assert only.inputs == (0, 0)
