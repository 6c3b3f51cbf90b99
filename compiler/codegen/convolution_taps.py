"""Kernels of a depthwise convolution: products of all kernel positions added up, and what follows.

Results have four dimensions: image, line, position, feature; the lanes go along the features. A
*strip* is what the vector registers hold at once: either neighbouring positions of a line, or
neighbouring groups of features at one position, whichever wastes fewer cycles.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from compiler.codegen.body import OUTPUT, Assembler, DoesNotFitError
from compiler.codegen.clamps import Clamp, leave_clamps
from compiler.codegen.commands import Body, Stream
from compiler.codegen.contraction_operands import cut
from compiler.codegen.contraction_output import Epilogue
from compiler.codegen.graph import INPUT, REGISTER, Graph, Node, fuse_products
from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.dtypes import DType
from hw.isa.params import OUTPUT_STREAMS

ACCUMULATOR = 0
"""Vector register of the sums."""
SUMS = Node(REGISTER, value=ACCUMULATOR)
ACTIVATIONS, WEIGHTS = -1, -2
"""Inputs of a body beside the epilogue's operands, which count from 0."""
LINE, POSITION, FEATURE = 1, 2, 3


@dataclass(frozen=True)
class Port:
    """Where an operand or result lies: bytes between neighbours along each dimension."""

    address: int
    strides: tuple[int, int, int, int]
    dtype: DType


@dataclass(frozen=True)
class Loop:
    """`bound` rounds, `step` indices of a dimension each."""

    bound: int
    dimension: int
    step: int

    def level(self, port: Port) -> tuple[int, int]:
        return self.bound, self.step * port.strides[self.dimension]


@dataclass(frozen=True)
class Strips:
    """What one kernel works on.

    Attributes:
        first: index of its first result; `features`: how many from there.
        inner: the loop within a strip; `outer`: from strip to strip.
    """

    first: tuple[int, int, int, int]
    features: int
    inner: Loop
    outer: Loop

    @property
    def groups(self) -> int:
        return self.inner.bound * self.outer.bound

    def stream(self, port: Port, taps: Sequence[tuple[int, int]] = ()) -> Stream:
        """The walk over a port, for each strip once for each tap."""
        address = port.address + sum(i * s for i, s in zip(self.first, port.strides, strict=True))
        return Stream(address, self.features, port.strides[FEATURE],
                      (self.inner.level(port), *taps, self.outer.level(port)), port.dtype,
                      lane_level=1 if self.inner.dimension == FEATURE else 0)

    def cycles(self, issues: int) -> int:
        """A short strip waits for results of the instruction before."""
        overhead = timing.KERNEL_SETUP + timing.STREAM_LATENCY + 2 * timing.LANE_LATENCY
        return overhead + self.outer.bound * issues * max(self.inner.bound, timing.DEPENDENCE)

    def only_strip(self) -> "Strips":
        """The first strip alone."""
        return replace(self, outer=Loop(1, self.outer.dimension, 0))


def strips(config: AcceleratorConfig, sizes: tuple[int, int, int], features: int, issues: int
           ) -> list[Strips]:
    """Kernels that cover all results of a tile, those of the same features one after the other.

    Args:
        sizes: images, lines, positions; issues: instructions for each group.
    """
    choices = [list(way(config, sizes, features)) for way in (_along_lines, _along_features)]
    return min(choices, key=lambda choice: sum(part.cycles(issues) for part in choice))


