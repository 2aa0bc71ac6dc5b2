"""Bootstrap over seeds of several means at once, wide enough for few seeds."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

__all__ = ["ends", "resampled_means", "stretched"]

Array = NDArray[np.float64]

_SEED = 0


def resampled_means(samples: Array, resamples: int) -> Array:
    """Return means over seeds, drawn with replacement; a seed keeps its values together.

    Args:
        samples: ``(seeds, k)``.
        resamples: How many.

    Returns:
        ``(resamples, k)``; the same at each call.
    """
    n = len(samples)
    counts = np.random.default_rng(_SEED).multinomial(n, np.full(n, 1.0 / n), size=resamples)
    return np.asarray(counts @ samples / n)


def stretched(draws: Array, centre: Array, n: int, confidence: float) -> Array:
    """Return draws so much farther from their centre that few seeds suffice.

    A bootstrap of n samples scatters too little by ``sqrt((n - 1) / n)`` and its ends are normal
    quantiles instead of Student's t; both are put right by one factor, 1.22 for 10 seeds (after
    Hesterberg 2015, https://doi.org/10.1080/00031305.2015.1089789). The ends of a mean are then
    those of Student's t, up to the draws.

    Args:
        draws: ``(resamples, k)``.
        centre: What they scatter about, ``(k,)``.
        n: Seeds, at least 2.
        confidence: Of the intervals that are read off them.
    """
    tail = (1.0 + confidence) / 2.0
    factor = sqrt(n / (n - 1)) * float(t.ppf(tail, n - 1) / norm.ppf(tail))
    return centre + factor * (draws - centre)


def ends(draws: Array, confidence: float) -> tuple[Array, Array]:
    """Return lower and upper ends of each column of draws, which may hold infinities."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail], axis=0, method="inverted_cdf")
    return np.asarray(low), np.asarray(high)
