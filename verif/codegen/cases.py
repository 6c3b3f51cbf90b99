"""Functions over awkward shapes: what the table of operations does not reach."""

from typing import Any

import ml_dtypes
import numpy as np

from verif.compiler.cases import CASES, Case
from verif.compiler.models import floats, integers, jax

lax, jnp = jax.lax, jax.numpy
BF16 = ml_dtypes.bfloat16


def window(x: Any, start: float, combine: Any, size: Any, stride: Any, padding: Any,
           **dilation: Any) -> Any:
    return lax.reduce_window(x, np.asarray(start, x.dtype), combine, size, stride, padding,
                             **dilation)


def _elementwise() -> list[Case]:
    return [
        Case("add", lambda x: x + 1, (floats(),)),
        Case("add", lambda x, y: x * y + x, (floats(40, 130), floats(130, seed=1))),
        Case("add", lambda x, y: x + y[:, None, :], (floats(3, 5, 7), floats(3, 7, seed=1))),
        Case("add", lambda x: x + x.T, (floats(37, 37),)),
        Case("add", lambda x: (x + 1, x * 2, x - 3), (floats(9, 9),)),
        Case("add", lambda x: x.reshape(2, 3, 2, 3, 2, 3, 2).transpose(6, 4, 2, 0, 1, 3, 5) + 1,
             (floats(432),)),
        Case("convert", lambda x: x.astype(np.float16) * 3, (floats(9, 5),)),
        Case("multiply", lambda x, y: x * y, (floats(5, 9, dtype=BF16),
                                              floats(5, 9, seed=1, dtype=BF16))),
        Case("multiply", lambda x: x * 3 + 100, (integers(5, 9, low=-90, high=90, dtype=np.int8),)),
        Case("multiply", lambda x: x * 3 + 200, (integers(5, 9, low=0, high=90, dtype=np.uint8),)),
        Case("tanh", lambda x: jnp.tanh(jnp.exp(x) * jax.nn.sigmoid(x) + jnp.log1p(jnp.abs(x))),
             (floats(13, 11),)),
        Case("iota", lambda x: x + jnp.arange(60) * 2, (floats(12, 60),)),
    ]


def _movement() -> list[Case]:
    return [
        Case("transpose", lambda x: x.transpose(2, 0, 1), (floats(9, 6, 5),)),
        Case("transpose", lambda x: x.T, (integers(33, 50, dtype=np.int8),)),
        Case("slice", lambda x: x[1:9, 3::3], (floats(12, 60),)),
        Case("slice", lambda x: x[:, ::17], (floats(4, 60),)),
        Case("concatenate", lambda x, y: jnp.concatenate([x, y, x[:1]], 0),
             (floats(3, 5), floats(4, 5))),
        Case("concatenate", lambda x: jnp.stack([x, x + 1, x.T.reshape(3, 5)], 1),
             (floats(3, 5),)),
        Case("pad", lambda x: lax.pad(x, np.int8(-1), [(-1, -2, 3), (0, 9, 0)]),
             (integers(9, 7, dtype=np.int8),)),
        Case("pad", lambda x, v: lax.pad(x, v, [(1, 0, 0), (0, -3, 1)]),
             (floats(3, 4), floats())),
    ]


def _reductions() -> list[Case]:
    long = floats(3, 700)
    return [
        Case("reduce", lambda x: x.sum(), (floats(5, 7, 3),)),
        Case("reduce", lambda x: x.sum((0, 2)), (floats(5, 7, 9),)),
        Case("reduce", lambda x: x.max(1), (floats(5, 7, 9),)),
        Case("reduce", lambda x: x.sum((1, 3)), (floats(3, 5, 2, 6),)),
        Case("reduce", lambda x: (x.sum(1), x.sum(0)), (long,)),
        Case("reduce", lambda x: (x * x).sum(1), (floats(21, 33),)),
        Case("reduce", lambda x: jnp.exp(x).sum(1), (floats(19, 5),)),
        Case("reduce", lambda x: x.T.max(1), (floats(19, 6),)),
        Case("reduce", lambda x: x[:, None, :].repeat(3, 1).reshape(4, 15).sum(1), (floats(4, 5),)),
        Case("reduce", lambda x: lax.reduce(x, np.float32(3), lax.add, (1,)), (floats(4, 9),)),
        Case("reduce", lambda x, v: lax.reduce(x, v, lax.add, (0,)), (floats(4, 9), floats())),
        Case("reduce", lambda x: x.sum(0), (floats(12, 9, dtype=BF16),)),
        Case("reduce", lambda x: (x.max(0), x.min(1), jnp.bitwise_xor.reduce(x, 0)),
             (integers(12, 9, dtype=np.int16),)),
        Case("reduce", lambda x: x.sum((0, 1)), (floats(7, 1, 300),)),
        Case("reduce", lambda x: x.sum(0), (floats(900, 5),)),
    ]


def _windows() -> list[Case]:
    image = floats(2, 9, 8, 3)
    return [
        Case("reduce_window", lambda x: window(
            x, -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"), (image,)),
        Case("reduce_window", lambda x: window(
            x, 0, lax.add, (1, 1, 3, 2), (1, 1, 1, 2), "SAME"), (floats(2, 3, 8, 8),)),
        Case("reduce_window", lambda x: window(
            x, 0, lax.add, (3, 2), (2, 1), ((2, 1), (1, 0)), base_dilation=(2, 1),
            window_dilation=(1, 3)), (floats(9, 8),)),
        Case("reduce_window", lambda x: window(
            x, -128, lax.max, (3, 3), (1, 2), "SAME"), (integers(9, 8, dtype=np.int8),)),
        Case("reduce_window", lambda x: window(
            x, 0, lax.add, (40,), (1,), ((39, 0),)), (floats(100),)),
        Case("reduce_window", lambda x: window(
            x, 2, lax.add, (1, 4, 4, 1), (1, 4, 4, 1), ((0, 0), (1, 2), (0, 0), (0, 0))), (image,)),
        Case("reduce_window", lambda x: window(
            x[:, ::-1], -np.inf, lax.max, (3, 3), (1, 1), "SAME"), (floats(6, 7),)),
    ]


def _control() -> list[Case]:
    def nested(x: Any) -> Any:
        def outer(i: Any, c: Any) -> Any:
            return lax.fori_loop(0, i, lambda j, d: d + j, c) * 2
        return lax.fori_loop(0, 4, outer, x)

    def branches(x: Any, i: Any) -> Any:
        return lax.fori_loop(0, 5, lambda k, c: lax.cond(
            k < i, lambda v: v + 1, lambda v: v * 3, c), x)

    return [
        Case("while", nested, (integers(3, 5),)),
        Case("case", branches, (floats(3, 5), np.int32(2))),
        Case("while", lambda x: lax.while_loop(lambda c: c[1].max() < 100, lambda c: (
            c[0] + 1, c[1] * 2 + c[0].astype(jnp.float32)), (jnp.int32(0), jnp.abs(x))),
            (floats(5),)),
    ]


AWKWARD = (_elementwise() + _movement() + _reductions() + _windows() + _control())
ALL = [*CASES, *AWKWARD]
