"""The track of one storm, and how it becomes a regular six-hourly series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

__all__ = ["STEP_HOURS", "Storm", "day_of_year", "hours_since_1970", "pieces", "time_text"]

Array = NDArray[np.float64]

STEP_HOURS = 6
"""The synoptic step of best-track records: 00, 06, 12 and 18 UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, eq=False)
class Storm:
    """Positions of one storm, ``(P,)`` each, in the order of time.

    Attributes:
        id: Unique in its source.
        name: As the source has it.
        hours: Whole hours since 1970-01-01 00 UTC, strictly increasing, int64.
        latitude: Degrees north.
        longitude: Degrees east, without a jump at 180° or 360°; the first is in 0 … 360.
        wind: Largest sustained wind, m/s; NaN where it is not known.
    """

    id: str
    name: str
    hours: NDArray[np.int64]
    latitude: Array
    longitude: Array
    wind: Array

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.hours)

    @classmethod
    def of(cls, id: str, name: str, records: Sequence[tuple[int, float, float, float]]) -> Storm:
        """Return a storm of records (hours, latitude, longitude, wind) in the order of time."""
        hours, latitude, longitude, wind = zip(*records, strict=True)
        return cls(
            id=id,
            name=name,
            hours=np.array(hours, dtype=np.int64),
            latitude=np.array(latitude, dtype=np.float64),
            longitude=_unwrapped(np.array(longitude, dtype=np.float64)),
            wind=np.array(wind, dtype=np.float64),
        )

    def part(self, rows: NDArray[np.int64]) -> Storm:
        """Return the records ``rows`` as a storm of the same name."""
        columns = {
            key: getattr(self, key)[rows] for key in ("hours", "latitude", "longitude", "wind")
        }
        return replace(self, **columns)


def pieces(storm: Storm) -> list[Storm]:
    """Return the six-hourly parts of a storm, split where a record is missing.

    Records between 00, 06, 12 and 18 UTC (three-hourly ones, landfalls) are left out.

    >>> storm = Storm.of("1", "A", [(h, 10.0, 140.0, 20.0) for h in (0, 3, 6, 12, 24, 30)])
    >>> [part.hours.tolist() for part in pieces(storm)]
    [[0, 6, 12], [24, 30]]
    """
    rows = np.flatnonzero(storm.hours % STEP_HOURS == 0)
    gaps = np.flatnonzero(np.diff(storm.hours[rows]) != STEP_HOURS) + 1
    return [storm.part(part) for part in np.split(rows, gaps) if len(part)]


def hours_since_1970(time: datetime) -> int:
    """Return whole hours since 1970-01-01 00 UTC of a time in UTC."""
    return int((time.replace(tzinfo=UTC) - _EPOCH) // timedelta(hours=1))


def time_text(hours: int) -> str:
    """Return a time as messages show it.

    >>> time_text(6)
    '1970-01-01 06 UTC'
    """
    return f"{_EPOCH + timedelta(hours=int(hours)):%Y-%m-%d %H} UTC"


def day_of_year(hours: NDArray[np.int64]) -> Array:
    """Return days since the year began, of hours since 1970-01-01.

    >>> day_of_year(np.array([36, 365 * 24])).tolist()
    [1.5, 0.0]
    """
    time = hours.astype("datetime64[h]")
    start = time.astype("datetime64[Y]").astype("datetime64[h]")
    days: Array = (time - start).astype(np.float64) / 24
    return days


def _unwrapped(longitude: Array) -> Array:
    """Return the same meridians without jumps, beginning in 0 … 360.

    Values that need no change keep their bits.
    """
    whole = np.round((longitude[:-1] - longitude[1:]) / 360.0)
    turns = np.concatenate(([-np.floor(longitude[0] / 360.0)], whole)).cumsum()
    result: Array = longitude + 360.0 * turns
    return result
