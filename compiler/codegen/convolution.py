"""Code for convolution.

Every sum is made in ascending k, where k counts through the positions in the window, outermost
dimension first, and for each through the input features of the group. There is no im2col: a
weight tile holds some consecutive k, and the matmul's addresses walk the windows under them. Where
neighbouring kernel positions are neighbours in memory (no kernel dilation) a tile crosses from
one to the next, so that few channels still fill the array.

Inside the machine features are innermost; other layouts of input, kernel and result are
rearranged in DRAM before and after.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from compiler.codegen.context import Context, Place
from compiler.codegen.contraction_axes import Axis, Box, boxes
from compiler.codegen.contraction_loop import ContractionLoop
from compiler.codegen.contraction_operands import DotWeights, Operand, Tiling, cut
from compiler.codegen.contraction_output import Epilogue, Grid
from compiler.codegen.contraction_prepare import (
    Prepared,
    arranged,
    prepare,
    scheme,
)
from compiler.codegen.contraction_sink import (
    epilogue_bytes,
    epilogue_of,
    is_plain,
    make_sink,
)
from compiler.codegen.contraction_slabs import k_tiles, make_slabs
from compiler.codegen.contraction_work import Block
from compiler.codegen.convolution_depthwise import Work, body_of
from compiler.codegen.convolution_depthwise import choose as choose_depthwise
from compiler.codegen.convolution_depthwise import emit as emit_depthwise
from compiler.codegen.convolution_depthwise_tile import Depthwise
from compiler.codegen.convolution_diagonal import Diagonal, block_width
from compiler.codegen.convolution_operands import Input, WindowActivations
from compiler.codegen.convolution_packing import PackedWindows, copied_groups, line_length
from compiler.codegen.convolution_plan import Shape, choose
from compiler.codegen.convolution_rows import Rows, row_box
from compiler.codegen.convolution_shape import Convolution, Layout
from compiler.codegen.copies import copy
from compiler.codegen.elementwise import WORD
from compiler.codegen.operands import Operand as Walk
from compiler.codegen.partition import partition
from compiler.errors import Location, NoRoomError
from compiler.ir.loops import Contraction, Load
from compiler.ir.types import ElementType, Tensor
from compiler.ops.contraction import spatial_windows
from compiler.ops.views import View
from compiler.ops.windows import SpatialWindow
from hw.isa.program import WORKSPACE_WINDOW


def generate_convolution(context: Context, contraction: Contraction) -> None:
    """Appends the commands of a convolution and its epilogue.

    Raises:
        NoRoomError: its tiles do not fit the scratchpad.
    """
    op, location = contraction.op, contraction.op.source
    made = scheme(contraction.lhs.element, contraction.rhs.element,
                  op.attrs.get("precision_config", ()), context.config.int8)
    dims = op.attrs["dimension_numbers"]
    lhs_layout = Layout(dims["input_batch_dimension"], tuple(dims["input_spatial_dimensions"]),
                        dims["input_feature_dimension"])
    kernel_layout = Layout(dims["kernel_output_feature_dimension"],
                           tuple(dims["kernel_spatial_dimensions"]),
                           dims["kernel_input_feature_dimension"])
    result_layout = Layout(dims["output_batch_dimension"],
                           tuple(dims["output_spatial_dimensions"]),
                           dims["output_feature_dimension"])
    windows = tuple(spatial_windows(op.call))
    lhs = arranged(context, prepare(
        context, contraction.lhs, made.parts[0], made.local, lhs_layout.order, location),
        lhs_layout.order, location)
    kernel_order = (*kernel_layout.spatial, kernel_layout.features, kernel_layout.batch)
    kernel = arranged(context, prepare(
        context, _unreversed(contraction.rhs, windows, kernel_layout), made.parts[1], made.local,
        kernel_order, location), kernel_order, location)
    groups = op.attrs.get("feature_group_count", 1)
    source = Input(_places(lhs), lhs.places[0].tensor.element.memory, made.local.memory,
                   tuple(lhs.view.strides[d] for d in lhs_layout.order),
                   lhs.view.shape[lhs_layout.features] // groups, windows)
    conv = Convolution(source, kernel, kernel_layout, result_layout, op.tensor.shape, groups, made)
    _emit_arranged(context, conv, contraction, location)
    lhs.free(context)
    kernel.free(context)


def _places(prepared: Prepared) -> tuple[tuple[int, int], ...]:
    size = prepared.places[0].tensor.element.size
    return tuple((p.window, p.offset + prepared.view.offset * size) for p in prepared.places)


def _unreversed(load: Load, windows: Sequence[SpatialWindow], layout: Layout) -> Load:
    """The kernel as it is walked forwards."""
    strides, offset = list(load.view.strides), load.view.offset
    for window, d in zip(windows, layout.spatial, strict=True):
        if window.reverse:
            offset += (window.size - 1) * strides[d]
            strides[d] = -strides[d]
    return replace(load, view=View(load.view.shape, tuple(strides), offset))


def _emit_arranged(context: Context, conv: Convolution, contraction: Contraction,
                   location: Location) -> None:
    """Emits into the results' places, or next to them when their features are not innermost."""
    epilogue = epilogue_of(context, contraction)
    order = conv.result_layout.order
    moving = [d for d in order if conv.result[d] > 1]
    if moving == sorted(moving):
        _emit(context, conv, epilogue, contraction, location)
        return
    shape = tuple(conv.result[d] for d in order)
    temporary = []
    for place in epilogue.results:
        tensor = Tensor(shape, place.tensor.element)
        temporary.append(
            Place(WORKSPACE_WINDOW, context.workspace.allocate(tensor.bytes), tensor))
    _emit(context, conv, replace(epilogue, results=tuple(temporary)), contraction, location)
    for place, target in zip(temporary, epilogue.results, strict=True):
        strides = [0] * len(order)
        for d, stride in zip(order, place.tensor.strides, strict=True):
            strides[d] = stride
        copy(context, Walk(place, View(conv.result, tuple(strides))), target, location)
        context.workspace.free(place.offset, place.tensor.bytes)


