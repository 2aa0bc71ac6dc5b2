"""Best-track files: both formats, what is read of them, and what is said of damaged ones."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from qt_hw.errors import DataError
from qt_hw.tasks.typhoon.files import read_tracks, track_files
from qt_hw.tasks.typhoon.storm import hours_since_1970, pieces
from tests.tasks.typhoon.formats import COLUMNS, UNITS, cma_lines, ibtracs, ibtracs_row

START = datetime(2018, 9, 7, 0)


def _read(path, basin="WP"):
    return read_tracks([path], basin)


def _lines(tmp_path: Path, *lines: str, name: str = "tracks.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_ibtracs_is_read_in_full(tmp_path):
    points = [(12.5, 179.0, "35"), (13.0, 179.8, " "), (13.5, -179.5, "70")]
    path = ibtracs(tmp_path / "ib.csv", [("2018250N12179", START, 6, points)])
    storms, facts = _read(path)
    (storm,) = storms
    assert (storm.id, storm.name) == ("2018250N12179", "TESTING")
    assert storm.hours.tolist() == [hours_since_1970(START) + 6 * k for k in range(3)]
    assert storm.latitude.tolist() == [12.5, 13.0, 13.5]
    assert storm.longitude.tolist() == [179.0, 179.8, 180.5]  # 180° crossed without a jump
    np.testing.assert_allclose(storm.wind, [18.005556, np.nan, 36.011111], rtol=1e-6)
    assert facts == {"format": "IBTrACS", "spur_tracks_left_out": 0}


def test_ibtracs_takes_the_wind_of_another_agency_where_the_first_is_blank(tmp_path):
    path = ibtracs(tmp_path / "ib.csv", [("A", START, 6, [(10, 140, " ")])], usa="90")
    assert _read(path)[0][0].wind[0] == pytest.approx(46.3, abs=1e-3)  # 90 kt


def test_the_north_atlantic_is_a_basin_and_not_a_missing_value(tmp_path):
    path = ibtracs(tmp_path / "ib.csv", [("A", START, 6, [(20, -60, " ")])], basin="NA")
    assert len(_read(path, "NA")[0]) == len(_read(path, None)[0]) == 1
    assert _read(path, "NA")[0][0].longitude.tolist() == [300.0]
    with pytest.raises(DataError, match=r"holds no storms of the basin 'WP'; set basin"):
        _read(path, "WP")


def test_records_between_whole_hours_are_left_out(tmp_path):
    times = (START, datetime(2018, 9, 7, 5, 40), datetime(2018, 9, 7, 6))
    rows = [ibtracs_row("A", time, (10.0, 140.0, " ")) for time in times]
    storms, _ = _read(_lines(tmp_path, COLUMNS, UNITS, *rows))
    assert (storms[0].hours - hours_since_1970(START)).tolist() == [0, 6]


def test_spur_tracks_are_left_out_and_counted(tmp_path):
    row, spur = (
        ibtracs_row(sid, START, (10.0, 140.0, " "), kind=kind)
        for sid, kind in (("A", "main"), ("B", "spur-merge"))
    )
    storms, facts = _read(_lines(tmp_path, COLUMNS, UNITS, row, spur))
    assert [storm.id for storm in storms] == ["A"]
    assert facts["spur_tracks_left_out"] == 1


def test_three_hourly_records_become_six_hourly_and_gaps_split(tmp_path):
    path = ibtracs(tmp_path / "ib.csv", [("A", START, 3, [(10.0, 140.0, " ")] * 9)])
    kept = path.read_text().splitlines()
    path.write_text("\n".join([*kept[:6], *kept[8:]]) + "\n")  # 12 and 15 UTC are missing
    parts = pieces(_read(path)[0][0])
    first = hours_since_1970(START)
    assert [part.hours.tolist() for part in parts] == [[first, first + 6], [first + 18, first + 24]]
    assert {part.id for part in parts} == {"A"}


def test_cma_is_read_in_full(tmp_path):
    lines = cma_lines(START, [(96, 1351, 13), (104, 1799, 9), (110, 1804, 40)])
    path = _lines(tmp_path, *lines, *cma_lines(START, [(200, 1300, 20)]), name="CH2018BST.txt")
    storms, facts = _read(path)
    assert [(storm.id, storm.name, len(storm)) for storm in storms] == [
        ("CH2018BST-1", "Testing", 3),
        ("CH2018BST-5", "Testing", 1),
    ]
    assert storms[0].latitude.tolist() == [9.6, 10.4, 11.0]
    assert storms[0].longitude.tolist() == [135.1, 179.9, 180.4]
    np.testing.assert_array_equal(storms[0].wind, [13, np.nan, 40])  # 9: below 10, not known
    assert facts["format"] == "CMA"


def test_a_cma_line_may_have_a_seventh_value(tmp_path):
    lines = cma_lines(START, [(96, 1351, 13)])
    storms, _ = _read(_lines(tmp_path, lines[0], lines[1] + "  18", name="a.txt"))
    assert storms[0].wind.tolist() == [13.0]


def test_a_storm_in_two_files_is_counted_once_or_not_at_all(tmp_path):
    for name in ("since1980.csv", "last3years.csv"):
        ibtracs(tmp_path / name, [("2018250N12179", START, 6, [(10, 140, " ")] * 3)])
    with pytest.raises(DataError, match=r"since1980.csv holds the storm 2018.* as .*last3years"):
        read_tracks(track_files(str(tmp_path)), "WP")


def test_a_folder_is_read_file_by_file_oldest_storm_first(tmp_path):
    later, earlier = datetime(2018, 1, 1), datetime(2017, 1, 1)
    _lines(tmp_path, *cma_lines(later, [(96, 1351, 13)]), name="a.txt")
    _lines(tmp_path, *cma_lines(earlier, [(96, 1351, 13)]), name="b.txt")
    (tmp_path / "notes.md").write_text("no tracks")
    paths = track_files(str(tmp_path))
    assert [path.name for path in paths] == ["a.txt", "b.txt"]
    assert [storm.id for storm in read_tracks(paths, None)[0]] == ["b-1", "a-1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row.replace("10.0", "ten"), r"line 3: LAT is 'ten', not a number: correct"),
        (lambda row: row.replace("10.0", " "), r"line 3: LAT is '', not a number: correct"),
        (lambda row: row.replace("10.0", "91.0"), r"line 3: the latitude 91 is not between"),
        (lambda row: row.replace("140.0", "400.0"), r"line 3: the longitude 400 is not between"),
        (lambda row: row.replace(",35,", ",fast,"), r"line 3: WMO_WIND is 'fast', not a number"),
        (lambda row: row.replace("2018-09-07", "7.9.2018"), r"line 3: ISO_TIME is '7.9.2018 00"),
        (lambda row: row.replace("A,", " ,", 1), r"line 3: the SID of the storm is empty"),
        (lambda row: row[:60], r"line 3: 1\d cells where the header has 25: get the file anew"),
    ],
)
def test_a_damaged_ibtracs_line_is_named(tmp_path, change, said):
    row = change(ibtracs_row("A", START, (10.0, 140.0, "35")))
    with pytest.raises(DataError, match=rf"tracks.csv, {said}"):
        _read(_lines(tmp_path, COLUMNS, UNITS, row))


def test_ibtracs_without_units_columns_or_order_is_refused(tmp_path):
    row = ibtracs_row("A", START, (10.0, 140.0, "35"))
    with pytest.raises(DataError, match=r"line 2: the line of units \(degrees_north under LAT\)"):
        _read(_lines(tmp_path, COLUMNS, row))
    with pytest.raises(DataError, match="line 1: the column LON is missing"):
        _read(_lines(tmp_path, COLUMNS.replace(",LON,", ",X,"), UNITS, row))
    before = ibtracs_row("A", datetime(2018, 9, 6), (10.0, 140.0, "35"))
    with pytest.raises(DataError, match="line 4: ISO_TIME is not after that of the storm's line"):
        _read(_lines(tmp_path, COLUMNS, UNITS, row, before))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line.replace(" 96 ", " 9x "), r"line 2: LAT is '9x', not a number"),
        (lambda line: line.replace(" 96 ", " 950 "), r"line 2: the latitude 95 is not between"),
        (lambda line: line.replace("1351", "3700"), r"line 2: the longitude 370 is not between"),
        (lambda line: line.replace("1000", "hPa"), r"line 2: PRES is 'hPa', not a number"),
        (lambda line: line.replace(" 96 ", " 9.6 "), r"line 2: LAT is '9.6', not a whole number"),
        (
            lambda line: line.replace("2018090700", "2018130700"),
            r"line 2: the time is '2018130700'",
        ),
        (lambda line: line[:20], r"line 2: 4 values where YYYYMMDDHH I LAT LONG PRES WND are"),
    ],
)
def test_a_damaged_cma_line_is_named(tmp_path, change, said):
    header, line, *rest = cma_lines(START, [(96, 1351, 13), (97, 1350, 13)])
    with pytest.raises(DataError, match=rf"a.txt, {said}"):
        _read(_lines(tmp_path, header, change(line), *rest, name="a.txt"))


def test_cma_headers_and_order_are_checked(tmp_path):
    with pytest.raises(DataError, match="line 1: the header announces 3 lines, 1 follow"):
        _read(_lines(tmp_path, *cma_lines(START, [(96, 1351, 13)], announced=3), name="a.txt"))
    with pytest.raises(DataError, match="line 1: the header of a cyclone is cut off"):
        _read(_lines(tmp_path, "66666 1801", name="a.txt"))
    header, *lines = cma_lines(START, [(96, 1351, 13), (97, 1350, 13)])
    with pytest.raises(DataError, match="line 3: the time is not after that of the line before"):
        _read(_lines(tmp_path, header, *lines[::-1], name="a.txt"))


def test_another_format_is_named_with_what_is_known(tmp_path):
    with pytest.raises(DataError, match=r"a.csv, line 1: 'time,lat,lon' is neither .*SID.*66666"):
        _read(_lines(tmp_path, "time,lat,lon", "1,2,3", name="a.csv"))
    (tmp_path / "b.csv").write_bytes(b"\x89HDF\xff\x00")
    with pytest.raises(DataError, match=r"b.csv is no text file \(byte 0\): an IBTrACS"):
        _read(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("")
    with pytest.raises(DataError, match=r"c.csv, line 1: '' is neither"):
        _read(tmp_path / "c.csv")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"none.csv does not exist: set file to a best-track file"):
        track_files(str(tmp_path / "none.csv"))
    with pytest.raises(DataError, match=r"holds no .csv or .txt files: name a best-track"):
        track_files(str(tmp_path))


def test_a_cma_file_under_two_names_is_refused(tmp_path):
    lines = cma_lines(START, [(125, 1790, 20), (130, 1798, 20)])
    one, two = (_lines(tmp_path, *lines, name=name) for name in ("CH2018BST.txt", "copy.txt"))
    with pytest.raises(DataError, match=r"copy.txt holds the storm .*CH2018BST.txt does"):
        read_tracks([one, two], None)


def test_a_cell_without_end_is_refused(tmp_path):
    path = _lines(tmp_path, COLUMNS, UNITS, "x" * 200_000)
    with pytest.raises(DataError, match="line 3: field larger"):
        _read(path)
