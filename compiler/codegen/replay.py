"""Commands of groups that are equal to an earlier one but for where their tensors lie.

The bands of a chain are many such groups. What is decided for a group (tiles, order, kernels) does
not depend on addresses, so the commands of the earlier one are made again for other addresses: each
moves by as much as the tensors and buffers do that it touches. Buffers are allocated as they were.

Of the first group the allocations, releases and commands are recorded. The record is not used
where a command touches anything else than the group's tensors, its buffers and constants, or
where more than commands is left of the generator's work.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from compiler.codegen.allocate import ACCUMULATORS, Allocated, Freed
from compiler.codegen.commands import LOCAL, Command, Interval, displaced, moved
from compiler.codegen.context import Context, Event
from compiler.codegen.emit_loops import MASK
from compiler.codegen.groups import generate
from compiler.codegen.replay_key import Region, ReplayKeys
from compiler.errors import Location
from compiler.ir.ops import HloOp
from hw.isa.dtypes import DType
from hw.isa.host import ACCUMULATOR_BASE, Engine
from hw.isa.params import INPUT_STREAMS, OUTPUT_STREAMS, StreamParam, input_stream, output_stream
from hw.isa.program import CONSTANT_WINDOW

INPUTS, OUTPUTS = (frozenset(stream(n, StreamParam.BASE) for n in range(count))
                   for stream, count in ((input_stream, INPUT_STREAMS),
                                         (output_stream, OUTPUT_STREAMS)))
FIXED = 0
"""Number of the region of what does not move; the group's tensors and then its buffers follow."""


class Replay:
    """Generates the commands of groups, those of equal ones from a record of the first."""

    def __init__(self, context: Context) -> None:
        self._context, self._keys = context, ReplayKeys(context)
        self._records: dict[Hashable, _Record] = {}

    def generate(self, group: HloOp) -> None:
        """Appends the commands of a group, as `groups.generate` does. Those of a group that shares
        slabs with its neighbours depend on more than its key."""
        context = self._context
        if context.shared is not None or context.staying is not None:
            generate(context, group)
            return
        key, regions = self._keys.of(group)
        record = self._records.get(key)
        if record is None:
            before = _left(context)
            with context.recorded() as events:
                generate(context, group)
            if _left(context) == before:
                self._records[key] = _Record(regions, events, context.config.accumulator_row_bytes)
        elif not record.replay(context, regions, _location(group)):
            generate(context, group)

    def forget(self) -> None:
        """Constants are no longer where they were."""
        self._records.clear()


def _left(context: Context) -> tuple[object, ...]:
    """What a generator may leave beside commands."""
    return (len(context.places), len(context.loaded), len(context.constants), context.staying,
            context.workspace.size)


def _location(group: HloOp) -> Location:
    """The origin of a group's commands."""
    (block,) = group.bodies
    return next((op.source for op in block.ops
                 if isinstance(op, HloOp) and op.kind == group.attrs["kind"]), group.source)


@dataclass(slots=True)
class _Move:
    """A command and, for each of its addresses, the region that it moves with.

    Attributes:
        words: of each instruction's immediate, none for a kernel, whose addresses are parameters;
            `parameters`: (index, region).
        b: of the register operand, which counts units of so many bytes.
    """

    command: Command
    words: tuple[int, ...]
    b: int
    unit: int
    parameters: tuple[tuple[int, int], ...]
    reads: Sequence[int]
    writes: Sequence[int]

    def to(self, by: Sequence[int], location: Location) -> Command:
        """The command with each region so many bytes on."""
        old = self.command
        parameters = old.parameters
        if self.parameters:
            parameters = parameters.copy()
            for index, region in self.parameters:
                parameters[index] = parameters[index] + by[region] & MASK
        words = old.words
        if self.words:
            words = tuple([displaced(word, by[region])
                           for word, region in zip(words, self.words, strict=True)])
        b = None if old.b is None else old.b + by[self.b] // self.unit
        reads, writes = (
            tuple([moved(interval, by[r]) for interval, r in zip(touched, regions, strict=True)])
            for touched, regions in ((old.reads, self.reads), (old.writes, self.writes)))
        return Command(old.engine, words, b, parameters, reads, writes, old.cycles, old.latency,
                       location, repeat=old.repeat)


