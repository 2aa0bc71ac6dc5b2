"""The 53 numbers beside the images in the published network: a storm's past day.

Kinds and numbers of the features are those of ``data/data_processing.py`` in
``CYLphysics/QPA_Typhoon_Trajectory`` 4af7b24, after AM-ConvGRU (Xu et al., Neural Comput. Appl. 34
(2022) 5905). Here directions are compass angles from the arc tangent and unknown winds are filled
from their neighbours in time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qt_hw.tasks.typhoon.storm import STEP_HOURS, Storm

__all__ = ["BEFORE", "N_WIDE", "wide_features"]

Array = NDArray[np.float64]

BEFORE = 4
"""Records before the one of the forecast that the numbers need."""

N_WIDE = 53
_KM_PER_DEGREE = 111.195


def wide_features(storm: Storm, origins: NDArray[np.int64]) -> Array:
    """Return the features of the forecasts made at the records ``origins``, ``(N, 53)``.

    Latitude, longitude and wind now (3) and at the four records before (12); month (1); changes
    of wind, latitude and longitude in each step (12); sums of squares of the latter two and
    their roots (4); accelerations over 6 and 12 hours in km/h² (4); roots of latitude and
    longitude (2); second differences (4); directions of each step from north and from east (8);
    and the turns between steps (3).
    """
    past = origins[:, None] - np.arange(BEFORE + 1)  # now first
    latitude, longitude, wind = (
        column[past] for column in (storm.latitude, storm.longitude, _filled(storm.wind))
    )
    steps = [-np.diff(column, axis=1) for column in (wind, latitude, longitude)]
    columns = [
        *(column[:, :1] for column in (latitude, longitude, wind)),
        *(column[:, 1:] for column in (latitude, longitude, wind)),
        _month(storm, origins),
        *steps,
        *_squares(steps[1]),
        *_squares(steps[2]),
        _accelerations(latitude, longitude),
        np.sqrt(np.abs(latitude[:, :1])),
        np.sqrt(np.mod(longitude[:, :1], 360.0)),
        *(column[:, ::2] - column[:, 1::2] for column in steps[1:]),
        *_directions(latitude, steps[1], steps[2]),
    ]
    return np.concatenate(columns, axis=1)


def _month(storm: Storm, origins: NDArray[np.int64]) -> Array:
    months = storm.hours[origins].astype("datetime64[h]").astype("datetime64[M]")
    return np.asarray(months.astype(np.int64) % 12 + 1, dtype=np.float64)[:, None]


def _squares(step: Array) -> tuple[Array, Array]:
    total = (step**2).sum(axis=1, keepdims=True)
    return total, np.sqrt(total)


def _accelerations(latitude: Array, longitude: Array) -> Array:
    """Return ``2 s / t²`` of the ways 0–1, 1–2, 0–2 and 2–4, km/h², ``(N, 4)``."""
    found = []
    for a, b in ((0, 1), (1, 2), (0, 2), (2, 4)):
        middle = np.deg2rad((latitude[:, a] + latitude[:, b]) / 2)
        east = (longitude[:, a] - longitude[:, b]) * np.cos(middle)
        way = _KM_PER_DEGREE * np.hypot(latitude[:, a] - latitude[:, b], east)
        found.append(2 * way / (STEP_HOURS * (b - a)) ** 2)
    return np.stack(found, axis=1)


def _directions(latitude: Array, north: Array, east: Array) -> tuple[Array, Array, Array]:
    """Return the angle of each step from north and from east, and the turns, degrees."""
    flat = east * np.cos(np.deg2rad(latitude[:, 1:]))
    heading = np.rad2deg(np.arctan2(flat, north))
    turn = np.mod(heading[:, :-1] - heading[:, 1:] + 180.0, 360.0) - 180.0
    return np.mod(heading, 360.0), np.mod(90.0 - heading, 360.0), np.abs(turn)


def _filled(wind: Array) -> Array:
    """Return winds, for unknown ones the last known before, 0 at first: a forecast sees no more."""
    last = np.maximum.accumulate(np.where(np.isfinite(wind), np.arange(len(wind)), -1))
    filled: Array = np.where(last < 0, 0.0, wind[last])
    return filled
