"""Best tracks of IBTrACS version 4 as comma-separated text.

A line of column names is followed by one of units, then by one line per time of a storm; blank
cells hold a space. Read are SID, BASIN, NAME, ISO_TIME, LAT, LON, TRACK_TYPE and the first known
of WMO_WIND, USA_WIND and TOKYO_WIND, in knots. Knapp et al., Bull. Amer. Meteor. Soc. 91 (2010)
363; columns: "IBTrACS v04 column documentation", NOAA NCEI.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from qt_hw.tasks.typhoon.lines import check_latitude, check_longitude, damaged, number
from qt_hw.tasks.typhoon.storm import Storm, hours_since_1970

__all__ = ["is_ibtracs", "read_ibtracs"]

KNOT = 1852 / 3600  # m/s
_NEEDED = ("SID", "BASIN", "NAME", "ISO_TIME", "LAT", "LON")
_WINDS = ("WMO_WIND", "USA_WIND", "TOKYO_WIND")
_READ = (*_NEEDED, "TRACK_TYPE", *_WINDS)

Record = tuple[int, float, float, float]


def is_ibtracs(first: str) -> bool:
    """Return whether the first line of a file has the columns of this format."""
    return first.lstrip("\ufeff").startswith("SID,") and "ISO_TIME" in first


def read_ibtracs(path: Path, lines: Sequence[str], basin: str | None) -> tuple[list[Storm], int]:
    """Return the storms of a file in its order, and how many spur tracks were left out.

    Args:
        path: The file, for messages.
        lines: Its lines.
        basin: Keep storms that begin in this basin, such as ``"WP"``; None keeps all.

    Raises:
        DataError: A column or the line of units is missing, or a line is damaged, out of range
            or out of order.
    """
    rows = csv.reader([lines[0].lstrip("\ufeff"), *lines[1:]])
    columns = _columns(path, next(rows, []))
    _check_units(path, next(rows, []), columns)
    storms: dict[str, tuple[str, str, list[Record]]] = {}
    spurs: set[str] = set()
    for line, row in _full(path, rows, len(columns)):
        cell = {name: row[columns[name]].strip() for name in _READ if name in columns}
        if "spur" in cell.get("TRACK_TYPE", "").lower():
            spurs.add(cell["SID"])
            continue
        record = _record(path, line, cell)
        records = storms.setdefault(cell["SID"], (cell["NAME"], cell["BASIN"], []))[2]
        if record is not None:
            _append(path, line, records, record)
    kept = [
        Storm.of(sid, name, records)
        for sid, (name, first, records) in storms.items()
        if records and (basin is None or first == basin)
    ]
    return kept, len(spurs)


def _columns(path: Path, names: Sequence[str]) -> dict[str, int]:
    found = {name.strip(): k for k, name in enumerate(names)}
    for name in _NEEDED:
        if name not in found:
            damaged(path, 1, f"the column {name} is missing", "take an IBTrACS v04 CSV file")
    return found


def _check_units(path: Path, units: Sequence[str], columns: dict[str, int]) -> None:
    if len(units) != len(columns) or units[columns["LAT"]].strip() != "degrees_north":
        damaged(
            path,
            2,
            "the line of units (degrees_north under LAT) is missing",
            "take the file as it is published",
        )


def _full(path: Path, rows: Iterator[list[str]], n_columns: int) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of the lines that are not empty."""
    line = 2
    while True:
        line += 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            damaged(path, line, str(error), "get the file anew, or remove the line")
        if row is None:
            return
        if not row:
            continue
        if len(row) != n_columns:
            damaged(
                path,
                line,
                f"{len(row)} cells where the header has {n_columns}",
                "get the file anew, or remove the line",
            )
        yield line, row


def _record(path: Path, line: int, cell: dict[str, str]) -> Record | None:
    """Return what a line says; None of a time that is no whole hour, such as a landfall."""
    if not cell["SID"]:
        damaged(path, line, "the SID of the storm is empty", "correct or remove the line")
    latitude = check_latitude(path, line, number(path, line, "LAT", cell["LAT"]))
    longitude = check_longitude(path, line, number(path, line, "LON", cell["LON"]))
    time, wind = _time(path, line, cell["ISO_TIME"]), _wind(path, line, cell)
    if time.minute or time.second:
        return None
    return hours_since_1970(time), latitude, longitude, wind


def _wind(path: Path, line: int, cell: dict[str, str]) -> float:
    for name in _WINDS:
        if text := cell.get(name, ""):
            return KNOT * number(path, line, name, text)
    return math.nan


def _time(path: Path, line: int, text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    except ValueError:
        damaged(
            path,
            line,
            f"ISO_TIME is {text!r}, not YYYY-MM-DD hh:mm:ss",
            "correct or remove the line",
        )


def _append(path: Path, line: int, records: list[Record], record: Record) -> None:
    if records and record[0] <= records[-1][0]:
        damaged(
            path,
            line,
            "ISO_TIME is not after that of the storm's line before",
            "sort the lines, or remove one of two",
        )
    records.append(record)
