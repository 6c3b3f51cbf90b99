"""Unrolls loops that count: `lax.scan`, `fori_loop` with constant bounds.

In each copy of the body the counter is a constant, so slices at it are views, and the copies are
scheduled as one stretch of commands: a rolled loop drains all engines twice a round.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, SSAValue

from compiler.ir.ops import HloOp, constant, insert_before, main_function, replace
from compiler.ir.types import tensor_of
from compiler.passes.canonicalise import scalar_constant
from compiler.passes.groups import is_free

BUDGET = 8192
"""Operations that one loop may become, views and constants not counted: above, the program's text
(about 400 bytes for each) outgrows the megabytes of weights it works on, and compiling it takes
longer than a minute."""

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "LT": operator.lt, "LE": operator.le, "GT": operator.gt, "GE": operator.ge,
    "NE": operator.ne, "EQ": operator.eq,
}
MIRRORED = {"LT": "GT", "LE": "GE", "GT": "LT", "GE": "LE", "NE": "NE", "EQ": "EQ"}


@dataclass(frozen=True)
class Counter:
    """A loop's counter: position among the carried values, start, step, and when it goes on."""

    position: int
    start: int
    step: int
    compare: Callable[[Any, Any], bool]
    bound: int
    dtype: np.dtype[Any]

    def values(self, most: int) -> list[int] | None:
        """The counter in each round; None when there are more, or it leaves its type."""
        limits, found, value = np.iinfo(self.dtype), [], self.start
        while self.compare(value, self.bound):
            found.append(value)
            value += self.step
            if len(found) > most or not limits.min <= value <= limits.max:
                return None
        return found


def unroll(module: ModuleOp, budget: int = BUDGET) -> None:
    """Unrolls inner loops first; an outer one only when all of it stays within the budget."""
    _unroll_block(main_function(module).body.block, budget)


def _unroll_block(block: Block, budget: int) -> None:
    for op in list(block.ops):
        if not isinstance(op, HloOp) or op.kind not in ("while", "case"):
            continue
        for body in op.bodies:
            _unroll_block(body, budget)
        if op.kind == "while":
            _unroll(op, budget)


def _unroll(op: HloOp, budget: int) -> None:
    counter = find_counter(op)
    if counter is None:
        return
    _, body = op.bodies
    work = sum(isinstance(o, HloOp) and o.kind != "return" and not is_free(o) for o in body.walk())
    trips = counter.values(budget // max(work, 1))
    if trips is None:
        return
    values: Sequence[SSAValue] = list(op.operands)
    inner: list[HloOp] = []
    for trip in trips:
        values = _copy_round(op, body, values, counter, trip, inner)
    replace(op, values)
    for loop in inner:
        _unroll(loop, budget)


def _copy_round(op: HloOp, body: Block, values: Sequence[SSAValue], counter: Counter,
                trip: int, inner: list[HloOp]) -> list[SSAValue]:
    """Puts a copy of the body before the loop; returns the values it hands on.

    Args:
        inner: gets the loops of the copy, which may count now that the counter is known.
    """
    number = constant(np.asarray(trip, counter.dtype), op.source)
    insert_before(op, [number])
    mapped: dict[SSAValue, SSAValue] = dict(zip(body.args, values, strict=True))
    mapped[body.args[counter.position]] = number.results[0]
    *operations, terminator = body.ops
    for original in operations:
        copy = original.clone(mapped)
        insert_before(op, [copy])
        mapped.update(zip(original.results, copy.results, strict=True))
        if isinstance(copy, HloOp) and copy.kind == "while":
            inner.append(copy)
    return [mapped.get(value, value) for value in terminator.operands]


def find_counter(op: HloOp) -> Counter | None:
    """The counter that alone decides how often a loop runs, from known start to known bound."""
    condition, _ = op.bodies
    test = _returned(condition)[0].owner
    if not isinstance(test, HloOp) or test.kind != "compare":
        return None
    found = (_counter(op, *side) for side in _sides(test))
    return next((counter for counter in found if counter is not None), None)


def _counter(op: HloOp, argument: SSAValue, bound: SSAValue, direction: str) -> Counter | None:
    """The counter of a loop that goes on as long as `argument` compares so to `bound`."""
    condition, body = op.bodies
    if argument not in condition.args:
        return None
    position = condition.args.index(argument)
    start, limit, step = _number(op.operands[position]), _number(bound), _step(body, position)
    if start is None or limit is None or step is None:
        return None
    return Counter(position, start, step, COMPARE[direction], limit,
                   tensor_of(argument).element.numpy)


def _sides(test: HloOp) -> Iterator[tuple[SSAValue, SSAValue, str]]:
    first, second = test.operands
    direction = test.attrs["comparison_direction"]
    yield first, second, direction
    yield second, first, MIRRORED[direction]


def _step(body: Block, position: int) -> int | None:
    """What a round adds to a carried value."""
    argument, update = body.args[position], _returned(body)[position].owner
    if not isinstance(update, HloOp) or update.kind not in ("add", "subtract"):
        return None
    first, second = update.operands
    if update.kind == "subtract":
        number = _number(second)
        return -number if first is argument and number is not None else None
    return _number(second) if first is argument else (
        _number(first) if second is argument else None)


def _number(value: SSAValue) -> int | None:
    number = scalar_constant(value)
    return None if number is None or tensor_of(value).element.is_float else int(number)


def _returned(block: Block) -> Sequence[SSAValue]:
    terminator = block.last_op
    assert terminator is not None
    return tuple(terminator.operands)
