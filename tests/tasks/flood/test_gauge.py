"""Gauge files in the forms that portals and loggers give them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qt_hw.errors import DataError
from qt_hw.tasks.flood.gauge import Table, read_gauge
from qt_hw.tasks.flood.times import hours_of

HOUR = 3600.0


Read = Callable[..., Table]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write a file and read it."""

    def write_and_read(content: str | bytes, **options: Any) -> Table:
        path = tmp_path / "gauge.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_gauge(path, **options)

    return write_and_read


def test_plain_iso_file(read: Read) -> None:
    table = read(
        "time,discharge [m3/s],rain [mm]\n2020-01-01 00:00,1.5,0\n2020-01-01 01:00,2,0.4\n"
    )
    assert table.seconds.tolist() == [1577836800.0, 1577836800.0 + HOUR]
    assert table.values["discharge"].tolist() == [1.5, 2.0]
    assert table.values["rain"].tolist() == [0.0, 0.4]
    assert table.facts["units_assumed"] == []


def test_german_file_with_preamble_latin1_and_decimal_comma(read: Read) -> None:
    text = (
        "Pegel: Beispiel;Wupper\r\n"
        "# Rohdaten\r\n"
        "Datum;Uhrzeit;Wasserstand [cm];Abfluss [m³/s]\r\n"
        "31.12.2020;23:45;103,5;7,25\r\n"
        "31.12.2020;24:00;104;7,5\r\n"
        "01.01.2021;00:15:00;;-999\r\n"
    )
    table = read(text.encode("latin-1"))
    assert np.diff(table.seconds).tolist() == [900.0, 900.0]
    assert table.values["level"][:2] == pytest.approx([1.035, 1.04])
    assert table.values["discharge"][:2].tolist() == [7.25, 7.5]
    assert np.isnan([table.values[kind][2] for kind in ("level", "discharge")]).all()


def test_usgs_rdb_file(read: Read) -> None:
    table = read(
        "# U.S. Geological Survey\n#\n"
        "agency_cd\tsite_no\tdatetime\ttz_cd\t192839_00060\t192839_00060_cd\t192840_00065\n"
        "5s\t15s\t20d\t6s\t14n\t10s\t14n\n"
        "USGS\t01646500\t2020-03-01 00:00\tEST\t100\tA\t3.00\n"
        "USGS\t01646500\t2020-03-01 00:15\tEST\t200\tA\t3.10\n"
    )
    assert table.values["discharge"] == pytest.approx([2.8316846592, 5.6633693184])
    assert table.values["level"] == pytest.approx([0.9144, 0.94488])


def test_the_hour_that_usgs_clocks_strike_twice(read: Read) -> None:
    rows = ("00:30\tEDT\t1", "01:30\tEDT\t2", "01:30\tEST\t3", "02:30\tEST\t4")
    head = "datetime\ttz_cd\t192839_00060\n20d\t6s\t14n\n"
    table = read(head + "".join(f"2020-11-01 {row}\n" for row in rows))
    first = datetime(2020, 11, 1, 4, 30, tzinfo=UTC).timestamp()
    assert table.seconds.tolist() == [first + HOUR * k for k in range(4)]
    with pytest.raises(DataError, match=r"line 3: unknown time zone 'MEZ' in tz_cd; known: UTC"):
        read(head + "2020-11-01 00:30\tMEZ\t1\n")
    zoned = read(head + "2020-11-01T00:30Z\tEST\t1\n")
    assert zoned.seconds.tolist() == [first - 4 * HOUR]


def test_byte_order_mark_tabs_zones_order_and_doubles(read: Read) -> None:
    table = read(
        b"\xef\xbb\xbfDateTime\tflow_cfs\n"
        b"2020-01-01T02:00:00+01:00\t30\n"
        b"2020-01-01T00:00:00Z\t10\n"
        b"2020-01-01T01:00:00+00:00\t10\n"
    )
    assert np.diff(table.seconds).tolist() == [HOUR]
    assert table.values["discharge"] / 0.3048**3 == pytest.approx([10.0, 20.0])
    assert table.facts["rows_of_the_same_time"] == 1


def test_utf16_file(read: Read) -> None:
    table = read("time;level (ft)\n2020-01-01;1\n2020-01-02;2\n".encode("utf-16"))
    assert table.values["level"] == pytest.approx([0.3048, 0.6096])


@pytest.mark.parametrize(
    ("times", "days"),
    [
        (("13/02/2020 00:00", "01/03/2020 00:00"), 17),
        (("02/13/2020", "03/01/2020"), 17),
        (("20200213T0000", "20200301T0000"), 17),
        (("2020/2/13 6:00", "2020/03/01 06:00:00"), 17),
        (("13-02-2020 06:00", "01-03-2020 06:00"), 17),
        (("2020-02-13T00:00:00.000", "2020-03-01T00:00:00.000"), 17),
    ],
)
def test_ways_to_write_a_time(read: Read, times: tuple[str, str], days: int) -> None:
    table = read("time,level\n" + "".join(f"{time},1\n" for time in times))
    assert np.diff(table.seconds).tolist() == [days * 24 * HOUR]


