"""Polynomials for the software sequences: fitted when the module is loaded, not copied in."""

from collections.abc import Callable, Sequence

import numpy as np

from compiler.ops.builder import Builder, V


def fit(function: Callable[[float], float], low: float, high: float, degree: int) -> list[float]:
    """Coefficients, lowest power first, of the polynomial through the Chebyshev nodes of
    [low, high]; computed in float64."""
    middle, radius = (low + high) / 2, (high - low) / 2
    nodes = np.cos((np.arange(degree + 1) + 0.5) * np.pi / (degree + 1))
    values = [function(middle + radius * float(t)) for t in nodes]
    series = np.polynomial.chebyshev.Chebyshev.fit(
        middle + radius * nodes, values, degree, domain=[low, high])
    return [float(c) for c in series.convert(kind=np.polynomial.Polynomial).coef]


def horner(b: Builder[V], x: V, coefficients: Sequence[float]) -> V:
    """The polynomial's value at x, `coefficients` lowest power first."""
    *rest, value = [b.const(float(c)) for c in coefficients]
    for coefficient in reversed(rest):
        value = b.fmac(value, x, coefficient)
    return value
