"""Elementwise nests: streams through vector kernels, tile by tile."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from compiler.codegen.body import GATHER_STREAM
from compiler.codegen.clamps import clamped
from compiler.codegen.commands import Stream
from compiler.codegen.context import Context, Place
from compiler.codegen.footprint import Step, footprint, transfers
from compiler.codegen.graph import Graph, inputs
from compiler.codegen.nests import merge_dimensions, tiles
from compiler.codegen.operands import Loader, Operand, Resident
from compiler.codegen.partition import RESULT, Kernel, partition
from compiler.errors import Location
from compiler.ir.types import ElementType, row_major
from compiler.ops.views import View
from hw.isa.dtypes import DType
from hw.isa.params import LEVELS

BUFFERS = 4
"""Tiles that fit the scratchpad at once: one in work, the others on their way in and out."""
TILES = 8
"""Tiles a nest is cut into at least, when they stay long enough, so that transfers overlap."""
SHORTEST_TILE_STRIPS = 8
WORD, LANE_BITS = 4, 32


@dataclass(frozen=True)
class Target:
    """Where a nest's result goes: a walk over a tensor, each element once."""

    place: Place
    view: View

    @classmethod
    def whole(cls, place: Place) -> "Target":
        return cls(place, View.whole(place.tensor))

    @property
    def element(self) -> ElementType:
        return self.place.tensor.element


@dataclass(frozen=True)
class Nest:
    """An elementwise computation over a space of indices.

    Attributes:
        operands: views of those that outputs need have the nest's shape.
        outputs: nodes of the graph; its inputs are numbers of operands.
        results: one for each output, of the nest's shape.
    """

    shape: tuple[int, ...]
    operands: tuple[Operand, ...]
    graph: Graph
    outputs: tuple[int, ...]
    results: tuple[Target, ...]
    location: Location


def generate(context: Context, nest: Nest) -> None:
    """Appends the commands of a nest."""
    if prod(nest.shape) == 0:
        return
    nest = _merged(nest)
    elements = [r.element for r in nest.results]
    kernels = partition(nest.graph, nest.outputs, elements,
                        [n for n, element in enumerate(elements) if element.bits == LANE_BITS])
    temporaries = -min((0, *(n for kernel in kernels for n in kernel.outputs)))
    loaders = [Loader(context, operand, nest.location) for operand in nest.operands]
    tables = KernelTables(context, kernels, nest.location)
    boxes = list(tiles(nest.shape, _tile_elements(context, nest, temporaries), LEVELS))
    lanes = context.config.lanes
    largest = max(_groups(extents, lanes) for _, extents in boxes) * lanes * WORD
    # Kernels follow each other in order: one place for each temporary does for all tiles.
    temporary = [context.scratchpad.allocate(largest, nest.location) for _ in range(temporaries)]
    used = sorted({n for kernel in kernels for n in kernel.inputs if 0 <= n < RESULT})
    for start, extents in boxes:
        operands = {n: loaders[n].box(start, extents) for n in used}
        _tile(context, nest, kernels, operands, start, extents, temporary, tables)
    for address in temporary:
        context.scratchpad.free(address)
    for loader in loaders:
        loader.close()
    tables.close()


def _merged(nest: Nest) -> Nest:
    """The nest with as few dimensions as its operands allow, at least one."""
    used = set(inputs(nest.graph, nest.outputs))
    views = [o.view for n, o in enumerate(nest.operands) if n in used]
    views += [result.view for result in nest.results]
    groups = merge_dimensions(nest.shape, [view.strides for view in views])
    shape = tuple(prod(nest.shape[d] for d in group) for group in groups) or (1,)

    def merged(view: View) -> View:
        return View(shape, tuple(view.strides[g[-1]] for g in groups) or (0,), view.offset)

    nothing = View(shape, (0,) * len(shape))
    operands = tuple(Operand(o.place, merged(o.view) if n in used else nothing)
                     for n, o in enumerate(nest.operands))
    results = tuple(Target(r.place, merged(r.view)) for r in nest.results)
    return Nest(shape, operands, nest.graph, nest.outputs, results, nest.location)


