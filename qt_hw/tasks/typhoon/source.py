"""The tracks of a task with their fields, and how samples are parted and standardised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qt_hw.errors import InputError
from qt_hw.tasks.download import sha256_of
from qt_hw.tasks.typhoon.files import read_tracks, track_files
from qt_hw.tasks.typhoon.generator import generate
from qt_hw.tasks.typhoon.netcdf import NetcdfFields
from qt_hw.tasks.typhoon.samples import Samples
from qt_hw.tasks.typhoon.steering import Weather
from qt_hw.tasks.typhoon.storm import STEP_HOURS, Storm, pieces
from qt_hw.tasks.typhoon.window import AnalyticFields, Fields

__all__ = ["Tracks", "file_tracks", "split_storms", "standardised", "subset", "synthetic_tracks"]

_ROWS_AT_ONCE = 1024

Channels = tuple[tuple[str, ...], tuple[float, ...]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """Regular tracks that are long enough, oldest first.

    Attributes:
        storms: Pieces of one storm have the same id.
        fields: Where the fields around them come from.
        description: Facts for the manifest.
    """

    storms: list[Storm]
    fields: Fields
    description: dict[str, object]


def synthetic_tracks(
    storms: int, seed: int, fields: str | None, *, channels: Channels, least: int
) -> Tracks:
    """Return the tracks of the generator, in the weather in which they came about.

    Args:
        storms: Their number.
        seed: Of the generator.
        fields: A NetCDF file in place of that weather.
        channels: Variables and levels.
        least: Records of the shortest track.

    Raises:
        DataError: The NetCDF file is missing or lacks something.
        InputError: No track is long enough, or there is no such variable.
    """
    made = generate(storms, seed)
    weather = {storm.id: made.weather.of(k) for k, storm in enumerate(made.storms)}
    facts: dict[str, object] = {"source": "beta and advection model", "seed": seed}
    return _tracks(made.storms, _fields(fields, channels, weather), facts, least)


def file_tracks(
    file: str, basin: str | None, fields: str | None, *, channels: Channels, least: int
) -> Tracks:
    """Return the tracks of best-track files.

    Args:
        file: A file or a folder.
        basin: See ``read_ibtracs``.
        fields: A NetCDF file in place of the mean steering flow.
        channels: Variables and levels.
        least: Records of the shortest track.

    Raises:
        DataError: See ``read_tracks`` and ``NetcdfFields``.
        InputError: No track is long enough, or there is no such variable.
    """
    paths = track_files(file)
    storms, facts = read_tracks(paths, basin)
    facts["sha256"] = {path.name: sha256_of(path) for path in paths}
    return _tracks(storms, _fields(fields, channels, {}), facts, least)


def split_storms(storms: Sequence[Storm], share: float) -> tuple[list[Storm], list[Storm]]:
    """Return the earlier storms, and the latest ``share`` of them; no id is in both.

    Raises:
        InputError: One part would be empty.
    """
    ids = list(dict.fromkeys(storm.id for storm in storms))
    n_test = round(share * len(ids))
    if not 0 < n_test < len(ids):
        raise InputError(
            f"of {len(ids)} storms with long enough tracks, test_share = {share:g} leaves one part "
            "empty: take more storms, or another test_share"
        )
    late = set(ids[len(ids) - n_test :])
    return [s for s in storms if s.id not in late], [s for s in storms if s.id in late]


def subset(option: str, samples: Samples, size: int | None) -> Samples:
    """Return ``size`` of the samples, evenly spread; None returns all.

    Raises:
        InputError: There are fewer.
    """
    if size is None:
        return samples
    if size > len(samples.x):
        raise InputError(
            f"{option} = {size:,}, there are {len(samples.x):,} samples: take fewer, or more storms"
        )
    index = torch.arange(size) * len(samples.x) // size
    return Samples(x=samples.x[index], y=samples.y[index])


def standardised(train: Tensor, test: Tensor, groups: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return both parts with mean 0 and spread 1 in each column of the training part.

    The published code scales with the extremes of training and test data together.

    Args:
        train: ``(N, …, F)``.
        test: The same.
        groups: Numbers of neighbouring columns that share one mean and spread, such as the
            points of an image; empty: each has its own.
    """
    n_columns = train.shape[-1]
    sizes = torch.tensor(list(groups) or [1] * n_columns)
    group = torch.arange(len(sizes)).repeat_interleave(sizes)
    mean = _grouped(_mean(train, torch.zeros(n_columns, dtype=torch.float64), 1), group, sizes)
    spread = _grouped(_mean(train, mean, 2), group, sizes).sqrt().clamp(min=1e-6)
    offset, scale = mean.to(torch.float32), (1 / spread).to(torch.float32)
    return (train - offset).mul_(scale), (test - offset).mul_(scale)


def _mean(x: Tensor, centre: Tensor, power: int) -> Tensor:
    """Return the mean of the first or second power of ``x − centre`` by column, float64."""
    total, rows = torch.zeros_like(centre), x.flatten(0, -2)
    for first in range(0, len(rows), _ROWS_AT_ONCE):  # double precision of all of x is large
        away = rows[first : first + _ROWS_AT_ONCE].to(torch.float64) - centre
        total += (away if power == 1 else away * away).sum(0)
    return total / len(rows)


def _grouped(values: Tensor, group: Tensor, sizes: Tensor) -> Tensor:
    """Return for each column the mean of ``values`` over its group."""
    sums = torch.zeros(len(sizes), dtype=values.dtype).index_add_(0, group, values)
    return (sums / sizes)[group]


def _fields(file: str | None, channels: Channels, weather: dict[str, Weather]) -> Fields:
    if file is not None:
        return NetcdfFields(file, *channels)
    return AnalyticFields(*channels, weather)


def _tracks(
    storms: Sequence[Storm], fields: Fields, facts: dict[str, object], least: int
) -> Tracks:
    """Return the regular pieces with at least ``least`` records."""
    kept = [part for storm in storms for part in pieces(storm) if len(part) >= least]
    n_kept = len({part.id for part in kept})
    if not kept:
        raise InputError(
            f"none of {len(storms)} storms has {least} six-hourly records in a row "
            f"({STEP_HOURS * (least - 1)} hours): set a smaller history, leads or lead_hours"
        )
    counts = {"n_storms": len(storms), "n_storms_too_short": len(storms) - n_kept}
    return Tracks(storms=kept, fields=fields, description={**facts, **counts})
