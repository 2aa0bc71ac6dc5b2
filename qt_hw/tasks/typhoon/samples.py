"""From tracks and fields to samples: what a forecast sees, and where the storm went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.tasks.typhoon.geodesy import encode
from qt_hw.tasks.typhoon.storm import STEP_HOURS, Storm, day_of_year
from qt_hw.tasks.typhoon.wide import BEFORE, wide_features
from qt_hw.tasks.typhoon.window import Fields, Window

__all__ = ["N_STATE", "N_TRACK", "Plan", "Samples", "samples_of", "state", "truth"]

Array = NDArray[np.float64]

N_STATE = 7
"""Leading columns of y: latitude, longitude, motion north and east, sine and cosine of the day of
the year, number of the storm."""

N_TRACK = 6
"""Columns of a time step besides the fields: the first six of the same, at that time."""

_MOTION_STEPS = 2  # the motion of a forecast is the mean of 12 hours
_YEAR = 365.25


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sample is made of.

    Attributes:
        history: Six-hourly records up to the forecast.
        leads: Hours that are forecast, multiples of six.
        window: Where the fields are taken.
        images: Fields as images beside the 53 numbers of the published network, in one row;
            else one row of numbers per record.
    """

    history: int
    leads: tuple[int, ...]
    window: Window
    images: bool

    @property
    def before(self) -> int:
        """Records that must lie before the one of the forecast."""
        return max(self.history, BEFORE, _MOTION_STEPS)

    @property
    def least(self) -> int:
        """Records of the shortest track with a sample."""
        return self.before + 1 + self.leads[-1] // STEP_HOURS


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Inputs and what is to be forecast, float32.

    Attributes:
        x: ``(N, T, 6 + C·H·W)``, or ``(N, 53 + T·C·H·W)`` for images; not standardised.
        y: ``(N, 7 + 2L)``: see ``N_STATE``, then latitude and longitude at each lead time.
    """

    x: Tensor
    y: Tensor


def samples_of(storms: Sequence[Storm], fields: Fields, plan: Plan) -> Samples:
    """Return the samples of regular tracks of at least ``plan.least`` records, storm by storm.

    Args:
        storms: Six-hourly tracks; pieces of one storm have the same id and number.
        fields: Where the steering flow comes from.
        plan: See ``Plan``.

    Raises:
        DataError: The fields do not cover a track.
    """
    numbers = {id: k for k, id in enumerate(dict.fromkeys(storm.id for storm in storms))}
    xs, ys = [], []
    for storm in storms:
        origins = np.arange(plan.before, len(storm) - plan.leads[-1] // STEP_HOURS, dtype=np.int64)
        around = fields.around(storm, plan.window).astype(np.float32)
        xs.append((_images if plan.images else _rows)(storm, around, origins, plan.history))
        ys.append(_outcome(storm, origins, plan.leads, numbers[storm.id]))
    return Samples(x=torch.cat(xs), y=torch.cat(ys).to(torch.float32))


def state(y: Tensor) -> Tensor:
    """Return the position of the storm when the forecast is made, ``(N, 2)``."""
    return y[:, :2]


def truth(y: Tensor) -> Tensor:
    """Return the observed positions at the lead times, ``(N, L, 2)``."""
    return y[:, N_STATE:].reshape(len(y), (y.shape[1] - N_STATE) // 2, 2)


def _rows(
    storm: Storm, around: NDArray[np.float32], origins: NDArray[np.int64], history: int
) -> Tensor:
    """Return position, motion, season and fields of each record, ``(N, T, 6 + C·H·W)``."""
    track = _state(storm, 1).to(torch.float32)
    table = torch.cat((track, torch.from_numpy(around).flatten(1)), dim=1)
    return table[_past(origins, history)]


def _images(
    storm: Storm, around: NDArray[np.float32], origins: NDArray[np.int64], history: int
) -> Tensor:
    """Return the 53 numbers and then all images, ``(N, 53 + T·C·H·W)``."""
    images = torch.from_numpy(around)[_past(origins, history)].flatten(1)
    wide = torch.from_numpy(wide_features(storm, origins).astype(np.float32))
    return torch.cat((wide, images), dim=1)


def _past(origins: NDArray[np.int64], history: int) -> Tensor:
    """Return the rows of each history, oldest first, ``(N, T)``."""
    return torch.from_numpy(origins[:, None] + np.arange(1 - history, 1))


def _positions(storm: Storm) -> Tensor:
    return torch.from_numpy(np.stack((storm.latitude, storm.longitude), axis=1))


def _state(storm: Storm, steps: int) -> Tensor:
    """Return position, motion per six hours over ``steps`` steps and season, ``(P, 6)``.

    The motion of the first records, which lack a past, is zero.
    """
    positions = _positions(storm)
    motion = torch.zeros_like(positions)
    motion[steps:] = encode(positions[:-steps], positions[steps:]) / steps
    angle = torch.from_numpy(2 * np.pi * day_of_year(storm.hours) / _YEAR)
    return torch.cat((positions, motion, angle.sin()[:, None], angle.cos()[:, None]), dim=1)


def _outcome(storm: Storm, origins: NDArray[np.int64], leads: Sequence[int], number: int) -> Tensor:
    """Return y, ``(N, 7 + 2L)``."""
    ahead = origins[:, None] + np.array(leads) // STEP_HOURS
    now = _state(storm, _MOTION_STEPS)[torch.from_numpy(origins)]
    which = torch.full((len(origins), 1), float(number), dtype=torch.float64)
    then = _positions(storm)[torch.from_numpy(ahead)].flatten(1)
    return torch.cat((now, which, then), dim=1)
