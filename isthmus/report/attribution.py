"""Which operation a cycle is spent on: by engine, and for the program as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw.isa.host import Activity, Engine
from sim.trace import Trace

ENGINES = (Engine.LOAD, Engine.STORE, Engine.MATRIX, Engine.VECTOR)
NOBODY = -1
Indices = NDArray[np.int32]
"""Numbers of operations, `NOBODY` where there is none."""


@dataclass
class Operation:
    """What one operation, or group of fused ones, cost.

    Attributes:
        busy: cycles each engine worked on it.
        active: cycles in which any engine did.
        exposed: cycles of the program that count as its own; with those of all other operations
            and the idle ones they add up to the program's.
        stalled: part of `exposed` in which its work was under way but no engine was busy.
        bytes_read, bytes_written: of its transfers.
    """

    name: str
    busy: dict[Engine, int] = field(default_factory=lambda: dict.fromkeys(ENGINES, 0))
    active: int = 0
    exposed: int = 0
    stalled: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    macs: int = 0

    @property
    def bytes_moved(self) -> int:
        return self.bytes_read + self.bytes_written


def under_way(trace: Trace, engine: Engine, numbers: Mapping[str, int]) -> Indices:
    """Operation of the engine's span in each cycle, waits not counted."""
    found = np.full(trace.cycles, NOBODY, np.int32)
    for span in trace.spans:
        if span.engine is engine and span.kind != "wait":
            found[span.start : span.end] = numbers[span.name]
    return found


def busy_with(trace: Trace, engine: Engine, begun: Indices) -> Indices:
    """The same where the engine was busy; work without a span belongs to the span before it."""
    busy = np.zeros(trace.cycles, np.bool_)
    for start, end, activity in trace.activities[engine]:
        busy[start:end] = activity is Activity.BUSY
    known = np.where(begun != NOBODY, np.arange(trace.cycles), 0)
    filled = begun[np.maximum.accumulate(known)] if trace.cycles else begun
    return np.where(busy, filled, NOBODY).astype(np.int32)


def attribute(operations: Sequence[Operation], during: Mapping[Engine, Indices],
              begun: Mapping[Engine, Indices]) -> int:
    """Gives each cycle to one operation; the number of cycles left over.

    The engine with the most work decides where several are busy. Where none is, an operation that
    is under way pays, in the same order of engines.
    """
    order = sorted(during, key=lambda e: int(np.count_nonzero(during[e] != NOBODY)), reverse=True)
    for engine in during:
        for operation, cycles in zip(operations, _count(during[engine], operations), strict=True):
            operation.busy[engine] = cycles
    _count_active(operations, [during[engine] for engine in order])
    owner = _first([during[engine] for engine in order])
    stalled = np.where(owner == NOBODY, _first([begun[engine] for engine in order]), NOBODY)
    for operation, own, lost in zip(operations, _count(owner, operations),
                                    _count(stalled, operations), strict=True):
        operation.exposed, operation.stalled = own + lost, lost
    return int(np.count_nonzero((owner == NOBODY) & (stalled == NOBODY)))


def _count_active(operations: Sequence[Operation], layers: Sequence[Indices]) -> None:
    """Counts a cycle once, however many engines are busy with the operation."""
    for position, layer in enumerate(layers):
        counted = np.any([layer == before for before in layers[:position]], axis=0)
        fresh = np.where(counted, NOBODY, layer)
        for operation, cycles in zip(operations, _count(fresh, operations), strict=True):
            operation.active += cycles


def _first(layers: Sequence[Indices]) -> Indices:
    """By cycle, the first layer's operation that is not `NOBODY`."""
    found = layers[0].copy()
    for layer in layers[1:]:
        found = np.where(found == NOBODY, layer, found)
    return found


def _count(numbers: Indices, operations: Sequence[Operation]) -> list[int]:
    """Cycles of each operation."""
    return np.bincount(numbers[numbers != NOBODY], minlength=len(operations)).tolist()
