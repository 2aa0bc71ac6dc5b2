"""Synthetic typhoon tracks: the beta-and-advection model in the analytic steering flow.

A storm moves with the deep-layer mean wind, a beta drift towards west and pole (Holland, J. Atmos.
Sci. 40 (1983) 328: 1 to 3 m/s) and an autocorrelated residual:

    dx/dt = 0.8 V(850) + 0.2 V(250) + V_beta + r,    dr = −r/τ dt + σ √(2/τ) dW

as in Emanuel, Ravela, Vivant & Risi, Bull. Amer. Meteor. Soc. 87 (2006) 299, whose model has no r.
Genesis is drawn over the western North Pacific, most of it in August and September. The wind of a
storm relaxes towards one that the latitude allows; it does not act on the track.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.tasks.typhoon.steering import METRES_PER_DEGREE, Weather, deep_layer
from qt_hw.tasks.typhoon.storm import STEP_HOURS, Storm

__all__ = ["BETA_DRIFT", "Generated", "generate"]

Array = NDArray[np.float64]

BETA_DRIFT = (-1.0, 1.5)
"""Towards east and north at the equator, m/s; it falls with the cosine of the latitude, as beta."""

_NOISE, _MEMORY_HOURS = 0.8, 24.0  # m/s each way, hours
_LONGEST = 49  # six-hourly records, 12 days
_AREA = ((3.0, 45.0), (100.0, 190.0))  # a storm is followed inside of it
_PER_SEASON = 25
_FIRST_SEASON = 2001
_SPIN_UP_WIND, _WIND_HOURS = 15.0, 48.0  # m/s, hours


@dataclass(frozen=True, kw_only=True, eq=False)
class Generated:
    """Tracks and the weather in which they came about, one after the other in time."""

    storms: list[Storm]
    weather: Weather


def generate(storms: int, seed: int) -> Generated:
    """Return ``storms`` tracks, 25 to a season; the same seed gives the same bits.

    >>> track = generate(2, seed=0).storms[0]
    >>> bool((np.diff(track.hours) == 6).all())
    True
    """
    # RandomState's stream is frozen by numpy's compatibility policy, that of Generator is not.
    source = np.random.RandomState(seed)
    start = _genesis_hours(storms, source)
    latitude = np.clip(source.normal(13.0, 3.5, storms), 6.0, 22.0)
    longitude = np.clip(source.normal(143.0, 11.0, storms), 115.0, 170.0)
    weather = Weather.draw(storms, source)
    path = _integrate(start, latitude, longitude, weather, source)
    tracks = [_storm(k, int(start[k]), path[:, :, k]) for k in range(storms)]
    return Generated(storms=tracks, weather=weather)


def _genesis_hours(storms: int, source: np.random.RandomState) -> NDArray[np.int64]:
    """Return the first hour of each storm, in the order of time."""
    day = np.clip(source.normal(235.0, 45.0, storms), 60.0, 350.0)
    season = np.arange(storms) // _PER_SEASON + (_FIRST_SEASON - 1970)
    january = season.astype("datetime64[Y]").astype("datetime64[h]").astype(np.int64)
    steps: NDArray[np.int64] = np.floor(day * 24 / STEP_HOURS).astype(np.int64)
    return np.sort(january + STEP_HOURS * steps)


def _integrate(
    start: NDArray[np.int64],
    latitude: Array,
    longitude: Array,
    weather: Weather,
    source: np.random.RandomState,
) -> Array:
    """Return latitude, longitude and wind at each record, ``(records, 3, storms)``."""
    january = start.astype("datetime64[h]").astype("datetime64[Y]").astype("datetime64[h]")
    day = (start - january.astype(np.int64)) / 24.0
    noise = _NOISE * source.normal(size=(2, len(start)))
    kept, wind = np.exp(-1 / _MEMORY_HOURS), np.full(len(start), _SPIN_UP_WIND)
    records = [(latitude, longitude, wind)]
    for _ in range(_LONGEST - 1):
        for _ in range(STEP_HOURS):
            latitude, longitude = _hour(latitude, longitude, day, weather, noise)
            wind = wind + (_potential(latitude) - wind) / _WIND_HOURS
            push = source.normal(size=noise.shape)
            noise = kept * noise + _NOISE * np.sqrt(1 - kept**2) * push
            day = day + 1 / 24
        records.append((latitude, longitude, wind))
    return np.array(records)


def _hour(
    latitude: Array, longitude: Array, day: Array, weather: Weather, noise: Array
) -> tuple[Array, Array]:
    """Return the positions an hour later, by the midpoint rule."""
    north, east = _speed(latitude, longitude, day, weather, noise)
    middle = latitude + north / 48, longitude + east / 48
    north, east = _speed(*middle, day + 1 / 48, weather, noise)
    return np.clip(latitude + north / 24, -60.0, 60.0), longitude + east / 24


def _speed(
    latitude: Array, longitude: Array, day: Array, weather: Weather, noise: Array
) -> tuple[Array, Array]:
    """Return the motion in degrees of latitude and of longitude per day."""
    u, v = deep_layer(latitude, longitude, day, weather)
    cosine = np.cos(np.deg2rad(latitude))
    per_day = 86400 / METRES_PER_DEGREE
    east = per_day * (u + BETA_DRIFT[0] * cosine + noise[0]) / cosine
    north = per_day * (v + BETA_DRIFT[1] * cosine + noise[1])
    return north, east


def _potential(latitude: Array) -> Array:
    """Return the wind that a storm tends to, m/s: most over the warm pool."""
    wind: Array = 15.0 + 40.0 * np.exp(-0.5 * ((latitude - 18.0) / 9.0) ** 2)
    return wind


def _storm(number: int, start: int, path: Array) -> Storm:
    """Return a track up to where it leaves the area."""
    inside = np.ones(len(path), dtype=bool)
    for column, (low, high) in zip(path[:, :2].T, _AREA, strict=True):
        inside &= (low <= column) & (column <= high)
    length = len(path) if inside.all() else int(np.argmin(inside))
    hours = start + STEP_HOURS * np.arange(len(path))
    records = [
        (int(hours[k]), float(path[k, 0]), float(path[k, 1]), float(path[k, 2]))
        for k in range(max(length, 1))
    ]
    return Storm.of(f"synthetic-{number}", f"S{number:04d}", records)
