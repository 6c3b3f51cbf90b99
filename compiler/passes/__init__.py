"""Passes over the tensor-level IR, in the order they run.

    expand        composed operations become what they are made of
    canonicalise  one form for what means the same; what does nothing is dropped
    carries       what a loop hands on unchanged is taken out of it
    broadcasts    what depends on a broadcast value alone is computed before it
    fold          constants are computed
    unroll        loops that count become copies of their body
    fold          again, for what depends on the counter; then inner loops bounded by it
    static_slices dynamic slices at known places become static
    pointwise     convolutions with a kernel of one position become products
    contractions  contractions read their operands as they lie in memory
    extremes      argmax and argmin become reductions of one tensor
    share         equal operations become one
    reshapes      work between two reshapes is done in the shape around them
    batch_dots    products of slices with one matrix become one product
    canonicalise  again, for what folding has uncovered
    fast_math     only on request: rewrites that change rounding
    check         refuses what cannot become code
    product_sums  with fast_math: the sum of two products becomes one product
    k_slices      with fast_math: two products are cut along the k of the second one
    row_slices    normalisations are cut so that contractions start before their end
    bands         chains of convolutions are cut so that what is between them stays on chip
    slices        chains of contractions are cut so that what is between them stays on chip
    conversions   slices, reshapes and concatenations move elements as narrow as they are stored
    product_sums  again, for those whose left factors are read apart
    joint_products  products of one factor that are combined become one operation
    left_factors  products read what is too large to be put together where it lies
    fuse          operations become groups
"""

from collections.abc import Callable

from xdsl.dialects.builtin import ModuleOp

from compiler.passes.bands import bands
from compiler.passes.batch_dots import batch_dots
from compiler.passes.broadcasts import broadcasts
from compiler.passes.canonicalise import canonicalise
from compiler.passes.carries import carries
from compiler.passes.check import check
from compiler.passes.column_slices import column_slices
from compiler.passes.contractions import contractions
from compiler.passes.conversions import conversions
from compiler.passes.expand import expand
from compiler.passes.extremes import extremes
from compiler.passes.fast_math import fast_math
from compiler.passes.fold import fold
from compiler.passes.fuse import LEVELS, fuse
from compiler.passes.joint_products import joint_products
from compiler.passes.k_slices import k_slices
from compiler.passes.left_factors import left_factors
from compiler.passes.pointwise import pointwise
from compiler.passes.product_sums import product_sums
from compiler.passes.reshapes import reshapes
from compiler.passes.row_slices import row_slices
from compiler.passes.share import share
from compiler.passes.slices import slices
from compiler.passes.static_slices import static_slices
from compiler.passes.unroll import BUDGET, unroll

__all__ = ["LEVELS", "SIMPLIFYING", "optimise"]

SIMPLIFYING: tuple[Callable[[ModuleOp], None], ...] = (
    expand, canonicalise, carries, broadcasts, fold, unroll, fold, unroll, fold, static_slices,
    pointwise, contractions, extremes, share, reshapes, batch_dots, canonicalise,
)
"""They keep every bit of every result."""


def optimise(module: ModuleOp, *, fusion: str = "full", relaxed: bool = False,
             scratchpad_bytes: int = 1 << 30, accumulator_bytes: int = 1 << 30,
             array_cols: int = 16, unroll_budget: int = BUDGET, verify: bool = True) -> list[str]:
    """Runs all passes on a module, in place.

    Args:
        fusion: one of LEVELS.
        relaxed: allow rewrites that change rounding (`--fast-math`).
        scratchpad_bytes: of the machine; what does not fit is cut.
        accumulator_bytes: of the machine; sums of a product that are made together.
        array_cols: of the machine; columns of a weight tile.
        unroll_budget: operations a loop may become.
        verify: check the types of all that the passes have made.

    Returns:
        One line for each fusion that was refused, with the reason (`--explain`).

    Raises:
        CompileError: an operation cannot become code.
    """
    for simplify in SIMPLIFYING:
        if simplify is unroll:
            unroll(module, unroll_budget)
        else:
            simplify(module)
    if relaxed:
        fast_math(module)
    check(module)
    if fusion == "full":
        if relaxed:
            product_sums(module, scratchpad_bytes)
            k_slices(module, scratchpad_bytes, accumulator_bytes)
            column_slices(module, scratchpad_bytes, array_cols)
        row_slices(module)
        bands(module, scratchpad_bytes, array_cols)
        slices(module, scratchpad_bytes)
        conversions(module)
        if relaxed:
            product_sums(module, scratchpad_bytes, apart=True)
        joint_products(module, array_cols)
        left_factors(module, scratchpad_bytes)
    refusals = fuse(module, fusion)
    if verify:
        module.verify()
    return refusals
