"""Dynamic slices and updates at constant positions, as unrolled loops have them, become static.

    dynamic_slice                    slice, a view
    an update of everything          the update
    updates of all parts in a row    one concatenation: what a scan stacks
"""

from dataclasses import dataclass

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from compiler.ir.ops import HloOp, erase_unused, insert_before, main_function, make, replace
from compiler.ir.types import tensor_of
from compiler.passes.canonicalise import scalar_constant


def static_slices(module: ModuleOp) -> None:
    """Later updates first, so that a chain is taken as a whole."""
    chained: set[HloOp] = set()
    for op in reversed(list(main_function(module).walk())):
        if not isinstance(op, HloOp):
            continue
        if op.kind == "dynamic_slice":
            _slice(op)
        elif op.kind == "dynamic_update_slice" and op not in chained:
            chained.update(_update(op))
    erase_unused(main_function(module).body.block)


def _starts(op: HloOp, first: int, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Start in each dimension, moved inside the operand; None unless all are known."""
    numbers = [scalar_constant(value) for value in op.operands[first:]]
    if any(number is None for number in numbers):
        return None
    shape = tensor_of(op.operands[0]).shape
    return tuple(min(max(int(s), 0), extent - size)  # type: ignore[arg-type]
                 for s, extent, size in zip(numbers, shape, sizes, strict=True))


def _slice(op: HloOp) -> None:
    starts = _starts(op, 1, op.tensor.shape)
    if starts is None:
        return
    limits = tuple(s + size for s, size in zip(starts, op.tensor.shape, strict=True))
    new = make("slice", [op.operands[0]], [op.tensor], {
        "start_indices": starts, "limit_indices": limits, "strides": (1,) * len(starts),
    }, location=op.source)
    insert_before(op, [new])
    replace(op, new.results)


@dataclass(frozen=True)
class Part:
    """An update of a tensor along one dimension, whole in all others."""

    op: HloOp
    dimension: int
    first: int
    end: int

    @property
    def value(self) -> SSAValue:
        return self.op.operands[1]


def _part(op: object) -> Part | None:
    """An update at a known place; None for anything else."""
    if not isinstance(op, HloOp) or op.kind != "dynamic_update_slice":
        return None
    size, shape = tensor_of(op.operands[1]).shape, op.tensor.shape
    starts = _starts(op, 2, size)
    partial = [d for d in range(len(shape)) if size[d] != shape[d]]
    if starts is None or len(partial) > 1:
        return None
    (dimension,) = partial or (0,)
    first = starts[dimension] if starts else 0
    return Part(op, dimension, first, first + (size[dimension] if size else 1))


def _update(op: HloOp) -> list[HloOp]:
    """Replaces an update if it can; returns the earlier ones that it takes or cannot take."""
    last = _part(op)
    if last is None:
        return []
    if tensor_of(last.value) == op.tensor:
        replace(op, [last.value])
        return []
    chain = _chain(last)
    parts = sorted(chain, key=lambda part: part.first)
    if _covers(parts, op.tensor.shape[last.dimension]):
        new = make("concatenate", [part.value for part in parts], [op.tensor],
                   {"dimension": last.dimension}, location=op.source)
        insert_before(op, [new])
        replace(op, new.results)
    return [part.op for part in chain[1:]]


def _chain(last: Part) -> list[Part]:
    """Updates one after the other that nothing else reads in between."""
    parts = [last]
    while True:
        value = parts[-1].op.operands[0]
        part = _part(value.owner)
        if part is None or part.dimension != last.dimension or not value.has_one_use() \
                or part.op.parent is not last.op.parent:
            return parts
        parts.append(part)


def _covers(parts: list[Part], extent: int) -> bool:
    ends = [0, *(part.end for part in parts)]
    return [part.first for part in parts] == ends[:-1] and ends[-1] == extent
