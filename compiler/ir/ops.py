"""Operations of the IR: `hlo.<name>` for every registered operation, made in memory.

Operations are replaced rather than changed: attributes are read once and cached.
"""

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, ClassVar, cast

from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, OpTraits, Region, SSAValue
from xdsl.traits import IsTerminator
from xdsl.utils.exceptions import VerifyException

from compiler.errors import CompileError, Location
from compiler.ir.attributes import Attrs, decode, encode
from compiler.ir.types import ElementType, Tensor, from_mlir
from compiler.ops import registry
from compiler.ops.registry import Call, TypeRuleError

PREFIX = "hlo."


class HloOp(Operation, metaclass=registry.Abstract):
    """One tensor operation. Operand order, attribute names and regions are StableHLO's."""

    name = "hlo"
    kind: ClassVar[str] = ""
    """The operation's name without dialect: `add`, `dot_general`, `fused`."""
    traits = OpTraits(lambda: ())
    analysed: Any = None
    """Of a group, what it computes (`loops.analyse`)."""

    @property
    def definition(self) -> registry.Operation:
        """The registry's entry."""
        definition = registry.lookup(self.kind)
        assert definition is not None
        return definition

    @cached_property
    def attrs(self) -> Attrs:
        """Attributes as Python values."""
        return {name: decode(attribute) for name, attribute in self.attributes.items()}

    @cached_property
    def source(self) -> Location:
        """Where the operation stands in the input."""
        return Location.from_mlir(self.location)

    @property
    def call(self) -> Call:
        """The operation without its values; regions are not included."""
        return Call(
            tuple(from_mlir(v.type) for v in self.operands),
            tuple(from_mlir(v.type) for v in self.results),
            self.attrs,
        )

    @property
    def tensor(self) -> Tensor:
        """Type of the only (or first) result."""
        return from_mlir(self.results[0].type)

    @property
    def bodies(self) -> tuple[Block, ...]:
        """The block of each region."""
        return tuple(region.block for region in self.regions)

    def verify_(self) -> None:
        try:
            self.definition.verify(self.call)
        except TypeRuleError as error:
            raise VerifyException(str(error)) from error


class TerminatorOp(HloOp):
    """Ends a region; its operands are the region's results."""

    traits = OpTraits(lambda: (IsTerminator(),))


TERMINATORS = ("return",)


@cache
def op_class(kind: str) -> type[HloOp]:
    """The class of `hlo.<kind>`."""
    base = TerminatorOp if kind in TERMINATORS else HloOp
    return cast(type[HloOp], type(f"Hlo_{kind}", (base,), {"name": PREFIX + kind, "kind": kind}))


def make(
    kind: str,
    operands: Sequence[SSAValue],
    results: Sequence[Tensor] | None = None,
    attrs: Attrs | None = None,
    *,
    regions: Sequence[Region] = (),
    location: Location | None = None,
) -> HloOp:
    """A detached operation.

    Args:
        kind: registered name, without dialect.
        results: result types; None takes them from the type rule.
        location: place in the input, for errors.

    Raises:
        CompileError: the type rule refuses it.
    """
    attrs = attrs or {}
    place = location or Location()
    if results is None:
        definition = registry.lookup(kind)
        assert definition is not None, kind
        try:
            results = definition.result_types(
                Call(tuple(from_mlir(v.type) for v in operands), (), attrs))
        except TypeRuleError as error:
            raise CompileError(str(error), place) from error
    return op_class(kind).create(
        operands=operands,
        result_types=[tensor.to_mlir() for tensor in results],
        attributes={name: encode(value) for name, value in attrs.items()},
        regions=regions,
        location=place.to_mlir(),
    )


def repeated(op: HloOp, operands: Sequence[SSAValue], results: Sequence[Tensor] | None = None,
             added: Attrs | None = None) -> HloOp:
    """A detached operation that is the same on other operands.

    Args:
        op: without regions.
        results: result types; None for the same.
        added: attributes beside its own.
    """
    assert not op.regions
    types = [r.type for r in op.results] if results is None else [t.to_mlir() for t in results]
    attributes = op.attributes
    if added:
        attributes = {**attributes, **{name: encode(value) for name, value in added.items()}}
    made = type(op).create(operands=operands, result_types=types, attributes=attributes,
                           location=op.location)
    # What has been read of it need not be read again.
    made.__dict__.update(attrs={**op.attrs, **added} if added else op.attrs, source=op.source)
    return made


def constant(values: NDArray[Any], location: Location | None = None) -> HloOp:
    """`hlo.constant` of a numpy array."""
    tensor = Tensor(values.shape, ElementType.of_numpy(values.dtype))
    return make("constant", (), (tensor,), {"value": values}, location=location)


def constant_values(value: SSAValue) -> NDArray[Any] | None:
    """The array that a constant is; None for any other value."""
    op = value.owner
    return op.attrs["value"] if isinstance(op, HloOp) and op.kind == "constant" else None


def is_constant(value: SSAValue) -> bool:
    """Whether a value is a constant, of any size."""
    return isinstance(value.owner, HloOp) and value.owner.kind == "constant"


def replace(op: HloOp, values: Sequence[SSAValue]) -> None:
    """Replaces an operation's results by other values and erases it."""
    for result, value in zip(op.results, values, strict=True):
        result.replace_all_uses_with(value)
    erase(op)


def erase(op: HloOp) -> None:
    """Erases an operation nobody uses."""
    assert op.parent is not None
    op.parent.detach_op(op)
    op.erase()


def only_user(value: SSAValue) -> HloOp | None:
    """The operation that alone uses a value, once, in the block where it is made."""
    user, owner = value.get_user_of_unique_use(), value.owner
    block = owner if isinstance(owner, Block) else owner.parent
    return user if isinstance(user, HloOp) and user.parent is block else None


def insert_before(op: Operation, new: Sequence[Operation]) -> None:
    block = op.parent
    assert block is not None
    block.insert_ops_before(list(new), op)


def main_function(module: ModuleOp) -> FuncOp:
    """The module's only function."""
    (function,) = (op for op in module.ops if isinstance(op, FuncOp))
    return function


def erase_unused(block: Block) -> None:
    """Erases operations nobody uses, in the block and those nested in it; none has effects."""
    op = block.last_op
    while op is not None:
        before = op.prev_op
        for region in op.regions:
            erase_unused(region.block)
        if isinstance(op, HloOp) and op is not block.last_op \
                and all(result.first_use is None for result in op.results):
            erase(op)
        op = before
