"""Excess precision under fast math: what is rounded, and what is not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_dtypes import bfloat16

from compiler.frontend.load import load
from compiler.ir.ops import HloOp, main_function
from compiler.ir.types import ElementType, tensor_of
from compiler.passes import optimise
from verif.compiler.models import export

WEIGHTS = [np.random.default_rng(n).standard_normal((8, 8), np.float32).astype(bfloat16)
           for n in range(2)]


def stored(function: Any) -> list[ElementType]:
    """Types of what the groups of a function of one bf16 argument [4, 8] hand to each other."""
    module = load(export(function, np.zeros((4, 8), bfloat16))).module
    optimise(module, fusion="full", relaxed=True)
    block = main_function(module).body.block
    groups = [op for op in block.ops if isinstance(op, HloOp) and op.kind == "fused"]
    return [tensor_of(value).element for op in groups[1:] for value in op.operands
            if isinstance(value.owner, HloOp) and value.owner in groups]


def normed(x: Any, w: Any, scale: float) -> Any:
    """A product and work on it in f32, as a batch norm is."""
    return (jnp.dot(x, w).astype(jnp.float32) * scale + 1).astype(bfloat16)


def test_shortcut_is_stored_narrow() -> None:
    """Of the sum of two products the first one goes through memory, in bf16."""
    def function(x: Any) -> Any:
        return jax.nn.relu(normed(x, WEIGHTS[0], 2.0) + normed(x, WEIGHTS[1], 3.0))

    assert stored(function) == [ElementType.BF16]
