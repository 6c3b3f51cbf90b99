"""Kernels made from a graph compute what the graph computes."""

from collections.abc import Sequence

import numpy as np
import pytest

from compiler.codegen.commands import Stream, kernel
from compiler.codegen.graph import CONSTANT, INPUT, LANE, Graph
from compiler.codegen.partition import Kernel, partition
from compiler.errors import Location
from hw.config import TINY
from hw.isa.dtypes import DType
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


def execute(kernels: Sequence[Kernel], inputs: Sequence[Bits], outputs: int) -> list[Bits]:
    """Runs kernels on the instructions' own meaning; every port has a buffer of its own."""
    state = MachineState(TINY)
    slots: dict[tuple[str, int], int] = {("i", number): number for number in range(INPUTS)}
    for number, bits in enumerate(inputs):
        state.local.scratchpad[number * BYTES : (number + 1) * BYTES] = bits.reshape(-1).view(
            np.uint8)

    def stream(port: tuple[str, int]) -> Stream:
        slot = slots.setdefault(port, len(slots))
        return Stream(slot * BYTES, TINY.lanes, 4, ((GROUPS, TINY.lanes * 4),), DType.S32)

    for item in kernels:
        assert len(item.body.words) <= BODY_LENGTH
        made = kernel(
            TINY,
            GROUPS, item.body,
            {s: stream(("i" if n >= 0 else "t", n)) for s, n in enumerate(item.inputs)},
            {s: stream(("o" if n >= 0 else "t", n)) for s, n in enumerate(item.outputs)},
            4, Location())
        for index, value in made.parameters.items():
            state.params[Engine.VECTOR][index] = value
        for word in made.words:
            instruction = decode(word)
            instruction.execute(state, getattr(instruction, "imm", 0), 0)
    start = [slots["o", n] * BYTES for n in range(outputs)]
    return [state.local.scratchpad[s : s + BYTES].view(np.uint32).reshape(GROUPS, -1)
            for s in start]


@pytest.mark.parametrize("operations, constants", [(3, 1), (20, 6), (70, 10), (150, 40)])
def test_random_graphs(operations: int, constants: int, rng: np.random.Generator) -> None:
    for _ in range(6):
        graph = random_graph(rng, operations, constants)
        chosen = [int(i) for i in rng.integers(0, len(graph.nodes), 3)]
        chosen.append(len(graph.nodes) - 1)
        inputs = [rng.integers(0, 1 << 32, (GROUPS, TINY.lanes)).astype(np.uint32)
                  for _ in range(INPUTS)]
        expected = evaluate(graph, inputs)
        kernels = partition(graph, chosen)
        for node, got in zip(chosen, execute(kernels, inputs, len(chosen)), strict=True):
            np.testing.assert_array_equal(got, expected[node])


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
