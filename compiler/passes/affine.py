"""Fast math: what is scaled and shifted several times is so once.

Scales and shifts are constants or broadcasts of smaller tensors: batch and layer normalisation
become x * scale + shift, one `fmac` for each element. What is combined of the small tensors is
computed before their broadcast (`broadcasts`), or in the compiler.
"""

from collections.abc import Callable

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from compiler.ir.ops import HloOp, constant, insert_before, main_function, make, replace
from compiler.ir.types import tensor_of
from compiler.ops.elementwise import Elementwise
from compiler.ops.interpret import interpret
from compiler.ops.registry import Call
from compiler.passes.broadcasts import compute_before_broadcast, hoist_conversions
from compiler.passes.canonicalise import scalar_constant

Signature = tuple[tuple[int, ...], tuple[int, ...]]
"""Shape before a broadcast, and its dimensions after; both empty for a constant."""
SCALAR: Signature = ((), ())
ROUNDS = 8
"""Longer chains than this stay as they are."""


def affine(module: ModuleOp) -> None:
    """Until nothing changes: what one rewrite makes, another may take further."""
    hoist_conversions(module)
    for _ in range(ROUNDS):
        rewritten = sum(_rewrite(op) for op in list(main_function(module).walk()))
        if not rewritten:
            return


def _small(value: SSAValue) -> Signature | None:
    """How a scale or shift is broadcast; None for other values."""
    if scalar_constant(value) is not None:
        return SCALAR
    op = value.owner
    if not isinstance(op, HloOp) or op.kind != "broadcast_in_dim":
        return None
    source = tensor_of(op.operands[0])
    if source.size >= op.tensor.size:
        return None
    return source.shape, tuple(op.attrs["broadcast_dimensions"])


def _combine(first: SSAValue, second: SSAValue) -> bool:
    """Whether a function of two small values is small."""
    one, other = _small(first), _small(second)
    return one is not None and other is not None and (one == other or SCALAR in (one, other))


class _Chain:
    """`inner` of a large value x and a small one, the only operand of `op` beside a small one."""

    def __init__(self, op: HloOp, inner: HloOp, first: SSAValue, second: SSAValue) -> None:
        self.op, self.inner, self.first, self.second = op, inner, first, second

    @property
    def x(self) -> SSAValue:
        return self.inner.operands[1 if self.inner.operands[0] is self.first else 0]

    def make(self, kind: str, *operands: SSAValue) -> SSAValue:
        new = make(kind, operands, [self.op.tensor], location=self.op.source)
        insert_before(self.op, [new])
        return self._folded(new) if all(scalar_constant(v) is not None for v in operands) \
            else compute_before_broadcast(new)

    def _folded(self, op: HloOp) -> SSAValue:
        """An operation on constants, as a constant."""
        numbers = [np.asarray(scalar_constant(v)) for v in op.operands]
        element = op.tensor.with_shape(())
        assert isinstance(op.definition, Elementwise)
        value = constant(interpret(op.definition, Call((element,) * len(numbers), (element,)),
                                   *numbers), op.source)
        whole = make("broadcast_in_dim", value.results, [op.tensor],
                     {"broadcast_dimensions": ()}, location=op.source)
        insert_before(op, [value, whole])
        replace(op, whole.results)
        return whole.results[0]

    def shift(self) -> SSAValue:
        """The inner operation's shift: what it adds to x."""
        return self.first if self.inner.kind == "add" else self.make("negate", self.first)

    def replace_by(self, value: SSAValue) -> None:
        replace(self.op, [value])


def _chain(op: HloOp) -> _Chain | None:
    for value, second in (tuple(op.operands), tuple(op.operands)[::-1]):
        inner = value.owner
        if not isinstance(inner, HloOp) or inner.kind not in RULES or \
                (op.kind == "subtract" and value is not op.operands[0]):
            continue
        for first in tuple(inner.operands)[::-1]:
            if _small(first) is not None and _combine(first, second) and \
                    not (inner.kind == "subtract" and first is inner.operands[0]):
                return _Chain(op, inner, first, second)
    return None


def _scale_twice(chain: _Chain) -> None:
    """(x * a) * b is x * (a * b)."""
    scale = chain.make("multiply", chain.first, chain.second)
    chain.replace_by(chain.x if scalar_constant(scale) == 1
                     else chain.make("multiply", chain.x, scale))


def _shift_and_scale(chain: _Chain) -> None:
    """(x + a) * b is x * b + a * b."""
    shift = chain.make("multiply", chain.shift(), chain.second)
    chain.replace_by(chain.make("add", chain.make("multiply", chain.x, chain.second), shift))


def _shift_twice(chain: _Chain) -> None:
    """(x + a) + b is x + (a + b)."""
    shift = chain.make(chain.op.kind, chain.shift(), chain.second)
    chain.replace_by(chain.make("add", chain.x, shift))


RULES: dict[str, dict[str, Callable[[_Chain], None]]] = {
    "multiply": {"multiply": _scale_twice},
    "add": {"multiply": _shift_and_scale, "add": _shift_twice, "subtract": _shift_twice},
    "subtract": {"multiply": _shift_and_scale, "add": _shift_twice, "subtract": _shift_twice},
}
"""By the inner operation's kind, then the outer one's."""


def _rewrite(op: Operation) -> bool:
    """Applies a rule if there is one; says whether."""
    if not isinstance(op, HloOp) or op.kind not in RULES or not op.tensor.element.is_float:
        return False
    if op.parent is None or not list(op.results[0].uses):
        return False
    chain = _chain(op)
    rule = RULES[chain.inner.kind].get(op.kind) if chain is not None else None
    if chain is None or rule is None:
        return False
    rule(chain)
    return True
