"""Passes over the tensor-level IR, in the order they run.

    expand        composed operations become what they are made of
    canonicalise  one form for what means the same; what does nothing is dropped
    fold          constants are computed
    contractions  contractions read their operands as they lie in memory
    extremes      argmax and argmin become reductions of one tensor
    share         equal operations become one
    canonicalise  again, for what folding has uncovered
    fast_math     only on request: rewrites that change rounding
    check         refuses what cannot become code
    fuse          operations become groups
"""

from xdsl.dialects.builtin import ModuleOp

from compiler.passes.canonicalise import canonicalise
from compiler.passes.check import check
from compiler.passes.contractions import contractions
from compiler.passes.expand import expand
from compiler.passes.extremes import extremes
from compiler.passes.fast_math import fast_math
from compiler.passes.fold import fold
from compiler.passes.fuse import LEVELS, fuse
from compiler.passes.share import share

__all__ = ["LEVELS", "SIMPLIFYING", "optimise"]

SIMPLIFYING = (expand, canonicalise, fold, contractions, extremes, share, canonicalise)
"""They keep every bit of every result."""


def optimise(module: ModuleOp, *, fusion: str = "full", relaxed: bool = False) -> list[str]:
    """Runs all passes on a module, in place.

    Args:
        fusion: one of LEVELS.
        relaxed: allow rewrites that change rounding (`--fast-math`).

    Returns:
        One line for each fusion that was refused, with the reason (`--explain`).

    Raises:
        CompileError: an operation cannot become code.
    """
    for simplify in SIMPLIFYING:
        simplify(module)
    if relaxed:
        fast_math(module)
    check(module)
    refusals = fuse(module, fusion)
    module.verify()
    return refusals
