"""Semaphores: one per pair of engines, each `wait` for exactly one `post`.

A producer posts after the command, the consumer waits before its own; both go in order, so the
n-th wait of a pair belongs to its n-th post. What a consumer already knows to be finished, by an
earlier wait or through a third engine, is not waited for again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from compiler.codegen.commands import Command
from hw.isa.host import Engine

Clock = list[int]
"""By engine the last of its commands (counted from 0) known to be finished; -1 for none."""


@dataclass(slots=True)
class Step:
    """A command to dispatch, the engines to wait for before it and to post to after it."""

    command: Command
    waits: list[Engine] = field(default_factory=list)
    posts: list[Engine] = field(default_factory=list)


def semaphore(producer: Engine, consumer: Engine) -> int:
    """Number of the counter between two engines."""
    return (producer - 1) * 4 + (consumer - 1)


def synchronise(commands: Sequence[Command], waits_for: Sequence[Sequence[int]],
                order: Sequence[int]) -> list[Step]:
    """The commands in dispatch order with their waits and posts.

    Args:
        waits_for: for each command the positions of those it depends on.
        order: positions in dispatch order, dependences first, each engine's own order kept.
    """
    steps = [Step(command) for command in commands]
    known = {engine: [-1] * len(Engine) for engine in Engine}
    ordinal = [0] * len(commands)
    count = dict.fromkeys(Engine, 0)
    finished_knows: dict[int, Clock] = {}
    dispatched = [0] * len(commands)
    for place, position in enumerate(order):
        dispatched[position] = place
    for position in order:
        engine = commands[position].engine
        clock, others = known[engine], waits_for[position]
        if len(others) > 1:
            # Later ones know more: waiting for them first saves waiting for what they waited for.
            others = sorted(others, key=dispatched.__getitem__, reverse=True)
        for other in others:
            producer = commands[other].engine
            if clock[producer] >= ordinal[other]:
                continue
            steps[other].posts.append(engine)
            steps[position].waits.append(producer)
            clock[:] = map(max, clock, finished_knows[other])
            clock[producer] = ordinal[other]
        ordinal[position] = count[engine]
        count[engine] += 1
        finished_knows[position] = clock.copy()
    return [steps[position] for position in order]
