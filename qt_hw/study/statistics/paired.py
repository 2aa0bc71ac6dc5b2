"""Paired differences to the noiseless twin: intervals, exact Wilcoxon tests, Holm's correction."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, wilcoxon

from qt_hw.errors import InputError
from qt_hw.study.statistics.intervals import Interval, interval

__all__ = ["Paired", "compare", "holm", "signed_rank_p", "smallest_p"]

Array = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)

_EXACT_TO = 50  # non-zero differences
_DIGITS = 12  # rounding that leaves equal differences equal: 0.96 - 0.94 and 0.95 - 0.93


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A metric under one condition minus that of the noiseless twins, seed by seed.

    Attributes:
        difference: Mean over the pairs (value minus twin) with its interval; ``difference.n`` is
            the number of pairs.
        p_value: Two-sided, of Wilcoxon's signed rank test; 1.0 where all differences are zero.
        p_adjusted: The same after Holm's correction over the ``comparisons`` of its family.
        smallest_p: The smallest ``p_value`` that ``n`` differences allow, ``2 / 2**n`` (at most
            1.0).
        significant: Whether ``p_adjusted <= alpha``; None where ``smallest_p * comparisons`` is
            above alpha: so few seeds cannot decide it, whatever they say.
        n: Differences that are not zero, the only ones that the test counts.
        comparisons: Size of the family that is corrected for.
        family: Name of the family, e.g. ``"digits, evaluated on aer, test_accuracy"``.
    """

    difference: Interval
    p_value: float
    p_adjusted: float
    smallest_p: float
    significant: bool | None
    n: int
    comparisons: int = 1
    family: str = ""

    @property
    def zeros(self) -> int:
        """Pairs whose difference is zero; the test drops them."""
        return self.difference.n - self.n


def compare(
    pairs: Mapping[Key, tuple[Sequence[float], Sequence[float]]],
    *,
    alpha: float = 0.05,
    family: str = "",
) -> dict[Key, Paired]:
    """Return the comparison of each pair of samples, corrected for all of them together.

    Args:
        pairs: By key: values, and those of the twins in the same order, at least one.
        alpha: Level of the tests; the probability that any of them errs is at most this.
        family: Name that the comparisons get.

    Raises:
        InputError: Samples of different lengths, none at all, or not finite.

    >>> found = compare({"a": ([1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0])})["a"]
    >>> found.p_value, found.smallest_p, found.significant
    (0.03125, 0.03125, True)
    """
    differences = {key: _differences(*pair) for key, pair in pairs.items()}
    p_values = [signed_rank_p(one) for one in differences.values()]
    made = zip(differences.items(), p_values, holm(p_values), strict=True)
    return {
        key: _paired(one, p_value, p_adjusted, len(p_values), alpha, family)
        for (key, one), p_value, p_adjusted in made
    }


def _differences(values: Sequence[float], twins: Sequence[float]) -> Array:
    if len(values) != len(twins):
        raise InputError(f"pairs: as many values as twins, not {len(values)} and {len(twins)}")
    made = np.asarray(values, dtype=np.float64) - np.asarray(twins, dtype=np.float64)
    return np.round(made, _DIGITS)


def _paired(
    differences: Array,
    p_value: float,
    p_adjusted: float,
    comparisons: int,
    alpha: float,
    family: str,
) -> Paired:
    n = int(np.count_nonzero(differences))
    decidable = smallest_p(n) * comparisons <= alpha
    return Paired(
        difference=interval(differences.tolist()),
        p_value=p_value,
        p_adjusted=p_adjusted,
        smallest_p=smallest_p(n),
        significant=p_adjusted <= alpha if decidable else None,
        n=n,
        comparisons=comparisons,
        family=family,
    )


def smallest_p(n: int) -> float:
    """Return the smallest two-sided p that a paired test of n differences can give.

    Under the null hypothesis each of the ``2**n`` patterns of signs is equally likely; the most
    extreme are two, all positive and all negative.

    >>> smallest_p(10), smallest_p(0)
    (0.001953125, 1.0)
    """
    return float(min(1.0, 2.0 ** (1 - n)))


def signed_rank_p(differences: Sequence[float] | Array) -> float:
    """Return the two-sided p of Wilcoxon's signed rank test.

    Zeros are dropped, as Wilcoxon (1945, https://doi.org/10.2307/3001968) did. It is SciPy's
    exact p for up to 50 differences. SciPy has no exact p for differences of equal size, which
    accuracies on small test sets often have; for them the same exact distribution, over all
    patterns of signs, is counted here with their mean ranks. Beyond 50 it is SciPy's normal
    approximation.

    Args:
        differences: Any number; all zero, or none, gives 1.0.
    """
    kept = np.asarray(differences, dtype=np.float64)
    kept = kept[kept != 0.0]
    if len(kept) == 0:
        return 1.0
    tied = len(np.unique(np.abs(kept))) < len(kept)
    if tied and len(kept) <= _EXACT_TO:
        return _exact_with_ties(kept)
    method: Literal["exact", "approx"] = "exact" if len(kept) <= _EXACT_TO else "approx"
    p = float(wilcoxon(kept, method=method).pvalue)
    return max(p, smallest_p(len(kept)))


def _exact_with_ties(differences: Array) -> float:
    """Return the share of sign patterns whose rank sum is at least as far from its mean.

    Twice the mean ranks are whole numbers, so the patterns are counted sum by sum.
    """
    ranks = np.rint(2.0 * rankdata(np.abs(differences))).astype(int)
    total = int(ranks.sum())
    patterns = np.zeros(total + 1)
    patterns[0] = 1.0
    for rank in ranks:
        patterns[rank:] = patterns[rank:] + patterns[: total + 1 - rank]
    observed = int(ranks[differences > 0.0].sum())
    far = np.abs(2 * np.arange(total + 1) - total) >= abs(2 * observed - total)
    return float(patterns[far].sum() / 2.0 ** len(ranks))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979, Scand. J. Statist. 6, 65).

    The smallest is multiplied by m, the next by m − 1 and so on; none falls below one before it.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
