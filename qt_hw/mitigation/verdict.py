"""The errors of a raw and a mitigated vector, after the measurement, with bootstrap intervals.

The observed distance to the ideal vector is an unbiased estimate of the mean distance of such a
measurement. How much it scatters is found by drawing all counts anew, those of the calibration
too, and mitigating each draw (Efron, Ann. Statist. 7, 1, 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qt_hw.errors import InputError
from qt_hw.mitigation.simplex import project

__all__ = ["ErrorEstimate", "Verdict", "assess"]

Array = NDArray[np.float64]

#: Half of the 95 % interval of a normal distribution, in standard deviations.
_HALF_WIDTH = 1.96

#: From the count arrays of one vector (of its circuits and of the calibration) to the vector.
Mitigate = Callable[[Sequence[Array]], ArrayLike]


@dataclass(frozen=True, kw_only=True)
class ErrorEstimate:
    """Distances to the ideal vector, or differences of two, with 95 % intervals.

    Attributes:
        total_variation: ``½ Σ |v − p|``.
        low: Lower end of its interval.
        high: Upper end of its interval.
        l2: ``‖v − p‖``.
        l2_low: Lower end of its interval.
        l2_high: Upper end of its interval.
    """

    total_variation: float
    low: float
    high: float
    l2: float
    l2_low: float
    l2_high: float

    @classmethod
    def of(cls, observed: Array, draws: Array, *, signed: bool = False) -> ErrorEstimate:
        """Return the estimate from observed distances ``(2,)`` and drawn ones ``(R, 2)``.

        Args:
            observed: Total variation and L2.
            draws: The same of each draw.
            signed: Whether they are differences, which may be negative.
        """
        half = _HALF_WIDTH * draws.std(axis=0, ddof=1)
        low, high = observed - half, observed + half
        if not signed:
            low = low.clip(0.0)
        (tv, l2), (tv_low, l2_low), (tv_high, l2_high) = (x.tolist() for x in (observed, low, high))
        return cls(
            total_variation=tv, low=tv_low, high=tv_high, l2=l2, l2_low=l2_low, l2_high=l2_high
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether mitigation helped, on one measured vector.

    Attributes:
        raw: Error of the raw vector.
        mitigated: Error of the mitigated one.
        difference: Mitigated minus raw.
        helped: By total variation; None if the interval of the difference contains 0.
    """

    raw: ErrorEstimate
    mitigated: ErrorEstimate
    difference: ErrorEstimate
    helped: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return asdict(self)

    @property
    def line(self) -> str:
        """One line for the user."""
        said = {True: "mitigation helped", False: "mitigation hurt", None: "too close to tell"}
        return (
            f"total variation to the ideal vector: raw {_interval(self.raw)}, mitigated "
            f"{_interval(self.mitigated)}: {said[self.helped]}"
        )


def assess(
    ideal: ArrayLike,
    counts: Sequence[ArrayLike],
    mitigate: Mitigate,
    *,
    raw: Mitigate | None = None,
    replicates: int = 200,
    seed: int = 0,
) -> Verdict:
    """Return the errors of a raw and a mitigated vector.

    Args:
        ideal: Exact vector ``(D,)``.
        counts: Observed counts, ``(D,)`` or ``(B, D)`` each: of all circuits of the vector, and of
            the calibration.
        mitigate: Makes the mitigated vector ``(D,)`` of them; called once for each draw.
        raw: Makes the raw one; None: the frequencies of the first counts. Both results are
            projected here.
        replicates: Draws.
        seed: Of the draws.

    Raises:
        InputError: Counts that are negative or empty, vectors of other shapes than the ideal one,
            or fewer than 2 replicates.
    """
    exact = np.asarray(ideal, dtype=np.float64)
    if replicates < 2:
        raise InputError(f"a bootstrap takes 2 replicates or more, not {replicates}")
    seen = [_checked(one) for one in counts]
    if exact.ndim != 1 or not seen:
        raise InputError(f"pass an exact vector (2**n,) and counts, not {exact.shape} and {counts}")
    functions = (raw or _first, mitigate)
    rng = np.random.default_rng(seed)
    observed = _distances(functions, seen, exact)
    draws = np.array(
        [_distances(functions, [_drawn(c, rng) for c in seen], exact) for _ in range(replicates)]
    )
    difference = ErrorEstimate.of(observed[1] - observed[0], draws[:, 1] - draws[:, 0], signed=True)
    helped = None if difference.low <= 0.0 <= difference.high else difference.high < 0.0
    return Verdict(
        raw=ErrorEstimate.of(observed[0], draws[:, 0]),
        mitigated=ErrorEstimate.of(observed[1], draws[:, 1]),
        difference=difference,
        helped=helped,
    )


def _first(counts: Sequence[Array]) -> Array:
    row = np.asarray(counts[0]).reshape(-1, counts[0].shape[-1])[0]
    return np.asarray(row / row.sum())


def _checked(counts: ArrayLike) -> Array:
    array = np.asarray(counts, dtype=np.float64)
    if not (array.ndim in (1, 2) and array.size and array.min() >= 0):
        raise InputError(f"counts are (2**n,) or (B, 2**n) and not negative, not {array.shape}")
    if array.sum(axis=-1).min() < 1.0 - 1e-9:
        raise InputError("counts without a shot; exact probabilities need no bootstrap")
    return array


def _drawn(counts: Array, rng: np.random.Generator) -> Array:
    shots = counts.sum(axis=-1, keepdims=True)
    totals = np.rint(shots[..., 0]).astype(np.int64)
    return rng.multinomial(totals, counts / shots).astype(np.float64)


def _distances(functions: Sequence[Mitigate], counts: Sequence[Array], exact: Array) -> Array:
    """Return total variation and L2 of what each function makes of the counts, ``(F, 2)``."""
    out = []
    for function in functions:
        vector = np.asarray(function(counts), dtype=np.float64)
        if vector.shape != exact.shape:
            raise InputError(
                f"a vector of the shape {vector.shape}, the exact one has {exact.shape}"
            )
        change = project(vector) - exact
        out.append([0.5 * float(np.abs(change).sum()), float(np.sqrt((change**2).sum()))])
    return np.array(out)


def _interval(error: ErrorEstimate) -> str:
    return f"{error.total_variation:.3g} ({error.low:.3g} to {error.high:.3g})"
