"""Keeps random programs free of races: engines that touch the same bytes are put in order."""

from dataclasses import dataclass, field

import numpy as np

from hw.isa.encoding import Instruction
from hw.isa.host import Engine
from hw.isa.sync import Drain, Post, Wait


@dataclass(frozen=True)
class Span:
    """Bytes first to last of one address space, read or written."""

    space: str
    first: int
    last: int
    write: bool

    def conflicts(self, other: "Span") -> bool:
        return (self.space == other.space and (self.write or other.write)
                and self.first <= other.last and other.first <= self.last)


@dataclass
class Order:
    """Emits the semaphore traffic that a command needs before it may be dispatched."""

    rng: np.random.Generator
    emit: list[Instruction]
    history: list[tuple[Engine, tuple[Span, ...]]] = field(default_factory=list)
    seen: dict[tuple[Engine, Engine], int] = field(default_factory=dict)
    """How much of the history of one engine another one is already ordered after."""

    def before(self, engine: Engine, spans: tuple[Span, ...]) -> None:
        """Orders `engine` after all earlier commands of others that touch `spans`."""
        for other in Engine:
            if other is not engine and self._must_wait(engine, other, spans):
                self._synchronise(engine, other)
        self.history.append((engine, spans))

    def _must_wait(self, engine: Engine, other: Engine, spans: tuple[Span, ...]) -> bool:
        start = self.seen.get((engine, other), 0)
        return any(a.conflicts(b) for who, theirs in self.history[start:] if who is other
                   for a in theirs for b in spans)

    def _synchronise(self, engine: Engine, other: Engine) -> None:
        if engine is Engine.SEQUENCER and self.rng.random() < 0.5:
            self.emit.append(Drain(mask=1 << other | int(self.rng.integers(32))))
        elif other is Engine.SEQUENCER:
            pass  # its work is finished before anything behind it is dispatched
        else:
            # A semaphore of its own for each pair, so that no third engine takes the tokens.
            semaphore, n = engine * len(Engine) + other, int(self.rng.integers(1, 100))
            self.emit.append(Post(engine=other, semaphore=semaphore, n=n))
            self.emit.append(Wait(engine=engine, semaphore=semaphore, n=n))
        self.seen[engine, other] = len(self.history)
