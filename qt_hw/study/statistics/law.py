"""The law of shots: how the loss against the noiseless twin falls with their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.study.statistics.exponents import LOWEST, UPPERMOST, best_exponents
from qt_hw.study.statistics.resampling import ends, resampled_means, stretched

__all__ = ["FEWEST_SHOT_COUNTS", "Estimate", "Law", "fit_law"]

Array = NDArray[np.float64]

FEWEST_SHOT_COUNTS = 3
"""Of a fit: two for the law and one that could disagree with it."""

_CONFIDENCE, _RESAMPLES = 0.95, 1_000
_ROUNDING = 1e-9  # drops that follow the law exactly leave an interval no wider than their rounding


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A fitted number with its 95 % interval; ends may be infinite.

    Attributes:
        value: The estimate.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Law:
    """``drop(S) = floor + coefficient / sqrt(S)``, beside the same with a free exponent.

    Attributes:
        shots: Shot counts of the fit, rising.
        drops: Mean drop over seeds at each of them, in units of the metric; positive is worse.
        seeds: Number of seeds.
        with_floor: Whether a floor was fitted; without, it is 0 (ideal sampling).
        coefficient: a, in units of the metric.
        floor: What is lost even with infinitely many shots, in units of the metric.
        exponent: b of the second fit ``floor' + a' / S**b``, within 0.1 … 2; 1/2 is what the law
            says.
        consistent: Whether 1/2 lies inside the interval of ``exponent``.
        free: Floor', a' and b of the second fit: the estimate.
        samples: Floor, a and 1/2 of each resample, ``(resamples, 3)``.
        free_samples: Floor', a' and b of each resample, ``(resamples, 3)``.
    """

    shots: tuple[int, ...]
    drops: tuple[float, ...]
    seeds: int
    with_floor: bool
    coefficient: Estimate
    floor: Estimate
    exponent: Estimate
    consistent: bool
    free: tuple[float, float, float]
    samples: Array = field(repr=False, compare=False)
    free_samples: Array = field(repr=False, compare=False)

    def shots_for(self, loss: float, *, free: bool = False) -> Estimate:
        """Return the smallest number of shots whose drop is at most ``loss``.

        Args:
            loss: In units of the metric; infinitely many shots are needed where the floor is
                not below it.
            free: By the second fit instead of the law.
        """
        fitted, draws = self._fit(free)
        low, high = ends(_shots_for(draws, loss), _CONFIDENCE)
        value = float(_shots_for(fitted[None], loss)[0])
        return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))

    def predict(self, shots: Sequence[float], *, free: bool = False) -> tuple[Array, Array, Array]:
        """Return drop, lower and upper end of its 95 % band at each of ``shots``, ``(k,)`` each.

        Args:
            shots: ``(k,)``, positive; the band holds point by point.
            free: By the second fit instead of the law.
        """
        fitted, draws = self._fit(free)
        where = np.asarray(shots, dtype=np.float64)
        low, high = ends(_drop(draws, where), _CONFIDENCE)
        return _drop(fitted[None], where)[0], low, high

    def _fit(self, free: bool) -> tuple[Array, Array]:
        if free:
            return np.array(self.free), self.free_samples
        return np.array([self.floor.value, self.coefficient.value, 0.5]), self.samples


def fit_law(
    shots: Sequence[int], drops: Array, *, floor: bool = True, resamples: int = _RESAMPLES
) -> Law:
    """Return the law fitted to paired drops by weighted least squares.

    Weights are inverse variances over seeds, themselves smoothed by a power law in the shots:
    raw variances of a few seeds are so uncertain that a fit which trusts them is overconfident.
    Intervals come from a bootstrap over seeds with a fixed seed, stretched for their small
    number (see ``resampling``).

    The law need not hold. Frequencies scatter like 1/√S, and so does a metric that they shift in
    its first order, in each single measurement; but its *mean* over measurements moves in the
    second order, like 1/S, while the perturbation is small, and an accuracy saturates where it is
    large. The free exponent shows it: where ``consistent`` is False, ``free=True`` predicts
    better.

    Args:
        shots: At least three counts, rising, ``(k,)``.
        drops: Loss against the noiseless twin, positive is worse, ``(seeds, k)``, at least two
            seeds, finite.
        floor: Whether a loss may stay with infinitely many shots. Under ideal sampling none does.
        resamples: Of the bootstrap.

    Raises:
        InputError: Too few shot counts or seeds, shapes that do not match, or NaN.
    """
    counts, drops = _checked(shots, drops)
    mean, weights = drops.mean(axis=0), _weights(counts, drops)
    draws = stretched(resampled_means(drops, resamples), mean, len(drops), _CONFIDENCE)
    both = np.concatenate([mean[None], draws])
    law = _linear(counts, both, weights, floor)
    free = best_exponents(counts, both, weights, floor=floor)
    offset, coefficient, exponent = (
        _estimate(column) for column in (law[:, 0], law[:, 1], free[:, 2])
    )
    if not drops.any():  # nothing is lost anywhere: any exponent will do
        exponent = Estimate(value=0.5, low=LOWEST, high=UPPERMOST)
    return Law(
        shots=tuple(int(s) for s in counts),
        drops=tuple(float(d) for d in mean),
        seeds=len(drops),
        with_floor=floor,
        coefficient=coefficient,
        floor=offset,
        exponent=exponent,
        consistent=exponent.low - _ROUNDING <= 0.5 <= exponent.high + _ROUNDING,
        free=(float(free[0, 0]), float(free[0, 1]), exponent.value),
        samples=law[1:],
        free_samples=free[1:],
    )


def _checked(shots: Sequence[int], drops: Array) -> tuple[Array, Array]:
    counts, drops = np.asarray(shots, dtype=np.float64), np.asarray(drops, dtype=np.float64)
    if len(counts) < FEWEST_SHOT_COUNTS or (np.diff(counts) <= 0).any() or counts[0] < 1:
        raise InputError(f"shots: at least three rising counts, not {list(shots)}")
    if drops.ndim != 2 or len(drops) < 2 or drops.shape[1] != len(counts):
        raise InputError(f"drops: (seeds, {len(counts)}) of at least two seeds, not {drops.shape}")
    if not np.isfinite(drops).all():
        raise InputError("drops: all finite; leave out the seeds that failed")
    return counts, drops


def _weights(counts: Array, drops: Array) -> Array:
    """Return inverse variances of the means, ``(k,)``, from a line through their logarithms."""
    variance = drops.var(axis=0, ddof=1)
    known = variance > 0.0
    if known.sum() < 2:
        return np.ones(len(counts))
    slope, start = np.polyfit(np.log(counts[known]), np.log(variance[known]), 1)
    inverse = np.exp(-(start + slope * np.log(counts)))
    return np.asarray(inverse / inverse.max())


def _linear(counts: Array, means: Array, weights: Array, floor: bool) -> Array:
    """Return floor, coefficient and 1/2 of each row of means, ``(rows, 3)``."""
    columns = [counts**-0.5, np.ones(len(counts))][: 2 if floor else 1]
    root = np.sqrt(weights)
    solved, *_ = np.linalg.lstsq(np.stack(columns, axis=1) * root[:, None], (means * root).T)
    offset = solved[1] if floor else np.zeros(len(means))
    return np.stack([offset, solved[0], np.full(len(means), 0.5)], axis=1)


def _estimate(column: Array) -> Estimate:
    """Return the first entry with the interval of the others, which includes it."""
    value = float(column[0])
    low, high = (float(end) for end in ends(column[1:], _CONFIDENCE))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def _drop(fits: Array, shots: Array) -> Array:
    """Return the drop of each fit at each shot count, ``(fits, k)``."""
    return np.asarray(fits[:, :1] + fits[:, 1:2] * shots ** -fits[:, 2:])


def _shots_for(fits: Array, loss: float) -> Array:
    """Return the shots of each fit, ``(fits,)``; 1 where a single one is enough."""
    room, a, b = loss - fits[:, 0], fits[:, 1], fits[:, 2]
    never = (room < 0.0) | ((room == 0.0) & (a > 0.0))
    enough = (a <= room) & ~never
    ratio = np.where(enough | never, 1.0, a) / np.where(enough | never, 1.0, room)
    needed = np.ceil(np.round(ratio ** (1.0 / b), 6))
    return np.where(enough, 1.0, np.where(never, np.inf, needed))
