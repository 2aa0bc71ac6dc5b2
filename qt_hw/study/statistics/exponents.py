"""The exponent of a power law, fitted to many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOWEST", "UPPERMOST", "best_exponents"]

Array = NDArray[np.float64]

LOWEST, UPPERMOST = 0.1, 2.0
"""Bounds of the exponent."""

_STEPS = 191


def best_exponents(counts: Array, means: Array, weights: Array, *, floor: bool) -> Array:
    """Return floor, coefficient and exponent of ``floor + a / S**b`` for each row of means.

    For a given b the other two solve a linear problem, so the sum of squares is a function of b
    alone (variable projection, Golub and Pereyra 1973, https://doi.org/10.1137/0710036). It is
    tried on a grid of step 0.01 in 0.1 … 2, which no local minimum misleads, then refined by a
    parabola through the best point and its neighbours.

    Args:
        counts: Shot counts, ``(k,)``.
        means: ``(rows, k)``.
        weights: ``(k,)``.
        floor: Whether there is one; else it is 0.

    Returns:
        ``(rows, 3)``: floor, a, b.
    """
    grid = np.linspace(LOWEST, UPPERMOST, _STEPS, dtype=np.float64)
    root = np.sqrt(weights)
    rows = means * root
    explained = np.stack(
        [((rows @ _basis(counts, root, b, floor)) ** 2).sum(axis=1) for b in grid], axis=1
    )
    exponents = _peaks(grid, explained)
    return np.concatenate([_given(counts, rows, root, exponents, floor), exponents[:, None]], 1)


def _basis(counts: Array, root: Array, exponent: float, floor: bool) -> Array:
    """Return orthonormal columns of the weighted model with that exponent, ``(k, 1 or 2)``."""
    power = (counts / counts[0]) ** -exponent * root
    columns = np.stack([root, power] if floor else [power], axis=1)
    return np.linalg.qr(columns)[0]


def _peaks(grid: Array, explained: Array) -> Array:
    """Return where each row is largest, between the points of the grid."""
    rows, best = np.arange(len(explained)), explained.argmax(axis=1)
    inner = np.clip(best, 1, len(grid) - 2)
    left, middle, right = (explained[rows, inner + step] for step in (-1, 0, 1))
    bend = left - 2.0 * middle + right
    curved = (bend < 0.0) & (inner == best)
    shift = np.where(curved, 0.5 * (left - right) / np.where(curved, bend, 1.0), 0.0)
    step = grid[1] - grid[0]
    return np.asarray(grid[best] + step * np.clip(shift, -1.0, 1.0))


def _given(counts: Array, rows: Array, root: Array, exponents: Array, floor: bool) -> Array:
    """Return floor and coefficient of each row, by the normal equations of its exponent."""
    scaled = (counts / counts[0]) ** -exponents[:, None] * root
    power, level = (scaled**2).sum(axis=1), (root**2).sum()
    cross, right = scaled @ root, (rows * scaled).sum(axis=1)
    ones = rows @ root
    if floor:
        a = (level * right - cross * ones) / (level * power - cross**2)
        offset = (ones - a * cross) / level
    else:
        a, offset = right / power, np.zeros(len(rows))
    return np.stack([offset, a * counts[0] ** exponents], axis=1)
