from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import curve_fit

from qt_hw.errors import InputError
from qt_hw.study.statistics.law import _shots_for, fit_law

SHOTS = tuple(64 * 2**k for k in range(11))


def drops(
    rng: np.random.Generator, seeds: int, *, a: float = 3.0, floor: float = 0.05, b: float = 0.5
) -> np.ndarray:
    """Seeds that scatter in the coefficient, in the floor and at each point."""
    power = np.array(SHOTS, dtype=float) ** -b
    own = a * (1.0 + 0.1 * rng.standard_normal((seeds, 1)))
    offset = floor + (0.005 * rng.standard_normal((seeds, 1)) if floor else 0.0)
    return offset + power * (own + 0.5 * rng.standard_normal((seeds, len(SHOTS))))


def test_a_curve_that_stays_above_the_loss_has_no_number_of_shots() -> None:
    """From below its floor it rises above the loss: few shots are no way to get there."""
    fits = np.array([[0.02, -0.05, 0.5], [0.02, 0.05, 0.5], [0.0, -0.05, 0.5], [0.005, 0.0, 0.5]])
    np.testing.assert_array_equal(_shots_for(fits, 0.01), [np.inf, np.inf, 1.0, 1.0])


@pytest.mark.parametrize("floor", [True, False])
def test_an_exact_law_is_recovered(floor: bool) -> None:
    value = 0.05 if floor else 0.0
    sizes = np.array([[0.9], [1.0], [1.1]])
    law = fit_law(SHOTS, value + 3.0 * sizes / np.sqrt(SHOTS), floor=floor)
    assert law.coefficient.value == pytest.approx(3.0, rel=1e-9)
    assert law.floor.value == pytest.approx(value, abs=1e-12)
    assert law.exponent.value == pytest.approx(0.5, abs=1e-4)
    assert law.consistent
    assert law.free[:2] == pytest.approx((value, 3.0), abs=5e-3)


def test_the_interval_of_a_mean_coefficient_is_students_t() -> None:
    # Each seed lies on a law of its own, so the coefficient's interval is that of their mean.
    own = np.random.default_rng(3).normal(3.0, 0.3, 10)
    law = fit_law(SHOTS, own[:, None] / np.sqrt(SHOTS), floor=False, resamples=20_000)
    half = 2.262157 * own.std(ddof=1) / np.sqrt(10)
    assert law.coefficient.value == pytest.approx(own.mean())
    # The bootstrap of ten samples is not quite normal: its ends are within a tenth.
    assert law.coefficient.high - own.mean() == pytest.approx(half, rel=0.1)
    assert own.mean() - law.coefficient.low == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize(("seeds", "floor"), [(3, 0.05), (5, 0.0), (10, 0.05), (10, 0.0)])
def test_nominal_95_percent_cover_92_to_98(seeds: int, floor: float) -> None:
    rng, studies = np.random.default_rng(seeds), 120
    hits = np.zeros(4)
    for _ in range(studies):
        law = fit_law(SHOTS, drops(rng, seeds, floor=floor), floor=floor > 0, resamples=300)
        _, low, high = law.predict([1000.0])
        needed = law.shots_for(0.1)
        truth = math.ceil((3.0 / (0.1 - floor)) ** 2)
        hits += (
            law.coefficient.low <= 3.0 <= law.coefficient.high,
            law.consistent,
            low[0] <= floor + 3.0 / np.sqrt(1000.0) <= high[0],
            needed.low <= truth <= needed.high,
        )
    sigma = np.sqrt(0.95 * 0.05 / studies)
    assert np.all(np.abs(hits / studies - 0.95) < 0.03 + 2 * sigma)


