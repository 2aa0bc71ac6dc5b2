from __future__ import annotations

import numpy as np
import pytest

from qt_hw.hardware.statistics import distance_of_shots, joined, total_variation


@pytest.mark.parametrize("shots", [1, 7, 400])
def test_the_distance_of_shots_is_that_of_multinomial_draws(shots: int) -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(16))
    draws = rng.multinomial(shots, p, size=40_000) / shots
    distances = 0.5 * np.abs(draws - p).sum(axis=1)
    sigma = distances.std() / np.sqrt(len(distances))
    assert distance_of_shots([p], shots) == pytest.approx(distances.mean(), abs=5 * sigma)


def test_certain_and_impossible_outcomes_do_not_scatter() -> None:
    assert distance_of_shots([np.array([1.0, 0.0])], 100) == 0.0


def test_two_sides_of_a_coin() -> None:
    # Two shots: half of the time one of each (distance 0), else both alike (1/2).
    assert distance_of_shots([np.array([0.5, 0.5])], 2) == pytest.approx(0.25)


def test_a_product_is_joined_with_the_first_factor_most_significant() -> None:
    a, b = np.array([0.25, 0.75]), np.array([0.1, 0.2, 0.3, 0.4])
    assert joined([a, b]) == pytest.approx(np.kron(a, b))
    assert total_variation(a, a[::-1]) == 0.5


def test_the_distance_of_a_product_is_that_of_independent_draws() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4))
    draws = [rng.multinomial(50, p, size=4000) / 50 for p in (a, b)]
    products = np.einsum("ri,rj->rij", *draws).reshape(4000, 16)
    distances = 0.5 * np.abs(products - joined([a, b])).sum(axis=1)
    # The function draws 400 times, this test 4000 times.
    sigma = distances.std() * np.sqrt(1 / 400 + 1 / 4000)
    assert distance_of_shots([a, b], 50) == pytest.approx(distances.mean(), abs=5 * sigma)