def _emit(context: Context, conv: Convolution, epilogue: Epilogue, contraction: Contraction,
          location: Location) -> None:
    if conv.is_depthwise:
        _emit_depthwise(context, conv, epilogue, contraction, location)
        return
    config, source, made = context.config, conv.source, conv.scheme
    columns = conv.features // conv.groups
    weight_type = conv.kernel.places[0].tensor.element.memory
    plan = choose(config, _shape(context, conv, epilogue, contraction), context.plan_bytes)
    if plan is None:
        raise NoRoomError(
            f"tiles of this convolution do not fit the scratchpad of {config.scratchpad_bytes} "
            "bytes: use a configuration with a larger one", location)
    axes = conv.k_axes(packed=plan.packed > 0)
    rows, column_axis = _result_axes(conv, epilogue, plan.rows)
    tiling = Tiling(rows, _columns(column_axis, columns, plan.columns),
                    tuple(boxes(axes, [plan.depth])),
                    tuple(term for group in made.groups for term in group),
                    ("none", plan.weights))
    weights = Operand(_places(conv.kernel), 1, weight_type, made.local.memory, (0,),
                      (column_axis,), axes)
    grid = _grid(conv, epilogue, tiling.rows, tiling.columns)
    slabs = make_slabs(made, [k_tiles(box, config.array_rows) for box in tiling.k])
    activations = PackedWindows(
        context, source, plan.cut, tiling, columns, plan.buffers, plan.packed, location
    ) if plan.packed else WindowActivations(
        context, source, plan.rows, tiling, columns, plan.buffers, location)
    loop = ContractionLoop(
        context, activations,
        DotWeights(context, weights, tiling, location),
        make_sink(context, grid, epilogue, is_plain(contraction), made, location), slabs,
        made.local is ElementType.I8, location, steady="beside" in contraction.op.attrs)
    loop.run([Block(0, r, c) for r in range(len(tiling.rows))
              for c in range(len(tiling.columns))])


def _shape(context: Context, conv: Convolution, epilogue: Epilogue, contraction: Contraction
           ) -> Shape:
    config, made, axes = context.config, conv.scheme, conv.k_axes()
    height = config.array_rows
    tiles = sum(len(k_tiles(box, height)) for box in boxes(axes, [1 << 30]))
    packed = sum(len(k_tiles(box, height)) for box in boxes(conv.k_axes(packed=True), [1 << 30]))
    packable = packed < tiles and line_length(conv.source) > 0 and not conv.source.in_place
    issues = 0
    if not is_plain(contraction):
        issues = sum(k.body.issues for k in partition(
            epilogue.graph, epilogue.outputs, epilogue.elements))
    return Shape(
        conv.source, conv.rows, conv.groups, conv.features // conv.groups,
        prod(a.size for a in axes), tiles, conv.kernel.places[0].tensor.element.size,
        sum(p.tensor.element.size for p in epilogue.results),
        epilogue_bytes(contraction, epilogue, made), sum(len(g) for g in made.groups), made.parts,
        made.run, issues, copied_groups(config, conv.source) if packable else 0,
        conv.kernel.places[0].on_chip, "beside" in contraction.op.attrs)


