"""Products of neighbouring slices of one tensor with the same matrix become one product.

An unrolled scan multiplies each step's input by the same weights: few rows at a time, for which
the array loads all weights again. Each row's sums are the same in one product of all rows.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from compiler.ir.ops import HloOp, insert_before, main_function, make, replace
from compiler.ir.types import tensor_of

MOST_ROWS = 8
"""A weight tile loads in as many cycles as 16 rows take on the default array. With half of that
or more, a product alone uses the array well, and its sums need no way through memory."""


@dataclass(frozen=True)
class Factor:
    """A product whose left side is a slice of a tensor along its first dimension."""

    op: HloOp
    tensor: SSAValue
    first: int
    end: int


def batch_dots(module: ModuleOp) -> None:
    """Block by block: a product moves up to the first one it joins."""
    blocks = {op.parent for op in main_function(module).walk()}
    for block in blocks:
        if block is not None:
            _batch(block)


def _batch(block: Block) -> None:
    alike: dict[Any, list[Factor]] = defaultdict(list)
    for op in block.ops:
        factor = _factor(op)
        if factor is not None:
            key = (factor.tensor, factor.end - factor.first, op.operands[1], tensor_of(
                op.operands[0]), tuple(sorted(op.attributes.items())), op.result_types[0])
            alike[key].append(factor)
    order = {op: number for number, op in enumerate(block.ops)}
    for factors in alike.values():
        for run in _runs(sorted(factors, key=lambda factor: factor.first)):
            if len(run) > 1:
                _join(run, min((factor.op for factor in run), key=order.__getitem__))


def _runs(factors: Sequence[Factor]) -> Iterator[list[Factor]]:
    """Stretches of slices that follow one another."""
    run: list[Factor] = []
    for factor in factors:
        if run and run[-1].end != factor.first:
            yield run
            run = []
        run.append(factor)
    yield run


def _factor(op: object) -> Factor | None:
    """The product as one of few rows; None when it is another."""
    if not isinstance(op, HloOp) or op.kind != "dot_general":
        return None
    dims, lhs = op.attrs["dot_dimension_numbers"], tensor_of(op.operands[0])
    contracted = tuple(dims["lhs_contracting_dimensions"])
    rows = lhs.rank - len(contracted)
    if dims["lhs_batching_dimensions"] or contracted != tuple(range(rows, lhs.rank)) \
            or prod(lhs.shape[:rows]) > MOST_ROWS:
        return None
    cut = op.operands[0].owner
    while isinstance(cut, HloOp) and cut.kind == "reshape":
        cut = cut.operands[0].owner
    return _slice(op, cut) if isinstance(cut, HloOp) and cut.kind == "slice" else None


def _slice(op: HloOp, cut: HloOp) -> Factor | None:
    starts, limits = cut.attrs["start_indices"], cut.attrs["limit_indices"]
    origin = tensor_of(cut.operands[0])
    whole = all(s == 0 and e == n for s, e, n in zip(starts[1:], limits[1:], origin.shape[1:],
                                                     strict=True))
    if not starts or not whole or set(cut.attrs["strides"]) != {1}:
        return None
    return Factor(op, cut.operands[0], starts[0], limits[0])


def _join(run: Sequence[Factor], before: HloOp) -> None:
    """One product with the slices along a new first dimension."""
    op, count = run[0].op, len(run)
    lhs, result = tensor_of(op.operands[0]), op.tensor
    origin = tensor_of(run[0].tensor)
    dims = dict(op.attrs["dot_dimension_numbers"])
    dims["lhs_contracting_dimensions"] = tuple(
        d + 1 for d in dims["lhs_contracting_dimensions"])
    cut = _rows(run[0].tensor, run[0].first, run[-1].end, op)
    stacked = make("reshape", cut.results, [origin.with_shape((count, *lhs.shape))],
                   location=op.source)
    product = make("dot_general", [stacked.results[0], op.operands[1]],
                   [result.with_shape((count, *result.shape))],
                   {**op.attrs, "dot_dimension_numbers": dims}, location=op.source)
    insert_before(before, [cut, stacked, product])
    for number, factor in enumerate(run):
        part = _rows(product.results[0], number, number + 1, op)
        same = make("reshape", part.results, [result], location=op.source)
        insert_before(factor.op, [part, same])
        replace(factor.op, same.results)


def _rows(value: SSAValue, first: int, end: int, op: HloOp) -> HloOp:
    """A stretch of a tensor's first dimension."""
    tensor = tensor_of(value)
    rest = tensor.shape[1:]
    return make("slice", [value], [tensor.with_shape((end - first, *rest))], {
        "start_indices": (first, *(0,) * len(rest)), "limit_indices": (end, *rest),
        "strides": (1,) * tensor.rank}, location=op.source)
