"""Recognises argmax and argmin: a reduction of values and their indices at once.

The body is tried on every order two values and two indices can have. That is a proof when the
body only compares and selects, since then nothing but the order can matter.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from compiler.ir.ops import HloOp, insert_before, main_function, make, replace
from compiler.ir.types import Tensor, tensor_of
from compiler.ops.reduction import identity
from compiler.passes.canonicalise import scalar_constant
from compiler.reference import body_function

COMPARING = frozenset(("compare", "select", "and", "or", "not", "xor"))
FLOATS = (-np.inf, -1.0, 0.0, 1.0, np.inf, np.nan)
WHOLE = (0, 1, 2)


def extremes(module: ModuleOp) -> None:
    """Rewrites argmax and argmin as a reduction of the values, and one of the indices at which
    the result stands; the first such index wins, and the first NaN before everything else."""
    for op in list(main_function(module).walk()):
        if isinstance(op, HloOp) and op.kind == "reduce" and len(op.results) == 2:
            combiner = _combiner(op)
            if combiner is not None:
                _rewrite(op, combiner)


def _combiner(op: HloOp) -> str | None:
    """`maximum` or `minimum` when the body and its operands are those of argmax or argmin."""
    values, indices, start, first = op.operands
    (body,) = op.bodies
    dimensions = op.attrs["dimensions"]
    comparing = all(isinstance(o, HloOp) and o.kind in (*COMPARING, "return") for o in body.ops)
    if not comparing or len(dimensions) != 1 or not _counts_along(indices, dimensions[0]) \
            or scalar_constant(first) != 0:
        return None
    for combiner in ("maximum", "minimum"):
        if scalar_constant(start) == identity(combiner, tensor_of(values).element) and \
                _behaves(body, combiner):
            return combiner
    return None


def _counts_along(value: SSAValue, dimension: int) -> bool:
    """Whether a value is the index along a dimension, through broadcasts."""
    op = value.owner
    while isinstance(op, HloOp) and op.kind == "broadcast_in_dim":
        dims = op.attrs["broadcast_dimensions"]
        if dimension not in dims:
            return False
        dimension, op = dims.index(dimension), op.operands[0].owner
    return isinstance(op, HloOp) and op.kind == "iota" and \
        op.attrs["iota_dimension"] == dimension


def _behaves(body: Block, combiner: str) -> bool:
    """Whether a body picks one of two (value, index) pairs as argmax or argmin does."""
    types = [tensor_of(argument).element for argument in body.args]
    choices = FLOATS if types[0].is_float else WHOLE
    # Elements come in ascending order: the first index is never the larger one.
    rows = [(x, i, y, j) for x, i, y, j in product(choices, WHOLE, choices, WHOLE) if i <= j]
    grid = [np.array(column).astype(element.numpy)
            for column, element in zip(zip(*rows, strict=True), types, strict=True)]
    got = body_function(body)(*grid)
    return all(np.array_equal(a, b, equal_nan=types[0].is_float)
               for a, b in zip(got, _pick(combiner, *grid), strict=True))


def _pick(combiner: str, x: NDArray[Any], i: NDArray[Any], y: NDArray[Any],
          j: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    better: Callable[..., Any] = np.greater if combiner == "maximum" else np.less
    first = np.isnan(x.astype(np.float64)) | better(x, y) | ((x == y) & (i < j))
    return np.where(first, x, y), np.where(first, i, j)


def _rewrite(op: HloOp, combiner: str) -> None:
    values, indices, start, _ = op.operands
    whole, index = tensor_of(values), tensor_of(indices)
    dimension = op.attrs["dimensions"][0]
    reduced = {"dimensions": (dimension,), "combiner": combiner}
    best = make("reduce", [values, start], None, reduced, location=op.source)
    kept = tuple(d for d in range(whole.rank) if d != dimension)
    spread = make("broadcast_in_dim", best.results, [whole], {"broadcast_dimensions": kept},
                  location=op.source)
    beyond = make("constant", (), [Tensor((), index.element)],
                  {"value": np.asarray(identity("minimum", index.element))}, location=op.source)
    nowhere = make("broadcast_in_dim", beyond.results, [index], {"broadcast_dimensions": ()},
                   location=op.source)
    equal = _compare(op, values, spread.results[0], "EQ")
    unordered = _compare(op, values, values, "NE")
    here = make("or", [equal.results[0], unordered.results[0]], location=op.source)
    where = make("select", [here.results[0], indices, nowhere.results[0]], location=op.source)
    least = make("reduce", [where.results[0], beyond.results[0]], None,
                 {"dimensions": (dimension,), "combiner": "minimum"}, location=op.source)
    insert_before(op, [best, spread, beyond, nowhere, equal, unordered, here, where, least])
    replace(op, [best.results[0], least.results[0]])


def _compare(op: HloOp, x: SSAValue, y: SSAValue, direction: str) -> HloOp:
    return make("compare", [x, y], None, {"comparison_direction": direction},
                location=op.source)
