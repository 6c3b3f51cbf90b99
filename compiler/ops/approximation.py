"""Polynomials for the software sequences: fitted when they are first used, not copied in."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import ParamSpec

import numpy as np

from compiler.ops.builder import Builder, V

P = ParamSpec("P")
Polynomial = Callable[[], list[float]]
"""Coefficients, lowest power first."""


def _later(find: Callable[P, list[float]]) -> Callable[P, Polynomial]:
    """A fit that is made when its coefficients are first asked for."""
    return lambda *args, **kwargs: cache(lambda: find(*args, **kwargs))


@_later
def fit(function: Callable[[float], float], low: float, high: float, degree: int) -> list[float]:
    """Coefficients, lowest power first, of the polynomial through the Chebyshev nodes of
    [low, high]; computed in float64."""
    middle, radius = (low + high) / 2, (high - low) / 2
    nodes = np.cos((np.arange(degree + 1) + 0.5) * np.pi / (degree + 1))
    values = [function(middle + radius * float(t)) for t in nodes]
    series = np.polynomial.chebyshev.Chebyshev.fit(
        middle + radius * nodes, values, degree, domain=[low, high])
    return [float(c) for c in series.convert(kind=np.polynomial.Polynomial).coef]


STEPS = 60
"""Rounds of Lawson's iteration."""
SAMPLES = 200


def bf16_unit(value: float) -> float:
    """One unit in the last place of a number's nearest bf16."""
    return float(2.0 ** (np.floor(np.log2(abs(value))) - 7))


@_later
def minimax(function: Callable[[float], float], low: float, high: float, powers: Sequence[int],
            unit: Callable[[float], float] | None = None) -> list[float]:
    """Coefficients of a sum of powers of x that is near a function on [low, high], the largest
    error in `unit`s as small as it gets; without, in units in the last place of bf16.

    Lawson's iteration (C. L. Lawson, 1961): least squares whose weights grow with the error.
    """
    x = np.linspace(low, high, SAMPLES)
    exact = np.array([function(float(v)) for v in x])
    units = np.array([unit(float(v)) for v in x] if unit is not None
                     else [bf16_unit(float(v)) for v in exact])
    basis = np.stack([x**n for n in powers], 1) / units[:, None]
    weights = np.full(SAMPLES, 1 / SAMPLES)
    best, coefficients = np.inf, np.zeros(len(powers))
    for _ in range(STEPS):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(basis * root[:, None], exact / units * root, rcond=None)[0]
        error = np.abs(basis @ found - exact / units)
        if error.max() < best:
            best, coefficients = error.max(), found
        weights *= error
        weights /= weights.sum()
    return [float(c) for c in coefficients]


def horner(b: Builder[V], x: V, polynomial: Polynomial) -> V:
    """The polynomial's value at x."""
    *rest, value = [b.const(float(c)) for c in polynomial()]
    for coefficient in reversed(rest):
        value = b.fmac(value, x, coefficient)
    return value