def _result_axes(conv: Convolution, epilogue: Epilogue, rows: Sequence[Rows]
                 ) -> tuple[tuple[Box, ...], Axis]:
    """Ranges of rows, and the axis of features, with strides of the epilogue's operands and of a
    result that is made inside a larger tensor."""
    views = [o.view.strides if o is not None else (0,) * len(conv.result)
             for o in epilogue.operands]
    if epilogue.results[0].inside is not None:
        views.append(epilogue.results[0].inside)
    strides = [[v[d] for d in conv.result_layout.order[:-1]] for v in views]
    boxes_ = tuple(row_box(r, conv.rows, strides) for r in rows)
    return boxes_, Axis(conv.features, (
        conv.kernel.view.strides[conv.kernel_layout.batch],
        *(v[conv.result_layout.features] for v in views)))


def _grid(conv: Convolution, epilogue: Epilogue, rows: tuple[Box, ...], columns: tuple[Box, ...]
          ) -> Grid:
    return Grid((1, prod(conv.rows), conv.features), rows, columns,
                ((0,) * len(epilogue.operands),))


def _emit_depthwise(context: Context, conv: Convolution, epilogue: Epilogue,
                    contraction: Contraction, location: Location) -> None:
    made = conv.scheme
    features = Axis(conv.features, (conv.kernel.view.strides[conv.kernel_layout.batch],))
    kernel = Operand(_places(conv.kernel), 1, conv.kernel.places[0].tensor.element.memory,
                     made.local.memory, (0,), (features,), conv.k_axes()[:-1])
    depthwise = Depthwise(replace(conv.source, channels=conv.groups), kernel, conv.rows,
                          conv.features)
    fused = body_of(depthwise, epilogue, _parameters(conv, epilogue),
                    reassociate=contraction.op.attrs.get("reassociate", False))
    issues = fused.body.issues if fused is not None else prod(depthwise.taps)
    result_bytes = epilogue_bytes(contraction, epilogue, made) + (WORD if fused is None else 0)
    shared = fused is not None and conv.features == conv.groups
    work = Work(result_bytes, issues, _issues_alone(epilogue) if shared else None,
                contraction.op.attrs.get("beside"))
    plan = choose_depthwise(context, depthwise, work, location)
    boxes_, axis = _result_axes(conv, epilogue, plan.rows)
    grid = _grid(conv, epilogue, boxes_, _columns(axis, conv.features, conv.features))
    array = None
    if plan.blocks:
        count = min(plan.blocks * block_width(context.config), conv.features)
        array = Diagonal(context.config, depthwise, count, location)
    emit_depthwise(context, depthwise, plan, grid, epilogue, fused, array, location)


def _issues_alone(epilogue: Epilogue) -> int | None:
    """Instructions of the epilogue as kernels of their own; None when they need temporaries."""
    kernels = partition(epilogue.graph, epilogue.outputs, epilogue.elements)
    if any(number < 0 for kernel in kernels for number in kernel.outputs):
        return None
    return sum(kernel.body.issues for kernel in kernels)


def _parameters(conv: Convolution, epilogue: Epilogue) -> tuple[int, ...]:
    """Operands of the epilogue with one element for each result feature."""
    rows = [d for d in conv.result_layout.order[:-1] if conv.result[d] > 1]
    return tuple(number for number, operand in enumerate(epilogue.operands)
                 if operand is not None and operand.place is not None
                 and not any(operand.view.strides[d] for d in rows))


def _columns(axis: Axis, group: int, limit: int) -> tuple[Box, ...]:
    """Ranges of result features, none beyond its group."""
    return tuple(
        Box(start + first, tuple((start + first) * s for s in axis.strides),
            (Axis(count, axis.strides),))
        for start in range(0, axis.size, group) for first, count in cut(group, limit))
