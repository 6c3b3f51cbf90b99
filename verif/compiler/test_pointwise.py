"""Convolutions of one position as products."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from compiler.frontend.load import load
from compiler.ir.ops import HloOp, main_function
from compiler.passes import SIMPLIFYING
from verif.compiler.models import export


def kinds(layout: tuple[str, str, str], kernel: int, strides: tuple[int, int], pad: int = 0,
          groups: int = 1) -> list[str]:
    """Operations of a simplified convolution that are no constants or views."""
    def function(x: Any, w: Any) -> Any:
        return jax.lax.conv_general_dilated(
            x, w, strides, [(pad, pad), (pad, pad)], dimension_numbers=layout,
            feature_group_count=groups)

    sizes = {"N": 2, "C": 4, "H": 6, "W": 7, "I": 4 // groups, "O": 8}
    window = {"H": kernel, "W": kernel}
    operands = [jnp.zeros([(sizes | extra)[d] for d in part])
                for part, extra in zip(layout[:2], ({}, window), strict=True)]
    module = load(export(function, *operands)).module
    for simplify in SIMPLIFYING:
        simplify(module)
    found = [op.kind for op in main_function(module).walk() if isinstance(op, HloOp)]
    return [kind for kind in found if kind in ("convolution", "dot_general")]


@pytest.mark.parametrize("layout", [
    ("NHWC", "HWIO", "NHWC"), ("NHWC", "OIHW", "NHWC"), ("NCHW", "OIHW", "NHWC")])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
def test_becomes_a_product(layout: tuple[str, str, str], strides: tuple[int, int]) -> None:
    assert kinds(layout, 1, strides) == ["dot_general"]


def test_stays() -> None:
    """Features that are not last, a window, padding and groups need a convolution."""
    nhwc = ("NHWC", "HWIO", "NHWC")
    assert kinds(("NCHW", "OIHW", "NCHW"), 1, (1, 1)) == ["convolution"]
    assert kinds(nhwc, 2, (1, 1)) == ["convolution"]
    assert kinds(nhwc, 1, (1, 1), pad=1) == ["convolution"]
    assert kinds(nhwc, 1, (1, 1), groups=2) == ["convolution"]
