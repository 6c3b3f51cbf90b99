"""From a group (`hlo.fused`) to what code is generated from: loop nests over affine views.

    Loop           an iteration space; nodes in the order they are computed; results
      Load           elements of a tensor, through a view of the loop's shape
      Index          integers through a view: iota
      Literal        one number for every index
      Accumulated    the matrix unit's sum at this index (contractions only), one for each of
                     the right factors
      Apply          an elementwise operation of earlier nodes
    Reduction      a node combined along dimensions of the loop, trailing: nothing uses it inside
    Contraction    dot_general or convolution on two viewed tensors, then a Loop over its result
    Movement       any other operation on viewed tensors: pad, concatenate, reduce_window, ...

Tensors are named by SSA values outside the group: operands and results of the `hlo.fused`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xdsl.ir import SSAValue

from compiler.ir.ops import HloOp
from compiler.ir.types import ElementType, tensor_of
from compiler.ops.contraction import left_count
from compiler.ops.elementwise import Elementwise
from compiler.ops.views import View, ViewOperation


@dataclass(frozen=True)
class Load:
    """Elements of a tensor: index i of the loop reads element `view(i)` of its buffer."""

    value: SSAValue
    view: View
    element: ElementType


@dataclass(frozen=True)
class Index:
    """The integer `view(i)`, converted to an element type."""

    view: View
    element: ElementType


@dataclass(frozen=True)
class Literal:
    """The same number at every index; `value` is a numpy scalar of the element type."""

    value: Any
    element: ElementType


@dataclass(frozen=True)
class Accumulated:
    """The contraction's sum, rounded to the element type of its operation."""

    element: ElementType


@dataclass(frozen=True)
class Apply:
    """An elementwise operation; `arguments` are positions of earlier nodes."""

    op: HloOp
    arguments: tuple[int, ...]

    @property
    def operation(self) -> Elementwise:
        """The registry's entry; `elementwise.expand` emits it."""
        definition = self.op.definition
        assert isinstance(definition, Elementwise)
        return definition

    @property
    def element(self) -> ElementType:
        return self.op.tensor.element


Node = Load | Index | Literal | Accumulated | Apply


@dataclass(frozen=True)
class Result:
    """A node stored densely, row-major, in the loop's shape, as a result of the group."""

    node: int
    value: SSAValue


@dataclass(frozen=True)
class Reduction:
    """A node combined along dimensions, from an initial value.

    Attributes:
        node: position of what is combined.
        combiner: `add`, `maximum`, ... (`compiler.ops.reduction.COMBINERS`).
        dimensions: of the loop's shape, ascending.
        initial: position of a Literal or of a Load of one element.
        value: the group's result, of the shape that is left.
    """

    node: int
    combiner: str
    dimensions: tuple[int, ...]
    initial: int
    value: SSAValue


@dataclass(frozen=True)
class Loop:
    """An elementwise computation over `shape`, with trailing reductions."""

    shape: tuple[int, ...]
    nodes: tuple[Node, ...]
    results: tuple[Result, ...]
    reductions: tuple[Reduction, ...]


@dataclass(frozen=True)
class Contraction:
    """dot_general or convolution and what follows it.

    `lhs` and `rhs` have views of their operand's shape; `epilogue` is over the result's shape,
    its Accumulated node stands for the sum. `others` are further right factors, constants, whose
    sums are Accumulated nodes behind that one, in order. `behind` are further left factors, one
    behind the other along k.
    """

    op: HloOp
    lhs: Load
    rhs: Load
    epilogue: Loop
    others: tuple[Load, ...] = ()
    behind: tuple[Load, ...] = ()

    @property
    def lefts(self) -> tuple[Load, ...]:
        """The left factors, along k."""
        return self.lhs, *self.behind


@dataclass(frozen=True)
class Movement:
    """An operation that is neither elementwise nor a contraction; its only result is `value`.

    An operand is a Load of its shape, or a Literal when it is a scalar constant.
    """

    op: HloOp
    operands: tuple[Load | Literal | Index, ...]
    value: SSAValue


@dataclass(frozen=True)
class Access:
    """An inner value as a walk over something: a tensor outside, a literal or integers."""

    source: Load | Literal | Index

    def through(self, op: HloOp) -> "Access | None":
        """The access of a view operation's result; None when it is not affine."""
        definition = op.definition
        assert isinstance(definition, ViewOperation)
        source = self.source
        if isinstance(source, Literal):
            return self
        view = definition.view(op.call, source.view)
        if view is None:
            return None
        if isinstance(source, Index):
            return Access(Index(view, source.element))
        return Access(Load(source.value, view, source.element))


