"""Replaces composed operations by what they are made of."""

from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, Region, SSAValue

from compiler.errors import Location
from compiler.ir.ops import HloOp, main_function, make, replace
from compiler.ir.types import ElementType, Tensor, tensor_of
from compiler.ops.composed import Composed, broadcast


class _Inserter:
    """The `Graph` that puts operations before another one, at its place in the input."""

    def __init__(self, before: Operation, location: Location) -> None:
        self.before = before
        self.location = location

    def op(self, kind: str, *operands: SSAValue, result: Tensor | None = None,
           **attrs: Any) -> SSAValue:
        new = make(kind, operands, None if result is None else [result], attrs,
                   location=self.location)
        assert self.before.parent is not None
        self.before.parent.insert_op_before(new, self.before)
        return new.results[0]

    def tensor(self, value: SSAValue) -> Tensor:
        return tensor_of(value)


def expand(module: ModuleOp) -> None:
    """Also turns `if` into `case` and gives `select` a predicate of its own shape."""
    for op in list(main_function(module).walk()):
        if not isinstance(op, HloOp):
            continue
        inserter = _Inserter(op, op.source)
        if isinstance(op.definition, Composed):
            replace(op, [op.definition.expand(inserter, op.call, *op.operands)])
        elif op.kind == "if":
            _if_to_case(op, inserter)
        elif op.kind == "select" and tensor_of(op.operands[0]) != \
                op.tensor.with_element(ElementType.I1):
            op.operands[0] = broadcast(inserter, op.operands[0], op.tensor.shape, ())


def _if_to_case(op: HloOp, inserter: _Inserter) -> None:
    """Branch 0 is taken when the predicate holds."""
    index = inserter.op("convert", inserter.op("not", op.operands[0]),
                        result=Tensor((), ElementType.I32))
    regions: list[Region] = [op.detach_region(region) for region in op.regions]
    case = make("case", [index], [tensor_of(r) for r in op.results], regions=regions,
                location=op.source)
    assert op.parent is not None
    op.parent.insert_op_before(case, op)
    replace(op, case.results)
