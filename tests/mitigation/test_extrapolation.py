"""Extrapolation: coefficients against mitiq's factories, component by component."""

from __future__ import annotations

import numpy as np
import pytest

from qt_hw.errors import InputError
from qt_hw.mitigation.extrapolation import coefficients, residual, shares, shot_factor

SCALES = [(1, 3), (1, 3, 5), (1, 1.5, 2, 3), (1, 2, 3, 5, 7)]


def measured(scales, outcomes=8, seed=0):
    """Return one vector per scale that decays, with noise, ``(m, D)``."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(outcomes))
    clean = [1 / outcomes + 0.8**s * (p - 1 / outcomes) for s in scales]
    return np.array(clean) + rng.normal(0, 0.01, (len(scales), outcomes))


@pytest.mark.parametrize("scales", SCALES)
def test_the_linear_fit_is_mitiqs(scales):
    inference = pytest.importorskip("mitiq.zne.inference")
    y = measured(scales)
    expected = [inference.LinearFactory.extrapolate(scales, v) for v in y.T]
    np.testing.assert_allclose(coefficients(scales, 1) @ y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scales", SCALES)
def test_the_highest_order_is_mitiqs_richardson(scales):
    inference = pytest.importorskip("mitiq.zne.inference")
    y, c = measured(scales), coefficients(scales, len(scales) - 1)
    expected = [inference.RichardsonFactory.extrapolate(scales, v) for v in y.T]
    np.testing.assert_allclose(c @ y, expected, rtol=0, atol=1e-10)
    lagrange = [
        np.prod([other / (other - own) for other in scales if other != own]) for own in scales
    ]
    np.testing.assert_allclose(c, lagrange, rtol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_polynomials_between_are_mitiqs(order):
    inference = pytest.importorskip("mitiq.zne.inference")
    scales = (1, 1.5, 2, 3, 5)
    y = measured(scales)
    expected = [inference.PolyFactory.extrapolate(scales, v, order) for v in y.T]
    np.testing.assert_allclose(coefficients(scales, order) @ y, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("scales", SCALES)
def test_coefficients_keep_sums_and_polynomials(scales):
    for order in range(1, len(scales)):
        c = coefficients(scales, order)
        assert c.shape == (len(scales),)
        assert c.sum() == pytest.approx(1.0, abs=1e-10)
        for power in range(1, order + 1):
            assert c @ np.asarray(scales, dtype=float) ** power == pytest.approx(0.0, abs=1e-7)


def test_repeated_factors_share_their_weight():
    c = coefficients([1, 1, 3], 1)
    np.testing.assert_allclose(c, [0.75, 0.75, -0.5], rtol=0, atol=1e-12)


@pytest.mark.parametrize("f", [0.5, 0.9, 0.99])
def test_what_is_left_of_pure_decay(f):
    c = coefficients([1, 3], 1)
    assert abs(residual(c, [1, 3], f)) == pytest.approx(abs(1.5 * f - 0.5 * f**3 - 1), abs=1e-12)
    p, u = np.random.default_rng(1).dirichlet(np.ones(8)), 1 / 8
    found = c @ [u + f**s * (p - u) for s in (1, 3)]
    np.testing.assert_allclose(
        found - u, (1 - residual(c, [1, 3], f)) * (p - u), rtol=0, atol=1e-12
    )


def test_shot_factors_are_variances_of_the_weighted_sum():
    c, shots = np.array([1.5, -0.5, 0.25]), 1000.0
    for proportional in (True, False):
        each = shots * np.array(shares(c, proportional=proportional))
        assert each.sum() == pytest.approx(shots)
        # Of measurements with the same variance 1 by one shot; one circuit has 1/shots.
        factor = (c**2 / each).sum() * shots
        assert shot_factor(c, proportional=proportional) == pytest.approx(factor, rel=1e-12)
    assert shot_factor(c, proportional=True) < shot_factor(c, proportional=False)


def test_a_coefficient_of_0_still_has_shots():
    found = shares([1.0, 0.0], proportional=True)
    assert sum(found) == pytest.approx(1.0) and 0 < found[1] < 2e-3


@pytest.mark.parametrize(
    ("scales", "order", "message"),
    [
        ([0.5, 1], 1, "noise scale factors are 1 or more"),
        ([1, float("nan")], 1, "noise scale factors are 1 or more"),
        ([1, 3], 2, "an extrapolation of order 2 needs 3 different noise scale factors"),
        ([3, 3], 1, "needs 2 different"),
        ([1], 1, "needs 2 different"),
        ([1, 3], 0, "the order of an extrapolation is at least 1, not 0"),
        ([1, 3], True, "not True"),
        ([1, 3], 1.5, "not 1.5"),
    ],
)
def test_bad_factors_and_orders_are_refused(scales, order, message):
    with pytest.raises(InputError, match=message):
        coefficients(scales, order)
