"""Where the series of the flood task come from: two generators and gauge files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np

from qt_hw.errors import DataError
from qt_hw.tasks.flood.gauge import read_gauge
from qt_hw.tasks.flood.generator import Catchment, wave
from qt_hw.tasks.flood.series import Series, regular

__all__ = ["from_file", "rainfall_runoff", "wave_series"]

_START = datetime(2001, 10, 1, tzinfo=UTC)  # the first of a hydrological year; the year is made up


def rainfall_runoff(hours: int, seed: int, *, rain: bool = True) -> Series:
    """Return discharge and rain of the default catchment."""
    catchment = Catchment()
    record = catchment.simulate(hours, seed)
    columns = [record.discharge, *([record.rain] if rain else [])]
    return Series(
        names=("discharge", "rain")[: len(columns)],
        units=("m³/s", "mm")[: len(columns)],
        values=np.stack(columns, axis=1),
        hours=1.0,
        start=_START,
        source="rainfall-runoff",
        facts={"generator": asdict(catchment), "generator_seed": seed},
    )


def wave_series(steps: int) -> Series:
    """Return the wave of the reference; its steps have no length."""
    return Series(
        names=("level",),
        units=("",),
        values=wave(steps)[:, None],
        hours=None,
        start=None,
        source="wave",
        facts={},
    )


def from_file(
    path: str,
    *,
    columns: Mapping[str, str],
    time_format: str | None,
    missing: Collection[str],
    variable: str | None,
    rain: bool,
    hours: float,
    max_gap: int,
) -> Series:
    """Return the series of a gauge file; see ``read_gauge`` and ``regular``.

    Raises:
        DataError: The file cannot be read, or lacks the variable.
    """
    table = read_gauge(path, columns=columns, time_format=time_format, missing=missing)
    chosen = variable or next(kind for kind in ("discharge", "level") if kind in table.values)
    if chosen not in table.values:
        raise DataError(
            f"{path}: no column of the variable {chosen!r}; it has {', '.join(table.values)}: set "
            f"variable, or columns = '{chosen}=HEADER'"
        )
    kinds = [chosen, *(["rain"] if rain and "rain" in table.values else [])]
    return regular(table, kinds, hours, max_gap)
