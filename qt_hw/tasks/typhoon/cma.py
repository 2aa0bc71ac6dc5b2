"""Best tracks of the China Meteorological Administration: text files such as ``CH1949BST.txt``.

Each cyclone has a header line ``66666 international-number lines serial china-number end interval
name date`` and then as many lines ``YYYYMMDDHH grade LAT LONG PRES WND [OWD]``: UTC, latitude and
longitude in 0.1 degrees north and east, hPa, and the largest two-minute wind in m/s, where 0 and 9
stand for unknown and for below 10. Format: tcdata.typhoon.org.cn; Ying et al., J. Atmos. Oceanic
Technol. 31 (2014) 287; files in ``CYLphysics/QPA_Typhoon_Trajectory`` 4af7b24, ``data/CMA``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from qt_hw.tasks.typhoon.lines import check_latitude, check_longitude, damaged, whole
from qt_hw.tasks.typhoon.storm import Storm, hours_since_1970

__all__ = ["MARK", "is_cma", "read_cma"]

MARK = "66666"
_FEWEST_CELLS = 6
_CALM = 9


def is_cma(first: str) -> bool:
    """Return whether the first line of a file is a header of this format."""
    return first.split()[:1] == [MARK]


def read_cma(path: Path, lines: Sequence[str]) -> list[Storm]:
    """Return the cyclones of a file, in its order.

    Args:
        path: The file, for ids and messages.
        lines: Its lines.

    Raises:
        DataError: A line is damaged, out of range or out of order, or a cyclone has another
            number of lines than its header says.
    """
    starts = [k for k, line in enumerate(lines) if line.split()[:1] == [MARK]]
    ends = [*starts[1:], len(lines)]
    return [_cyclone(path, lines, *bounds) for bounds in zip(starts, ends, strict=True)]


def _cyclone(path: Path, lines: Sequence[str], start: int, end: int) -> Storm:
    header = lines[start].split()
    if len(header) < 3:
        damaged(path, start + 1, "the header of a cyclone is cut off", "get the file anew")
    announced = whole(path, start + 1, "the number of lines", header[2])
    rows = [k for k in range(start + 1, end) if lines[k].strip()]
    records = [_record(path, k + 1, lines[k]) for k in rows]
    if len(records) != announced or not records:
        damaged(
            path,
            start + 1,
            f"the header announces {announced} lines, {len(records)} follow",
            "get the file anew, or correct the number",
        )
    for (before, *_), (now, *_), k in zip(records, records[1:], rows[1:], strict=False):
        if now <= before:
            damaged(path, k + 1, "the time is not after that of the line before", "sort the lines")
    name = header[7] if len(header) > 8 else "(nameless)"
    return Storm.of(f"{path.stem}-{start + 1}", name, records)


def _record(path: Path, line: int, text: str) -> tuple[int, float, float, float]:
    cells = text.split()
    if len(cells) < _FEWEST_CELLS:
        damaged(
            path,
            line,
            f"{len(cells)} values where YYYYMMDDHH I LAT LONG PRES WND are expected",
            "correct or remove the line",
        )
    latitude = check_latitude(path, line, whole(path, line, "LAT", cells[2]) / 10)
    longitude = check_longitude(path, line, whole(path, line, "LONG", cells[3]) / 10)
    whole(path, line, "PRES", cells[4])
    wind = whole(path, line, "WND", cells[5])
    return _hours(path, line, cells[0]), latitude, longitude, wind if wind > _CALM else math.nan


def _hours(path: Path, line: int, text: str) -> int:
    try:
        return hours_since_1970(datetime.strptime(text, "%Y%m%d%H"))
    except ValueError:
        damaged(path, line, f"the time is {text!r}, not YYYYMMDDHH", "correct or remove the line")
