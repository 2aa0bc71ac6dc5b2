"""Gridded fields of a NetCDF file, such as winds or geopotential of a reanalysis."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import DataError, MissingExtra
from qt_hw.tasks.typhoon.storm import Storm, time_text
from qt_hw.tasks.typhoon.window import Fields, Window

__all__ = ["NetcdfFields"]

Array = NDArray[np.float64]

_AXES = {
    "time": ("time", "valid_time"),
    "level": ("level", "pressure_level", "isobaricInhPa", "plev", "lev"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon"),
}
_PASCAL = 2000.0  # no pressure level has so many hPa: larger numbers are Pa
_NEVER = np.iinfo(np.int64).min
_HOUR = np.timedelta64(1, "h")


class NetcdfFields(Fields):
    """Variables of a file on a grid of time, pressure level, latitude and longitude.

    Names of the axes as ERA5 has them (``valid_time``, ``pressure_level``, …) or ERA-Interim
    (``time``, ``level``), or short (``lat``, ``lon``, ``plev`` in Pa); latitudes may fall, and
    longitudes may be 0 … 360 or −180 … 180. A file of one level may have no level axis. Values
    are interpolated linearly in latitude and longitude; times must be in the file.

    Args:
        file: The file.
        variables: Names in the file, such as ``("u", "v")`` or ``("z",)``.
        levels: hPa, of each variable.

    Raises:
        MissingExtra: xarray or netCDF4 is not installed.
        DataError: The file is missing or no NetCDF file, or lacks an axis, variable or level.
    """

    def __init__(self, file: str, variables: Sequence[str], levels: Sequence[float]) -> None:
        self.path = Path(os.path.expanduser(file))
        self.channels = tuple(f"{name}{level:g}" for name in variables for level in levels)
        data = _opened(self.path)  # stays open: what a storm needs is read when it is asked for
        axes = {axis: _axis(self.path, data, axis) for axis in _AXES}
        self._data = _channels(self.path, data, axes, variables, levels)
        self._times = _hours(self.path, data[axes["time"]].values)
        self._grid(data[axes["latitude"]].values, data[axes["longitude"]].values)

    def around(self, storm: Storm, window: Window) -> Array:
        latitude, longitude = window.positions(storm)
        steps = self._steps(storm)
        rows = self._places(storm, "latitude", latitude, self._latitudes)
        columns = self._places(storm, "longitude", self._near(longitude), self._longitudes)
        values = _bilinear(self._read(steps), rows, columns)
        if not np.isfinite(values).all():
            raise DataError(
                f"{self.path} has missing values around the storm {storm.id} ({storm.name}): "
                "fill them, or leave the storm out"
            )
        return values

    def _grid(self, latitude: Array, longitude: Array) -> None:
        """Order the grid from south to north and from west to east; close the circle."""
        rows = np.argsort(latitude)
        east = np.mod(longitude.astype(np.float64), 360.0)
        columns = np.argsort(east)
        # Begin after the largest gap, so that a region across the prime meridian is one piece.
        gaps = np.diff(np.append(east[columns], east[columns[0]] + 360.0))
        columns = np.roll(columns, -(int(np.argmax(gaps)) + 1))
        self._latitudes = latitude[rows].astype(np.float64)
        self._longitudes = np.unwrap(east[columns], period=360.0)
        if len(east) > 1 and gaps.max() < 1.5 * np.median(gaps):
            self._longitudes = np.append(self._longitudes, self._longitudes[0] + 360.0)
            columns = np.append(columns, columns[0])
        self._order = rows, columns

    def _read(self, steps: NDArray[np.int64]) -> Array:
        """Return the fields of some times in the order of the grid, ``(C, P, lat, lon)``."""
        first, rows, columns = int(steps.min()), *self._order
        span = slice(first, int(steps.max()) + 1)
        values = np.stack([field[span].values[steps - first] for field in self._data])
        ordered: Array = values[..., rows, :][..., columns].astype(np.float64)
        return ordered

    def _near(self, longitude: Array) -> Array:
        """Return the same meridians with the turns that the grid has them with."""
        first, last = self._longitudes[0], self._longitudes[-1]
        if last - first >= 360.0 - 1e-9:
            turns = np.floor((longitude - first) / 360.0)
        else:
            centre = longitude.mean(axis=1, keepdims=True)
            turns = np.round((centre - (first + last) / 2) / 360.0)
        near: Array = longitude - 360.0 * turns
        return near

    def _steps(self, storm: Storm) -> NDArray[np.int64]:
        place = {int(hour): k for k, hour in enumerate(self._times) if hour != _NEVER}
        missing = [int(hour) for hour in storm.hours if int(hour) not in place]
        if missing:
            raise DataError(
                f"{self.path} has no fields at {time_text(missing[0])}, which the storm "
                f"{storm.id} ({storm.name}) needs ({len(missing)} of its {len(storm)} times are "
                f"missing; the file has {time_text(min(place))} to {time_text(max(place))}): "
                "name tracks of the same period, or a file with those times"
            )
        return np.array([place[int(hour)] for hour in storm.hours], dtype=np.int64)

    def _places(self, storm: Storm, axis: str, wanted: Array, grid: Array) -> Array:
        """Return the fractional index of each wanted coordinate, in the shape of ``wanted``."""
        slack = 1e-9
        if wanted.min() < grid[0] - slack or wanted.max() > grid[-1] + slack:
            raise DataError(
                f"{self.path} covers the {axis}s {grid[0]:g} to {grid[-1]:g}; the window around "
                f"the storm {storm.id} ({storm.name}) needs {wanted.min():g} to "
                f"{wanted.max():g}: take a larger file, or set a smaller window or spacing"
            )
        return np.interp(wanted, grid, np.arange(len(grid), dtype=np.float64))


def _opened(path: Path) -> Any:
    for module in ("xarray", "netCDF4"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra("reading fields from NetCDF", "tasks")
    import xarray

    if not path.is_file():
        raise DataError(f"{path} does not exist: set fields to a NetCDF file")
    try:
        return xarray.open_dataset(path, engine="netcdf4")
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as NetCDF ({said}): get the file anew") from error


def _axis(path: Path, data: Any, axis: str) -> str | None:
    """Return the name of an axis in the file; None for a level axis that there is not."""
    found = [name for name in _AXES[axis] if name in data.dims and name in data.coords]
    if not found and axis != "level":
        raise DataError(
            f"{path} has no {axis} axis (known names: {', '.join(_AXES[axis])}; it has "
            f"{', '.join(map(str, data.dims)) or 'none'}): rename it"
        )
    return found[0] if found else None


def _channels(
    path: Path,
    data: Any,
    axes: dict[str, str | None],
    variables: Sequence[str],
    levels: Sequence[float],
) -> list[Any]:
    """Return all channels, each on (time, latitude, longitude) and not yet read."""
    order = [axes[axis] for axis in ("time", "latitude", "longitude")]
    found = []
    for name in variables:
        if name not in data.data_vars:
            raise DataError(
                f"{path} has no variable {name!r}, only "
                f"{', '.join(map(str, data.data_vars))}: set variables to names of the file"
            )
        for level in levels:
            field = _level(path, data[name], axes["level"], level, len(levels))
            if set(field.dims) != set(order):
                raise DataError(
                    f"{path}: {name!r} lies on {', '.join(map(str, field.dims))}, not on time, "
                    "latitude and longitude: select the other axes first"
                )
            found.append(field.transpose(*order))
    return found


def _level(path: Path, field: Any, axis: str | None, level: float, n_levels: int) -> Any:
    if axis is None or axis not in field.dims:
        if n_levels > 1:
            raise DataError(
                f"{path}: {field.name!r} has no pressure levels, so levels must name one only"
            )
        return field
    pressures = field[axis].values.astype(np.float64)
    pressures = pressures / 100.0 if pressures.max() > _PASCAL else pressures
    place = np.flatnonzero(np.isclose(pressures, level))
    if not len(place):
        raise DataError(
            f"{path}: {field.name!r} has no level {level:g} hPa, only "
            f"{', '.join(f'{p:g}' for p in pressures)}: set levels to some of these"
        )
    return field.isel({axis: int(place[0])})


def _hours(path: Path, times: NDArray[Any]) -> NDArray[np.int64]:
    """Return hours since 1970-01-01 UTC."""
    if not np.issubdtype(times.dtype, np.datetime64):
        raise DataError(
            f"{path}: the time axis has no units as 'hours since …', so its times are not known"
        )
    hours: NDArray[np.int64] = times.astype("datetime64[h]").astype(np.int64)
    whole = hours.astype("datetime64[h]").astype(times.dtype) == times
    if not whole.any():
        raise DataError(
            f"{path} has no fields at a full hour (the first are at {times[:1].astype(str)[0]}): "
            "take instantaneous fields, or interpolate these to full hours"
        )
    # A record between two hours belongs to neither: no storm asks for this.
    return np.where(whole, hours, _NEVER)


def _bilinear(data: Array, rows: Array, columns: Array) -> Array:
    """Return ``(P, C, H, W)`` of fields ``(C, P, lat, lon)`` at fractional indices."""
    i = np.clip(np.floor(rows).astype(np.int64), 0, max(data.shape[2] - 2, 0))
    j = np.clip(np.floor(columns).astype(np.int64), 0, max(data.shape[3] - 2, 0))
    a, b = (rows - i)[:, None, :, None], (columns - j)[:, None, None, :]
    time = np.arange(data.shape[1])[:, None, None]

    def corner(di: int, dj: int) -> Array:
        row = np.minimum(i + di, data.shape[2] - 1)[:, :, None]
        column = np.minimum(j + dj, data.shape[3] - 1)[:, None, :]
        return np.moveaxis(data[:, time, row, column], 0, 1)

    south = (1 - b) * corner(0, 0) + b * corner(0, 1)
    north = (1 - b) * corner(1, 0) + b * corner(1, 1)
    values: Array = (1 - a) * south + a * north
    return values
