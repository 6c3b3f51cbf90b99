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


STEPS = 60
"""Rounds of Lawson's iteration."""
SAMPLES = 200


def minimax(function: Callable[[float], float], low: float, high: float, powers: Sequence[int]
            ) -> list[float]:
    """Coefficients of a sum of powers of x that is near a function on [low, high], the largest
    error in units in the last place of bf16 as small as it gets.

    Lawson's iteration (C. L. Lawson, 1961): least squares whose weights grow with the error.
    """
    x = np.linspace(low, high, SAMPLES)
    exact = np.array([function(float(v)) for v in x])
    unit = 2.0 ** (np.floor(np.log2(np.abs(exact))) - 7)
    basis = np.stack([x**n for n in powers], 1) / unit[:, None]
    weights = np.full(SAMPLES, 1 / SAMPLES)
    best, coefficients = np.inf, np.zeros(len(powers))
    for _ in range(STEPS):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(basis * root[:, None], exact / unit * root, rcond=None)[0]
        error = np.abs(basis @ found - exact / unit)
        if error.max() < best:
            best, coefficients = error.max(), found
        weights *= error
        weights /= weights.sum()
    return [float(c) for c in coefficients]


def horner(b: Builder[V], x: V, coefficients: Sequence[float]) -> V:
    """The polynomial's value at x, `coefficients` lowest power first."""
    *rest, value = [b.const(float(c)) for c in coefficients]
    for coefficient in reversed(rest):
        value = b.fmac(value, x, coefficient)
    return value
