from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_squared_error, r2_score

from qt_hw.tasks.flood.scores import kling_gupta, nash_sutcliffe, peak_error, rmse

RNG = np.random.RandomState(0)
OBSERVED = RNG.gamma(2.0, 5.0, size=(400, 2))
FORECAST = OBSERVED * 0.8 + RNG.normal(size=(400, 2)) + 1


def test_scores_equal_a_second_implementation() -> None:
    for k in range(2):
        o, f = OBSERVED[:, k], FORECAST[:, k]
        # NSE is the coefficient of determination of the forecast as it stands.
        assert nash_sutcliffe(OBSERVED, FORECAST)[k] == pytest.approx(r2_score(o, f))
        assert rmse(OBSERVED, FORECAST)[k] == pytest.approx(mean_squared_error(o, f) ** 0.5)
        r = np.corrcoef(o, f)[0, 1]
        parts = (r - 1, np.std(f) / np.std(o) - 1, np.mean(f) / np.mean(o) - 1)
        assert kling_gupta(OBSERVED, FORECAST)[k] == pytest.approx(1 - np.linalg.norm(parts))
        largest = sorted(zip(o, f, strict=True))[-8:]  # 2 % of 400
        assert peak_error(OBSERVED, FORECAST)[k] == pytest.approx(
            np.mean([abs(b - a) / a for a, b in largest])
        )


def test_perfect_and_mean_forecasts() -> None:
    mean = np.broadcast_to(OBSERVED.mean(axis=0), OBSERVED.shape)
    assert nash_sutcliffe(OBSERVED, OBSERVED).tolist() == [1.0, 1.0]
    assert kling_gupta(OBSERVED, OBSERVED) == pytest.approx([1.0, 1.0])
    assert peak_error(OBSERVED, OBSERVED).tolist() == [0.0, 0.0]
    assert nash_sutcliffe(OBSERVED, mean) == pytest.approx([0.0, 0.0])
    # No correlation, no spread, the right mean: 1 − √2 (Knoben et al. 2019, benchmark of KGE).
    assert kling_gupta(OBSERVED, mean) == pytest.approx([1 - 2**0.5] * 2)


def test_efficiency_does_not_depend_on_the_unit() -> None:
    moved = nash_sutcliffe(3 * OBSERVED - 7, 3 * FORECAST - 7)
    assert moved == pytest.approx(nash_sutcliffe(OBSERVED, FORECAST))


@pytest.mark.parametrize("score", [nash_sutcliffe, kling_gupta, rmse, peak_error])
def test_constant_observations_stay_finite(score: object) -> None:
    flat = np.zeros((5, 1))
    assert np.isfinite(score(flat, flat + 1)).all()  # type: ignore[operator]
