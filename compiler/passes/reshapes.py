"""Elementwise work between a reshape and its reverse is done in the shape around them.

A group is a loop over one shape. A group normalisation works on (pixels, groups, channels of a
group), what follows it on (pixels, channels). In the second shape all of it is one group, its rows
are longer than the lanes, and what there is once for each group of channels (mean, deviation) is
spread over the channels first, which are few. Each element is computed as before, so every bit
stays.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.ops import (
    HloOp,
    erase_unused,
    insert_before,
    main_function,
    make,
    repeated,
    replace,
)
from compiler.ir.types import tensor_of
from compiler.ops.elementwise import Elementwise
from compiler.passes.recompute import INSTRUCTIONS, instruction_count

Runs = tuple[tuple[int, ...], ...]
"""The dimensions of a finer shape that each dimension of a coarser one consists of."""


def reshapes(module: ModuleOp) -> None:
    """Rewrites what ends in a reshape to the shape that it began with."""
    block = main_function(module).body.block
    for op in list(block.ops):
        if isinstance(op, HloOp) and op.kind == "reshape":
            runs = _runs(tensor_of(op.operands[0]).shape, op.tensor.shape)
            work = _work(op.operands[0], op.tensor.shape) if runs is not None else []
            if runs is not None and work and _may_be_copied(work, op.tensor.shape):
                replace(op, [_rewritten(op, work, runs)])
    erase_unused(block)


def _runs(fine: Sequence[int], coarse: Sequence[int]) -> Runs | None:
    """None when the coarse shape does something else than join neighbouring dimensions."""
    runs, position = [], 0
    for extent in coarse:
        first, size = position, 1
        while position < len(fine) and (
                size < extent or (position == first and fine[first] == 1)):
            size *= fine[position]
            position += 1
        if size != extent:
            return None
        runs.append(tuple(range(first, position)))
    return tuple(runs) if position == len(fine) > len(coarse) else None


def _work(value: SSAValue, shape: tuple[int, ...]) -> list[HloOp]:
    """The elementwise operations that make a value of reshaped ones and broadcasts, in order; none
    when it is made of anything else."""
    found: set[HloOp] = set()
    pending, begins = [value], False
    while pending:
        op = pending.pop().owner
        if not isinstance(op, HloOp):
            return []
        if isinstance(op.definition, Elementwise):
            pending += op.operands if op not in found else ()
            found.add(op)
        elif op.kind == "reshape" and tensor_of(op.operands[0]).shape == shape:
            begins = True
        elif op.kind != "broadcast_in_dim" or not _keeps_order(op):
            return []
    block = value.owner.parent if isinstance(value.owner, HloOp) else None
    return [op for op in block.ops if op in found] if begins and block else []


def _keeps_order(view: HloOp) -> bool:
    dims = view.attrs["broadcast_dimensions"]
    return tuple(sorted(dims)) == tuple(dims)


def _may_be_copied(work: Sequence[HloOp], shape: tuple[int, ...]) -> bool:
    """Whether what others need in its own shape as well, as a variance needs the distance from the
    mean, is cheap enough to be computed for both."""
    outside = [op for op in work if not all(
        isinstance(user, HloOp) and (
            user in work or (user.kind == "reshape" and user.tensor.shape == shape))
        for user in (use.operation for use in op.results[0].uses))]
    return sum(map(instruction_count, outside)) <= INSTRUCTIONS


def _rewritten(end: HloOp, work: Sequence[HloOp], runs: Runs) -> SSAValue:
    """The work in the shape of its end, in front of that."""
    made: dict[SSAValue, SSAValue] = {}
    for op in work:
        operands = [made.get(value) or _leaf(end, value, runs) for value in op.operands]
        result = op.tensor.with_shape(end.tensor.shape)
        new = repeated(op, operands, [result])
        insert_before(end, [new])
        made[op.results[0]] = new.results[0]
    return made[end.operands[0]]


def _leaf(end: HloOp, value: SSAValue, runs: Runs) -> SSAValue:
    view = value.owner
    assert isinstance(view, HloOp)
    return _broadcast(end, view, runs) if view.kind == "broadcast_in_dim" else view.operands[0]


def _broadcast(end: HloOp, view: HloOp, runs: Runs) -> SSAValue:
    """A broadcast to the shape of the end: of all dimensions of a run if of any."""
    (source,), shape = view.operands, view.tensor.shape
    extents = dict(zip(view.attrs["broadcast_dimensions"], tensor_of(source).shape, strict=True))
    kept = [d for d, run in enumerate(runs) if any(extents.get(r, 1) > 1 for r in run)]
    spread = tuple(r for d in kept for r in runs[d])
    squeezed = [d for d, extent in extents.items() if extent > 1]
    for kind, result, attrs in (
            ("reshape", tuple(extents[d] for d in squeezed), {}),
            ("broadcast_in_dim", tuple(shape[r] for r in spread),
             {"broadcast_dimensions": tuple(map(spread.index, squeezed))}),
            ("reshape", tuple(end.tensor.shape[d] for d in kept), {}),
            ("broadcast_in_dim", end.tensor.shape, {"broadcast_dimensions": tuple(kept)})):
        if tensor_of(source).shape != result:
            new = make(kind, [source], [tensor_of(source).with_shape(result)], attrs,
                       location=view.source)
            insert_before(end, [new])
            source = new.results[0]
    return source
