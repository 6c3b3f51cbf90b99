"""What the generators share: memories, places of tensors, and the command list they append to."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from xdsl.ir import Block, SSAValue

from compiler.codegen import commands
from compiler.codegen.allocate import Arena, Constants, Workspace
from compiler.codegen.commands import Body, Command, Interval, Stream, Transfer
from compiler.codegen.tile import append
from compiler.errors import Location
from compiler.ir.types import Tensor
from hw.config import AcceleratorConfig
from hw.isa.program import WORKSPACE_WINDOW


@dataclass(frozen=True)
class Place:
    """Where a tensor lives in DRAM: dense, row-major, from an offset of a window."""

    window: int
    offset: int
    tensor: Tensor


class Context:
    """State of one compilation's code generation.

    Attributes:
        scratchpad: local bytes; addresses are local addresses.
        accumulators: rows of the accumulators.
        constants: bytes of the constants window.
        places: where the values known so far live.
        block: the tile block commands are appended to.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.scratchpad = Arena("scratchpad", config.scratchpad_bytes, config.line_bytes)
        self.accumulators = Arena("accumulators", config.accumulator_rows, 1)
        self.constants = Constants()
        self.workspace = Workspace()
        self.places: dict[SSAValue, Place] = {}
        self.block = Block()

    def place(self, value: SSAValue) -> Place:
        """Where a value lives; operands and results of a group have a place by the time its
        generator runs."""
        return self.places[value]

    def reserve(self, tensor: Tensor) -> Place:
        """A place in the workspace, until `release`."""
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

    def add(self, command: Command) -> None:
        append(self.block, command)

    def load(self, transfer: Transfer, location: Location, pad: int = 0) -> None:
        """Appends `commands.load`."""
        self.add(commands.load(self.config, transfer, location, pad))

    def store(self, transfer: Transfer, location: Location) -> None:
        """Appends `commands.store`."""
        self.add(commands.store(self.config, transfer, location))

    def load_weights(self, base: int, k: int, n: int, stride: int, location: Location, *,
                     integer: bool = False, transposed: bool = False) -> None:
        """Appends `commands.load_weights`."""
        self.add(commands.load_weights(base, k, n, stride, integer, transposed, location))

    def multiply(self, activations: int, accumulator_row: int, k: int,
                 levels: Sequence[tuple[int, int, int]], location: Location, *,
                 integer: bool = False, accumulate: bool = False, swap: bool = True) -> None:
        """Appends `commands.multiply`."""
        self.add(commands.multiply(self.config, activations, accumulator_row, k, levels, integer,
                                   accumulate, swap, location))

    def kernel(self, groups: int, body: Body, inputs: Mapping[int, Stream],
               outputs: Mapping[int, Stream], location: Location, *, strip: int | None = None,
               tables: Sequence[Interval] = (), scattered: Sequence[Interval] = ()) -> None:
        """Appends `commands.kernel`; the strip defaults to the longest there is."""
        self.add(commands.kernel(self.config, groups, body, inputs, outputs,
                                 strip or self.config.strip_groups, location, tables, scattered))
