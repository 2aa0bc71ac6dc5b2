"""What shots alone do to a vector of probabilities, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.hardware.statistics import distance_of_shots

__all__ = ["expected_empty_bins", "expected_total_variation"]

Array = NDArray[np.float64]


def expected_empty_bins(p: Array, shots: int) -> float:
    """Return the expected share of outcomes that ``shots`` never hit, ``Σ (1 − p_k)^S / D``.

    Args:
        p: Exact probabilities, ``(D,)``.
        shots: S, at least 1.

    Raises:
        InputError: ``p`` is no vector of probabilities, or there are no shots.

    >>> expected_empty_bins(np.full(4, 0.25), 1)
    0.75
    """
    return float(np.mean((1.0 - _checked(p, shots)) ** shots))


def expected_total_variation(p: Array, shots: int) -> float:
    """Return the expected total variation distance of the observed frequencies to ``p``.

    Exact: half the sum of the mean absolute deviations of binomial counts (De Moivre), see
    ``qt_hw.hardware.statistics.distance_of_shots``.

    Args:
        p: Exact probabilities, ``(D,)``.
        shots: At least 1.

    Raises:
        InputError: ``p`` is no vector of probabilities, or there are no shots.

    >>> expected_total_variation(np.array([0.5, 0.5]), 2)
    0.25
    """
    return distance_of_shots([_checked(p, shots)], shots)


def _checked(p: Array, shots: int) -> Array:
    """Return ``p`` without what rounding put outside of 0 … 1."""
    p = np.asarray(p, dtype=np.float64)
    if p.ndim != 1 or not np.isclose(p.sum(), 1.0, atol=1e-4) or p.min() < -1e-6:
        raise InputError(f"p: probabilities (D,) that sum to 1, not {p.shape} with sum {p.sum():g}")
    if shots < 1:
        raise InputError(f"shots: at least 1, not {shots}")
    return np.clip(p, 0.0, 1.0)
