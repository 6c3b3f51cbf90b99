"""Which parameters a loop over rounds of steps has to write, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compiler.codegen.rounds import MASK, Growths
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


def settings(steps: Sequence[Step], growths: Sequence[Growths],
             held: Mapping[Engine, Sequence[int]]) -> Settings:
    """A parameter is written by the steps that find another value than the step before has left,
    the last one of the round before in the case of the first.

    Args:
        held: by engine, the parameters as they are.
    """
    result = Settings([], [[] for _ in steps], [])
    uses, before = _changing(steps, growths)
    for engine, index, value in before:
        if held[engine][index] != value:
            result.before.append(Setting(engine, index, value, 0))
            result.last.append(result.before[-1])
    for (engine, index), found in uses.items():
        _settle(engine, index, found, result)
    return result


_Use = tuple[int, int, int]
"""Of a parameter by a step: the step's number, the value, by how much it grows."""


def _changing(steps: Sequence[Step], growths: Sequence[Growths]
              ) -> tuple[dict[tuple[Engine, int], list[_Use]], list[tuple[Engine, int, int]]]:
    """The uses of each parameter that changes, and the others with their values."""
    uses: dict[tuple[Engine, int], list[_Use]] = {}
    for number, (step, growth) in enumerate(zip(steps, growths, strict=True)):
        engine, parameters = step.command.engine, step.command.parameters
        own = growth[len(growth) - len(parameters) :]
        for (index, value), by in zip(parameters.items(), own, strict=True):
            uses.setdefault((engine, index), []).append((number, value & MASK, by))
    same = [(*key, found[0][1]) for key, found in uses.items() if _is_same(found)]
    for engine, index, _ in same:
        del uses[engine, index]
    return uses, same


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