class _Record:
    """What the generator did for one group.

    Args:
        regions: of the group's tensors.
        row_bytes: of an accumulator row.
    """

    def __init__(self, regions: Sequence[Region], events: Sequence[Event], row_bytes: int) -> None:
        self._regions, self._events, self._row_bytes = regions, events, row_bytes

    @cached_property
    def steps(self) -> "Sequence[Allocated | _Release | _Move] | None":
        """What to do again; None when some command cannot be moved."""
        # What is there at the time, by the number of its region.
        live: dict[int, _Bytes] = {FIXED: (CONSTANT_WINDOW, 0, 1 << 32)}
        live.update((number, region[:3]) for number, region in enumerate(self._regions, FIXED + 1))
        buffers: dict[Freed, int] = {}
        steps: list[Allocated | _Release | _Move] = []
        count = len(live)
        for event in self._events:
            if isinstance(event, Allocated):
                buffers[Freed(event.arena, event.address)] = count
                live[count] = self._bytes(event)
                steps.append(event)
                count += 1
            elif isinstance(event, Freed):
                number = buffers.pop(event)
                del live[number]
                steps.append(_Release(event.arena, number))
            else:
                move = self._move(event, live)
                if move is None:
                    return None
                steps.append(move)
        return steps

    def _unit(self, arena: str) -> int:
        """Bytes."""
        return self._row_bytes if arena == ACCUMULATORS else 1

    def _bytes(self, buffer: Allocated) -> "_Bytes":
        base, unit = ACCUMULATOR_BASE * (buffer.arena == ACCUMULATORS), self._unit(buffer.arena)
        first = base + buffer.address * unit
        return LOCAL, first, first + buffer.size * unit

    def _move(self, command: Command, live: "Mapping[int, _Bytes]") -> _Move | None:
        """Every address is that of an interval; which one depends on the engine."""
        reads, writes = ([_region(interval, live) for interval in touched]
                         for touched in (command.reads, command.writes))
        if -1 in reads or -1 in writes or command.overtakes:
            return None
        if command.engine is Engine.VECTOR:
            inputs, outputs = _bases(command.parameters)
            if (len(inputs), len(outputs)) != (len(reads), len(writes)):
                return None  # it reads or writes by computed addresses
            return _Move(command, (), FIXED, 1,
                         tuple(zip((*inputs, *outputs), (*reads, *writes), strict=True)),
                         reads, writes)
        if command.engine is Engine.MATRIX:
            return _Move(command, tuple(reads[:2]), writes[0], self._row_bytes, (), reads, writes)
        if len(reads) != 1 or len(writes) != 1:
            return None
        dram, local = (reads, writes) if command.engine is Engine.LOAD else (writes, reads)
        return _Move(command, tuple(dram), local[0], 1, (), reads, writes)

    def replay(self, context: Context, regions: Sequence[Region], location: Location) -> bool:
        """Appends the commands for other places of the tensors; does nothing, and returns False,
        when they cannot be moved."""
        if self.steps is None:
            return False
        by = [0, *[new.base - old.base for new, old in zip(regions, self._regions, strict=True)]]
        addresses = by.copy()
        arenas = {arena.what: arena for arena in (context.scratchpad, context.accumulators)}
        for step in self.steps:
            if isinstance(step, _Move):
                context.add(step.to(by, location))
            elif isinstance(step, Allocated):
                address = arenas[step.arena].allocate(step.size, location)
                addresses.append(address)
                by.append((address - step.address) * self._unit(step.arena))
            else:
                arenas[step.arena].free(addresses[step.region])
        return True


class _Release(NamedTuple):
    """The buffer of a region is freed."""

    arena: str
    region: int


_Bytes = tuple[int, int, int]
"""Space, first, end."""


def _region(interval: Interval, live: Mapping[int, _Bytes]) -> int:
    """Number of the region an interval is in, -1 for none."""
    space, first, end = interval[:3]
    return next((number for number, (where, start, stop) in live.items()
                 if where == space and start <= first and end <= stop), -1)


def _bases(parameters: Mapping[int, int]) -> tuple[list[int], list[int]]:
    """Indices of the addresses at which input and output streams begin, in order."""
    kind = StreamParam.TYPE - StreamParam.BASE
    return ([index for index in parameters
             if index in INPUTS and parameters[index + kind] != DType.ADDR],
            [index for index in parameters if index in OUTPUTS])
