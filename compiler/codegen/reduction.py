"""Reductions of a loop, in the canonical form `fold` works on."""

from collections.abc import Sequence
from math import prod

from compiler.codegen import elementwise, fold
from compiler.codegen.body import DoesNotFitError
from compiler.codegen.context import Context, Place
from compiler.codegen.copies import fill
from compiler.codegen.elementwise import Nest, Target
from compiler.codegen.fold import Fold
from compiler.codegen.fold_body import Combiner, FoldBodies
from compiler.codegen.graph import Graph
from compiler.codegen.loop_graph import LoopGraph, literal_bits, operand_of
from compiler.codegen.nests import merge_dimensions
from compiler.codegen.operands import Operand
from compiler.errors import Location
from compiler.ir.loops import Literal, Load, Loop, Reduction
from compiler.ir.types import Tensor, tensor_of
from compiler.ops.views import View


def reduce_loop(context: Context, loop: Loop, reduction: Reduction, built: LoopGraph,
                location: Location) -> None:
    """Appends the commands of one of a loop's reductions."""
    target = context.place(reduction.value)
    initial = _initial(context, loop, reduction)
    if prod(loop.shape) == 0:
        fill(context, target, initial, location)
        return
    combiner = Combiner(reduction.combiner, tensor_of(reduction.value).element)
    operands = tuple(_placed(o) for o in built.operands)
    bodies = FoldBodies(built.graph, built.values[reduction.node], combiner, initial,
                        context.config.lanes)
    reduce_nest(context, loop.shape, reduction.dimensions, operands, bodies, target, location)


def _placed(operand: Operand | None) -> Operand:
    assert operand is not None, "a contraction's sum is not reduced"
    return operand


def _initial(context: Context, loop: Loop, reduction: Reduction) -> int | Operand:
    node = loop.nodes[reduction.initial]
    if isinstance(node, Literal):
        return literal_bits(node)
    assert isinstance(node, Load)
    operand = operand_of(context, node)
    return Operand(operand.place, View((1,), (0,), operand.view.offset))


def reduce_nest(context: Context, shape: Sequence[int], dimensions: Sequence[int],
                operands: tuple[Operand, ...], bodies: FoldBodies, target: Place,
                location: Location) -> None:
    """Appends a reduction along dimensions of a nest without empty ones."""
    flags = tuple(d in dimensions for d in range(len(shape)))
    merged = _merged(shape, flags, operands, bodies.inputs())
    if merged is not None:
        extents, reduced, views = merged
        kept = tuple(n for n, r in zip(extents, reduced, strict=True) if not r) or (1,)
        if all(reduced):
            extents, reduced = (1, *extents), (False, *reduced)
            views = [View(extents, (0, *v.strides), v.offset) for v in views]
        found = Fold(extents, reduced,
                     tuple(Operand(o.place, v) for o, v in zip(operands, views, strict=True)),
                     bodies, Target(target, View(kept, Tensor(kept, bodies.combiner.element)
                                                 .strides)), location)
        try:
            fold.generate(context, found, across=reduced[-1])
            return
        except DoesNotFitError:
            pass
    _reduce_stored(context, shape, dimensions, operands, bodies, target, location)


def _reduce_stored(context: Context, shape: Sequence[int], dimensions: Sequence[int],
                   operands: tuple[Operand, ...], bodies: FoldBodies, target: Place,
                   location: Location) -> None:
    """Stores what is combined first, then reduces it."""
    tensor = Tensor(tuple(shape), bodies.combiner.element)
    place = context.reserve(tensor)
    elementwise.generate(context, Nest(tensor.shape, operands, bodies.graph, (bodies.node,),
                                       (Target.whole(place),), location))
    graph = Graph()
    stored = FoldBodies(graph, graph.input(0), bodies.combiner, bodies.initial, bodies.lanes)
    reduce_nest(context, shape, dimensions, (Operand(place, View.whole(tensor)),), stored, target,
                location)
    context.release(place)


def _merged(shape: Sequence[int], flags: Sequence[bool], operands: Sequence[Operand],
            used: Sequence[int]
            ) -> tuple[tuple[int, ...], tuple[bool, ...], list[View]] | None:
    """Extents, flags and views with as few dimensions as possible.

    None when the last run of reduced dimensions, along which the lanes go, is not a single stride
    for every operand.
    """
    groups = merge_dimensions(shape, [operands[n].view.strides for n in used], flags)
    reduced = tuple(flags[g[0]] for g in groups) or (True,)
    if len(reduced) > 1 and reduced[-1] and reduced[-2]:
        return None
    extents = tuple(prod(shape[d] for d in g) for g in groups) or (1,)
    views = [View(extents, tuple(o.view.strides[g[-1]] for g in groups) or (0,), o.view.offset)
             if n in used else View(extents, (0,) * len(extents))
             for n, o in enumerate(operands)]
    return extents, reduced, views
