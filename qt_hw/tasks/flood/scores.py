"""How good a forecast of flows is: NSE, KGE, RMSE and the error of the largest flows.

All take observations and forecasts ``(N, H)`` of H lead times and return one number for each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST", "kling_gupta", "nash_sutcliffe", "peak_error", "rmse"]

Array = NDArray[np.float64]

LARGEST = 0.02
"""Share of the observations that counts as largest flows (Yilmaz et al. 2008)."""

_LEAST = 1e-12


def nash_sutcliffe(observed: Array, forecast: Array) -> Array:
    """Return the efficiency ``1 − Σ(f − o)² / Σ(o − mean(o))²``, ``(H,)``.

    1 is perfect, 0 as good as the mean of the observations, and there is no lower bound. Source:
    Nash and Sutcliffe, J. Hydrol. 10 (1970) 282, doi:10.1016/0022-1694(70)90255-6. Where the
    observations do not vary, their variance counts as 1e-12 so that the result stays finite.

    >>> o = np.array([[1.0], [2.0], [3.0]])
    >>> nash_sutcliffe(o, o - 1).tolist()
    [-0.5]
    """
    error = np.mean((forecast - observed) ** 2, axis=0)
    result: Array = 1 - error / np.maximum(observed.var(axis=0), _LEAST)
    return result


def kling_gupta(observed: Array, forecast: Array) -> Array:
    """Return ``1 − √((r − 1)² + (a − 1)² + (b − 1)²)``, ``(H,)``.

    r is the correlation, a the ratio of standard deviations and b that of means. Source: Gupta et
    al., J. Hydrol. 377 (2009) 80, doi:10.1016/j.jhydrol.2009.08.003. b is a ratio: of levels it
    depends on where their zero lies.

    >>> o = np.array([[1.0], [2.0], [3.0]])
    >>> kling_gupta(o, 1.5 * o).round(6).tolist()
    [0.292893]
    """
    deviation, own = observed.std(axis=0), forecast.std(axis=0)
    together = np.mean((observed - observed.mean(0)) * (forecast - forecast.mean(0)), axis=0)
    r = together / np.maximum(deviation * own, _LEAST)
    a = own / np.maximum(deviation, _LEAST)
    b = forecast.mean(axis=0) / _nonzero(observed.mean(axis=0))
    result: Array = 1 - np.sqrt((r - 1) ** 2 + (a - 1) ** 2 + (b - 1) ** 2)
    return result


def rmse(observed: Array, forecast: Array) -> Array:
    """Return the root of the mean square error, ``(H,)``, in the unit of the observations."""
    result: Array = np.sqrt(np.mean((forecast - observed) ** 2, axis=0))
    return result


def peak_error(observed: Array, forecast: Array) -> Array:
    """Return the mean of ``|f − o| / |o|`` over the largest 2 % of the observations, ``(H,)``.

    Source of the share: Yilmaz et al., Water Resour. Res. 44 (2008) W09417, segment of high flows.

    >>> o = np.arange(1.0, 101.0)[:, None]
    >>> peak_error(o, 0.9 * o).round(6).tolist()
    [0.1]
    """
    count = max(1, round(LARGEST * len(observed)))
    order = np.argsort(observed, axis=0, kind="stable")[-count:]
    o, f = (np.take_along_axis(values, order, axis=0) for values in (observed, forecast))
    result: Array = np.mean(np.abs(f - o) / np.abs(_nonzero(o)), axis=0)
    return result


def _nonzero(values: Array) -> Array:
    """Return the values, those next to 0 as 1e-12."""
    return np.where(np.abs(values) < _LEAST, _LEAST, values)
