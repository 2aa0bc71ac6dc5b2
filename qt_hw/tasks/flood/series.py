"""A regular time series: a table resampled to equal steps, its gaps filled or left as breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import DataError
from qt_hw.tasks.flood.gauge import Table, grouped_mean

__all__ = ["Series", "regular"]

_MOST_STEPS = 20_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Values in equal steps.

    Attributes:
        names: What each column is; the first is what is forecast.
        units: Their units.
        values: ``(N, F)``, NaN in the gaps.
        hours: Length of a step; None where it means nothing.
        start: When the first step begins, UTC; None where it means nothing.
        source: What the values come from, for messages.
        facts: JSON-ready facts for the manifest.
        filled: Which values were interpolated, ``(N, F)``; None for none.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    values: NDArray[np.float64]
    hours: float | None
    start: datetime | None
    source: str
    facts: dict[str, object]
    filled: NDArray[np.bool_] | None = None

    def time(self, step: int) -> str | None:
        """Return when a step begins, ISO 8601."""
        if self.start is None or self.hours is None:
            return None
        return (self.start + timedelta(hours=step * self.hours)).isoformat(timespec="minutes")

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """First step and end of each stretch without a gap."""
        whole = np.isfinite(self.values).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], whole, [False]]).astype(np.int8)))
        return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def regular(table: Table, kinds: Sequence[str], hours: float, max_gap: int) -> Series:
    """Resample a table to steps of ``hours``.

    Discharge and level of a step are means, rain is a sum; a step with less than half of its
    values is missing, and of one with more the sum is scaled up. Up to ``max_gap`` missing steps
    in a row are interpolated linearly, longer gaps stay.

    Args:
        table: The file.
        kinds: Which columns, the one to forecast first.
        hours: Length of a step; steps begin at multiples of it since 1970.
        max_gap: In steps.

    Raises:
        DataError: The values lie further apart than ``hours``, or a time is far off.
    """
    step = hours * 3600
    place = np.floor(table.seconds / step).astype(np.int64)
    first, n_steps = int(place[0]), int(place[-1] - place[0]) + 1
    if n_steps > _MOST_STEPS:
        raise DataError(
            f"{table.path}: {n_steps:,} steps of {hours:g} h lie between the first and the last "
            f"time ({_text(table.seconds[0])}, {_text(table.seconds[-1])}): correct a wrong time, "
            "or set a longer step"
        )
    resampled = [_binned(table, kind, place - first, n_steps, hours) for kind in kinds]
    filled = [_filled(values, max_gap) for values in resampled]
    return Series(
        names=tuple(kinds),
        units=tuple(table.columns[kind].unit for kind in kinds),
        values=np.stack([values for values, _ in filled], axis=1),
        hours=hours,
        start=_EPOCH + timedelta(seconds=first * step),
        source=table.path,
        facts={
            **table.facts,
            "steps_interpolated": {
                kind: int(own.sum()) for kind, (_, own) in zip(kinds, filled, strict=True)
            },
        },
        filled=np.stack([own for _, own in filled], axis=1),
    )


def _binned(
    table: Table, kind: str, place: NDArray[np.int64], n_steps: int, hours: float
) -> NDArray[np.float64]:
    values = table.values[kind]
    own = _spacing(table, kind)
    if own > 1.01 * hours:
        raise DataError(
            f"{table.path}: {kind} has a value every {own:g} h, steps of {hours:g} h are finer: "
            f"set step = '{own:g}h'"
        )
    mean, count = grouped_mean(values, place.astype(np.intp), n_steps)
    per_step = hours / own
    mean[2 * count < np.floor(per_step)] = np.nan
    if kind != "rain":
        return mean
    return mean * (hours if table.columns[kind].rate else per_step)


def _spacing(table: Table, kind: str) -> float:
    """Return the usual distance between two values, in hours."""
    times = table.seconds[np.isfinite(table.values[kind])]
    if len(times) < 2:
        header = table.columns[kind].header
        raise DataError(
            f"{table.path}: the column {header!r} holds {len(times)} values, at least 2 are needed"
            + (
                ": fill it, or set rain = false"
                if kind == "rain"
                else ": choose another with columns"
            )
        )
    return float(np.median(np.diff(times))) / 3600


def _filled(
    values: NDArray[np.float64], max_gap: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Interpolate gaps of up to ``max_gap`` steps; return also which steps that were."""
    present = np.flatnonzero(np.isfinite(values))
    short = [(a, b) for a, b in pairwise(present.tolist()) if 1 < b - a <= max_gap + 1]
    filled = values.copy()
    for a, b in short:
        filled[a : b + 1] = np.linspace(values[a], values[b], b - a + 1)
    return filled, np.isfinite(filled) & ~np.isfinite(values)


def _text(seconds: float) -> str:
    return (_EPOCH + timedelta(seconds=float(seconds))).isoformat(timespec="minutes")
