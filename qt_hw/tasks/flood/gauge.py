"""River gauge files: comma-, semicolon- or tab-separated text with a header."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import DataError
from qt_hw.tasks.flood.header import Header, find_header, split
from qt_hw.tasks.flood.times import TimeReader
from qt_hw.tasks.flood.units import Column

__all__ = ["Table", "read_gauge"]

_COMMENTS = ("#", "//", "%")
_MISSING = {"", "na", "n/a", "nan", "null", "none", "-", "--", "---", "-999", "-9999", "-99999"}
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_USGS_FORMAT = re.compile(r"\d+[sdn]")  # the line of column widths in the USGS' RDB files

Row = tuple[int, list[str]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """The rows of a file in SI units, sorted, one for each time.

    Attributes:
        path: The file as given.
        seconds: Since 1970 (UTC), rising, ``(N,)``.
        values: By kind, ``(N,)``, NaN where the file says nothing: m³/s, m, mm (of rates mm/h).
        columns: The columns in use by kind.
        facts: JSON-ready: checksum, headers, rows with the time of another one.
    """

    path: str
    seconds: NDArray[np.float64]
    values: dict[str, NDArray[np.float64]]
    columns: dict[str, Column]
    facts: dict[str, object]


def read_gauge(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    time_format: str | None = None,
    missing: Collection[str] = (),
) -> Table:
    """Read a gauge file.

    Separator, decimal comma, comment lines, lines before the header, byte order mark and missing
    values (empty, NA, -999 …) are found out. So are the columns, by the usual English, German and
    French names and the USGS' codes, unless ``columns`` names them. Units stand in the header, as
    ``level [cm]`` or ``flow_cfs``; without one they are m³/s, m and mm. Rows may be unsorted; of
    several rows of one time the mean counts. The zones in the USGS' column ``tz_cd``
    are applied.

    Args:
        path: The file.
        columns: Header by kind (``time``, ``discharge``, ``level``, ``rain``), without its unit.
        time_format: As for ``datetime.strptime``; only for times that ``TimeReader`` cannot read.
        missing: More words that stand for a missing value.

    Raises:
        DataError: Names file, line and remedy.
    """
    where = str(path)
    raw = _bytes(path)
    lines = list(_lines(where, _text(raw)))
    header = find_header(where, lines, columns or {})
    rows = list(_rows(where, lines[header.place + 1 :], header))
    cells = [(line, _time_cell(row, header)) for line, row in rows]
    reader = TimeReader(where, cells, time_format)
    zones = [None if header.zone is None else row[header.zone] for _, row in rows]
    seconds = np.array(
        [reader.seconds(*cell, zone) for cell, zone in zip(cells, zones, strict=True)]
    )
    numbers = _Numbers(where, _MISSING | {word.strip().lower() for word in missing})
    values = {
        kind: column.factor * np.array([numbers.value(line, row, column) for line, row in rows])
        for kind, column in header.columns.items()
        if kind != "time"
    }
    moments, means = _unique(seconds, values)
    facts: dict[str, object] = {
        "sha256": {Path(path).name: hashlib.sha256(raw).hexdigest()},
        "columns": {kind: column.header for kind, column in header.columns.items()},
        "units_assumed": [kind for kind, c in header.columns.items() if c.assumed],
        "rows": len(rows),
        "rows_of_the_same_time": len(rows) - len(moments),
    }
    return Table(path=where, seconds=moments, values=means, columns=header.columns, facts=facts)


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"cannot read {path}: {reason}; give the path of a gauge file as the option file"
        ) from error


def _text(raw: bytes) -> str:
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # what older data loggers write


def _lines(where: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with their numbers."""
    if "\0" in text:
        raise DataError(f"{where} is no text file: export it as CSV")
    # Not splitlines(), which would also part a line at rarer characters.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith(_COMMENTS):
            yield number, line


def _rows(where: str, lines: Sequence[tuple[int, str]], header: Header) -> Iterator[Row]:
    """Yield the cells of each row with its line."""
    for place, (number, line) in enumerate(lines):
        try:
            cells = split(line, header.separator)
        except csv.Error as error:
            raise DataError(
                f"{where}, line {number}: {error}: correct or delete the line"
            ) from error
        if place == 0 and all(_USGS_FORMAT.fullmatch(cell) for cell in cells):
            continue
        if len(cells) < header.width:
            raise DataError(
                f"{where}, line {number}: {len(cells)} cells, the header in line {header.line} "
                f"needs {header.width}: complete or delete the line"
            )
        if any(cells[len(header.cells) :]):
            raise DataError(
                f"{where}, line {number}: {len(cells)} cells, the header in line {header.line} has "
                f"{len(header.cells)}: name all columns; separate numbers with decimal commas by "
                "semicolons"
            )
        yield number, cells
    if not lines:
        raise DataError(f"{where}, line {header.line}: no rows follow the header")


def _time_cell(row: Sequence[str], header: Header) -> str:
    time = row[header.columns["time"].index]
    return time if header.clock is None else f"{time} {row[header.clock]}"


class _Numbers:
    """Reads the numbers of one file, all with the same decimal mark."""

    def __init__(self, where: str, missing: Collection[str]) -> None:
        self.where, self.missing = where, missing
        self.numbers = {_plain(word) for word in missing if _NUMBER.fullmatch(word)}
        self.marks: dict[str, int] = {}

    def value(self, line: int, row: Sequence[str], column: Column) -> float:
        """Return one number, NaN for a missing one.

        Raises:
            DataError: The cell holds text, negative rain, or another decimal mark than before.
        """
        text = row[column.index]
        if text.lower() in self.missing:
            return float("nan")
        if not _NUMBER.fullmatch(text):
            raise DataError(
                f"{self.where}, line {line}: {text!r} in the column {column.header!r} is no "
                "number; correct or empty the cell, or if it stands for a missing value set "
                f"missing = {text!r}"
            )
        # By value: -999 is also written as -999.00.
        if (number := _plain(text)) in self.numbers:
            return float("nan")
        self._check_mark(line, text)
        if column.kind == "rain" and number < 0:
            raise DataError(
                f"{self.where}, line {line}: negative rain {text}; if it stands for a missing "
                f"value set missing = {text!r}"
            )
        return number

    def _check_mark(self, line: int, text: str) -> None:
        for mark in ",.":
            if mark in text:
                self.marks.setdefault(mark, line)
        if len(self.marks) > 1:
            other = next(at for mark, at in self.marks.items() if mark not in text)
            raise DataError(
                f"{self.where}, line {line}: {text!r} has another decimal mark than the numbers "
                f"from line {other} on: use one for all, without thousands separators"
            )


def _plain(text: str) -> float:
    return float(text.replace(",", "."))


def _unique(
    seconds: NDArray[np.float64], values: Mapping[str, NDArray[np.float64]]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return sorted times, each once, and the mean of what its rows say."""
    moments, place = np.unique(seconds, return_inverse=True)
    return moments, {kind: grouped_mean(v, place, len(moments))[0] for kind, v in values.items()}


def grouped_mean(
    values: NDArray[np.float64], group: NDArray[np.intp], n_groups: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the mean of the present values of each group, and their number, ``(n_groups,)``.

    >>> mean, count = grouped_mean(np.array([1.0, 3.0, np.nan]), np.array([0, 0, 1]), 2)
    >>> mean.tolist(), count.tolist()
    ([2.0, nan], [2, 0])
    """
    present = np.isfinite(values)
    count = np.bincount(group[present], minlength=n_groups)
    total = np.bincount(group[present], weights=values[present], minlength=n_groups)
    mean = np.full(n_groups, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean, count.astype(np.int64)
