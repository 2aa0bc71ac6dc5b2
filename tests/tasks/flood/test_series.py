"""Resampling, gaps, windows and their split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qt_hw.errors import DataError, InputError, UnknownName
from qt_hw.tasks.flood.gauge import Table, read_gauge
from qt_hw.tasks.flood.options import column_names, leads_of
from qt_hw.tasks.flood.series import Series, regular
from qt_hw.tasks.flood.task import Flood
from qt_hw.tasks.flood.windows import normalisation, split_windows, windows


def table(
    tmp_path: Path, minutes: list[int], flow: list[float], rain: list[float] | None = None
) -> Table:
    path = tmp_path / "g.csv"
    columns = [flow] if rain is None else [flow, rain]
    head = "time,discharge" + ("" if rain is None else ",rain [mm]")
    rows = [
        f"2020-01-{1 + m // 1440:02}T{m // 60 % 24:02}:{m % 60:02},"
        + ",".join("" if np.isnan(column[k]) else str(column[k]) for column in columns)
        for k, m in enumerate(minutes)
    ]
    path.write_text("\n".join([head, *rows]) + "\n")
    return read_gauge(path)


def test_flow_is_averaged_and_rain_summed(tmp_path: Path) -> None:
    quarter = table(tmp_path, [15 * k for k in range(8)], [1, 2, 3, 6, 4, 4, 4, 4], [0.5] * 8)
    series = regular(quarter, ["discharge", "rain"], hours=1.0, max_gap=0)
    assert series.values.tolist() == [[3.0, 2.0], [4.0, 2.0]]
    assert (series.units, series.time(1)) == (("m³/s", "mm"), "2020-01-01T01:00+00:00")


def test_sum_of_an_hour_with_one_value_missing_is_scaled_up(tmp_path: Path) -> None:
    rain = [0.5, 0.5, 0.5, np.nan, 0.5, np.nan, np.nan, np.nan, *[0.5] * 8]
    quarter = table(tmp_path, [15 * k for k in range(16)], [1.0] * 16, rain)
    series = regular(quarter, ["discharge", "rain"], hours=1.0, max_gap=0)
    assert series.values[:, 1] == pytest.approx([2.0, np.nan, 2.0, 2.0], nan_ok=True)


def test_rates_become_sums(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("time,level,rain [mm/h]\n2020-01-01T00:00,1,4\n2020-01-01T00:30,1,2\n")
    series = regular(read_gauge(path), ["level", "rain"], hours=1.0, max_gap=0)
    assert series.values.tolist() == [[1.0, 3.0]]


def test_short_gaps_are_interpolated_and_long_ones_split(tmp_path: Path) -> None:
    hours = [0, 1, 4, 5, 9, 10]
    hourly = table(tmp_path, [60 * h for h in hours], [float(h) for h in hours])
    series = regular(hourly, ["discharge"], hours=1.0, max_gap=2)
    assert series.values[:6, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert series.stretches == [(0, 6), (9, 11)]
    assert series.facts["steps_interpolated"] == {"discharge": 2}


def test_no_window_ends_in_interpolated_values(tmp_path: Path) -> None:
    """Its last input would tell what follows the gap, and its error would be of a straight line."""
    hours = [h for h in range(40) if h not in (20, 21)]
    hourly = table(tmp_path, [60 * h for h in hours], [float(h) for h in hours])
    series = regular(hourly, ["discharge"], hours=1.0, max_gap=2)
    split = split_windows(series, length=3, leads=(1, 4), train_size=None, test_size=8)
    last_inputs = [set((starts + 2).tolist()) for starts in (split.train, split.test)]
    filled = {20, 21}
    told_from = {step - lead for step in filled for lead in (1, 4)}
    assert last_inputs == [set(range(2, 22)) - filled - told_from, set(range(28, 36))]


def test_steps_finer_than_the_file_are_refused(tmp_path: Path) -> None:
    daily = table(tmp_path, [0, 1440, 2880], [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match=r"a value every 24 h, steps of 1 h .*set step = '24h'"):
        regular(daily, ["discharge"], hours=1.0, max_gap=0)


def test_a_time_far_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("time,level\n0020-01-01,1\n2020-01-01T00:00,1\n2020-01-01T00:01,1\n")
    with pytest.raises(DataError, match=r"steps of 0.0166667 h lie between .*0020-01-01T00:00"):
        regular(read_gauge(path), ["level"], hours=1 / 60, max_gap=0)


def test_an_empty_rain_column_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("time,level,rain\n2020-01-01T00:00,1,\n2020-01-01T01:00,1,\n")
    with pytest.raises(DataError, match=r"'rain' holds 0 values, .* or set rain = false"):
        Flood(file=str(path)).load()


def made(values: np.ndarray) -> Series:
    return Series(
        names=("level",),
        units=("m",),
        values=values[:, None],
        hours=1.0,
        start=None,
        source="made",
        facts={},
    )


def test_no_window_crosses_a_gap_and_training_ends_before_testing() -> None:
    values = np.arange(100.0)
    values[[30, 70]] = np.nan
    series = made(values)
    split = split_windows(series, length=5, leads=(1, 3), train_size=None, test_size=20)
    assert len(split.test) == 20
    assert split.train.max() + 5 + 3 <= split.test.min()
    for starts in (split.train, split.test):
        x, y = windows(values[:, None], starts, split, every_step=False)
        # On a straight line every value tells its step: windows and targets must be in order.
        assert np.array_equal(x[:, :, 0], starts[:, None] + np.arange(5))
        assert np.array_equal(y, starts[:, None] + 4 + np.array([1, 3]))
    _, every = windows(values[:, None], split.test, split, every_step=True)
    assert np.array_equal(every[:, 2, 1], split.test + 2 + 3)


def test_statistics_are_those_of_the_training_steps_alone() -> None:
    values = np.concatenate([np.tile([1.0, 3.0], 50), np.full(60, 1000.0)])
    series = made(values)
    split = split_windows(series, length=4, leads=(1,), train_size=60, test_size=56)
    norm = normalisation(series, split, to_range=False)
    assert (norm.offset, norm.scale) == ((2.0,), (1.0,))
    ranged = normalisation(series, split, to_range=True)
    assert ranged.applied(np.array([[1.0], [3.0]])).tolist() == [[-1.0], [1.0]]


def test_gaps_longer_than_the_window_leave_none() -> None:
    values = np.arange(40.0)
    values[::10] = np.nan
    with pytest.raises(DataError, match="longest stretch without a gap has 9 steps, a window need"):
        split_windows(made(values), length=8, leads=(2,), train_size=None, test_size=None)


@pytest.mark.parametrize(("train", "test"), [(90, 5), (None, 96), (5, 300)])
def test_fewer_windows_than_asked_for(train: int | None, test: int) -> None:
    with pytest.raises(DataError, match=r"made: (train|test)_size = \d+ windows asked for, \d+ "):
        split_windows(made(np.arange(100.0)), 4, (1,), train, test)


def test_a_file_from_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "river.csv"
    rows = [f"2020-01-{1 + h // 24:02} {h % 24:02}:00,{h},{h % 3}" for h in range(240)]
    path.write_text("\n".join(["Time,Flow (l/s),Rain (mm)", *rows]) + "\n")
    task = Flood(file=str(path), length=6, lead="1, 4", test_size=40)
    data = task.load()
    assert data.train[0].shape == (240 - 10 + 1 - 40 - 9, 6, 2)
    assert data.test[1].shape == (40, 2)
    scale, offset = data.description["scale"], data.description["offset"]
    last = data.test[1][-1] * scale[0] + offset[0]  # type: ignore[index]
    assert last.tolist() == pytest.approx([0.236, 0.239], abs=1e-5)
    end = data.description["test_period"][1]  # type: ignore[index]
    assert end == "2020-01-11T00:00+00:00"
    assert Flood(file=str(path), rain=False, length=6, lead=1).load().input_shape == (6, 1)
    with pytest.raises(DataError, match=r"river.csv: no column of the variable 'level'"):
        Flood(file=str(path), variable="level").load()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"source": "sea"}, "unknown source 'sea'"),
        ({"source": "file"}, "needs the path of a gauge file"),
        ({"source": "wave", "file": "x.csv"}, "both given"),
        ({"lead": 0}, "lead must be a number of steps"),
        ({"lead": "3, 1"}, "rising numbers"),
        ({"step": "1 week"}, "step must be a length such as '1h'"),
        ({"length": 0}, "length must be a whole number of at least 1"),
        ({"columns": "time"}, "columns must be written as"),
        ({"columns": "speed=V"}, "unknown column 'speed'"),
        ({"normalise": "log"}, "unknown normalisation"),
        ({"variable": "rain"}, "unknown variable"),
        ({"rain": 1}, "rain must be true or false"),
        ({"seed": 2**32}, r"seed must be below 2\^32"),
        ({"file": 5}, "file must be text, got 5"),
        ({"train_size": 0}, "train_size must be a whole number"),
    ],
)
def test_wrong_options(options: dict[str, object], said: str) -> None:
    with pytest.raises((InputError, UnknownName), match=said):
        Flood(**options)  # type: ignore[arg-type]


def test_lists_are_taken_from_python_too() -> None:
    assert leads_of([1, 3]) == (1, 3)
    assert column_names("time=a, level=b c") == {"time": "a", "level": "b c"}
