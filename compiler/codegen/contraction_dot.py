"""Code for dot_general.

Every sum is made in ascending k, where k counts through the contracting dimensions in the order
the operation lists them, the last one fastest; products are exact, sums f32 or s32. With several
parts (`contraction_prepare`) there is one pass over all of k for each term.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Axis, Box, boxes, merge, positions
from compiler.codegen.contraction_constants import lay_out, side_by_side
from compiler.codegen.contraction_lefts import along, k_boxes
from compiler.codegen.contraction_loop import ContractionLoop
from compiler.codegen.contraction_operands import DotActivations, DotWeights, Operand, Tiling
from compiler.codegen.contraction_output import Epilogue, Grid
from compiler.codegen.contraction_plan import choose, choose_like
from compiler.codegen.contraction_prepare import (
    Array,
    Prepared,
    Scheme,
    arranged,
    prepare,
    scheme,
)
from compiler.codegen.contraction_shape import Plan, Shape
from compiler.codegen.contraction_sink import (
    epilogue_bytes,
    epilogue_cycles,
    epilogue_loads,
    epilogue_of,
    is_plain,
    make_sink,
)
from compiler.codegen.contraction_slabs import dense_k_tiles, k_tiles, make_slabs
from compiler.codegen.contraction_work import Block, KTile
from compiler.codegen.staying import Ahead, Staying
from compiler.errors import Location, NoRoomError
from compiler.ir.loops import Contraction
from compiler.ir.types import ElementType
from compiler.ops.contraction import free_dimensions
from compiler.ops.views import View
from hw.config import AcceleratorConfig


@dataclass(frozen=True)
class Dot:
    """A batch of matrix products.

    Attributes:
        lefts: where the left factors are that lie one behind the other along k.
        weights: where the right one is; all axes have the strides of the epilogue's operands behind
            those of the factors.
        grid_batch: for each batch index the offsets of the epilogue's operands.
        scheme: which parts are multiplied.
        result_bytes, epilogue_bytes, epilogue_loads: for each result element, in DRAM, in the
            scratchpad, and loaded for the epilogue; `epilogue_cycles` for a row of a column tile.
        constants: the parts of constant weights, which are laid out when the plan is known; those
            of several products, tile by tile.
        products: made side by side of as many constant weights.
        steady: other contractions keep the array busy at its start and its end.
    """

    lefts: tuple[Operand, ...]
    weights: Operand
    grid_batch: tuple[tuple[int, ...], ...]
    scheme: Scheme
    result_bytes: int
    epilogue_bytes: int
    epilogue_loads: int
    constants: tuple[Array, ...] = ()
    steady: bool = False
    epilogue_cycles: int = 0
    products: int = 1

    @property
    def shape(self) -> Shape:
        pair = (self.lefts[0], self.weights)
        rows, columns, k = (prod(axis.size for axis in axes)
                            for axes in (pair[0].free, pair[1].free, pair[1].k))
        run = min(merge(left.k)[-1].size for left in self.lefts)
        # For each column of the products together.
        results, needed, loads, cycles = (-(-n // self.products) for n in (
            self.result_bytes, self.epilogue_bytes, self.epilogue_loads, self.epilogue_cycles))
        return Shape(len(pair[0].batch), rows, columns * self.products, k,
                     (pair[0].dram_type.size, pair[1].dram_type.size), pair[0].local_type.size,
                     results, (pair[0].k_contiguous, pair[1].k_contiguous),
                     sum(len(group) for group in self.scheme.groups), self.scheme.parts,
                     needed, loads, self.scheme.run, (pair[0].on_chip, pair[1].on_chip),
                     bool(self.constants), self.steady, cycles, run, self.products)


def generate_dot(context: Context, contraction: Contraction) -> None:
    """Appends the commands of a dot_general and its epilogue.

    Raises:
        NoRoomError: its tiles do not fit the scratchpad.
    """
    dot, epilogue, prepared = dot_of(context, contraction)
    emit_dot(context, dot, epilogue, is_plain(contraction), contraction.op.source)
    for factor in prepared:
        factor.free(context)


def dot_of(context: Context, contraction: Contraction
           ) -> tuple[Dot, Epilogue, tuple[Prepared, ...]]:
    """The products of a dot_general, what follows them, and both factors, to be freed."""
    op, location = contraction.op, contraction.op.source
    epilogue = epilogue_of(context, contraction)
    made = scheme(contraction.lhs.element, contraction.rhs.element,
                  op.attrs.get("precision_config", ()), context.config.int8)
    dims = op.attrs["dot_dimension_numbers"]
    lhs_batch, rhs_batch = dims["lhs_batching_dimensions"], dims["rhs_batching_dimensions"]
    lhs_k, rhs_k = dims["lhs_contracting_dimensions"], dims["rhs_contracting_dimensions"]
    lhs_free = free_dimensions(len(contraction.lhs.view.shape), [*lhs_batch, *lhs_k])
    rhs_free = free_dimensions(len(contraction.rhs.view.shape), [*rhs_batch, *rhs_k])
    lefts = _prepared(context, contraction, made, (*lhs_batch, *lhs_free, *lhs_k))
    lhs = lefts[0]
    rhs_order = *rhs_batch, *rhs_k, *rhs_free
    rhs = prepare(context, contraction.rhs, made.parts[1], made.local, rhs_order, location,
                  is_placed=False)
    views = [o.view if o is not None else View(op.tensor.shape, (0,) * op.tensor.rank)
             for o in epilogue.operands]
    if epilogue.results[0].inside is not None:
        views.append(View(op.tensor.shape, epilogue.results[0].inside))
    first_row = len(lhs_batch)
    first_column = first_row + len(lhs_free)
    left_k = [tuple(Axis(left.view.shape[a], (left.view.strides[a], rhs.view.strides[b]))
                    for a, b in zip(lhs_k, rhs_k, strict=True)) for left in lefts]
    k = left_k[0] if len(lefts) == 1 else tuple(
        Axis(rhs.view.shape[b], (1, rhs.view.strides[b])) for b in rhs_k)
    batch = [Axis(lhs.view.shape[a], (lhs.view.strides[a], rhs.view.strides[b],
                                      *(v.strides[d] for v in views)))
             for d, (a, b) in enumerate(zip(lhs_batch, rhs_batch, strict=True))]
    offsets = positions(batch) if batch else [(0,) * (2 + len(views))]
    rows = _free_axes([left.view for left in lefts], lhs_free, views, first_row)
    # Operands of the epilogue have the same numbers in both.
    apart = (0,) * (len(lefts) - 1)
    columns = tuple(replace(axis, strides=(axis.strides[0], *apart, *axis.strides[1:]))
                    for axis in _free_axes([rhs.view], rhs_free, views, first_column))
    dot = Dot(
        tuple(replace(_operand(left, 0, offsets, rows, axes, made.local), row=number)
              for number, (left, axes) in enumerate(zip(lefts, left_k, strict=True))),
        _operand(rhs, 1, offsets, columns, k, made.local),
        tuple(o[2:] for o in offsets), made,
        sum(p.tensor.element.size for p in epilogue.results if not p.on_chip),
        epilogue_bytes(contraction, epilogue, made), epilogue_loads(epilogue), rhs.arrays,
        "beside" in op.attrs, epilogue_cycles(context, contraction, epilogue))
    if contraction.others:
        others = [prepare(context, load, made.parts[1], made.local, rhs_order, location,
                          is_placed=False) for load in contraction.others]
        dot = replace(dot, products=1 + len(others), constants=side_by_side(
            [rhs.arrays, *(other.arrays for other in others)], prod(axis.size for axis in k),
            context.config.array_cols))
    return dot, epilogue, (*lefts, rhs)


def _prepared(context: Context, contraction: Contraction, made: Scheme, order: Sequence[int]
              ) -> list[Prepared]:
    """The left factors; several have k innermost."""
    location = contraction.op.source
    lefts = [prepare(context, load, made.parts[0], made.local, order, location)
             for load in contraction.lefts]
    return lefts if len(lefts) == 1 else [arranged(context, left, order, location)
                                          for left in lefts]


def _free_axes(operands: Sequence[View], dims: Sequence[int], views: Sequence[View], first: int
               ) -> tuple[Axis, ...]:
    """Free axes of operands, which are dimensions first, first + 1, ... of the result."""
    axes = tuple(Axis(operands[0].shape[d], (*(x.strides[d] for x in operands),
                                             *(v.strides[first + i] for v in views)))
                 for i, d in enumerate(dims))
    return axes or (Axis(1, (*(1 for _ in operands), *(0 for _ in views))),)


def _operand(prepared: Prepared, index: int, offsets: Sequence[tuple[int, ...]],
             free: tuple[Axis, ...], k: tuple[Axis, ...], local: ElementType) -> Operand:
    dtype = prepared.places[0].tensor.element.memory
    return Operand(tuple((p.window, p.offset + prepared.view.offset * dtype.size)
                         for p in prepared.places), index, dtype, local.memory,
                   tuple(o[index] for o in offsets), free, k or (Axis(1, (1, 1)),))


def emit_dot(context: Context, dot: Dot, epilogue: Epilogue, plain: bool, location: Location
             ) -> None:
    """Appends the commands of a dot product whose operands are prepared.

    Raises:
        NoRoomError: its tiles do not fit the scratchpad.
    """
    config, shape = context.config, dot.shape
    plan = _plan(context, shape)
    if plan is None:
        raise NoRoomError(
            f"tiles of this contraction do not fit the scratchpad of {config.scratchpad_bytes} "
            "bytes: use a configuration with a larger one", location)
    results = columns = tuple(boxes(dot.weights.free, [plan.columns // dot.products], depth=1))
    if dot.constants:
        weights, columns = lay_out(context, dot.constants, dot.weights,
                                   [_of_products(box, dot.products) for box in columns])
        dot = replace(dot, weights=weights, lefts=along(dot.lefts, weights.k))
    tiling = _tiling(config, dot, plan, columns)
    slabs = make_slabs(
        dot.scheme, [_k_tiles(dot.lefts[0], box, config.array_rows) for box in tiling.k])
    grid = Grid((shape.batch, shape.rows, shape.columns // dot.products), tiling.rows, results,
                dot.grid_batch, len(dot.lefts))
    loop = ContractionLoop(
        context, DotActivations(context, dot.lefts, tiling, location),
        DotWeights(context, dot.weights, tiling, location),
        make_sink(context, grid, epilogue, plain, dot.scheme, location), slabs,
        dot.scheme.local is ElementType.I8, location, steady=dot.steady, plan=plan)
    loop.run(_blocks(shape.batch, tiling, plan))


def _tiling(config: AcceleratorConfig, dot: Dot, plan: Plan, columns: tuple[Box, ...]) -> Tiling:
    steps = dot.shape.k
    k, numbers = k_boxes(dot.lefts, [*plan.depths(steps), plan.depth])
    return Tiling(tuple(boxes(dot.lefts[0].free, [plan.rows])), columns, tuple(k),
                  tuple(term for group in dot.scheme.groups for term in group), plan.resident,
                  sum(not plan.is_held(box.start, steps) for box in k),
                  tuple(plan.width(box.count, config.array_cols * dot.products) for box in k)
                  if plan.piece else (), tuple(numbers))


def reserve_ahead(context: Context, contraction: Contraction) -> None:
    """Reserves the places in which a product to come will hold slabs of its left factor, if it
    has all rows of it at once: what reads the factor before brings them there."""
    mark = context.mark()
    dot, _, _ = dot_of(context, contraction)
    plan = choose(context.config, dot.shape, context.plan_bytes)
    context.rewind(mark)
    if plan is None or plan.rows < dot.shape.rows or plan.resident[0] == "none" \
            or plan.resident[1] != "none" or not dot.lefts[0].k_contiguous \
            or dot.lefts[0].on_chip:
        return
    tiling = _tiling(context.config, dot, plan, ())
    activations = DotActivations(context, dot.lefts, tiling, contraction.op.source)
    slabs = make_slabs(dot.scheme, [dense_k_tiles(box.count, context.config.array_rows)
                                    for box in tiling.k])
    region = context.scratchpad.allocate(sum(activations.slots), contraction.op.source)
    context.staying = Staying(contraction.lhs, plan, region, tuple(activations.slots),
                              (None,) * len(activations.slots))
    context.ahead = Ahead(activations, tuple(slabs), tuple(box.count for box in tiling.k))


def _plan(context: Context, shape: Shape) -> Plan | None:
    """The plan that goes with what stays of the left factor, which is given up if there is none;
    then the best one."""
    plan = None
    if context.staying is not None:
        plan = choose_like(context.config, shape, context.plan_bytes, context.staying.plan)
    if plan is None:
        context.give_up()
        plan = choose(context.config, shape, context.plan_bytes)
    return plan


def _of_products(box: Box, count: int) -> Box:
    """Columns of the weights of some products side by side."""
    (axis,) = box.axes
    return replace(box, start=count * box.start, axes=(Axis(count * axis.size, axis.strides),))


def _k_tiles(activations: Operand, box: Box, height: int) -> tuple[KTile, ...]:
    """Weight tiles of a slab: loaded activations have k contiguous, those on chip as they lie."""
    return k_tiles(box, height) if activations.on_chip else dense_k_tiles(box.count, height)


def _blocks(batch: int, tiling: Tiling, plan: Plan) -> Sequence[Block]:
    rows, columns = range(len(tiling.rows)), range(len(tiling.columns))
    if plan.rows_outer:
        return [Block(b, r, c) for b in range(batch) for r in rows for c in columns]
    return [Block(b, r, c) for b in range(batch) for c in columns for r in rows]
