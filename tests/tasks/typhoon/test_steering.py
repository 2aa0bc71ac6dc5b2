"""The analytic flow and the tracks that come about in it."""

from __future__ import annotations

import numpy as np
import pytest

from qt_hw.tasks.typhoon.generator import BETA_DRIFT, generate
from qt_hw.tasks.typhoon.steering import (
    CLIMATE,
    METRES_PER_DEGREE,
    Weather,
    deep_layer,
    flow,
    flow_on_grid,
    ridge,
)

AUGUST = np.array([227.0])


@pytest.fixture(scope="module")
def weather():
    return Weather.draw(4, np.random.RandomState(3)).of(2)


def test_easterlies_below_the_ridge_and_westerlies_beyond():
    far = np.array([85.0])  # degrees of longitude away from the anticyclone
    south, north = (
        deep_layer(ridge(AUGUST) + way, CLIMATE.high + far, AUGUST, CLIMATE)[0][0]
        for way in (-30.0, 30.0)
    )
    # 0.8 · (∓3) + 0.2 · (5 ∓ 12), and hardly anything is left of the anticyclone
    assert south == pytest.approx(-3.8, abs=0.1)
    assert north == pytest.approx(5.8, abs=0.1)


def test_the_anticyclone_turns_clockwise():
    axis = ridge(AUGUST)
    west, east = (
        deep_layer(axis, CLIMATE.high + way, AUGUST, CLIMATE)[1][0] for way in (-18.0, 18.0)
    )
    largest = 3.0 / np.cos(np.deg2rad(29.0))  # at one length of the Gaussian
    assert west == pytest.approx(largest, rel=1e-12)
    assert east == pytest.approx(-largest, rel=1e-12)


def test_the_ridge_follows_the_sun():
    days = np.arange(0.0, 365.0)
    assert abs(days[ridge(days).argmax()] - 227) < 1
    assert ridge(days).max() - ridge(days).min() == pytest.approx(12.0, abs=0.01)


@pytest.mark.parametrize("pressure", [850.0, 500.0, 250.0])
def test_the_flow_is_free_of_divergence(weather, pressure):
    rng = np.random.RandomState(0)
    latitude, longitude = rng.uniform(5, 40, 50), rng.uniform(110, 170, 50)
    day, step = np.full(50, 210.0), 1e-4

    def at(dy, dx):
        return flow(latitude + dy, longitude + dx, day, weather, pressure)

    east = (at(0, step)[0] - at(0, -step)[0]) / (2 * step)
    above, below = (at(way, 0)[1] * np.cos(np.deg2rad(latitude + way)) for way in (step, -step))
    divergence = (east + (above - below) / (2 * step)) / METRES_PER_DEGREE
    assert np.abs(divergence).max() < 1e-11  # winds vary by about 1e-5 per second


def test_levels_are_linear_between_both_ends(weather):
    place = np.array([20.0]), np.array([135.0]), AUGUST, weather
    low, middle, high = (flow(*place, level)[0][0] for level in (850.0, 550.0, 250.0))
    waves_and_zone = flow(*place, 1000.0)[0][0], flow(*place, 100.0)[0][0]
    assert waves_and_zone == (low, high)
    assert middle == pytest.approx((low + high) / 2, rel=1e-12)


def test_the_quick_way_on_grids_is_the_same_flow(weather):
    rng = np.random.RandomState(1)
    latitude, longitude = rng.uniform(0, 50, (3, 5)), rng.uniform(100, 180, (3, 4))
    day = np.array([180.0, 200.5, 300.0])
    rows, columns = np.broadcast_arrays(latitude[:, :, None], longitude[:, None, :])
    for pressure in (850.0, 400.0):
        quick = flow_on_grid(latitude, longitude, day, weather, pressure)
        slow = flow(rows, columns, day[:, None, None], weather, pressure)
        np.testing.assert_allclose(quick, slow, atol=1e-10)


def test_the_same_seed_gives_the_same_tracks_and_another_other_ones():
    first, again, other = (generate(5, seed) for seed in (1, 1, 2))
    for a, b in zip(first.storms, again.storms, strict=True):
        for key in ("hours", "latitude", "longitude", "wind"):
            np.testing.assert_array_equal(getattr(a, key), getattr(b, key))
    assert first.storms[0].latitude[0] != other.storms[0].latitude[0]


def test_tracks_look_like_those_of_the_western_north_pacific():
    storms = generate(200, 0).storms
    speeds, turned = [], 0
    for storm in (s for s in storms if len(s) > 12):
        middle = np.cos(np.deg2rad((storm.latitude[1:] + storm.latitude[:-1]) / 2))
        east = np.diff(storm.longitude) * middle
        speeds += list(METRES_PER_DEGREE * np.hypot(np.diff(storm.latitude), east) / 21600)
        turned += east[:6].mean() < 0 < east[-6:].mean()
    # CMA best tracks of 1990 to 2018: median 5.0 m/s, nine of ten below 9.7, 47 of 100 recurve.
    assert 4.0 < np.median(speeds) < 8.0
    assert np.percentile(speeds, 90) < 13.0
    assert 0.35 < turned / len(storms) < 0.8
    months = np.array([s.hours[0] for s in storms]).astype("datetime64[h]").astype("datetime64[M]")
    season = (months.astype(np.int64) % 12 + 1) >= 7
    assert season.mean() > 0.7


def test_the_first_step_is_steering_plus_beta_drift():
    # Averaged over many storms the residual motion vanishes: 5 sigma of its mean, 0.8 m/s each.
    made = generate(600, 5)
    moved, expected = [], []
    for k, storm in enumerate(made.storms):
        place = storm.latitude[:1], storm.longitude[:1]
        hours = storm.hours[:1]
        january = hours.astype("datetime64[h]").astype("datetime64[Y]").astype("datetime64[h]")
        day = (hours - january.astype(np.int64)) / 24.0
        wind = deep_layer(*place, day, made.weather.of(k))
        cosine = np.cos(np.deg2rad(place[0][0]))
        step = np.diff(storm.latitude[:2])[0], np.diff(storm.longitude[:2])[0] * cosine
        moved.append(METRES_PER_DEGREE * np.array(step[::-1]) / 21600)
        expected.append([float(w[0]) + b * cosine for w, b in zip(wind, BETA_DRIFT, strict=True)])
    error = np.mean(np.array(moved) - np.array(expected), axis=0)
    assert np.abs(error).max() < 5 * 0.8 / np.sqrt(600) + 0.05  # and the flow changes in 6 hours
