"""What the generators share: memories, places of tensors, and the command list they append to."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from xdsl.ir import Block, SSAValue

from compiler.codegen import commands, transfer
from compiler.codegen.allocate import ACCUMULATORS, SCRATCHPAD, Allocated, Arena, Constants, Freed
from compiler.codegen.commands import LOCAL, Body, Command, Interval, Stream
from compiler.codegen.staying import Ahead, Staying
from compiler.codegen.tile import End, append, cut_off, end_of
from compiler.codegen.transfer import Transfer
from compiler.codegen.workspace import Workspace
from compiler.errors import Location
from compiler.ir.loops import Load
from compiler.ir.ops import HloOp
from compiler.ir.types import Tensor
from hw.config import AcceleratorConfig
from hw.isa.host import Engine
from hw.isa.program import CONSTANT_WINDOW, WORKSPACE_WINDOW


@dataclass(frozen=True)
class Place:
    """Where a tensor lives: row-major, from an offset of a DRAM window or, with `LOCAL` as window,
    from a local address of the scratchpad.

    Attributes:
        inside: strides of the larger tensor that it is made in, in elements; None when it is dense.
    """

    window: int
    offset: int
    tensor: Tensor
    inside: tuple[int, ...] | None = None

    @property
    def on_chip(self) -> bool:
        return self.window == LOCAL

    def pitch(self, columns: int) -> int:
        """Elements from one row of a matrix to the next; inside a larger one it is longer."""
        return columns if self.inside is None else self.inside[-2]


Event = Allocated | Freed | Command
"""What a generator does."""


@dataclass(frozen=True)
class Mark:
    """How far code generation has come: copies of what shrinks again, sizes of what only grows."""

    scratchpad: Arena
    accumulators: Arena
    workspace: Workspace
    cycles: Counter[Engine]
    block: Block
    commands: End
    constants: int
    places: int
    loaded: int
    staying: Staying | None


class Context:
    """State of one compilation's code generation.

    Attributes:
        scratchpad: local bytes; addresses are local addresses.
        accumulators: rows of the accumulators.
        constants: bytes of the constants window.
        places: where the values known so far live.
        tightness: how often the room for tiles is halved, for buffers that plans do not foresee.
        kept: local addresses of constants that stay on chip; `loaded`: those that are there, as
            they lie in DRAM.
        staying: slabs of a factor that the products of a run share; `shared`: that factor, while
            one of them is made; `keeps`: whether they stay after this one;
            `ahead`: how a product behind it will go through the factor.
        block: the tile block commands are appended to.
        cycles: estimated time of the commands so far, by engine.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.scratchpad = Arena(SCRATCHPAD, config.scratchpad_bytes, config.line_bytes)
        self.accumulators = Arena(ACCUMULATORS, config.accumulator_rows, 1)
        self.constants = Constants()
        self.workspace = Workspace()
        self.places: dict[SSAValue, Place] = {}
        self.kept: dict[SSAValue, int] = {}
        self.tightness = 0
        self.loaded: dict[SSAValue, Place] = {}
        self.staying: Staying | None = None
        self.shared: Load | None = None
        self.keeps = False
        self.ahead: Ahead | None = None
        self.block = Block()
        self.cycles: Counter[Engine] = Counter()
        self._events: list[Event] | None = None

    def mark(self) -> Mark:
        """For `rewind`."""
        return Mark(self.scratchpad.copy(), self.accumulators.copy(), self.workspace.copy(),
                    self.cycles.copy(), self.block, end_of(self.block), len(self.constants),
                    len(self.places), len(self.loaded), self.staying)

    def rewind(self, mark: Mark) -> None:
        """Forgets everything since a mark, which must not be used again."""
        self.scratchpad, self.accumulators = mark.scratchpad, mark.accumulators
        self.workspace, self.cycles, self.block = mark.workspace, mark.cycles, mark.block
        self.staying = mark.staying
        cut_off(self.block, mark.commands)
        self.constants.shorten(mark.constants)
        for known, count in ((self.places, mark.places), (self.loaded, mark.loaded)):
            while len(known) > count:
                known.popitem()

    def share(self, factor: Load | None, *, keeps: bool) -> None:
        """Says what the next group shares with its neighbours. What stays of another factor, or
        where the next group's buffers may not be, is given up."""
        self.shared, self.keeps, self.ahead = factor, keeps, None
        if self.staying is not None and (
                self.staying.factor != factor or self.staying.end > self.scratchpad.limit):
            self.give_up()

    def give_up(self) -> None:
        """Frees the places of what stays."""
        if self.staying is not None:
            self.scratchpad.free(self.staying.region)
            self.staying = None

    @property
    def plan_bytes(self) -> int:
        """Scratchpad that a plan of tiles may count on."""
        return self.scratchpad.limit >> self.tightness

    def place(self, value: SSAValue) -> Place:
        """Where a value lives; operands and results of a group have a place by the time its
        generator runs. A constant gets one when it is first asked for: the factors of
        contractions are laid out in another way."""
        owner = value.owner
        if value not in self.places and isinstance(owner, HloOp) and owner.kind == "constant":
            raw = np.ascontiguousarray(owner.attrs["value"]).tobytes()
            self.places[value] = Place(CONSTANT_WINDOW, self.constants.add(raw), owner.tensor)
        return self.places[value]

    def reserve(self, tensor: Tensor) -> Place:
        """A place in DRAM, in the workspace, until `release`."""
        return Place(WORKSPACE_WINDOW, self.workspace.allocate(tensor.bytes), tensor)

    def release(self, place: Place) -> None:
        """Gives back what `reserve` returned."""
        self.workspace.free(place.offset, place.tensor.bytes)

    @contextmanager
    def buffer(self, size: int, location: Location) -> Iterator[int]:
        """`size` bytes of scratchpad for the commands made inside the `with` block."""
        address = self.scratchpad.allocate(size, location)
        yield address
        self.scratchpad.free(address)

    @contextmanager
    def recorded(self) -> Iterator[list[Event]]:
        """What is done inside the `with` block, from local memory allocated to commands added."""
        events: list[Event] = []
        self._events = self.scratchpad.events = self.accumulators.events = events
        try:
            yield events
        finally:
            self._events = self.scratchpad.events = self.accumulators.events = None

    def add(self, command: Command) -> None:
        """Appends a command."""
        if self._events is not None:
            self._events.append(command)
        self.cycles[command.engine] += command.cycles
        append(self.block, command)

    def load(self, moved: Transfer, location: Location, pad: int = 0) -> None:
        """Appends `transfer.load`."""
        self.add(transfer.load(self.config, moved, location, pad))

    def store(self, moved: Transfer, location: Location) -> None:
        """Appends `transfer.store`."""
        self.add(transfer.store(self.config, moved, location))

    def kernel(self, groups: int, body: Body, inputs: Mapping[int, Stream],
               outputs: Mapping[int, Stream], location: Location, *, strip: int | None = None,
               tables: Sequence[Interval] = (), scattered: Sequence[Interval] = ()) -> None:
        """Appends `commands.kernel`; the strip defaults to the longest there is."""
        self.add(commands.kernel(self.config, groups, body, inputs, outputs,
                                 strip or self.config.strip_groups, location, tables, scattered))
