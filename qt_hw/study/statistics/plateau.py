"""Variance and signal-to-noise of gradients against the number of qubits (barren plateaus)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.study.condition import Condition
from qt_hw.study.statistics.cells import CellValues, gathered
from qt_hw.study.statistics.intervals import Interval, interval
from qt_hw.study.statistics.resampling import ends, resampled_means, stretched

__all__ = ["Plateau", "fit_slope", "plateaus_of"]

Array = NDArray[np.float64]

_VARIANCE = "gradient_variance"
_CONFIDENCE, _RESAMPLES = 0.95, 1_000


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """How the variance of the loss gradient at random angles falls with the qubits.

    Attributes:
        condition: What all points share; its ``qubits`` is 0. ``shots`` is None for exact ones.
        qubits: Of each point, rising.
        variance: Mean of ``gradient_variance`` over seeds at each of them; of the exact gradient,
            whatever the shots.
        noise: Mean of ``noise_variance``, what shots add: a measured gradient has the variance
            ``variance + noise``. Empty where it is not measured (exact).
        snr: Mean signal-to-noise ratio at each of them; empty where it is not measured (exact).
        slope: Of log2(variance) per qubit: the variance goes like ``2**(slope * qubits)``; -1
            for a circuit that halves it with each qubit. None with fewer than two points.
        low: Lower end of the slope's 95 % interval; None where there is one seed only.
        high: Upper end.
    """

    condition: Condition
    qubits: tuple[int, ...]
    variance: tuple[Interval, ...]
    snr: tuple[Interval, ...]
    slope: float | None
    low: float | None
    high: float | None
    noise: tuple[Interval, ...] = ()


def fit_slope(
    variances: Mapping[int, Mapping[int, float]],
) -> tuple[float | None, float | None, float | None]:
    """Return the slope of log2(mean variance) per qubit, and its 95 % interval.

    Least squares on the logarithms of the means over the seeds that have all points; the
    interval is a bootstrap over them with a fixed seed, stretched for their small number (see
    ``resampling``).

    Args:
        variances: By qubits and seed. Qubits whose mean is 0 are left out.

    Returns:
        Slope (None below two points), lower and upper end (None below two common seeds).

    >>> fit_slope({2: {0: 0.25, 1: 0.25}, 4: {0: 0.0625, 1: 0.0625}})
    (-1.0, -1.0, -1.0)
    """
    known = {n: by for n, by in sorted(variances.items()) if any(v > 0.0 for v in by.values())}
    seeds = sorted(set.intersection(*(set(by) for by in known.values()))) if known else []
    if len(known) < 2 or not seeds:
        return None, None, None
    qubits = np.array(list(known), dtype=np.float64)
    samples = np.array([[by[seed] for by in known.values()] for seed in seeds])
    slope = _slopes(qubits, np.log2(samples.mean(axis=0, keepdims=True)))
    if len(seeds) == 1:
        return float(slope[0]), None, None
    draws = resampled_means(samples, _RESAMPLES)
    drawn = _slopes(qubits, np.log2(draws[(draws > 0.0).all(axis=1)]))
    low, high = ends(stretched(drawn, slope, len(seeds), _CONFIDENCE), _CONFIDENCE)
    return float(slope[0]), min(float(slope[0]), float(low)), max(float(slope[0]), float(high))


def _slopes(x: Array, y: Array) -> Array:
    """Return the least squares slope of each row of y, ``(rows,)``."""
    centred = x - x.mean()
    return np.asarray(y @ centred / (centred**2).sum())


def plateaus_of(cells: Sequence[CellValues]) -> tuple[Plateau, ...]:
    """Return the curves over qubits from gradient cells; cells of other kinds are passed over."""
    usable = [c for c in cells if c.condition.kind == "gradient" and _VARIANCE in c.values]
    curves = gathered(usable, lambda cell: cell.condition.without("qubits"))
    return tuple(_plateau(condition, curve) for condition, curve in curves.items())


def _plateau(condition: Condition, cells: Sequence[CellValues]) -> Plateau:
    points = dict(sorted(gathered(cells, lambda cell: cell.condition.qubits).items()))
    slope, low, high = fit_slope(
        {n: {cell.seed: cell.values[_VARIANCE] for cell in point} for n, point in points.items()}
    )
    return Plateau(
        condition=condition,
        qubits=tuple(points),
        variance=_means(points.values(), _VARIANCE),
        noise=_means(points.values(), "noise_variance"),
        snr=_means(points.values(), "snr"),
        slope=slope,
        low=low,
        high=high,
    )


def _means(points: Iterable[Sequence[CellValues]], metric: str) -> tuple[Interval, ...]:
    """Return the mean at each point, nothing where a cell lacks it."""
    columns = [[cell.values.get(metric) for cell in point] for point in points]
    known = [[value for value in column if value is not None] for column in columns]
    if columns != known:
        return ()
    return tuple(interval(column) for column in known)
