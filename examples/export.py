"""Writes what an example is made of: StableHLO text, weights, inputs, JAX's own results."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def export(
    directory: Path, model: Callable[..., Any], inputs: Array, weights: list[Any], batch: int,
    **arrays: Array,
) -> None:
    """Lowers `model(inputs[:batch], *weights)` and saves it with its data.

    `model.mlir` takes a batch as argument 0 and the weights as arguments 1, 2, ...;
    `weights.npz` has them under `arg1`, `arg2`, ...; `data.npz` holds `inputs`, JAX's
    `reference` for each batch of them, and `arrays`.
    """
    compiled = jax.jit(model)
    (directory / "model.mlir").write_text(compiled.lower(inputs[:batch], *weights).as_text())
    reference = np.concatenate([
        np.asarray(compiled(inputs[first : first + batch], *weights))
        for first in range(0, len(inputs), batch)
    ])
    _save(directory / "weights.npz", {
        f"arg{number}": np.asarray(weight) for number, weight in enumerate(weights, start=1)})
    _save(directory / "data.npz", {"inputs": inputs, "reference": reference, **arrays})
    size = sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
    print(f"{directory}: {size / 1024:.0f} KiB")


def _save(path: Path, arrays: Mapping[str, Array]) -> None:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
