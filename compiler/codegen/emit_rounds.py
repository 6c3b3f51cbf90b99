"""Which parameters a loop over rounds of steps has to write, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compiler.codegen.emit_loops import MASK
from compiler.codegen.rounds import Growth
from compiler.codegen.synchronise import Step
from hw.isa.host import Engine


class Setting(NamedTuple):
    """A parameter of a step: in the first round the value, in each later one `growth` more."""

    engine: Engine
    number: int
    value: int
    growth: int


@dataclass(frozen=True)
class Settings:
    """Parameters of a round.

    Attributes:
        before: what must hold when the loop begins; what does already may be left out.
        written: what each step writes.
        last: what the last step that uses a parameter has given it, unless it held before.
    """

    before: list[Setting]
    written: list[list[Setting]]
    last: list[Setting]


def settings(steps: Sequence[Step], growths: Sequence[Growth],
             held: Mapping[Engine, Mapping[int, int]]) -> Settings:
    """A parameter is written by the steps that find another value than the step before has left,
    the last one of the round before in the case of the first.

    Args:
        held: by engine, the parameters as they are.
    """
    result, changing = Settings([], [[] for _ in steps], []), _changing(steps, growths)
    seen: set[tuple[Engine, int]] = set()
    for step in steps:
        engine, parameters = step.command.engine, step.command.parameters
        for index, value in parameters.items():
            if held[engine][index] != value & MASK:
                key = engine, index
                if key not in changing and key not in seen:
                    seen.add(key)
                    result.before.append(Setting(engine, index, value & MASK, 0))
    result.last.extend(result.before)
    for (engine, index), uses in changing.items():
        _settle(engine, index, uses, result)
    return result


_Use = tuple[int, int, int]
"""Of a parameter by a step: the step's number, the value, by how much it grows."""


def _changing(steps: Sequence[Step], growths: Sequence[Growth]
              ) -> dict[tuple[Engine, int], list[_Use]]:
    """The uses of each parameter that changes."""
    candidates = _candidates(steps, growths)
    uses: dict[tuple[Engine, int], list[_Use]] = {}
    for number, (step, growth) in enumerate(zip(steps, growths, strict=True)):
        engine, parameters = step.command.engine, step.command.parameters
        changing, own = candidates[engine], dict(growth.parameters)
        for index, value in parameters.items():
            if index in changing:
                use = number, value & MASK, own.get(index, 0)
                uses.setdefault((engine, index), []).append(use)
    return {key: found for key, found in uses.items() if not _is_same(found)}


def _candidates(steps: Sequence[Step], growths: Sequence[Growth]) -> dict[Engine, set[int]]:
    """By engine, the parameters that grow or that its steps do not have in common."""
    found: dict[Engine, set[int]] = {}
    before: dict[Engine, Mapping[int, int]] = {}
    for step, growth in zip(steps, growths, strict=True):
        engine, parameters = step.command.engine, step.command.parameters
        changing = found.setdefault(engine, set())
        changing.update(index for index, _ in growth.parameters)
        other = before.get(engine, parameters)
        if other is not parameters:
            changing.update(index for index, _ in parameters.items() ^ other.items())
        before[engine] = parameters
    return found


def _is_same(uses: Sequence[_Use]) -> bool:
    _, first, _ = uses[0]
    return not any(by or value != first for _, value, by in uses)


def _settle(engine: Engine, index: int, uses: Sequence[_Use], result: Settings) -> None:
    """Adds what becomes of one parameter that changes."""
    _, value, by = uses[-1]
    result.last.append(Setting(engine, index, value, by))
    left = value - by & MASK, by
    if uses[0][1:] == left:
        result.before.append(Setting(engine, index, *left))
    for number, value, by in uses:
        if (value, by) != left:
            result.written[number].append(Setting(engine, index, value, by))
        left = value, by
