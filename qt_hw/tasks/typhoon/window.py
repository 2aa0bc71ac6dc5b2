"""Fields around a storm: what every source of them offers, and the analytic one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.tasks.typhoon.steering import CLIMATE, Weather, flow_on_grid
from qt_hw.tasks.typhoon.storm import Storm, day_of_year

__all__ = ["AnalyticFields", "Fields", "Window"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A square of points around the centre of a storm.

    Attributes:
        size: Points on a side.
        spacing: Degrees of latitude and of longitude between them.

    >>> Window(size=3, spacing=5.0).offsets.tolist()
    [-5.0, 0.0, 5.0]
    """

    size: int
    spacing: float

    @property
    def offsets(self) -> Array:
        """Degrees from the centre, ``(size,)``, increasing: to the north, and to the east."""
        places = np.arange(self.size, dtype=np.float64) - (self.size - 1) / 2
        offsets: Array = self.spacing * places
        return offsets

    def positions(self, storm: Storm) -> tuple[Array, Array]:
        """Return latitudes ``(P, H)`` and longitudes ``(P, W)`` of the points, degrees.

        Latitudes are those of the storm's records plus the offsets, at most 89 degrees.
        """
        latitude = np.clip(storm.latitude[:, None] + self.offsets, -89.0, 89.0)
        return latitude, storm.longitude[:, None] + self.offsets


class Fields(ABC):
    """A source of gridded fields.

    Attributes:
        channels: Name of each channel, such as ``"u850"``.
    """

    channels: tuple[str, ...]

    @abstractmethod
    def around(self, storm: Storm, window: Window) -> Array:
        """Return the fields at every record of a storm, ``(P, C, H, W)``.

        Rows go from south to north, columns from west to east.

        Raises:
            DataError: A time or a place is not covered.
        """


class AnalyticFields(Fields):
    """The steering flow of the track generator.

    Args:
        variables: ``"u"`` and ``"v"``, winds towards east and north in m/s.
        levels: hPa.
        weather: By the id of the storm; others have the mean flow.

    Raises:
        InputError: There is no such variable.
    """

    def __init__(
        self, variables: Sequence[str], levels: Sequence[float], weather: Mapping[str, Weather]
    ) -> None:
        for name in variables:
            if name not in ("u", "v"):
                raise InputError(
                    f"variables: the analytic steering flow has u and v, not {name!r}: set fields "
                    "to a NetCDF file that has it, or variables = 'u,v'"
                )
        self.variables, self.levels, self.weather = tuple(variables), tuple(levels), dict(weather)
        self.channels = tuple(f"{name}{level:g}" for name in variables for level in levels)

    def around(self, storm: Storm, window: Window) -> Array:
        latitude, longitude = window.positions(storm)
        day, weather = day_of_year(storm.hours), self.weather.get(storm.id, CLIMATE)
        winds = {
            level: flow_on_grid(latitude, longitude, day, weather, level) for level in self.levels
        }
        chosen = [
            winds[level]["uv".index(name)] for name in self.variables for level in self.levels
        ]
        return np.stack(chosen, axis=1)
