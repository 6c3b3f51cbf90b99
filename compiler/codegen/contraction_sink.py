"""What follows a contraction, and what takes its sums there."""

from compiler.codegen.context import Context
from compiler.codegen.contraction_fold import FoldSums
from compiler.codegen.contraction_output import ComputeResult, Epilogue, Grid, Output, StoreSums
from compiler.codegen.contraction_prepare import Scheme, kept
from compiler.codegen.contraction_work import Sink
from compiler.codegen.elementwise import WORD
from compiler.codegen.loop_graph import build
from compiler.errors import Location
from compiler.ir.loops import Accumulated, Contraction
from compiler.ir.types import ElementType
from hw.isa.dtypes import DType

DIRECT = (ElementType.F32, ElementType.BF16, ElementType.I32, ElementType.U32)
"""Element types the store DMA makes of sums."""


def epilogue_of(context: Context, contraction: Contraction) -> Epilogue:
    """The computation that follows a contraction; constants that stay on chip are read there."""
    location = contraction.op.source
    built = build(context, contraction.epilogue.nodes,
                  lambda value: kept(context, value, context.place(value), location))
    results = contraction.epilogue.results
    return Epilogue(built.graph, built.operands, tuple(built.stored(results)),
                    tuple(context.place(r.value) for r in results))


def is_plain(contraction: Contraction) -> bool:
    """Whether the sums are the result, in a type the store DMA makes of them."""
    results = contraction.epilogue.results
    node = contraction.epilogue.nodes[results[0].node]
    return len(results) == 1 and isinstance(node, Accumulated) and node.element in DIRECT


def epilogue_bytes(contraction: Contraction, epilogue: Epilogue, made: Scheme) -> int:
    """Scratchpad bytes for each result element: operands as large as the result, results, and
    totals of folded sums."""
    totals = WORD if made.is_folded else 0
    if is_plain(contraction):
        return totals
    results = sum(p.tensor.element.size for p in epilogue.results if not p.on_chip)
    return totals + epilogue_loads(epilogue) + 2 * results


def epilogue_loads(epilogue: Epilogue) -> int:
    """Bytes the epilogue loads for each result element: operands as large as the result."""
    return sum(o.unit for o in epilogue.operands
               if o is not None and o.place is not None and not o.place.on_chip and all(
                   s != 0 or n == 1 for s, n in zip(o.view.strides, o.view.shape, strict=True)))


def epilogue_cycles(context: Context, contraction: Contraction, epilogue: Epilogue) -> int:
    """Cycles of the vector unit for a group of lanes; none when there is nothing to compute."""
    if is_plain(contraction):
        return 0
    slow = context.config.lanes // context.config.sfu_lanes - 1
    return sum(kernel.body.issues + slow * kernel.body.special for kernel in epilogue.kernels)


def make_output(context: Context, grid: Grid, epilogue: Epilogue, plain: bool, made: Scheme,
                location: Location) -> Output:
    """What takes sums that need no folding to the results."""
    integer = made.run is not None or made.local is ElementType.I8
    sums = DType.S32 if integer else DType.F32
    if plain and not epilogue.results[0].on_chip:
        return StoreSums(context, grid, epilogue.results[0], sums, location)
    return ComputeResult(context, grid, epilogue, sums, location)


def make_sink(context: Context, grid: Grid, epilogue: Epilogue, plain: bool, made: Scheme,
              location: Location) -> Sink:
    """What takes the sums of a scheme to the results."""
    output = make_output(context, grid, epilogue, plain, made, location)
    if not made.is_folded:
        return output
    rows = max(box.count for box in grid.rows)
    tiles = -(-max(box.count for box in grid.columns) // context.config.array_cols)
    in_accumulators = DType.S32 if made.local is ElementType.I8 else DType.F32
    return FoldSums(context, output, in_accumulators, rows, tiles)
