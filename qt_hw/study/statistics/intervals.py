"""Intervals of a mean over seeds: Student's t below 20 samples, BCa bootstrap from 20."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm, t

from qt_hw.errors import InputError

__all__ = ["BOOTSTRAP_FROM", "Interval", "expanded_level", "interval", "mean_intervals"]

Array = NDArray[np.float64]

BOOTSTRAP_FROM = 20
"""Samples from which the interval is a bootstrap's."""

#: Relative; samples that differ by less are equal.
_ROUNDING = 1e-12
_RESAMPLES, _SEED, _BATCH_CELLS = 9_999, 0, 4_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over seeds with its confidence interval.

    Attributes:
        mean: Of the samples.
        low: Lower end; equal to ``mean`` for one sample and for samples that are all equal.
        high: Upper end.
        n: Number of samples.
        method: ``"t"`` (2 to 19 samples), ``"bca"`` (20 and more), ``"none"`` (one sample, of
            which no interval can be had).
    """

    mean: float
    low: float
    high: float
    n: int
    method: Literal["t", "bca", "none"]


def interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return the mean of some samples with its interval.

    Args:
        values: At least one, all finite.
        confidence: Between 0 and 1.

    Raises:
        InputError: There are none, or one is not finite.

    >>> found = interval([1.0, 2.0, 3.0])
    >>> round(found.low, 3), found.mean, round(found.high, 3), found.method
    (-0.484, 2.0, 4.484, 't')
    """
    samples = np.asarray(values, dtype=np.float64)
    if samples.ndim != 1 or samples.size == 0 or not np.isfinite(samples).all():
        raise InputError(f"values: at least one, all finite, not {list(values)}")
    n = len(samples)
    low, high = (float(end[0]) for end in mean_intervals(samples[None], confidence=confidence))
    method: Literal["t", "bca", "none"] = "bca" if n >= BOOTSTRAP_FROM else "t"
    if n == 1:
        method = "none"
    return Interval(mean=float(samples.mean()), low=low, high=high, n=n, method=method)


def mean_intervals(
    samples: Array, *, confidence: float = 0.95, resamples: int = _RESAMPLES
) -> tuple[Array, Array]:
    """Return lower and upper ends for many samples at once.

    From 20 samples on it is SciPy's BCa bootstrap of the mean (Efron 1987,
    https://doi.org/10.1080/01621459.1987.10478410) with a fixed seed, taken at a slightly higher
    level: a bootstrap of n samples is too narrow by ``sqrt((n - 1) / n)`` and knows no Student's
    t, so that its nominal 95 % covers 92 % at n = 20. The level is the one whose normal quantile
    is ``sqrt(n / (n - 1))`` times that of Student's t, 96.8 % at n = 20 (Hesterberg 2015,
    https://doi.org/10.1080/00031305.2015.1089789, "expanded" intervals).

    Args:
        samples: ``(sets, n)``, finite.
        confidence: Between 0 and 1.
        resamples: Of the bootstrap.

    Returns:
        Ends, ``(sets,)`` each; both are the mean for one sample and for equal ones.
    """
    n = samples.shape[1]
    low, high = samples.mean(axis=1), samples.mean(axis=1)
    varied = np.ptp(samples, axis=1) > _ROUNDING * np.abs(samples).max(axis=1)
    if n == 1 or not varied.any():
        return low, high
    ends = _bca if n >= BOOTSTRAP_FROM else _student
    low[varied], high[varied] = ends(samples[varied], confidence, resamples)
    return low, high


def _student(samples: Array, confidence: float, _: int) -> tuple[Array, Array]:
    n = samples.shape[1]
    mean = samples.mean(axis=1)
    half = t.ppf((1.0 + confidence) / 2.0, n - 1) * samples.std(axis=1, ddof=1) / sqrt(n)
    return mean - half, mean + half


def _bca(samples: Array, confidence: float, resamples: int) -> tuple[Array, Array]:
    n = samples.shape[1]
    ends = bootstrap(
        (samples,),
        np.mean,
        axis=-1,
        method="BCa",
        n_resamples=resamples,
        batch=max(1, _BATCH_CELLS // samples.size),
        confidence_level=expanded_level(n, confidence),
        random_state=np.random.default_rng(_SEED),
    ).confidence_interval
    return np.asarray(ends.low), np.asarray(ends.high)


def expanded_level(n: int, confidence: float) -> float:
    """Return the level at which a bootstrap of n samples covers ``confidence``.

    >>> round(expanded_level(20, 0.95), 3)
    0.968
    """
    wide = sqrt(n / (n - 1)) * t.ppf((1.0 + confidence) / 2.0, n - 1)
    return float(1.0 - 2.0 * norm.sf(wide))
