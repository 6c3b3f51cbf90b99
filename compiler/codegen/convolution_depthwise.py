"""Depthwise convolution on the vector unit: one input feature for each group.

The lanes go along the features, and a kernel adds up the products of all kernel positions for a
strip of results, in ascending order as the matrix unit does; so the bits are the same. What follows
the convolution is computed in the same kernel when it fits; otherwise the sums go through the
scratchpad. Some of the features may be left to the matrix unit (`convolution_diagonal`), which
works on them meanwhile; what follows their sums is a kernel of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

from compiler.codegen.body import DoesNotFitError
from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Axis, Box
from compiler.codegen.contraction_operands import Tiling
from compiler.codegen.contraction_output import (
    ComputeResult,
    Epilogue,
    Grid,
    LocalPort,
    Sums,
    gather_sums,
)
from compiler.codegen.contraction_work import Block, Piece, Slab, Visit, accumulator_levels
from compiler.codegen.convolution_depthwise_tile import Depthwise, Tile, four, three
from compiler.codegen.convolution_diagonal import (
    Diagonal,
    block_width,
    tile_cycles,
    units,
)
from compiler.codegen.convolution_operands import WindowActivations
from compiler.codegen.convolution_plan import TRAFFIC
from compiler.codegen.convolution_rows import Rows, even_sizes, row_ranges
from compiler.codegen.convolution_taps import Port, TapsBody, strips, taps_body
from compiler.codegen.elementwise import WORD
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.graph import Graph
from compiler.codegen.local_copies import copy_cycles
from compiler.errors import Location, NoRoomError
from compiler.ir.types import row_major
from hw import timing
from hw.config import AcceleratorConfig
from hw.isa.dtypes import DType

SLAB = Slab(0, 0, 0, (), opens=True, closes=True, last=True)
BUFFERS = 2
"""Tiles of the input that fit the scratchpad at once: in use, and on the way."""
SPREAD = 2
"""Shares of the array that are tried: so many blocks around an even one."""


def body_of(conv: Depthwise, epilogue: Epilogue, parameters: Sequence[int], *,
            reassociate: bool) -> TapsBody | None:
    """The kernel body with the epilogue; None when it does not fit one kernel.

    Args:
        parameters: operands with one element for each feature: vector registers can hold them.
        reassociate: what the epilogue adds may be the first summand.
    """
    for held in ((), parameters):
        try:
            return taps_body(prod(conv.taps), epilogue, held, integer=conv.is_integer,
                             reassociate=reassociate)
        except DoesNotFitError:
            continue
    return None


@dataclass(frozen=True)
class Work:
    """What a depthwise convolution takes.

    Attributes:
        result_bytes: scratchpad for each result element.
        issues: instructions for each group, with those of all kernel positions.
        after_array: instructions for each group whose sums the array makes; None when it cannot.
        beside: multiply-accumulates and result elements of other work at the same time; None when
            there is none.
    """

    result_bytes: int
    issues: int
    after_array: int | None = None
    beside: tuple[int, int] | None = None


@dataclass(frozen=True)
class Plan:
    """How it is cut.

    Attributes:
        rows: ranges of rows; `blocks` of features on the array, the first ones.
    """

    rows: tuple[Rows, ...]
    blocks: int


def choose(context: Context, conv: Depthwise, work: Work, location: Location) -> Plan:
    """The plan with the fewest predicted cycles.

    Raises:
        NoRoomError: not even one result's windows fit.
    """
    config = context.config
    room = context.plan_bytes - conv.weight_bytes
    lines, length = (1, *conv.rows)[-2:]
    limits = {n * length for n in even_sizes(lines)} | {*even_sizes(length), prod(conv.rows)}
    plans = [Plan(tuple(row_ranges(conv.rows, limit)), blocks) for limit in sorted(limits)
             for blocks in _shares(config, conv, work)]
    fitting = [p for p in plans if _need(conv, p, work.result_bytes) <= room and (
        not p.blocks or prod(p.rows[0].sizes) <= config.accumulator_rows // 2)]
    if not fitting:
        raise NoRoomError(
            f"windows of this convolution do not fit the scratchpad of "
            f"{context.config.scratchpad_bytes} bytes: use a configuration with a larger one",
            location)
    return min(fitting, key=lambda plan: _cycles(config, conv, plan, work))


def _shares(config: AcceleratorConfig, conv: Depthwise, work: Work) -> list[int]:
    """Blocks of features on the array: none, all, or about so many that both units finish
    together."""
    if work.after_array is None:
        return [0]
    blocks = -(-conv.features // block_width(config))
    taps = prod(conv.taps)
    macs, elements = work.beside or (0, 0)
    ahead = elements // config.lanes - macs // config.macs_per_cycle
    even = round((blocks * work.issues + ahead / prod(conv.rows)) / (
        taps + max(work.issues - work.after_array, 1)))
    return sorted({0, blocks} | {n for n in range(even - SPREAD, even + SPREAD + 1)
                                 if 0 < n < blocks})


def _need(conv: Depthwise, plan: Plan, result_bytes: int) -> int:
    buffers = min(BUFFERS, len(plan.rows))
    return max(
        buffers * conv.source.tile_bytes(r.sizes)
        + prod(r.sizes) * conv.features * result_bytes for r in plan.rows)


def _cycles(config: AcceleratorConfig, conv: Depthwise, plan: Plan, work: Work) -> int:
    """Of the busiest engine, the first load, the end and the last store."""
    sizes = plan.rows[0].sizes
    own = max(conv.source.channels - plan.blocks * block_width(config), 0)
    kernels = strips(config, three(sizes), own, work.issues) if own else []
    compute = conv.multiplier * sum(part.cycles(work.issues) for part in kernels)
    load = copying = 0
    if conv.source.in_place:
        pass
    elif conv.source.on_chip:
        copying = copy_cycles(config, conv.source.tile_bytes(sizes))
    else:
        load = timing.dma_cycles(config, 1, conv.source.tile_bytes(sizes))
    compute += copying
    store = timing.dma_cycles(config, 1, prod(sizes) * conv.features * WORD // 2)
    last = array = 0
    if plan.blocks:
        rows, after = prod(sizes), work.after_array or 0
        together = units(config, rows, plan.blocks)
        finish = [timing.kernel_cycles(config, rows * count, after) for _, count in together]
        array = prod(conv.taps) * sum(
            count * tile_cycles(config, rows, count) for _, count in together)
        compute, last = compute + sum(finish), finish[-1]
    loads = len(plan.rows) * load
    if work.beside is not None:
        macs, elements = work.beside
        return max(len(plan.rows) * array + macs // config.macs_per_cycle,
                   len(plan.rows) * compute + elements // config.lanes, loads) + loads // TRAFFIC
    busiest = max(len(plan.rows) * max(compute, array), loads)
    return busiest + load + last + store + loads // TRAFFIC


def emit(context: Context, conv: Depthwise, plan: Plan, grid: Grid, epilogue: Epilogue,
         fused: TapsBody | None, array: Diagonal | None, location: Location) -> None:
    """Appends the commands.

    Args:
        fused: what `body_of` returned.
        array: the plan's blocks on the array, None when there are none.
    """
    rows = plan.rows
    tiling = Tiling(grid.rows, (Box(0, (0,), (Axis(conv.features, (1,)),)),), (), ((0, 0),),
                    ("none", "none"))
    activations = WindowActivations(context, conv.source, rows, tiling, conv.features, 1, location)
    output = _Output(context, grid, epilogue, conv, fused, array, location)
    size = max(conv.source.tile_bytes(part.sizes) for part in rows)
    buffers = min(BUFFERS, len(rows))
    with context.buffer(conv.weight_bytes + buffers * size, location) as buffer:
        weights = _weights(context, conv, buffer, location)
        tiles = [buffer + conv.weight_bytes + number * size for number in range(buffers)]
        # The vector unit copies a tile on chip before its own part of the work on the one before.
        ahead = 1 if conv.source.on_chip else 0
        brought = [_bring(activations, number, tiles) for number in range(min(ahead, len(rows)))]
        for number, part in enumerate(rows):
            if number + ahead < len(rows):
                brought.append(_bring(activations, number + ahead, tiles))
            block, tile = Block(0, number, 0), brought[number]
            output.open(Visit(block, SLAB))
            (piece,) = activations.pieces(Visit(block, SLAB), 1)
            output.multiply(block, part.sizes, piece, tile, weights)
            output.close()
    output.end()


def _bring(activations: WindowActivations, number: int, tiles: Sequence[int]) -> int:
    """Local address of the input's tile for a range of rows, loaded or copied if need be."""
    at = Visit(Block(0, number, 0), SLAB)
    address = activations.in_place(at)
    if address is None:
        address = tiles[number % len(tiles)]
        activations.load(at, address)
    return address


