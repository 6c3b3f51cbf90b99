"""gather and dynamic_slice: rows at places that come from data; `updates` writes such rows.

The vector unit computes where each row starts, as numbers of elements; the DMA then moves rows
by that list. A row is the longest run of elements that lie together in both tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from compiler.codegen import elementwise
from compiler.codegen.commands import signed
from compiler.codegen.context import Context, Place
from compiler.codegen.elementwise import BUFFERS, Nest, Target
from compiler.codegen.footprint import Step, transfers
from compiler.codegen.graph import Graph
from compiler.codegen.loop_graph import literal_bits, operand_of
from compiler.codegen.operands import Operand
from compiler.codegen.transfer import Level, Pattern, Transfer
from compiler.errors import Location
from compiler.ir.loops import Index, Literal, Load, Movement
from compiler.ir.types import ElementType, Tensor
from compiler.ops.registry import register_template
from compiler.ops.views import View
from hw.isa.dtypes import DType

INDEX_BYTES = 4


@dataclass(frozen=True)
class Start:
    """A position along a dimension of the indexed tensor, read from data.

    Attributes:
        source: lane bits, or the indices as a walk over the result's dimensions.
        stride: elements of the tensor from one position to the next.
        highest: positions are moved inside 0 to `highest`.
    """

    source: Operand | int
    stride: int
    highest: int

    @property
    def known(self) -> int | None:
        """The position, when it is a number."""
        number = self.source
        return min(max(signed(number), 0), self.highest) if isinstance(number, int) else None


@dataclass(frozen=True)
class Rows:
    """Rows of a tensor, in the order they lie in a dense tensor of `shape`.

    Attributes:
        strides: elements of the indexed tensor for each dimension of `shape`.
        starts: added to the walk.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    starts: tuple[Start, ...]

    @property
    def row_dimensions(self) -> int:
        """Trailing dimensions that lie together in both tensors."""
        count, run = 0, 1
        for extent, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if extent > 1 and stride != run:
                break
            run *= extent
            count += 1
        return count


@register_template("dynamic_slice")
def dynamic_slice(context: Context, movement: Movement) -> None:
    """Rows of the operand from the start on."""
    source, *starts = movement.operands
    assert isinstance(source, Load)
    shape = context.place(movement.value).tensor.shape
    rows = Rows(shape, source.view.strides, source.view.offset,
                scalar_starts(context, starts, source.view, shape))
    move_rows(context, rows, context.place(source.value), context.place(movement.value), False,
          movement.op.source)


def scalar_starts(context: Context, nodes: Sequence[Load | Literal | Index], view: View,
                   sizes: Sequence[int]) -> tuple[Start, ...]:
    rank = len(sizes)
    return tuple(
        Start(literal_bits(node) if isinstance(node, Literal) else _repeated(
            operand_of(context, node), (0,) * rank, sizes, 0), stride, extent - size)
        for node, stride, extent, size in zip(nodes, view.strides, view.shape, sizes, strict=True))


def _repeated(operand: Operand, strides: Sequence[int], shape: Sequence[int],
              first: int) -> Operand:
    view = View(tuple(shape), tuple(strides), operand.view.offset + first)
    return Operand(operand.place, view)


@register_template("gather")
def gather(context: Context, movement: Movement) -> None:
    """Rows of the operand at the indices of each batch position."""
    source, indices = movement.operands
    assert isinstance(source, Load)
    assert isinstance(indices, Load)
    op = movement.op
    numbers, sizes = op.attrs["dimension_numbers"], op.attrs["slice_sizes"]
    target, view, listed = context.place(movement.value), source.view, indices.view
    shape = target.tensor.shape
    hidden = (*numbers["collapsed_slice_dims"], *numbers["operand_batching_dims"])
    window = [d for d in range(len(sizes)) if d not in hidden]
    offsets, vector = numbers["offset_dims"], numbers["index_vector_dim"]
    batch = [d for d in range(len(shape)) if d not in offsets]
    index_dims = [d for d in range(len(listed.shape)) if d != vector]
    walk, lists = [0] * len(shape), [0] * len(shape)
    for d, w in zip(offsets, window, strict=True):
        walk[d] = view.strides[w]
    for d, i in zip(batch, index_dims, strict=True):
        lists[d] = listed.strides[i]
    for d, i in zip(numbers["operand_batching_dims"], numbers["start_indices_batching_dims"],
                    strict=True):
        walk[batch[index_dims.index(i)]] += view.strides[d]
    step = listed.strides[vector] if vector < len(listed.shape) else 0
    starts = tuple(
        Start(_repeated(operand_of(context, indices), lists, shape, k * step), view.strides[d],
              view.shape[d] - sizes[d])
        for k, d in enumerate(numbers["start_index_map"]))
    move_rows(context, Rows(shape, tuple(walk), view.offset, starts), context.place(source.value),
          target, False, op.source)