def _along_lines(config: AcceleratorConfig, sizes: tuple[int, int, int], features: int
                 ) -> Iterator[Strips]:
    images, lines, length = sizes
    runs = cut(length, -(-length // -(-length // config.strip_groups)))
    for feature, count in cut(features, config.lanes):
        for image in range(images):
            for first, run in runs:
                yield Strips((image, 0, first, feature), count, Loop(run, POSITION, 1),
                             Loop(lines, LINE, 1))


def _along_features(config: AcceleratorConfig, sizes: tuple[int, int, int], features: int
                    ) -> Iterator[Strips]:
    images, lines, length = sizes
    lanes = config.lanes
    groups = -(-features // lanes)
    most = -(-groups // -(-groups // config.strip_groups)) * lanes
    for feature, count in cut(features, most):
        for image in range(images):
            for line in range(lines):
                yield Strips((image, line, 0, feature), count,
                             Loop(-(-count // lanes), FEATURE, lanes), Loop(length, POSITION, 1))


@dataclass(frozen=True)
class TapsBody:
    """A kernel body.

    Attributes:
        streams: the input that each stream carries.
        clamps: what each output stream clamps to.
        held: registers of operands that a kernel before has loaded.
    """

    body: Body
    streams: tuple[int, ...]
    clamps: tuple[Clamp | None, ...]
    held: Mapping[int, int]


def taps_body(taps: int, epilogue: Epilogue, held: Sequence[int], *, integer: bool,
              reassociate: bool = False) -> TapsBody:
    """Sums of products in ascending order, from zero, and the epilogue on them.

    Args:
        held: operands of the epilogue that are in vector registers.
        reassociate: what the epilogue adds may be the first summand.

    Raises:
        DoesNotFitError: it needs more than one kernel.
    """
    registers = {operand: ACCUMULATOR + 1 + n for n, operand in enumerate(held)}
    reserved = (ACCUMULATOR, *registers.values())
    graph, outputs, clamps = _on_registers(epilogue, registers)
    assembler = Assembler()
    tap = partial(_tap, assembler, reserved, integer=integer)
    shift = _shift(graph, outputs) if reassociate and taps > 1 else None
    tap(shift)
    again = taps - (1 if shift is None else 2)
    if again:
        with assembler.repeated(again):
            tap(SUMS)
    if shift is None:
        assembler.section(graph, [(node, OUTPUT + i) for i, node in enumerate(outputs)], reserved)
    else:
        tap(SUMS, OUTPUT)
    return TapsBody(assembler.finish(), tuple(assembler.streams), tuple(clamps), registers)


def holding_body(held: Mapping[int, int]) -> Body:
    """Loads vector registers from streams 0, 1, ..."""
    assembler = Assembler()
    for number, register in enumerate(held.values()):
        graph = Graph()
        assembler.section(graph, [(graph.input(number), register)], tuple(held.values()))
    return assembler.finish()


def _tap(assembler: Assembler, reserved: Sequence[int], start: Node | None,
         target: int = ACCUMULATOR, *, integer: bool) -> None:
    """One product, added to an operand (None: to zero)."""
    graph = Graph()
    x, w = graph.input(ACTIVATIONS), graph.input(WEIGHTS)
    total = graph.bits(0) if start is None else graph.append(start)
    value = graph.iadd(graph.imul(x, w), total) if integer else graph.fmac(x, w, total)
    assembler.section(graph, [(value, target)], reserved)


def _shift(graph: Graph, outputs: Sequence[int]) -> Node | None:
    """The operand that is added to the sums, when nothing else becomes of them."""
    node = graph.nodes[outputs[0]]
    if len(outputs) != 1 or node.kind != "fadd" or node.swizzle:
        return None
    operands = [graph.nodes[o] for o in node.operands]
    if SUMS not in operands:
        return None
    operands.remove(SUMS)
    return operands[0] if operands[0].kind in (INPUT, REGISTER) else None


def _on_registers(epilogue: Epilogue, registers: Mapping[int, int]
                  ) -> tuple[Graph, list[int], list[Clamp | None]]:
    """The epilogue with the sums, and some operands, in vector registers; its outputs and what
    their streams clamp to."""
    outputs, clamps = leave_clamps(epilogue.graph, epilogue.outputs, epilogue.elements)
    fused, outputs = fuse_products(epilogue.graph, outputs)
    if fused.tables or len(outputs) > OUTPUT_STREAMS:
        raise DoesNotFitError("tables of special functions, or outputs")
    known = {epilogue.operands.index(None): ACCUMULATOR, **registers}
    graph, renamed = Graph(), []
    for node in fused.nodes:
        if node.kind == INPUT and node.value in known:
            renamed.append(graph.register(known[node.value]))
        else:
            operands = tuple(renamed[o] for o in node.operands)
            renamed.append(graph.append(Node(node.kind, operands, node.value, node.swizzle)))
    return graph, [renamed[o] for o in outputs], clamps
