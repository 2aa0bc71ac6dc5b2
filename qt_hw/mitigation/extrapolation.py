"""Extrapolation to zero noise as coefficients, applied to all vectors and components at once.

A least-squares polynomial in the noise scale is linear in what was measured, so its value at
scale 0 is ``Σ c_i p_i`` with c that depend on the scales alone (Giurgica-Tiron et al.,
arXiv:2005.10921; the same as mitiq's factories, component by component).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError

__all__ = ["coefficients", "residual", "shares", "shot_factor"]

Array = NDArray[np.float64]


def coefficients(scales: Sequence[float], order: int) -> Array:
    """Return the coefficients ``(m,)`` of the value at scale 0; they add up to 1.

    Args:
        scales: Noise scale factors, 1 or more.
        order: Degree of the polynomial: 1 is linear, ``len(scales) - 1`` Richardson.

    Raises:
        InputError: A factor below 1, or too few different ones for the order.

    >>> coefficients([1, 3], 1).round(6).tolist(), coefficients([1, 3, 5], 2).round(6).tolist()
    ([1.5, -0.5], [1.875, -1.25, 0.375])
    """
    values = np.asarray(scales, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 1.0 - 1e-9).any():
        raise InputError(f"noise scale factors are 1 or more, not {list(scales)}")
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise InputError(f"the order of an extrapolation is at least 1, not {order!r}")
    if len(np.unique(values)) < order + 1:
        raise InputError(
            f"an extrapolation of order {order} needs {order + 1} different noise scale factors, "
            f"not {list(scales)}"
        )
    return np.asarray(np.linalg.pinv(np.vander(values, order + 1))[-1])


def shares(weights: Sequence[float], *, proportional: bool) -> tuple[float, ...]:
    """Return the share of the shots of each circuit; proportional to ``|c|`` is the least noise.

    >>> shares([1.5, -0.5], proportional=True)
    (0.75, 0.25)
    """
    sizes = np.abs(np.asarray(weights, dtype=np.float64))
    if not proportional:
        return (1.0 / len(sizes),) * len(sizes)
    # A coefficient of 0 still needs a circuit to be measured at all.
    sizes = np.maximum(sizes, 1e-3 * sizes.max())
    return tuple(float(size) for size in sizes / sizes.sum())


def shot_factor(weights: Sequence[float], *, proportional: bool) -> float:
    """Return how many times the shots give the noise of one circuit.

    >>> shot_factor([1.5, -0.5], proportional=True), shot_factor([1.5, -0.5], proportional=False)
    (4.0, 5.0)
    """
    sizes = np.abs(np.asarray(weights, dtype=np.float64))
    if proportional:
        return float(sizes.sum() ** 2)
    return float(len(sizes) * (sizes**2).sum())


def residual(weights: Sequence[float], scales: Sequence[float], decay: float) -> float:
    """Return the part of the signal that is missing after extrapolation, ``1 − Σ c_i f^s_i``.

    >>> round(residual([1.5, -0.5], [1, 3], 0.9), 6)
    0.0145
    """
    return 1.0 - float(sum(c * decay**s for c, s in zip(weights, scales, strict=True)))
