"""Contractions as the machine defines them, straightforwardly: one step of k at a time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from compiler.ops.contraction import free_dimensions, spatial_windows
from compiler.ops.registry import Call
from compiler.ops.windows import gather_window
from compiler.pipeline import Options, compile_module
from hw.config import load
from hw.isa import numerics
from hw.isa.numerics import Bits
from verif.codegen import harness

Array = NDArray[Any]
TERMS = {"DEFAULT": [(0, 0)], "HIGH": [(1, 0), (0, 1), (0, 0)],
         "HIGHEST": [(2, 0), (1, 1), (0, 2), (1, 0), (0, 1), (0, 0)]}
MLIR_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", "int32": "i32",
              "int16": "i16", "int8": "i8", "uint8": "ui8", "uint16": "ui16", "uint32": "ui32"}


def mlir_type(array: Array) -> str:
    return f"tensor<{''.join(f'{n}x' for n in array.shape)}{MLIR_TYPES[array.dtype.name]}>"


def execute(text: str, inputs: Sequence[Array], config: str) -> list[Array]:
    """Results of a module on the golden model."""
    return harness.execute(compile_module(text, load(config), Options()), inputs)


def product_sums(lhs: Array, rhs: Array, precision: str = "DEFAULT") -> Array:
    """[B, M, K] by [B, N, K]: f32 sums of bf16 products in ascending k, s32 ones of integers."""
    if lhs.dtype.kind in "iu":
        total = lhs.astype(np.int64) @ rhs.astype(np.int64).swapaxes(1, 2)
        return total.astype(np.uint64).astype(np.uint32).view(np.int32)
    if np.float16 in (lhs.dtype, rhs.dtype) and precision == "DEFAULT":
        precision = "HIGH"
    left, right = (_parts(x, precision) for x in (lhs, rhs))
    acc = np.zeros((lhs.shape[0], lhs.shape[1], rhs.shape[1]), np.uint32)
    for a, b in TERMS[precision]:
        for k in range(lhs.shape[2]):
            acc = numerics.fmac(left[a][:, :, None, k], right[b][:, None, :, k], acc)
    return acc.view(np.float32)


def _parts(x: Array, precision: str) -> list[Bits]:
    rest = x.astype(np.float32).view(np.uint32)
    parts = []
    for _ in range(1 + max(a for a, _ in TERMS[precision])):
        parts.append(numerics.rbf(rest))
        rest = numerics.fsub(rest, parts[-1])
    return parts


def dot_general(lhs: Array, rhs: Array, batch: tuple[Sequence[int], Sequence[int]],
                contracting: tuple[Sequence[int], Sequence[int]], precision: str = "DEFAULT"
                ) -> Array:
    """Sums of StableHLO's dot_general, before they are brought to the result's type."""
    arranged, free = [], []
    for x, b, k in zip((lhs, rhs), batch, contracting, strict=True):
        dims = free_dimensions(x.ndim, [*b, *k])
        free += [x.shape[d] for d in dims]
        sizes = [int(np.prod([x.shape[d] for d in part])) for part in (b, dims, k)]
        arranged.append(x.transpose(*b, *dims, *k).reshape(sizes))
    sums = product_sums(arranged[0], arranged[1], precision)
    return sums.reshape((*(lhs.shape[d] for d in batch[0]), *free))


def convolution(lhs: Array, rhs: Array, call: Call, precision: str = "DEFAULT") -> Array:
    """Sums of StableHLO's convolution; k counts (positions in the window, features)."""
    dims = call.attrs["dimension_numbers"]
    reverse = [w.reverse for w in spatial_windows(call)]
    windows = [replace(w, reverse=False) for w in spatial_windows(call)]
    groups = call.attrs.get("feature_group_count", 1)
    x = lhs.transpose(dims["input_batch_dimension"], dims["input_feature_dimension"],
                      *dims["input_spatial_dimensions"])
    kernel = rhs.transpose(*dims["kernel_spatial_dimensions"],
                           dims["kernel_input_feature_dimension"],
                           dims["kernel_output_feature_dimension"])
    kernel = np.flip(kernel, tuple(d for d, reversed_ in enumerate(reverse) if reversed_))
    patches = np.stack([gather_window(x, windows, position, x.dtype.type(0))
                        for position in np.ndindex(*(w.size for w in windows))])
    taps, batch, features = patches.shape[:3]
    outputs = [w.outputs for w in windows]
    # taps, batch, group, features of it, positions -> group, rows, k
    grouped = patches.reshape(taps, batch, groups, features // groups, -1)
    rows = grouped.transpose(2, 1, 4, 0, 3).reshape(groups, -1, taps * (features // groups))
    weights = kernel.reshape(rows.shape[2], groups, -1).transpose(1, 2, 0)
    sums = product_sums(rows, np.ascontiguousarray(weights), precision)
    result = sums.reshape((groups, batch, *outputs, -1))
    result = np.moveaxis(result, 0, -2).reshape((batch, *outputs, -1))
    order = [dims["output_batch_dimension"], *dims["output_spatial_dimensions"],
             dims["output_feature_dimension"]]
    return result.transpose(np.argsort(order))


def random(rng: np.random.Generator, shape: Sequence[int], dtype: str) -> Array:
    """Integers over all of their range, floats around zero."""
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, shape, kind, endpoint=True)
    return rng.standard_normal(tuple(shape)).astype(kind)
