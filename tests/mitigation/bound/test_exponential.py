"""Exponential extrapolation: mitiq's fits where there is a decay, the straight line elsewhere."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from qt_hw.errors import InputError
from qt_hw.mitigation.bound.exponential import exponential
from qt_hw.mitigation.recipe import Recipe

with warnings.catch_warnings():
    # What mitiq's own imports warn of is not of this package.
    warnings.simplefilter("ignore")
    pytest.importorskip("mitiq")

SCALES = [(1.0, 3.0), (1.0, 3.0, 5.0), (1.0, 1.5, 2.0, 3.0), (3.0, 1.0)]


def decayed(ideal: Any, f: float, scales: Any) -> np.ndarray:
    """The law of global depolarizing noise."""
    u = 1.0 / len(ideal)
    out: np.ndarray = u + f ** np.array(scales)[:, None] * (np.asarray(ideal) - u)
    return out


def decaying(scales: Any, values: Any, asymptote: float) -> bool:
    """Whether one component stays on one side and comes nearer, by a plain fit of its distance."""
    distance = np.asarray(values) - asymptote
    if not (distance > 0).all() and not (distance < 0).all():
        return False
    return bool(np.polyfit(scales, np.abs(distance), 1)[0] < 0)


@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("f", [0.99, 0.9, 0.5])
def test_global_depolarizing_noise_is_undone_exactly(scales: Any, n: int, f: float) -> None:
    ideal = np.random.default_rng(n).dirichlet(np.ones(2**n))
    found, warning = exponential(scales, decayed(ideal, f, scales))
    np.testing.assert_allclose(found, ideal, rtol=0, atol=1e-6)
    assert warning is None and found.sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("noise", [1e-5, 3e-2])
def test_each_component_is_mitiqs_or_on_the_line(scales: Any, noise: float) -> None:
    from mitiq.zne.inference import ExpFactory, LinearFactory

    rng = np.random.default_rng(8)
    vectors = decayed(rng.dirichlet(np.ones(16)), 0.8, scales)
    vectors = vectors + noise / 4 * rng.normal(size=vectors.shape)
    found, warning = exponential(scales, vectors)
    n_linear = 0
    for value, column in zip(found, vectors.T, strict=True):
        expected = None
        if decaying(scales, column, 1 / 16):
            expected = ExpFactory.extrapolate(scales, list(column), asymptote=1 / 16)
        if expected is None or not 0 <= expected <= 1:
            expected = LinearFactory.extrapolate(scales, list(column))
            n_linear += 1
        assert value == pytest.approx(expected, abs=1e-12)
    if n_linear:
        assert warning is not None and warning.startswith(f"zne: {n_linear} of 16 components")
        assert "\n" not in warning and "fit='linear'" in warning
    else:
        assert warning is None
    assert (noise > 1e-2) == (n_linear > 0)


@pytest.mark.parametrize(
    "column",
    [
        pytest.param([0.30, 0.20], id="crosses"),
        pytest.param([0.25, 0.25], id="at the asymptote"),
        pytest.param([0.30, 0.30], id="constant"),
        pytest.param([0.30, 0.35], id="moves away above"),
        pytest.param([0.20, 0.15], id="moves away below"),
        pytest.param([0.90, 0.26], id="above 1"),
        pytest.param([0.01, 0.24], id="below 0"),
        pytest.param([0.30, 0.25], id="arrives"),
    ],
)
def test_what_is_no_decay_is_extrapolated_linearly(column: list[float]) -> None:
    vectors = np.array([[one, *[(1 - one) / 3] * 3] for one in column])
    found, warning = exponential((1.0, 3.0), vectors)
    assert found[0] == pytest.approx(1.5 * column[0] - 0.5 * column[1], abs=1e-14)
    assert warning is not None and warning.startswith("zne: ")


def test_components_of_one_vector_fall_back_one_by_one() -> None:
    # The second crosses 1/4, the third moves away from it, the fourth would leave [0, 1].
    vectors = np.array([[0.40, 0.26, 0.20, 0.14], [0.35, 0.24, 0.17, 0.2499999]])
    found, warning = exponential((1.0, 3.0), vectors)
    assert found[0] == pytest.approx(0.25 + 0.15 * np.sqrt(0.15 / 0.10))
    np.testing.assert_allclose(found[1:], (1.5 * vectors[0] - 0.5 * vectors[1])[1:])
    assert warning is not None and warning.startswith("zne: 3 of 4 components")


def test_scales_need_no_order() -> None:
    vectors = decayed([0.5, 0.3, 0.15, 0.05], 0.9, (1.0, 2.0, 3.0))
    vectors += 1e-3 * np.random.default_rng(1).normal(size=vectors.shape)
    found, _ = exponential((1.0, 2.0, 3.0), vectors)
    other, _ = exponential((3.0, 1.0, 2.0), vectors[[2, 0, 1]])
    np.testing.assert_allclose(other, found, atol=1e-12)


def test_distances_below_mitiqs_least_count_as_that() -> None:
    """mitiq puts 1e-6 for the logarithm of less, which keeps noise from being blown up."""
    vectors = np.array([[0.5 + 4e-6, 0.5 - 4e-6], [0.5 + 1e-8, 0.5 - 1e-8]])
    found, _ = exponential((1.0, 3.0), vectors)
    np.testing.assert_allclose(found - 0.5, [8e-6, -8e-6], rtol=1e-9)


def test_a_recipe_extrapolates_each_row_and_corrects_twirled_copies_as_one() -> None:
    ideals = np.random.default_rng(2).dirichlet(np.ones(4), 3)
    one, three = (np.stack([decayed(p, 0.9, (s,))[0] for p in ideals]) for s in (1.0, 3.0))
    recipe = Recipe(rule="exponential", weights=(1.5, -0.5), scales=(1.0, 3.0))
    np.testing.assert_allclose(recipe.combine([one, three], [None] * 2), ideals, atol=1e-9)
    shift = 0.01 * np.random.default_rng(3).normal(size=one.shape)
    twice = Recipe(rule="exponential", weights=(0.75, 0.75, -0.5), scales=(1.0, 1.0, 3.0))
    found = twice.combine([one + shift, one - shift, three], [None] * 3)
    np.testing.assert_allclose(found, ideals, atol=1e-9)


@pytest.mark.parametrize(
    ("scales", "vectors", "words"),
    [
        ((1.0, 3.0), np.zeros((3, 4)), r"the shape \(3, 4\): pass \(2, D\)"),
        ((1.0, 3.0), np.zeros(2), r"the shape \(2,\)"),
        ((1.0, 3.0), np.zeros((2, 0)), r"the shape \(2, 0\)"),
        ((1.0, 3.0), np.full((2, 4), np.nan), "finite"),
        ((1.0, 1.0), np.full((2, 4), 0.25), "different"),
        ((1.0,), np.full((1, 4), 0.25), "needs 2 different"),
    ],
)
def test_wrong_arguments_are_refused(scales: Any, vectors: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        exponential(scales, vectors)
