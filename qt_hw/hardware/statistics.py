"""How far a measured vector may lie from the ideal one by its shots alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

__all__ = ["distance_of_shots", "joined", "total_variation"]

Array = NDArray[np.float64]

_DRAWS, _SEED = 400, 0


def total_variation(p: Array, q: Array) -> float:
    """Return the total variation distance of two vectors, ``½ Σ |p_k − q_k|``.

    >>> total_variation(np.array([1.0, 0.0]), np.array([0.75, 0.25]))
    0.25
    """
    return 0.5 * float(np.abs(p - q).sum())


def joined(vectors: Sequence[Array]) -> Array:
    """Return the vector of a product from those of its factors, the first most significant."""
    return reduce(_outer, vectors)


def _outer(a: Array, b: Array) -> Array:
    return np.asarray(np.outer(a, b).ravel(), dtype=np.float64)


def distance_of_shots(ideal: Sequence[Array], shots: int) -> float:
    """Return the mean total variation distance that ``shots`` make on a perfect device.

    For one circuit it is exact: outcome k has a binomial count, whose mean absolute deviation is
    ``2 ν (1 − p) C(N, ν) p^ν (1 − p)^(N − ν)`` with ``ν = ⌊N p⌋ + 1`` (De Moivre; Diaconis and
    Zabell 1991, https://doi.org/10.1214/ss/1177011699). For a product of circuits it is the mean
    over 400 simulated experiments with a fixed seed.

    Args:
        ideal: Exact probabilities of each circuit, ``(2**n,)``.
        shots: Of each circuit.

    >>> distance_of_shots([np.array([0.5, 0.5])], 1)  # one shot lands on one of two sides
    0.5
    """
    if len(ideal) == 1:
        return 0.5 * float(_mean_deviation(ideal[0], shots).sum()) / shots
    rng, exact = np.random.default_rng(_SEED), joined(ideal)
    factors = [p.clip(0) / p.clip(0).sum() for p in ideal]
    drawn = [
        total_variation(joined([rng.multinomial(shots, p) / shots for p in factors]), exact)
        for _ in range(_DRAWS)
    ]
    return float(np.mean(drawn))


def _mean_deviation(p: Array, shots: int) -> Array:
    """Return E|X − N p| of binomial counts X."""
    p = np.clip(p, 0.0, 1.0)
    middle = np.minimum(np.floor(shots * p) + 1, shots)
    certain = p >= 1.0
    deviation = 2.0 * middle * (1.0 - p) * binom.pmf(middle, shots, p)
    return np.where(certain, 0.0, deviation)
