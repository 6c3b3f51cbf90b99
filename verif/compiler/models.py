"""StableHLO for tests, exported by JAX, and its results as JAX computes them."""

import os
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax as jax
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def export(function: Callable[..., Any], *arguments: Array, debug: bool = False,
           donate: Sequence[int] = ()) -> str:
    """StableHLO text of a function of arrays."""
    lowered = jax.jit(function, donate_argnums=tuple(donate)).lower(*arguments)
    return str(lowered.as_text(debug_info=debug))


def results(function: Callable[..., Any], *arguments: Array) -> list[Array]:
    """What JAX computes, as numpy arrays."""
    return [np.asarray(r) for r in jax.tree.leaves(jax.jit(function)(*arguments))]


def floats(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Normal numbers of a fixed seed."""
    return np.asarray(np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def integers(*shape: int, low: int = -9, high: int = 10, seed: int = 0,
             dtype: Any = np.int32) -> Array:
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def module(body: str, signature: str = "%a: tensor<4xf32>", result: str = "tensor<4xf32>") -> str:
    """A module of one function whose body ends in `return %r`."""
    return (f"module {{\n  func.func @main({signature}) -> {result} {{\n{body}\n"
            f"    return %r : {result}\n  }}\n}}\n")