def move_rows(context: Context, rows: Rows, indexed: Place, dense: Place, storing: bool,
          location: Location) -> None:
    """Appends the commands that move rows between an indexed tensor and a dense one."""
    inner = rows.row_dimensions
    outer = len(rows.shape) - inner
    size = dense.tensor.element.size
    n0, count = prod(rows.shape[outer:]), prod(rows.shape[:outer])
    if n0 * count == 0:
        return
    with_list = context.reserve(Tensor((count,), ElementType.I32))
    _compute(context, rows, outer, with_list, location)
    budget = context.scratchpad.limit // BUFFERS
    chunk = max(budget // (n0 * size + INDEX_BYTES), 1)
    width = min(n0, max(budget // size, 1))
    for first in range(0, count, chunk):
        number = min(chunk, count - first)
        for column in range(0, n0, width):
            _chunk(context, indexed, dense, with_list, (first, number), n0,
                   (column, min(width, n0 - column)), storing, location)
    context.release(with_list)


def _compute(context: Context, rows: Rows, outer: int, target: Place, location: Location) -> None:
    """The list of row starts, in elements of the indexed tensor."""
    shape = rows.shape[:outer]
    graph = Graph()
    operands = [Operand(None, View(shape, rows.strides[:outer], rows.offset))]
    total = graph.input(0)
    for start in rows.starts:
        if isinstance(start.source, int):
            position = graph.bits(start.source)
        else:
            view = start.source.view
            position = graph.input(len(operands))
            operands.append(Operand(start.source.place,
                                    View(shape, view.strides[:outer], view.offset)))
        inside = graph.imin(graph.imax(position, graph.const(0)), graph.const(start.highest))
        total = graph.iadd(total, graph.imul(inside, graph.const(start.stride)))
    place = Target(target, View(shape, Tensor(shape, ElementType.I32).strides))
    elementwise.generate(context, Nest(shape, tuple(operands), graph, (total,), (place,), location))


def _chunk(context: Context, indexed: Place, dense: Place, listed: Place, rows: tuple[int, int],
           n0: int, columns: tuple[int, int], storing: bool, location: Location) -> None:
    """Moves (first, number) of the rows and of their columns."""
    dtype = dense.tensor.element.memory
    (first, number), (column, width) = rows, columns
    pitch = width * dtype.size
    with (context.buffer(number * INDEX_BYTES, location) as index,
          context.buffer(number * pitch, location) as data):
        words = Step(number, INDEX_BYTES, INDEX_BYTES)
        for transfer in transfers(listed.window, listed.offset + first * INDEX_BYTES, index,
                                  [words], DType.S32, DType.S32):
            context.load(transfer, location)
        moved = Transfer(indexed.window, indexed.offset + column * dtype.size, data,
                         Pattern(width, (Level(number, dtype.size, pitch),), dtype, dtype), index,
                         (indexed.offset, indexed.offset + indexed.tensor.bytes))
        steps = [Step(width, dtype.size, dtype.size), Step(number, n0 * dtype.size, pitch)]
        plain = list(transfers(dense.window, dense.offset + (first * n0 + column) * dtype.size,
                               data, steps, dtype, dtype))
        if storing:
            for transfer in plain:
                context.load(transfer, location)
            context.store(moved, location)
            return
        context.load(moved, location)
        for transfer in plain:
            context.store(transfer, location)
