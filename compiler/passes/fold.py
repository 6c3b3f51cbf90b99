"""Computes what depends on constants alone.

Elementwise operations are folded with the machine's own arithmetic (`compiler.ops.interpret`), so
a folded constant has the bits the machine would have computed. Float sums are left to the machine.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from compiler.ir.ops import HloOp, constant, erase_unused, main_function, make, replace
from compiler.ir.types import Tensor, tensor_of
from compiler.ops.elementwise import Elementwise
from compiler.ops.interpret import interpret
from compiler.ops.registry import Call
from compiler.ops.views import ViewOperation
from compiler.passes.canonicalise import scalar_constant

T = TypeVar("T")

SMALL_BYTES = 4096
"""Results up to this size are folded even when they are larger than their operands."""
MOVING = frozenset(("concatenate", "pad", "dynamic_slice", "dynamic_update_slice", "gather"))
"""Operations that only move elements, besides views."""


def fold(module: ModuleOp) -> None:
    """Folds in program order, so that chains of constants fold as a whole."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and len(op.results) == 1 and op.operands:
            _fold(op)
    erase_unused(main_function(module).body.block)


def _fold(op: HloOp) -> None:
    elementwise = isinstance(op.definition, Elementwise)
    if elementwise and (scalars := _scalars(op)):
        _replace(op, _compute(op, [Tensor((), tensor_of(v).element) for v in op.operands],
                              Tensor((), op.tensor.element), scalars))
        return
    if not elementwise and op.kind not in MOVING and (
            # A broadcast costs nothing, its result would.
            op.kind == "broadcast_in_dim" or not isinstance(op.definition, ViewOperation)):
        return
    find = _broadcast_array if elementwise and _is_small(op) else _array
    known = _all(find(value.owner) for value in op.operands)
    if known is not None and op.tensor.bytes <= max(SMALL_BYTES, sum(a.nbytes for a in known)):
        _replace(op, _compute(op, list(op.call.operands), op.tensor, known))


def _array(op: object) -> NDArray[Any] | None:
    return op.attrs["value"] if isinstance(op, HloOp) and op.kind == "constant" else None


def _is_small(op: HloOp) -> bool:
    """Whether the result is no larger than the constants behind its operands may be."""
    if op.tensor.bytes <= SMALL_BYTES:
        return True
    constants = []
    for value in op.operands:
        owner = value.owner
        while isinstance(owner, HloOp) and owner.kind == "broadcast_in_dim":
            owner = owner.operands[0].owner
        constants.append(_array(owner))
    return op.tensor.bytes <= sum(a.nbytes for a in constants if a is not None)


def _broadcast_array(owner: object) -> NDArray[Any] | None:
    """A constant, through broadcasts."""
    if not isinstance(owner, HloOp) or owner.kind != "broadcast_in_dim":
        return _array(owner)
    inner = _broadcast_array(owner.operands[0].owner)
    return None if inner is None else np.asarray(owner.definition.evaluate(owner.call, inner)[0])


def _scalars(op: HloOp) -> list[NDArray[Any]] | None:
    """The number each operand holds everywhere; None unless all do."""
    numbers = _all(scalar_constant(value) for value in op.operands)
    return None if numbers is None else [np.asarray(n) for n in numbers]


def _all(found: Iterable[T | None]) -> list[T] | None:
    """What was found; None as soon as something was not."""
    kept = []
    for one in found:
        if one is None:
            return None
        kept.append(one)
    return kept


def _compute(op: HloOp, operands: list[Tensor], result: Tensor,
             values: list[NDArray[Any]]) -> NDArray[Any]:
    call = Call(tuple(operands), (result,), op.attrs)
    if isinstance(op.definition, Elementwise):
        return interpret(op.definition, call, *values)
    return np.asarray(op.definition.evaluate(call, *values)[0])


def _replace(op: HloOp, values: NDArray[Any]) -> None:
    """Replaces an operation by a constant, a broadcast one when the values are a scalar."""
    new: list[Operation] = [constant(values, op.source)]
    if values.shape != op.tensor.shape:
        new.append(make("broadcast_in_dim", new[0].results, [op.tensor],
                        {"broadcast_dimensions": ()}, location=op.source))
    assert op.parent is not None
    op.parent.insert_ops_before(new, op)
    replace(op, new[-1].results)
