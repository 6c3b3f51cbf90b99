"""Runs fused modules the way the code generator sees them: loop nests over affine views.

Views are followed by numpy's own strides over the flat buffer, so a wrong offset or stride shows.
"""

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from compiler.ir.loops import (
    Accumulated,
    Apply,
    Contraction,
    Index,
    Literal,
    Load,
    Loop,
    Movement,
    Node,
    analyse,
)
from compiler.ir.ops import HloOp, main_function
from compiler.ir.types import Tensor
from compiler.ops.reduction import COMBINERS
from compiler.ops.registry import Call
from compiler.ops.views import View
from verif.compiler.models import Array

Values = dict[SSAValue, Array]


def run_groups(module: ModuleOp, inputs: Sequence[Array]) -> list[Array]:
    """Results of a fused `@main`."""
    block = main_function(module).body.block
    return _run(block, dict(zip(block.args, inputs, strict=True)))


def _run(block: Block, values: Values) -> list[Array]:
    *operations, terminator = block.ops
    for op in operations:
        assert isinstance(op, HloOp)
        if op.kind == "fused":
            _group(op, values)
            continue
        assert op.kind in ("constant", "while", "case")
        regions = tuple(
            lambda *xs, b=body: _run(b, {**values, **dict(zip(b.args, xs, strict=True))})
            for body in op.bodies)
        call = Call(op.call.operands, op.call.results, op.attrs, regions)
        results = op.definition.evaluate(call, *(values[v] for v in op.operands))
        values.update(zip(op.results, map(np.asarray, results), strict=True))
    return [values[v] for v in terminator.operands]


def _group(group: HloOp, values: Values) -> None:
    analysed = analyse(group)
    if isinstance(analysed, Loop):
        _loop(analysed, values, None)
    elif isinstance(analysed, Movement):
        operands = [_read(node, values) for node in analysed.operands]
        shaped = [np.broadcast_to(x, t.shape)
                  for x, t in zip(operands, analysed.op.call.operands, strict=True)]
        bodies = tuple(lambda *xs, b=body: _body(b, xs) for body in analysed.op.bodies)
        call = Call(analysed.op.call.operands, analysed.op.call.results, analysed.op.attrs, bodies)
        results = analysed.op.definition.evaluate(call, *shaped)
        values.update(zip(group.results, map(np.asarray, results), strict=True))
    else:
        assert isinstance(analysed, Contraction)
        total = analysed.op.definition.evaluate(
            analysed.op.call, _read(analysed.lhs, values), _read(analysed.rhs, values))
        _loop(analysed.epilogue, values, total[0])


def _body(block: Block, arguments: Sequence[Array]) -> list[Array]:
    """A scalar region on arrays."""
    values: Values = dict(zip(block.args, arguments, strict=True))
    *operations, terminator = block.ops
    for op in operations:
        assert isinstance(op, HloOp)
        results = op.definition.evaluate(op.call, *(values[v] for v in op.operands))
        values.update(zip(op.results, map(np.asarray, results), strict=True))
    return [values[v] for v in terminator.operands]


def _loop(loop: Loop, values: Values, total: Array | None) -> None:
    computed: list[Array] = []
    for node in loop.nodes:
        if isinstance(node, Apply):
            call = node.op.call
            arguments = [np.broadcast_to(computed[a], t.shape)
                         for a, t in zip(node.arguments, call.operands, strict=True)]
            computed.append(np.asarray(node.operation.evaluate(call, *arguments)[0]))
        elif isinstance(node, Accumulated):
            assert total is not None
            computed.append(total)
        else:
            computed.append(_read(node, values))
    for result in loop.results:
        values[result.value] = np.broadcast_to(computed[result.node], loop.shape)
    for reduction in loop.reductions:
        combined = COMBINERS[reduction.combiner].reduce(  # type: ignore[attr-defined]
            np.broadcast_to(computed[reduction.node], loop.shape), axis=reduction.dimensions)
        start = computed[reduction.initial].reshape(())
        values[reduction.value] = np.asarray(
            COMBINERS[reduction.combiner](start, combined)).astype(start.dtype)


def _read(node: Node, values: Values) -> Array:
    if isinstance(node, Literal):
        return np.asarray(node.value)
    if isinstance(node, Index):
        return np.asarray(_walk(node.view).astype(node.element.numpy))
    assert isinstance(node, Load)
    buffer = np.ascontiguousarray(values[node.value]).reshape(-1)
    assert Tensor((buffer.size,), node.element).element.numpy == buffer.dtype
    return np.asarray(buffer[_walk(node.view)])


def _walk(view: View) -> Array:
    """Positions in the buffer, by the definition of a view."""
    positions = np.full(view.shape, view.offset)
    for d, stride in enumerate(view.strides):
        shape = [1] * len(view.shape)
        shape[d] = -1
        positions = positions + (np.arange(view.shape[d]) * stride).reshape(shape)
    return positions