def test_named_columns_own_time_format_and_words(read: Read) -> None:
    table = read(
        "when,Q1 [l/s],gone\n2020y001,500,x\n2020y002,Eis,x\n",
        columns={"time": "when", "discharge": "Q1"},
        time_format="%Yy%j",
        missing=["eis"],
    )
    assert np.diff(table.seconds).tolist() == [24 * HOUR]
    assert table.values["discharge"][0] == 0.5
    assert np.isnan(table.values["discharge"][1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no lines"),
        ("time,level\n", "line 1: no rows follow the header"),
        ("a,b\n1,2\n", "line 1: no time column in 'a,b'; say which one it is, e.g. columns ="),
        ("time,b\n2020-01-01,2\n", "line 1: neither discharge nor level in 'time', 'b'; say which"),
        ("#x\n\ntime,level [furlong]\n2020-01-01,2\n", "line 3: unknown unit 'furlong' of level"),
        ("time,level\n2020-01-01,2\n2020-01-02,high\n", "line 3: 'high' in the column 'level' is"),
        ("time,level\n2020-01-01,2\nsoon,3\n", "line 3: 'soon' is no time; write it as 2020-12-31"),
        ("time,level\n2020-01-01,2\n2020-13-01,3\n", "line 3: '2020-13-01' is no time"),
        ("time,level\n2020-01-01,2\n2020-01-02\n", "line 3: 1 cells, the header in line 1 needs 2"),
        (
            "time,level\n01/02/2020,2\n",
            "line 2: '01/02/2020' may be day or month first; set ",
        ),
        ("time,level\n2020-01-01,2\n2020-01-02Z,2\n", "line 3: '2020-01-02Z'"),
        (
            "time,level\n2020-01-01 00:00,2\n2020-01-02 00:00Z,2\n",
            "line 3: '2020-01-02 00:00Z' has a time zone, unlike the lines before",
        ),
        ("time;level\n2020-01-01;1,5\n2020-01-02;1.5\n", "line 3: '1.5' has another decimal mark"),
        ("time;level\n2020-01-01;1.234,5\n", "line 2: '1.234,5' in the column 'level' is no numb"),
        ("time,level,rain\n2020-01-01,1,-3\n", "line 2: negative rain -3"),
        ("time,level\n2020-01-01,\0\n", "is no text file: export it as CSV"),
    ],
)
def test_errors_name_file_line_and_remedy(read: Read, text: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        read(text)
    assert "gauge.csv" in str(caught.value)
    assert said in str(caught.value)


def test_a_column_that_is_not_there(read: Read) -> None:
    with pytest.raises(DataError, match="line 1: no column 'q9' in 'time', 'level'; correct col"):
        read("time,level\n2020-01-01,2\n", columns={"discharge": "Q9"})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*no.csv: No such file"):
        read_gauge(tmp_path / "no.csv")


def test_lengths_of_a_step() -> None:
    assert [hours_of("step", text) for text in ("1h", "15min", "1d", "0.5 h")] == [1, 0.25, 24, 0.5]


@pytest.mark.parametrize("text", ["-999.00", "-9999.000", "-99999"])
def test_the_number_for_missing_is_known_by_its_value(read: Read, text: str) -> None:
    rows = f"2020-01-01 00:00,1.5\n2020-01-01 01:00,{text}\n"
    assert np.isnan(read(f"time,level [m]\n{rows}").values["level"][1])


def test_a_missing_number_may_have_more_digits_in_the_file(read: Read) -> None:
    content = "time,level [m]\n2020-01-01 00:00,1.5\n2020-01-01 01:00,-777.00\n"
    assert np.isnan(read(content, missing=["-777"]).values["level"][1])


def test_decimal_commas_between_commas_are_refused(read: Read) -> None:
    with pytest.raises(DataError, match=r"line 2: 3 cells, the header in line 1 has 2.*semicolons"):
        read("time,level [m]\n2020-01-01 00:00,5,1\n2020-01-01 01:00,5,2\n")


def test_an_empty_last_cell_is_no_column(read: Read) -> None:
    table = read("time,level [m]\n2020-01-01 00:00,5,\n2020-01-01 01:00,6,\n")
    assert table.values["level"].tolist() == [5.0, 6.0]


def test_lines_may_end_with_carriage_returns_alone(read: Read) -> None:
    assert len(read("time,level [m]\r2020-01-01 00:00,5\r2020-01-01 01:00,6\r").seconds) == 2


@pytest.mark.parametrize(
    ("row", "said"),
    [("9999-12-31 24:00,5", "is no time"), ("2020-01-01 02:00," + "5" * 200_000, "field larger")],
)
def test_cells_beyond_all_bounds_are_refused(read: Read, row: str, said: str) -> None:
    with pytest.raises(DataError, match=f"line 3: .*{said}"):
        read(f"time,level [m]\n2020-01-01 00:00,5\n{row}\n")


def test_another_time_than_the_format_says(read: Read) -> None:
    with pytest.raises(DataError, match="is not written as time_format = '%d/%m/%Y' says"):
        read("time,level [m]\n2020-01-01,5\n", time_format="%d/%m/%Y")
