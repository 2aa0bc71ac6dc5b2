"""Best-track files in their true formats, written by the tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

COLUMNS = (
    "SID,SEASON,NUMBER,BASIN,SUBBASIN,NAME,ISO_TIME,NATURE,LAT,LON,WMO_WIND,WMO_PRES,WMO_AGENCY,"
    "TRACK_TYPE,DIST2LAND,LANDFALL,IFLAG,USA_AGENCY,USA_ATCF_ID,USA_LAT,USA_LON,USA_RECORD,"
    "USA_STATUS,USA_WIND,USA_PRES"
)
UNITS = (
    " ,Year, , , , , , ,degrees_north,degrees_east,kts,mb, , ,km,km, , , ,degrees_north,"
    "degrees_east, , ,kts,mb"
)

Point = tuple[float, float, str]  # latitude, longitude, wind of the WMO in knots or blank


def ibtracs_row(
    sid: str, time: datetime, point: Point, *, basin: str = "WP", kind: str = "main", usa: str = " "
) -> str:
    latitude, longitude, wind = point
    return (
        f"{sid},{time.year},1,{basin},MM,TESTING,{time:%Y-%m-%d %H:%M:%S},TS,{latitude:.1f},"
        f"{longitude:.1f},{wind}, , ,{kind},1000,1000,__________O___, , , , , , ,{usa}, "
    )


def ibtracs(
    path: Path,
    storms: Sequence[tuple[str, datetime, int, Sequence[Point]]],
    **options: str,
) -> Path:
    """Write storms of (SID, first time, hours between records, points)."""
    lines = [COLUMNS, UNITS]
    for sid, start, step, points in storms:
        lines += [
            ibtracs_row(sid, start + timedelta(hours=step * k), point, **options)
            for k, point in enumerate(points)
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def cma_lines(
    start: datetime,
    points: Sequence[tuple[int, int, int]],
    *,
    step: int = 6,
    announced: int | None = None,
) -> list[str]:
    """Return a cyclone of points (latitude and longitude in 0.1 degrees, wind in m/s)."""
    count = len(points) if announced is None else announced
    name = f"{'Testing':<30}"
    lines = [f"66666 1801 {count:4d} 0001 1801 0 {step} {name} 20190319"]
    for k, (latitude, longitude, wind) in enumerate(points):
        time = start + timedelta(hours=step * k)
        lines.append(f"{time:%Y%m%d%H} 2 {latitude:3d} {longitude:4d} 1000      {wind:2d}")
    return lines
