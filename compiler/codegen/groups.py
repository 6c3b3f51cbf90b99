"""Code for one group: what kind it is decides the generator."""

from compiler.codegen import (
    elementwise,
    indexed,  # noqa: F401  registers its templates
    pooling,  # noqa: F401  registers its template
    updates,  # noqa: F401  registers its template
)
from compiler.codegen.context import Context
from compiler.codegen.contraction import generate_contraction
from compiler.codegen.copies import copy
from compiler.codegen.elementwise import Nest, Target
from compiler.codegen.loop_graph import build, operand_of
from compiler.codegen.movement import generate_movement
from compiler.codegen.reduction import reduce_loop
from compiler.ir.loops import Load, Loop, Movement, analyse
from compiler.ir.ops import HloOp


def generate(context: Context, group: HloOp) -> None:
    """Appends the commands of a `hlo.fused`, whose operands and results have places.

    Raises:
        CompileError: an operation of it has no code.
    """
    analysed = analyse(group)
    if isinstance(analysed, Loop):
        generate_loop(context, analysed, group)
    elif isinstance(analysed, Movement):
        generate_movement(context, analysed)
    else:
        generate_contraction(context, analysed)


def generate_loop(context: Context, loop: Loop, group: HloOp) -> None:
    """Appends the commands of an elementwise loop and its reductions."""
    location = group.source
    stored = []
    for result in loop.results:
        node = loop.nodes[result.node]
        if isinstance(node, Load):
            copy(context, operand_of(context, node), context.place(result.value), location)
        else:
            stored.append(result)
    built = build(context, loop.nodes)
    # A kernel has two output streams: one result can be stored by the first reduction's.
    together = stored.pop() if len(stored) == 1 and loop.reductions else None
    if stored:
        operands = tuple(o for o in built.operands if o is not None)
        others = [built.values[r.node] for r in loop.reductions]
        elementwise.generate(context, Nest(
            loop.shape, operands, built.graph, tuple(built.stored(stored, others)),
            tuple(Target.whole(context.place(r.value)) for r in stored), location))
    for reduction in loop.reductions:
        reduce_loop(context, loop, reduction, built, location, together)
        together = None