def leaf(op: HloOp) -> Access | None:
    """The access of an iota or a scalar constant; None for any other operation."""
    if op.kind == "iota":
        dimension, tensor = op.attrs["iota_dimension"], op.tensor
        strides = tuple(int(d == dimension) for d in range(tensor.rank))
        return Access(Index(View(tensor.shape, strides), tensor.element))
    if op.kind == "constant" and op.tensor.size == 1:
        return Access(Literal(op.attrs["value"].reshape(-1)[0], op.tensor.element))
    return None


def whole(value: SSAValue) -> Access:
    """A tensor as it lies in memory."""
    tensor = tensor_of(value)
    return Access(Load(value, View.whole(tensor), tensor.element))


def analyse(group: HloOp) -> Loop | Contraction | Movement:
    """What a `hlo.fused` computes; found once, as groups stay what they are."""
    if group.analysed is None:
        group.analysed = _Analysis(group).run()
    found: Loop | Contraction | Movement = group.analysed
    return found


class _Analysis:
    """Walks a group's region once."""

    def __init__(self, group: HloOp) -> None:
        self.group = group
        (self.block,) = group.bodies
        self.accesses: dict[SSAValue, Access] = {
            argument: whole(operand)
            for argument, operand in zip(self.block.args, group.operands, strict=True)}
        self.nodes: list[Node] = []
        self.positions: dict[SSAValue, int] = {}
        self.main: HloOp | None = None

    def run(self) -> Loop | Contraction | Movement:
        *operations, terminator = self.block.ops
        shape: tuple[int, ...] | None = None
        reductions: list[HloOp] = []
        for op in operations:
            assert isinstance(op, HloOp)
            if self._view(op):
                continue
            if isinstance(op.definition, Elementwise):
                shape = op.tensor.shape
                self._append(op.results[0], Apply(op, self._arguments(op)))
            elif is_reduction(op):
                reductions.append(op)
                shape = tensor_of(op.operands[0]).shape
            else:
                self.main = op
                shape = op.tensor.shape
                for result in op.results:
                    self._append(result, Accumulated(op.tensor.element))
        if self.main is not None and not is_contraction(self.main):
            return Movement(self.main, tuple(self.accesses[v].source for v in self.main.operands),
                            self.group.results[0])
        loop = self._loop(terminator.operands, reductions, shape)
        if self.main is None:
            return loop
        factors, count = list(self._loads(self.main.operands)), left_count(self.main.attrs)
        (lhs, *behind), (rhs, *others) = factors[:count], factors[count:]
        return Contraction(self.main, lhs, rhs, loop, tuple(others), tuple(behind))

    def _loads(self, values: Sequence[SSAValue]) -> Iterator[Load]:
        for value in values:
            source = self.accesses[value].source
            assert isinstance(source, Load)
            yield source

    def _view(self, op: HloOp) -> bool:
        """Notes the access of a view, an iota or a scalar constant; False for anything else."""
        access = leaf(op)
        if access is None and isinstance(op.definition, ViewOperation):
            access = self.accesses[op.operands[0]].through(op)
            assert access is not None, "fusion only takes views that compose"
        if access is None:
            return False
        self.accesses[op.results[0]] = access
        return True

    def _append(self, value: SSAValue, node: Node) -> None:
        self.positions[value] = len(self.nodes)
        self.nodes.append(node)

    def _position(self, value: SSAValue) -> int:
        if value not in self.positions:
            self._append(value, self.accesses[value].source)
        return self.positions[value]

    def _arguments(self, op: HloOp) -> tuple[int, ...]:
        return tuple(self._position(v) for v in op.operands)

    def _loop(self, returned: Sequence[SSAValue], reductions: Sequence[HloOp],
              shape: tuple[int, ...] | None) -> Loop:
        outside = dict(zip(returned, self.group.results, strict=True))
        combined = []
        for op in reductions:
            node, initial = self._arguments(op)
            combined.append(Reduction(node, op.attrs["combiner"],
                                      tuple(sorted(op.attrs["dimensions"])), initial,
                                      outside.pop(op.results[0])))
        if shape is None:
            shape = tensor_of(returned[0]).shape
        results = tuple(Result(self._position(inner), value) for inner, value in outside.items())
        return Loop(shape, tuple(self.nodes), results, tuple(combined))


def is_reduction(op: HloOp) -> bool:
    """A reduction of one tensor by a known combiner; others are no part of loops."""
    return op.kind == "reduce" and len(op.results) == 1 and "combiner" in op.attrs


def is_contraction(op: HloOp) -> bool:
    return op.kind in ("dot_general", "convolution")


