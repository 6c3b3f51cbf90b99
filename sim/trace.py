"""What every engine did when: the record of a run, the same for all simulators that know time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hw.isa.encoding import Instruction
from hw.isa.host import Activity, Engine

Segment = tuple[int, int, Activity]
"""First cycle, end and what the engine did in between."""


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction's way through its engine, in cycles.

    Attributes:
        dispatched: put into the queue. taken: begun; of a `wait`, at the head of the queue.
        finished: end of its work, its results visible; of a `wait`, granted.
        busy: first cycle and end of the work itself, where known.
        a, b: operands, where known.
    """

    engine: Engine
    instruction: Instruction
    pc: int
    dispatched: int
    taken: int
    finished: int
    busy: tuple[int, int] = (0, 0)
    a: int = 0
    b: int = 0


class Steps(dict[Engine, list[Step]]):
    """Steps by engine, in order."""

    def __init__(self) -> None:
        super().__init__({engine: [] for engine in Engine})

    def add(self, step: Step) -> None:
        self[step.engine].append(step)


@dataclass(frozen=True, slots=True)
class Span:
    """Cycles `start` up to `end` of an engine, for one instruction.

    Attributes:
        name: StableHLO operation and source line the instruction came from.
        kind: mnemonic, or what a sequencer waits for.
        detail: what a reader may want to know beside that.
    """

    engine: Engine
    name: str
    kind: str
    pc: int
    start: int
    end: int
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """A run: spans in order within each engine, activities that cover every cycle."""

    cycles: int
    measured: bool
    """By the RTL; otherwise predicted."""
    steps: Mapping[Engine, Sequence[Step]]
    """Kernels are one step, of `run`."""
    spans: Sequence[Span]
    activities: Mapping[Engine, Sequence[Segment]]