def _weights(context: Context, conv: Depthwise, buffer: int, location: Location) -> int:
    """Local address of the weights, [kernel positions][features]: loaded into a buffer unless they
    are on chip."""
    if conv.kernel.on_chip:
        return conv.kernel.places[0][1]
    _load_weights(context, conv, buffer, location)
    return buffer


def _load_weights(context: Context, conv: Depthwise, address: int, location: Location) -> None:
    kernel = conv.kernel
    window, offset = kernel.places[0]
    size, unit = kernel.dram_type.size, kernel.local_type.size
    pitch = [n * conv.features * unit
             for n in row_major(tuple(axis.size for axis in kernel.k))]
    steps = [Step(conv.features, kernel.free[0].strides[0] * size, unit)]
    steps += [Step(axis.size, axis.strides[1] * size, n)
              for axis, n in zip(reversed(kernel.k), reversed(pitch), strict=True)]
    for transfer in transfers(window, offset, address, steps, kernel.dram_type, kernel.local_type):
        context.load(transfer, location)


class _Output(ComputeResult):
    """Sums of products, and what becomes of them."""

    def __init__(self, context: Context, grid: Grid, epilogue: Epilogue, conv: Depthwise,
                 fused: TapsBody | None, array: Diagonal | None, location: Location) -> None:
        super().__init__(context, grid, epilogue, DType.S32 if conv.is_integer else DType.F32,
                         location)
        self.conv, self.fused, self.array = conv, fused, array

    def multiply(self, block: Block, sizes: Sequence[int], piece: Piece, tile: int, weights: int
                 ) -> None:
        """Appends the kernels of one tile, and the stores of its results.

        Args:
            sizes: results along batch and spatial dimensions; `piece`: the walk over them.
        """
        if self.fused is None:
            self._in_two_steps(block, piece, sizes, (tile, weights))
            return
        sums = self._sums(0)
        extents = self._extents(block, sums, piece)
        results = [self._result(place, block, piece, sums, extents)
                   for place in self.epilogue.results]
        operands = {number: Port(r.address, four(r.strides), r.dtype)
                    for number, r in self.residents.items()}
        work = Tile(self.context, self.conv, sizes, tile, weights, self.location)
        parts = work.parts(0 if self.array is None else self.array.features,
                           self.fused.body.issues)
        ports = [Port(r.address, four(r.strides[1:]), r.dtype) for r in results]
        emit_own = partial(work.emit, body=self.fused, operands=operands, results=ports)
        if self.array is None:
            emit_own(parts)
        else:
            together = units(self.context.config, piece.rows, len(self.array.blocks))
            done = 0
            for number, (first, count) in enumerate(together):
                row = self.context.accumulators.allocate(piece.rows * count, self.location)
                products = list(self.array.multiply(
                    (tile, weights), sizes, accumulator_levels(piece),
                    (first, count), row))
                # One after the other, as the units' queues are filled in the order of the program.
                end = (number + 1) * len(parts) // len(together)
                for left in range(len(products), 0, -1):
                    self.context.add(products[-left])
                    upto = done + (end - done) // left
                    emit_own(parts[done:upto])
                    done = upto
                self._after_array(block, piece, (first, count), row, results)
                work.forget()
                self.context.accumulators.free(row)
        for place, port in zip(self.epilogue.results, results, strict=True):
            if not place.on_chip:
                self._store(block, piece, sums, place, port.address)
                self.context.scratchpad.free(port.address)

    def _after_array(self, block: Block, piece: Piece, blocks: tuple[int, int], row: int,
                     results: Sequence[LocalPort]) -> None:
        """The epilogue on the sums of some blocks, from an accumulator row on."""
        assert self.array is not None
        first, count = blocks
        tiles = [(*self.array.blocks[first + n], row + n * piece.rows) for n in range(count)]
        for sums in gather_sums(self.context, tiles, self.sums):
            start, width, _ = sums.columns
            ports = [LocalPort(r.address + start * r.strides[-1],
                               (width * r.strides[-1], *r.strides[1:]), r.dtype) for r in results]
            self._compute(sums, piece, self._extents(block, sums, piece), ports)

    def _in_two_steps(self, block: Block, piece: Piece, sizes: Sequence[int],
                      addresses: tuple[int, int]) -> None:
        graph = Graph()
        alone = Epilogue(graph, (None,), (graph.input(0),), ())
        body = taps_body(prod(self.conv.taps), alone, (), integer=self.conv.is_integer)
        size = piece.rows * self.conv.features * WORD
        with self.context.buffer(size, self.location) as address:
            images, lines, length = three(sizes)
            strides = row_major((images, lines, length, self.conv.features))
            port = Port(address, four([n * WORD for n in strides]), self.sums)
            work = Tile(self.context, self.conv, sizes, *addresses, self.location)
            work.emit(work.parts(0, body.body.issues), body, {}, [port])
            self.take(block, self._sums(address), piece)

    def _sums(self, address: int) -> Sums:
        features = self.conv.features
        return Sums(address, (0, features, 1), features * WORD, 0, self.sums)
