"""Code for dot_general.

Every sum is made in ascending k, where k counts through the contracting dimensions in the order
the operation lists them, the last one fastest; products are exact, sums f32 or s32. With several
parts (`contraction_prepare`) there is one pass over all of k for each term.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from compiler.codegen.context import Context
from compiler.codegen.contraction_axes import Axis, Box, boxes, merge
from compiler.codegen.contraction_constants import lay_out, side_by_side
from compiler.codegen.contraction_dimensions import Dimensions, DotAxes
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
from compiler.ir.ops import HloOp
from compiler.ir.types import ElementType
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
    epilogue, dims = epilogue_of(context, contraction), Dimensions.of(contraction)
    made = scheme(contraction.lhs.element, contraction.rhs.element,
                  op.attrs.get("precision_config", ()), context.config.int8)
    lefts = _prepared(context, contraction, made, dims.left_order)
    rights = [prepare(context, load, made.parts[1], made.local, dims.right_order, location,
                      is_placed=False) for load in (contraction.rhs, *contraction.others)]
    axes = DotAxes.of(dims, [left.view for left in lefts], rights[0].view, _views(op, epilogue))
    dot = Dot(
        tuple(replace(_operand(left, 0, axes.offsets, axes.rows, k, made.local), row=number)
              for number, (left, k) in enumerate(zip(lefts, axes.left_k, strict=True))),
        _operand(rights[0], 1, axes.offsets, axes.columns, axes.k, made.local),
        tuple(o[2:] for o in axes.offsets), made,
        sum(p.tensor.element.size for p in epilogue.results if not p.on_chip),
        epilogue_bytes(contraction, epilogue, made), epilogue_loads(epilogue),
        _constants(context, rights, axes), "beside" in op.attrs,
        epilogue_cycles(context, contraction, epilogue), len(rights))
    return dot, epilogue, (*lefts, rights[0])


def _views(op: HloOp, epilogue: Epilogue) -> list[View]:
    """Of the epilogue's operands, and of a result that is made inside a larger tensor."""
    views = [o.view if o is not None else View(op.tensor.shape, (0,) * op.tensor.rank)
             for o in epilogue.operands]
    inside = epilogue.results[0].inside
    return views if inside is None else [*views, View(op.tensor.shape, inside)]


def _constants(context: Context, rights: Sequence[Prepared], axes: DotAxes) -> tuple[Array, ...]:
    """The parts of constant weights; those of several products side by side."""
    if len(rights) == 1:
        return rights[0].arrays
    return side_by_side([right.arrays for right in rights], prod(axis.size for axis in axes.k),
                        context.config.array_cols)


def _prepared(context: Context, contraction: Contraction, made: Scheme, order: Sequence[int]
              ) -> list[Prepared]:
    """The left factors; several have k innermost."""
    location = contraction.op.source
    lefts = [prepare(context, load, made.parts[0], made.local, order, location)
             for load in contraction.lefts]
    return lefts if len(lefts) == 1 else [arranged(context, left, order, location)
                                          for left in lefts]


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
