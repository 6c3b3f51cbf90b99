"""Steps that are repeated with other numbers: the same kinds of commands in the same order, whose
addresses and parameters grow by the same amounts each time.

The columns of a product are the usual case: each tile of them is a sweep of the array, a kernel and
a store. A loop of the sequencer holds one round of them (`emit_rounds`), so that the program's text
is shorter, which every run loads from DRAM.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from compiler.codegen.commands import IMMEDIATE_LO, Command
from compiler.codegen.emit_loops import GROWTH_REGISTERS, MASK
from compiler.codegen.synchronise import Step
from hw.isa.encoding import BY_OPCODE

LONGEST = 64
"""Steps of a round at most: those of a band or a layer are longer, and differ in their addresses
from one to the next."""
CANDIDATES = 12
"""Later steps of the same kind that the next round is tried to begin with."""
ENOUGH = 4
"""Rounds with which no longer ones are looked for, which seldom save more and take time to find."""
MOST_GROWTHS = len(GROWTH_REGISTERS)
"""Different amounts by which numbers grow, each of which takes a register."""
MOST_OPERANDS = 8
"""Different register operands of a round that stay the same."""
LEAST_SAVED = 8
"""Instructions that a loop saves at least."""
LOW = (1 << IMMEDIATE_LO) - 1


class Growth(NamedTuple):
    """By how much the numbers of a command grow from one round to the next, modulo 2**32.

    Attributes:
        words: the immediate of each instruction; `b`: the register operand.
        parameters: (index, growth) of those that grow.
    """

    words: tuple[int, ...]
    b: int
    parameters: tuple[tuple[int, int], ...]

    @property
    def different(self) -> list[int]:
        """All growths but 0."""
        return [by for by in (*self.words, self.b, *[by for _, by in self.parameters]) if by]


@dataclass(frozen=True)
class Rounds:
    """Repeated steps.

    Attributes:
        first: position of the first step; `length`: steps of a round; `count`: rounds.
        growths: for each step of a round.
    """

    first: int
    length: int
    count: int
    growths: tuple[Growth, ...]

    @property
    def end(self) -> int:
        """Position behind the last step."""
        return self.first + self.length * self.count


def find_rounds(steps: Sequence[Step]) -> Iterator[Rounds]:
    """What is worth a loop, in order; no step is in two of them."""
    finder = _Finder(steps)
    position = 0
    while position < len(steps):
        best = finder.best(position)
        if best is not None:
            yield best
            position = best.end
        else:
            position += 1


class _Finder:
    """Looks for rounds among steps."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        known: dict[tuple[Any, ...], int] = {}
        # For each step a number that those have in common which differ in their numbers only.
        self._kinds = [known.setdefault(_kind(step), len(known)) for step in steps]
        self._places: dict[int, list[int]] = defaultdict(list)
        for position, kind in enumerate(self._kinds):
            self._places[kind].append(position)

    def best(self, position: int) -> Rounds | None:
        """The shortest rounds from a position on that repeat enough, else those that save most;
        None when none saves enough."""
        kinds, same = self._kinds, self._places[self._kinds[position]]
        best, most = None, LEAST_SAVED - 1
        after = bisect_right(same, position)
        for other in same[after : after + CANDIDATES]:
            length = other - position
            if length > LONGEST:
                break
            if kinds[position:other] != kinds[other : other + length]:
                continue
            rounds = self._rounds(position, length)
            if rounds is not None and (saved := _saved(self._steps, rounds)) > most:
                best, most = rounds, saved
                if rounds.count >= ENOUGH:
                    break
        return best

    def _rounds(self, first: int, length: int) -> Rounds | None:
        """The rounds of so many steps from a position on, of which two are of the same kinds; None
        when there are too few registers."""
        second, kinds = first + length, self._kinds
        steps = self._steps[first:second]
        growths: list[Growth] = []
        different: set[int] = set()
        for step, later in zip(steps, self._steps[second : second + length], strict=True):
            growth = _growth(step.command, later.command)
            if growth is None or not _may_grow(step, growth):
                return None
            different.update(growth.different)
            if len(different) > MOST_GROWTHS:
                return None
            growths.append(growth)
        if _operands(steps, growths) > MOST_OPERANDS:
            return None
        count, begin = 2, second
        while kinds[begin : begin + length] == kinds[begin + length : begin + 2 * length] and all(
                _growth(self._steps[n].command, self._steps[n + length].command) == growth
                for n, growth in enumerate(growths, begin)):
            count, begin = count + 1, begin + length
        return Rounds(first, length, count, tuple(growths))


def _growth(command: Command, later: Command) -> Growth | None:
    """From a command to one of the same kind; None when they have different parameters."""
    words = tuple([b - a >> IMMEDIATE_LO & MASK
                   for a, b in zip(command.words, later.words, strict=True)])
    b = 0 if command.b is None or later.b is None else later.b - command.b & MASK
    before, after = command.parameters, later.parameters
    if before is after:
        return Growth(words, b, ())
    grown = []
    for index, value in before.items():
        grows_to = after.get(index)
        if grows_to is None:
            return None
        if by := grows_to - value & MASK:
            grown.append((index, by))
    return Growth(words, b, tuple(grown))


def _kind(step: Step) -> tuple[Any, ...]:
    command = step.command
    return (command.engine, *[word & LOW for word in command.words], command.b is None,
            command.repeat, id(command.location), len(command.parameters), tuple(step.waits),
            tuple(step.posts))


def _may_grow(step: Step, growth: Growth) -> bool:
    """Whether all instructions whose immediate grows add a register to it."""
    words = step.command.words
    return all(has_register(word & 0xFF)
               for word, by in zip(words, growth.words, strict=True) if by)


@cache
def has_register(opcode: int) -> bool:
    """Whether instructions add the register rs1 to their immediate."""
    return "rs1" in BY_OPCODE[opcode].FIELDS


def _operands(steps: Sequence[Step], growths: Sequence[Growth]) -> int:
    """Register operands that stay the same; the others share one register."""
    return len({step.command.b for step, growth in zip(steps, growths, strict=True)
                if step.command.b and step.command.repeat is None and not growth.b})


def _saved(steps: Sequence[Step], rounds: Rounds) -> int:
    """About how many instructions fewer the text has with a loop."""
    length, loop = 0, 2
    for step, growth in zip(steps[rounds.first : rounds.first + rounds.length], rounds.growths,
                            strict=True):
        command = step.command
        length += len(step.waits) + len(step.posts) + len(growth.different)
        length += len(command.words) + (command.b is not None)
        if command.repeat is not None:
            length += len(command.repeat.counts) + 2
            loop += 2
    different = {by for growth in rounds.growths for by in growth.different}
    return (rounds.count - 1) * length - loop - 2 * len(different)
