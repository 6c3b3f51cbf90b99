"""Which parameters a loop over rounds of steps has to write, and where."""

from collections import defaultdict
from collections.abc import Sequence
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
        before: what must hold when the loop begins.
        written: what each step writes.
        last: what the last step that uses a parameter has given it.
    """

    before: list[Setting]
    written: list[list[Setting]]
    last: list[Setting]


def settings(steps: Sequence[Step], growths: Sequence[Growths]) -> Settings:
    """A parameter is written by the steps that find another value than the step before has left,
    the last one of the round before in the case of the first."""
    used: dict[tuple[Engine, int], list[tuple[int, Setting]]] = defaultdict(list)
    for number, (step, growth) in enumerate(zip(steps, growths, strict=True)):
        command = step.command
        own = growth[len(growth) - len(command.parameters) :]
        for (index, value), by in zip(command.parameters.items(), own, strict=True):
            setting = Setting(command.engine, index, value & MASK, by)
            used[command.engine, index].append((number, setting))
    result = Settings([], [[] for _ in steps], [])
    for uses in used.values():
        left = uses[-1][1]
        result.last.append(left)
        left = left._replace(value=left.value - left.growth & MASK)
        if uses[0][1] == left:
            result.before.append(uses[0][1])
        for number, setting in uses:
            if setting != left:
                result.written[number].append(setting)
            left = setting
    return result