def test_the_free_fit_is_that_of_scipy() -> None:
    data = drops(np.random.default_rng(5), 8, b=0.8, a=20.0)
    law = fit_law(SHOTS, data)
    counts, mean = np.array(SHOTS, dtype=float), data.mean(axis=0)
    slope, start = np.polyfit(np.log(counts), np.log(data.var(axis=0, ddof=1)), 1)
    expected, _ = curve_fit(
        lambda s, f, a, b: f + a * s**-b,
        counts,
        mean,
        p0=(0.05, 20.0, 0.8),
        sigma=np.exp(0.5 * (start + slope * np.log(counts))),
    )
    assert law.free == pytest.approx(tuple(expected), rel=2e-3)


def test_another_exponent_is_found_out() -> None:
    law = fit_law(SHOTS, drops(np.random.default_rng(6), 10, a=20.0, floor=0.0, b=1.0), floor=False)
    assert not law.consistent
    assert law.exponent.low < 1.0 < law.exponent.high
    # 20 / S is 0.01 at 2,000 shots; the law of square roots would say something else.
    free, plain = law.shots_for(0.01, free=True), law.shots_for(0.01)
    assert free.low <= 2000 <= free.high
    assert plain.low > 2000 or plain.high < 2000


def test_shots_for_a_loss() -> None:
    exact = 0.05 + np.array([[3.0], [3.2]]) / np.sqrt(SHOTS)
    law = fit_law(SHOTS, exact)
    assert law.shots_for(0.15).value == math.ceil((3.1 / 0.1) ** 2)
    assert law.shots_for(0.05 - 1e-6).value == math.inf
    assert law.shots_for(10.0).value == 1.0
    for loss in (0.06, 0.1, 0.5):
        found = law.shots_for(loss)
        assert found.low <= found.value <= found.high
    prediction, low, high = law.predict([law.shots_for(0.15).value])
    assert prediction[0] == pytest.approx(0.15, abs=1e-4)
    assert low[0] <= prediction[0] <= high[0]


def test_fewer_shots_suffice_for_a_larger_loss() -> None:
    law = fit_law(SHOTS, drops(np.random.default_rng(8), 5))
    needed = [law.shots_for(loss).value for loss in (0.06, 0.08, 0.1, 0.2, 0.4)]
    assert all(more > fewer for more, fewer in pairwise(needed))


@pytest.mark.parametrize("floor", [True, False])
def test_no_drop_at_all_leaves_the_exponent_open(floor: bool) -> None:
    law = fit_law((64, 256, 1024), np.zeros((3, 3)), floor=floor)
    assert (law.coefficient.value, law.floor.value) == (0.0, 0.0)
    assert (law.exponent.low, law.exponent.high, law.consistent) == (0.1, 2.0, True)
    assert law.shots_for(0.01).value == 1.0
    assert law.shots_for(0.0).value == 1.0


def test_shots_at_which_all_seeds_agree_do_not_take_all_the_weight() -> None:
    data = drops(np.random.default_rng(9), 6, floor=0.0)
    data[:, -3:] = 0.0
    law = fit_law(SHOTS, data, floor=False)
    assert law.coefficient.value == pytest.approx(3.0, rel=0.25)


def test_seeds_that_agree_everywhere() -> None:
    law = fit_law(SHOTS, np.tile(2.0 / np.sqrt(SHOTS), (4, 1)), floor=False)
    assert law.coefficient.low == pytest.approx(2.0)
    assert law.coefficient.high == pytest.approx(2.0)


def test_the_same_numbers_at_each_call() -> None:
    data = drops(np.random.default_rng(10), 4)
    assert fit_law(SHOTS, data) == fit_law(SHOTS, data)


@pytest.mark.parametrize(
    ("shots", "shape", "said"),
    [
        ((64, 128), (3, 2), "at least three"),
        ((64, 64, 128), (3, 3), "rising"),
        ((64, 128, 256), (1, 3), "at least two seeds"),
        ((64, 128, 256), (3, 4), r"\(seeds, 3\)"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    shots: tuple[int, ...], shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        fit_law(shots, np.ones(shape))


def test_nan_is_refused() -> None:
    with pytest.raises(InputError, match="all finite"):
        fit_law((64, 128, 256), np.full((2, 3), np.nan))
