"""Rewrites that change rounding; only under --fast-math."""

from xdsl.dialects.builtin import ModuleOp

from compiler.passes.activations import activations
from compiler.passes.affine import affine
from compiler.passes.broadcasts import broadcasts
from compiler.passes.canonicalise import canonicalise
from compiler.passes.fold import fold
from compiler.passes.row_scales import row_scales
from compiler.passes.share import share
from compiler.passes.weight_scales import weight_scales
from compiler.passes.wide_chains import wide_chains


def fast_math(module: ModuleOp) -> None:
    """Each step uncovers work of the next; `affine` runs again on what `activations` has made."""
    for step in (wide_chains, broadcasts, fold, row_scales, activations, affine, broadcasts, fold,
                 affine, broadcasts, fold, weight_scales, share, canonicalise):
        step(module)
