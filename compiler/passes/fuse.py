"""Groups the operations of every block: what one group computes never visits DRAM in between.

Levels:
    none         every operation is a group of its own
    elementwise  chains of elementwise operations of one shape
    full         and reductions of such a chain, and elementwise work on a contraction's result

Views, iota and scalar constants are never groups: each group that uses one gets a copy, which
costs nothing. Under `full` cheap values are copied as well (`recompute`). Two groups become one
only when no third one stands between them.
"""

from collections.abc import Sequence
from operator import itemgetter

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue

from compiler.ir.loops import Access, Load, is_contraction, is_reduction, leaf, whole
from compiler.ir.ops import HloOp, erase_unused, main_function, make, repeated
from compiler.ir.types import tensor_of
from compiler.passes.groups import (
    Groups,
    is_control,
    is_elementwise,
    is_free,
    is_fusible,
    iteration_shape,
)
from compiler.passes.recompute import Recomputed, outputs
from compiler.passes.sink import sink_conversions

LEVELS = ("none", "elementwise", "full")


def fuse(module: ModuleOp, level: str = "full") -> list[str]:
    """Rewrites `@main` into groups: `hlo.fused`, control flow and array constants are left.

    Args:
        level: one of LEVELS.

    Returns:
        One line for each fusion that was possible by shape and refused, with the reason.
    """
    assert level in LEVELS, level
    return _fuse_block(main_function(module).body.block, level)


def _fuse_block(block: Block, level: str) -> list[str]:
    refusals: list[str] = []
    erase_unused(block)
    _copy_free_operations_in(block)
    for op in block.ops:
        for region in op.regions if is_control(op) else ():
            refusals += _fuse_block(region.block, level)
    widened = sink_conversions(block) if level == "full" else []
    stored = _Stored(block).operations
    groups = Groups([op for op in block.ops if isinstance(op, HloOp) and op is not block.last_op
                     and (op in stored or not (is_free(op) or op.kind == "constant"))])
    for conversion, reader in widened:
        groups.merge(conversion, reader, level)
    if level != "none":
        sunk = dict(widened)
        for op in groups.operations:
            if op in sunk and groups.together(op, sunk[op]):
                continue
            if is_elementwise(op) or is_reduction(op):
                # What is computed last takes the work on several results: it could not go
                # with the others before that. What is widened is stored as narrow as it is.
                producers = [(as_made, *groups.lateness(p), p)
                             for producer in groups.producers(op)
                             for as_made in (sunk.get(producer) is not op,)
                             for p in ((producer,) if as_made else groups.producers(producer))]
                for *_, producer in sorted(producers, key=itemgetter(0, 1, 2), reverse=True):
                    if is_fusible(producer) and \
                            iteration_shape(op) == tensor_of(producer.results[0]).shape:
                        groups.merge(producer, op, level)
    if level == "full":
        groups.merge_alike(level)
    recomputed = Recomputed(groups if level == "full" else Groups([]))
    for members in groups.in_order():
        _emit(block, members, recomputed)
    erase_unused(block)
    return refusals + groups.refusals


def _copy_free_operations_in(block: Block) -> None:
    """Gives the block copies of the free operations it uses from blocks around it."""
    copies: dict[SSAValue, SSAValue] = {}

    def local(value: SSAValue, before: Operation) -> SSAValue:
        owner = value.owner
        if not isinstance(owner, HloOp) or owner.parent is block or not is_free(owner):
            return value
        if value not in copies:
            copy = repeated(owner, [local(v, before) for v in owner.operands])
            block.insert_op_before(copy, before)
            copies[value] = copy.results[0]
        return copies[value]

    for op in list(block.ops):
        operands = [local(value, op) for value in op.operands]
        if any(new is not old for new, old in zip(operands, op.operands, strict=True)):
            op.operands = operands