def _tile_elements(context: Context, nest: Nest, temporaries: int) -> int:
    config = context.config
    strip = config.lanes * config.strip_groups
    elements = prod(nest.shape)
    target = max(elements // TILES, SHORTEST_TILE_STRIPS * strip)
    target = -(-target // strip) * strip
    while target > config.lanes and _tile_bytes(context, nest, temporaries, target) \
            > context.scratchpad.limit // BUFFERS:
        target //= 2
    return target


def _tile_bytes(context: Context, nest: Nest, temporaries: int, target: int) -> int:
    _, extents = next(tiles(nest.shape, target, LEVELS))
    size = sum(footprint(o.view.strides, extents).elements * o.unit
               for o in nest.operands if o.place is not None and not o.place.on_chip)
    size += prod(extents) * sum(r.element.size for r in nest.results if not r.place.on_chip)
    lanes = context.config.lanes
    return size + _groups(extents, lanes) * lanes * WORD * temporaries


class KernelTables:
    """The table that `gather` reads, in the scratchpad as long as a nest needs it."""

    def __init__(self, context: Context, kernels: Sequence[Kernel], location: Location) -> None:
        self.context = context
        self.address: int | None = None
        self.data = next((kernel.tables for kernel in kernels if kernel.tables), b"")
        if self.data:
            self.address = context.scratchpad.allocate(len(self.data), location)
            words = Step(len(self.data) // WORD, WORD, WORD)
            for transfer in transfers(1, context.constants.add(self.data), self.address, [words],
                                      DType.S32, DType.S32):
                context.load(transfer, location)

    def streams(self, kernel: Kernel) -> dict[int, Stream]:
        """The input stream that stands for the table, if the kernel uses it."""
        if not kernel.tables or self.address is None:
            return {}
        return {GATHER_STREAM: Stream(self.address, len(self.data) // WORD, WORD, (), DType.S32)}

    def close(self) -> None:
        if self.address is not None:
            self.context.scratchpad.free(self.address)


def _tile(context: Context, nest: Nest, kernels: Sequence[Kernel], operands: dict[int, Resident],
          start: Sequence[int], extents: Sequence[int], temporary: Sequence[int],
          tables: KernelTables) -> None:
    lanes = context.config.lanes
    full, extents = extents, extents[-LEVELS:]
    groups = _groups(extents, lanes)
    results = [open_box(context, target, start, full, nest.location) for target in nest.results]
    whole = Stream(0, groups * lanes, WORD, ((groups, lanes * WORD),), DType.S32, lane_level=1)

    def port(number: int) -> Stream:
        if number >= 0:
            resident = results[number - RESULT] if number >= RESULT else operands[number]
            return _clipped(resident, len(extents)).stream(extents, lanes)
        address = temporary[-1 - number]
        return Stream(address, whole.n0, WORD, whole.levels, DType.S32, lane_level=1)

    for kernel in kernels:
        inputs = tables.streams(kernel)
        for stream, number in enumerate(kernel.inputs):
            inputs[stream] = port(number)
        outputs = {}
        for stream, (number, clamp) in enumerate(zip(kernel.outputs, kernel.clamps, strict=True)):
            outputs[stream] = port(number) if number < 0 else clamped(port(RESULT + number), clamp)
        context.kernel(groups, kernel.body, inputs, outputs, nest.location)
    for target, box in zip(nest.results, results, strict=True):
        close_box(context, target, box, start, full, nest.location)


def _groups(extents: Sequence[int], lanes: int) -> int:
    """Groups of lanes in a box, each row of it in whole groups."""
    return -(-extents[-1] // lanes) * prod(extents[:-1])


def _clipped(resident: Resident, depth: int) -> Resident:
    """Without the outer dimensions, in which a tile does not extend."""
    return Resident(resident.address, resident.strides[-depth:], resident.dtype, resident.fill)


def open_box(context: Context, target: Target, start: Sequence[int], extents: Sequence[int],
             location: Location) -> Resident:
    """Where kernels write a box of a result: the tensor itself when it is on chip, else a dense
    buffer. `close_box` takes it from there."""
    size, dtype = target.element.size, target.element.memory
    if target.place.on_chip:
        first = target.view.offset + sum(
            i * s for i, s in zip(start, target.view.strides, strict=True))
        return Resident(target.place.offset + first * size,
                        tuple(s * size for s in target.view.strides), dtype)
    address = context.scratchpad.allocate(prod(extents) * size, location)
    return Resident(address, tuple(n * size for n in row_major(tuple(extents))), dtype)


def close_box(context: Context, target: Target, box: Resident, start: Sequence[int],
              extents: Sequence[int], location: Location) -> None:
    """Appends the stores of a box whose kernels have been appended, and frees its buffer."""
    if target.place.on_chip:
        return
    store_box(context, target, box.address, start, extents, location)
    context.scratchpad.free(box.address)


def store_box(context: Context, target: Target, address: int, start: Sequence[int],
              extents: Sequence[int], location: Location) -> None:
    """Appends the stores of a box that lies densely in the scratchpad."""
    dtype, view = target.element.memory, target.view
    first = view.offset + sum(i * s for i, s in zip(start, view.strides, strict=True))
    steps = [Step(e, stride * dtype.size, local * dtype.size) for e, stride, local
             in zip(extents, view.strides, row_major(tuple(extents)), strict=True)][::-1]
    for transfer in transfers(target.place.window, target.place.offset + first * dtype.size,
                              address, steps, dtype, dtype):
        context.store(transfer, location)
