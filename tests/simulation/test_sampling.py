"""Shot sampling: the law, the seeds, the shape."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from qt_hw.errors import InputError
from qt_hw.simulation.sampling import sample_counts


def vector(size, seed=0):
    p = np.random.default_rng(seed).exponential(size=size)
    return p / p.sum()


# Few shots per outcome take the inverse transform, many the binomial chain.
@pytest.mark.parametrize(("size", "shots"), [(8, 3), (8, 10_000), (512, 700), (512, 50_000)])
def test_counts_follow_the_law(size, shots):
    p, repeats = vector(size), 400
    counts = sample_counts(np.repeat(p[None], repeats, axis=0), shots, (1, 2))
    assert (counts.sum(axis=1) == shots).all() and (counts >= 0).all()
    total = counts.sum(axis=0)
    statistic = ((total - repeats * shots * p) ** 2 / (repeats * shots * p)).sum()
    low, high = chi2.ppf([1e-4, 1 - 1e-4], size - 1)
    assert low < statistic < high


@pytest.mark.parametrize("shots", [3, 10_000])
def test_single_counts_have_the_binomial_variance(shots):
    p, repeats = vector(16, 3), 4000
    counts = sample_counts(np.repeat(p[None], repeats, axis=0), shots, (5,))
    expected = shots * p * (1 - p)
    # The relative error of a sample variance is about sqrt(kurtosis / repeats); 6 sigma.
    kurtosis = 2 + 1 / expected
    assert (np.abs(counts.var(axis=0) / expected - 1) < 6 * np.sqrt(kurtosis / repeats)).all()


def test_impossible_outcomes_never_come():
    p = np.zeros((50, 64))
    p[:, 5], p[:, 63] = 0.25, 0.75
    for shots in (20, 5000):
        counts = sample_counts(p, shots, (1,))
        assert counts[:, [5, 63]].sum() == 50 * shots


def test_equal_seeds_give_equal_counts_and_others_differ():
    p = np.stack([vector(256, s) for s in range(100)])
    first = sample_counts(p, 300, (1, 2, 3))
    np.testing.assert_array_equal(first, sample_counts(p, 300, (1, 2, 3)))
    assert (first != sample_counts(p, 300, (1, 2, 4))).any()
    # Rows do not depend on how many follow, in whole streams.
    np.testing.assert_array_equal(first[:32], sample_counts(p[:32], 300, (1, 2, 3)))
    assert (np.diff(sample_counts(np.repeat(p[:1], 64, axis=0), 300, (1,)), axis=0) != 0).any()


def test_rounding_is_mended_and_nonsense_refused():
    p = np.array([[0.5 + 1e-9, 0.5, -1e-12]])
    assert sample_counts(p, 100, (0,))[0, 2] == 0
    with pytest.raises(InputError, match="sum to 1"):
        sample_counts(np.array([[np.nan, 1.0]]), 10, (0,))
    with pytest.raises(InputError, match="sum to 1"):
        sample_counts(np.array([[0.5, 0.1]]), 10, (0,))
    with pytest.raises(InputError, match="at least 1"):
        sample_counts(p, 0, (0,))
