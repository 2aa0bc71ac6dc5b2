from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from qt_hw.errors import InputError
from qt_hw.study.statistics.theory import expected_empty_bins, expected_total_variation


@pytest.mark.parametrize("shots", [1, 16, 400, 10_000])
def test_both_are_those_of_multinomial_draws(shots: int) -> None:
    rng = np.random.default_rng(shots)
    p = rng.dirichlet(np.ones(32))
    counts = rng.multinomial(shots, p, size=20_000)
    empty = (counts == 0).mean(axis=1)
    distance = 0.5 * np.abs(counts / shots - p).sum(axis=1)
    for expected, drawn in (
        (expected_empty_bins(p, shots), empty),
        (expected_total_variation(p, shots), distance),
    ):
        sigma = drawn.std() / np.sqrt(len(drawn))
        assert expected == pytest.approx(drawn.mean(), abs=5 * sigma + 1e-9)


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_both_are_those_of_an_enumeration(shots: int) -> None:
    p = np.array([0.5, 0.3, 0.2, 0.0])
    empty = distance = 0.0
    for outcome in product(range(4), repeat=shots):
        counts = np.bincount(outcome, minlength=4)
        probability = np.prod(p[list(outcome)])
        empty += probability * np.mean(counts == 0)
        distance += probability * 0.5 * np.abs(counts / shots - p).sum()
    assert expected_empty_bins(p, shots) == pytest.approx(empty)
    assert expected_total_variation(p, shots) == pytest.approx(distance)


def test_a_porter_thomas_state_has_the_known_share_of_empty_bins() -> None:
    # k shots per bin leave 1 / (1 + k) of them empty.
    p = np.random.default_rng(1).exponential(size=2**14)
    assert expected_empty_bins(p / p.sum(), 10 * 2**14) == pytest.approx(1 / 11, rel=0.02)


def test_a_certain_outcome_leaves_the_others_empty() -> None:
    p = np.array([1.0, 0.0, 0.0, 0.0])
    assert expected_empty_bins(p, 1000) == 0.75
    assert expected_total_variation(p, 1000) == 0.0


def test_rounding_of_an_exact_engine_is_forgiven() -> None:
    p = np.array([0.5 + 1e-9, 0.5 + 1e-9, -1e-9, 0.0])
    assert expected_empty_bins(p, 100) == pytest.approx(0.5)


@pytest.mark.parametrize("p", [[0.5, 0.6], [1.5, -0.5], [[0.5, 0.5]]])
def test_what_is_no_vector_of_probabilities_is_refused(p: list[float]) -> None:
    with pytest.raises(InputError, match="sum to 1"):
        expected_empty_bins(np.array(p), 10)


def test_no_shots_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        expected_total_variation(np.array([0.5, 0.5]), 0)
