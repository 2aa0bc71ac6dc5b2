"""Exponential extrapolation to zero noise, by mitiq, component by component.

Global depolarizing noise takes each component to 1 / 2**n like an exponential, so that is the
asymptote. A component that noise has carried across it, or away from it, is no exponential:
it is extrapolated linearly instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qt_hw.errors import InputError
from qt_hw.mitigation.bound.gates import require_mitiq
from qt_hw.mitigation.extrapolation import coefficients

__all__ = ["exponential"]

Array = NDArray[np.float64]


def exponential(scales: Sequence[float], vectors: ArrayLike) -> tuple[Array, str | None]:
    """Return the vector at noise scale 0 of the fits 1/D + b·exp(-c·scale), one per component.

    The components do not add up to 1 exactly, other than with linear extrapolation. Where one is
    less than 1e-6 away from 1/D, mitiq takes 1e-6, so that its logarithm does not run away.

    Args:
        scales: Noise scale factors, ``(m,)``, two or more different ones.
        vectors: Measured at them, ``(m, D)``, readout corrected.

    Returns:
        The vector ``(D,)``, and a warning that says how many components were extrapolated
        linearly: those not on one side of 1/D, or not coming nearer to it, or fitted outside
        [0, 1]. None if there are none.

    Raises:
        InputError: Wrong shapes or scales.
        MissingExtra: mitiq is not installed.
    """
    y, x = np.asarray(vectors, dtype=np.float64), [float(scale) for scale in scales]
    if y.ndim != 2 or len(y) != len(x) or not y.size or not np.isfinite(y).all():
        raise InputError(
            f"vectors has the shape {y.shape}: pass ({len(x)}, D), one finite row per scale"
        )
    linear = np.asarray(coefficients(x, 1)) @ y
    require_mitiq()
    asymptote = 1.0 / y.shape[1]
    distance = y - asymptote
    one_sided = (np.sign(distance) == np.sign(distance[0])).all(axis=0) & (distance[0] != 0.0)
    slope = (np.asarray(x) - np.mean(x)) @ np.abs(distance)
    out, fitted = linear.copy(), 0
    for k in np.flatnonzero(one_sided & (slope < 0.0)):
        value = _fit(x, y[:, k], asymptote)
        if value is not None:
            out[k], fitted = value, fitted + 1
    rest = len(out) - fitted
    if not rest:
        return out, None
    return out, (
        f"zne: {rest} of {len(out)} components are no decaying exponentials and were extrapolated "
        "linearly; more shots, or fit='linear'"
    )


def _fit(scales: list[float], values: Array, asymptote: float) -> float | None:
    """Return mitiq's value at scale 0, None if there is no sensible one."""
    from mitiq.zne.inference import ExpFactory, ExtrapolationError, ExtrapolationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ExtrapolationWarning)
        try:
            value = float(ExpFactory.extrapolate(scales, values.tolist(), asymptote=asymptote))
        except (ExtrapolationError, ExtrapolationWarning):
            return None
    return value if 0.0 <= value <= 1.0 else None
