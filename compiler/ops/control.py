"""Control flow, and the operations that only hold the IR together."""

from collections.abc import Sequence

from compiler.ir.types import ElementType, Tensor
from compiler.ops.registry import Call, NdArray, Operation, register, require


@register
class While(Operation):
    """Repeats a body while a predicate of its values holds."""

    name = "while"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        return call.operands

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        condition, body = call.regions
        values: Sequence[NdArray] = operands
        while condition(*values)[0]:
            values = body(*values)
        return values


@register
class Case(Operation):
    """One of several branches, by an index; an index out of range takes the last."""

    name = "case"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        require(call.operands == (Tensor((), ElementType.I32),), "case: the index is tensor<i32>")
        return call.results

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        count = len(call.regions)
        index = int(operands[0])
        return call.regions[index if 0 <= index < count else count - 1]()


@register
class If(Operation):
    """One of two branches; becomes a case."""

    name = "if"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        require(call.operands == (Tensor((), ElementType.I1),), "if: the predicate is tensor<i1>")
        return call.results

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        return call.regions[0 if operands[0] else 1]()


@register
class OptimizationBarrier(Operation):
    """Its operands. It holds back rewrites of other compilers; here it is dropped."""

    name = "optimization_barrier"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        return call.operands

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        return operands


@register
class Return(Operation):
    """Ends a region; its operands are the region's results."""

    name = "return"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        return ()

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        raise AssertionError("a terminator is not evaluated on its own")


@register
class Fused(Operation):
    """A group: the operations of its region become one piece of code. See `compiler.ir.loops`."""

    name = "fused"
    dialect = "hlo"
    needs_template = False

    def result_types(self, call: Call) -> tuple[Tensor, ...]:
        return call.results

    def evaluate(self, call: Call, *operands: NdArray) -> Sequence[NdArray]:
        return call.regions[0](*operands)


