"""Reductions of a loop, in the canonical form `fold` works on."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from compiler.codegen import elementwise, fold
from compiler.codegen.body import DoesNotFitError
from compiler.codegen.context import Context, Place
from compiler.codegen.elementwise import Nest, Target
from compiler.codegen.fold import Fold
from compiler.codegen.fold_body import Combiner, FoldBodies
from compiler.codegen.graph import Graph
from compiler.codegen.loop_graph import LoopGraph, literal_bits, operand_of
from compiler.codegen.nests import merge_dimensions
from compiler.codegen.operands import Operand
from compiler.errors import Location
from compiler.ir.loops import Literal, Load, Loop, Reduction, Result
from compiler.ir.types import Tensor, row_major, tensor_of
from compiler.ops.views import View


@dataclass(frozen=True)
class Reduced:
    """A reduction along dimensions of a nest, and where it goes.

    Attributes:
        stored: where the bodies' stored node goes, a tensor of the nest's shape.
    """

    shape: tuple[int, ...]
    dimensions: tuple[int, ...]
    operands: tuple[Operand, ...]
    bodies: FoldBodies
    target: Place
    location: Location
    stored: Place | None = None


def reduce_loop(context: Context, loop: Loop, reduction: Reduction, built: LoopGraph,
                location: Location, result: Result | None = None) -> None:
    """Appends the commands of one of a loop's reductions, which store one of its results."""
    target = context.place(reduction.value)
    initial = _initial(context, loop, reduction)
    combiner = Combiner(reduction.combiner, tensor_of(reduction.value).element)
    bodies = FoldBodies(built.graph, built.values[reduction.node], combiner, initial,
                        context.config.lanes,
                        None if result is None else built.values[result.node])
    reduce_nest(context, Reduced(
        loop.shape, reduction.dimensions, tuple(_placed(o) for o in built.operands), bodies,
        target, location, None if result is None else context.place(result.value)))


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


def reduce_nest(context: Context, r: Reduced) -> None:
    """Appends the commands of a reduction."""
    flags = tuple(d in r.dimensions for d in range(len(r.shape)))
    merged = _merged(r.shape, flags, r.operands, r.bodies.inputs())
    if merged is not None:
        extents, reduced, views = merged
        kept = tuple(n for n, flag in zip(extents, reduced, strict=True) if not flag) or (1,)
        if all(reduced):
            extents, reduced = (1, *extents), (False, *reduced)
            views = [View(extents, (0, *v.strides), v.offset) for v in views]
        stored = None if r.stored is None else Target(r.stored, View(extents, row_major(extents)))
        operands = tuple(Operand(o.place, v) for o, v in zip(r.operands, views, strict=True))
        found = Fold(extents, reduced, operands, r.bodies,
                     Target(r.target, View(kept, row_major(kept))), r.location, stored)
        try:
            fold.generate(context, found, across=reduced[-1])
            return
        except DoesNotFitError:
            pass
    _in_two_steps(context, r)


def _in_two_steps(context: Context, r: Reduced) -> None:
    """Stores what is combined first, then reduces it."""
    bodies = r.bodies
    tensor = Tensor(r.shape, bodies.combiner.element)
    place = context.reserve(tensor)
    results = [Target.whole(p) for p in (place, r.stored) if p is not None]
    elementwise.generate(context, Nest(r.shape, r.operands, bodies.graph, tuple(bodies.nodes),
                                       tuple(results), r.location))
    graph = Graph()
    plain = FoldBodies(graph, graph.input(0), bodies.combiner, bodies.initial, bodies.lanes)
    whole = Operand(place, View.whole(tensor))
    reduce_nest(context, Reduced(r.shape, r.dimensions, (whole,), plain, r.target, r.location))
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
