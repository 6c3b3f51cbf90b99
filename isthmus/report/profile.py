"""A run's cycles, bytes and products, by the StableHLO operation they were spent on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hw.isa.host import Engine
from hw.isa.program import Program
from isthmus.report.attribution import (
    ENGINES,
    NOBODY,
    Indices,
    Operation,
    attribute,
    busy_with,
    under_way,
)
from isthmus.report.occupancy import Occupancy, occupancy
from isthmus.report.text import Roofline, roofline
from isthmus.report.work import Accounts, Work
from sim import loader, model
from sim.result import Result
from sim.source import Names
from sim.spans import build
from sim.trace import Step, Steps, Trace


@dataclass(frozen=True)
class Profile:
    """Everything the page shows."""

    program: Program
    result: Result
    trace: Trace
    operations: Sequence[Operation]
    """In the order of the program."""
    idle: int
    """Cycles in which no engine had work under way."""
    during: Mapping[Engine, Indices]
    """Operation each engine was busy with, by cycle; `NOBODY` where it was not busy."""
    occupancy: Occupancy

    @property
    def limits(self) -> Roofline:
        return roofline(self.program)

    @property
    def macs(self) -> int:
        return sum(operation.macs for operation in self.operations)

    @property
    def utilisation(self) -> float:
        """Share of the array's multipliers that had work."""
        return self.macs / max(self.trace.cycles * self.program.config.macs_per_cycle, 1)

    @property
    def bytes_read(self) -> int:
        return sum(operation.bytes_read for operation in self.operations)

    @property
    def bytes_written(self) -> int:
        return sum(operation.bytes_written for operation in self.operations)


def profile(program: Program, inputs: Sequence[loader.Array] = (), *, sim: str = "model"
            ) -> Profile:
    """Runs a program on `rtl` or `model` and accounts for it.

    Raises:
        InputError: the inputs do not match the program.
        Fault: the program ended with an error.
    """
    steps = Steps()
    cycles, work = _walk(program, inputs, steps)
    if sim == "model":
        result = Result(outputs=[], cycles=cycles, trace=build(program, cycles, steps))
    else:
        from sim import rtl  # Amaranth, which the model does not need
        result = rtl.run(program, inputs, rtl.Options(trace=True))
    assert result.trace is not None
    return account(program, result, result.trace, work)


def scratchpad(program: Program, inputs: Sequence[loader.Array], trace: Trace) -> Occupancy:
    """Bytes of the scratchpad in use during a traced run."""
    return occupancy(program, trace, _walk(program, inputs)[1])


def _walk(program: Program, inputs: Sequence[loader.Array], steps: Steps | None = None
          ) -> tuple[int, dict[Engine, list[Work]]]:
    """Predicted cycles and the work of each command; notes the steps as well if asked to."""
    walk = model.prepared(program, inputs)
    accounts = Accounts(walk.state)

    def observe(step: Step) -> None:
        accounts.add(step)
        if steps is not None:
            steps.add(step)

    walk.observer = observe
    return walk.run(), accounts.work


def account(program: Program, result: Result, trace: Trace, work: dict[Engine, list[Work]]
            ) -> Profile:
    """The profile of a traced run whose commands did this work."""
    names = Names(program)
    table = {name: Operation(name) for name in dict.fromkeys(map(names, range(len(program.text))))}
    numbers = {name: number for number, name in enumerate(table)}
    for account in (account for accounts in work.values() for account in accounts):
        operation = table[names(account.pc)]
        operation.bytes_read += account.bytes_read
        operation.bytes_written += account.bytes_written
        operation.macs += account.macs
    operations = list(table.values())
    begun = {engine: under_way(trace, engine, numbers) for engine in ENGINES}
    busy = {engine: busy_with(trace, engine, begun[engine]) for engine in ENGINES}
    idle = attribute(operations, busy, begun)
    return Profile(program, result, trace, [op for op in operations if _matters(op)], idle,
                   _renumbered(busy, operations), occupancy(program, trace, work))


def _matters(operation: Operation) -> bool:
    return bool(operation.exposed or operation.active or operation.bytes_moved)


def _renumbered(during: Mapping[Engine, Indices], operations: Sequence[Operation]
                ) -> dict[Engine, Indices]:
    """The same with the numbers of the operations that matter, and `NOBODY` last."""
    kept = np.cumsum([_matters(op) for op in operations], dtype=np.int32) - 1
    table = np.append(kept, NOBODY).astype(np.int32)
    return {engine: table[numbers] for engine, numbers in during.items()}