class _Stored:
    """Free operations of a block whose result must lie in memory all the same."""

    def __init__(self, block: Block) -> None:
        self.operations: set[Operation] = set()
        self._accesses: dict[SSAValue, Access] = {}
        for op in list(block.ops):
            assert isinstance(op, (HloOp, ReturnOp))
            if isinstance(op, HloOp) and is_free(op):
                continue
            for value in op.operands:
                self._use(op, value)

    def _use(self, op: Operation, value: SSAValue) -> None:
        owner = value.owner
        if not isinstance(owner, HloOp) or not is_free(owner):
            return
        source = self._access(value).source
        in_memory = not isinstance(op, HloOp) or is_control(op) or op.kind == "return"
        if isinstance(op, HloOp) and not (is_elementwise(op) or is_reduction(op)):
            in_memory |= not isinstance(source, Load) and tensor_of(value).size > 1
        if in_memory:
            self.operations.add(owner)
            self._accesses[value] = whole(value)

    def _access(self, value: SSAValue) -> Access:
        """How a value's elements lie; stores views that the next view cannot compose with."""
        if value not in self._accesses:
            self._accesses[value] = self._compute(value)
        return self._accesses[value]

    def _compute(self, value: SSAValue) -> Access:
        op = value.owner
        if not isinstance(op, HloOp) or not is_free(op):
            return whole(value)
        access = leaf(op)
        if access is not None:
            return access
        operand = op.operands[0]
        access = self._access(operand).through(op)
        if access is None:
            assert isinstance(operand.owner, HloOp)
            self.operations.add(operand.owner)
            self._accesses[operand] = whole(operand)
            access = whole(operand).through(op)
        assert access is not None, "a tensor in memory has every view"
        return access


def _emit(block: Block, members: Sequence[HloOp], recomputed: Recomputed) -> None:
    """Moves a group's operations into a `hlo.fused` at the end of the block."""
    terminator = block.last_op
    assert terminator is not None
    if is_control(members[0]):
        block.detach_op(members[0])
        block.insert_op_before(members[0], terminator)
        return
    stored = outputs(members, recomputed)
    if not stored:
        return
    builder = _GroupBuilder(members, recomputed.copyable)
    body = builder.finish(stored)
    fused = make("fused", builder.operands, [tensor_of(r) for r in stored],
                 {"kind": group_kind(members)}, regions=[Region(body)],
                 location=_main_member(members).source)
    block.insert_op_before(fused, terminator)
    for old, new in zip(stored, fused.results, strict=True):
        # What is copied from this group into later ones reads there what this one stores.
        old.replace_uses_with_if(new, lambda use: use.operation not in members
                                 or use.operation in recomputed.copyable)


def group_kind(members: Sequence[HloOp]) -> str:
    """`loop`, or the name of the one operation that is not of a loop."""
    main = _main_member(members)
    return "loop" if is_elementwise(main) or is_reduction(main) or is_free(main) else main.kind


def _main_member(members: Sequence[HloOp]) -> HloOp:
    return next((op for op in members if is_contraction(op)), members[-1])


class _GroupBuilder:
    """Copies operations into a block, with those they use that are not in memory."""

    def __init__(self, members: Sequence[HloOp], copyable: set[HloOp]) -> None:
        self.block = Block()
        self.operands: list[SSAValue] = []
        self._values: dict[SSAValue, SSAValue] = {}
        self._copyable = copyable
        for op in members:
            self._copy(op)

    def _copy(self, op: HloOp) -> None:
        operands = [self._inside(value) for value in op.operands]
        clone = op.clone(self._values) if op.regions else repeated(op, operands)
        self.block.add_op(clone)
        self._values.update(zip(op.results, clone.results, strict=True))

    def _inside(self, value: SSAValue) -> SSAValue:
        """The value in the group that stands for one outside."""
        if value not in self._values:
            owner = value.owner
            if isinstance(owner, HloOp) and (is_free(owner) or owner in self._copyable):
                self._copy(owner)
            else:
                self._values[value] = self.block.insert_arg(value.type, len(self.operands))
                self.operands.append(value)
        return self._values[value]

    def finish(self, outputs: Sequence[SSAValue]) -> Block:
        self.block.add_op(make("return", [self._values[v] for v in outputs], ()))
        return self.block
