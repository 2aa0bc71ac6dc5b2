from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qt_hw.errors import InputError
from qt_hw.study.statistics.intervals import expanded_level, interval, mean_intervals


@pytest.mark.parametrize("n", [2, 3, 10, 19])
@pytest.mark.parametrize("confidence", [0.68, 0.95])
def test_below_twenty_samples_it_is_students_t(n: int, confidence: float) -> None:
    values = np.random.default_rng(n).normal(3.0, 2.0, n)
    expected = stats.t.interval(confidence, n - 1, loc=values.mean(), scale=stats.sem(values))
    found = interval(values.tolist(), confidence=confidence)
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)
    assert (found.mean, found.n, found.method) == (pytest.approx(values.mean()), n, "t")


@pytest.mark.parametrize("n", [20, 30])
def test_from_twenty_samples_it_is_scipys_bca_at_the_expanded_level(n: int) -> None:
    values = np.random.default_rng(n).exponential(2.0, n)
    expected = stats.bootstrap(
        (values,),
        np.mean,
        method="BCa",
        n_resamples=9_999,
        confidence_level=expanded_level(n, 0.95),
        random_state=np.random.default_rng(0),
    ).confidence_interval
    found = interval(values.tolist())
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-12)
    assert found.method == "bca"
    assert interval(values.tolist()) == found  # its seed is fixed


def test_the_bootstrap_is_skewed_as_its_samples_are() -> None:
    values = np.random.default_rng(4).exponential(2.0, 40)
    found = interval(values.tolist())
    assert found.high - found.mean > 1.1 * (found.mean - found.low)


def test_the_expanded_level_is_students_quantile_of_the_unbiased_scatter() -> None:
    n = 20
    z = stats.norm.ppf((1 + expanded_level(n, 0.95)) / 2)
    assert z * np.sqrt((n - 1) / n) == pytest.approx(stats.t.ppf(0.975, n - 1), rel=1e-9)
    assert expanded_level(10_000, 0.95) == pytest.approx(0.95, abs=1e-4)


@pytest.mark.parametrize("n", [1, 2, 19, 20, 50])
def test_equal_samples_have_an_interval_of_no_width(n: int) -> None:
    found = interval([0.25] * n)
    assert (found.mean, found.low, found.high, found.n) == (0.25, 0.25, 0.25, n)
    assert found.method == ("none" if n == 1 else "t" if n < 20 else "bca")


def test_almost_equal_samples_of_the_bootstrap_are_no_trouble() -> None:
    found = interval([0.0] * 24 + [1.0])
    assert 0.0 <= found.low <= found.mean <= found.high <= 1.0


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_no_samples_and_samples_that_are_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(InputError, match="all finite"):
        interval(values)


@pytest.mark.parametrize(
    ("n", "sets"), [(3, 20_000), (5, 20_000), (10, 20_000), (19, 20_000), (20, 2_000), (30, 2_000)]
)
def test_nominal_95_percent_cover_92_to_98(n: int, sets: int) -> None:
    samples = np.random.default_rng(n).standard_normal((sets, n))
    low, high = mean_intervals(samples, resamples=999)
    covered = np.mean((low <= 0.0) & (high >= 0.0))
    assert 0.92 <= covered <= 0.98
    assert covered == pytest.approx(0.95, abs=5 * np.sqrt(0.95 * 0.05 / sets))


def test_plain_bca_would_cover_less_at_twenty() -> None:
    samples = np.random.default_rng(20).standard_normal((2_000, 20))
    plain = stats.bootstrap(
        (samples,), np.mean, axis=-1, method="BCa", n_resamples=999, batch=100,
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    low, high = mean_intervals(samples, resamples=999)
    assert np.all(low <= plain.low) and np.all(high >= plain.high)
    assert np.mean((plain.low <= 0.0) & (plain.high >= 0.0)) < 0.94
