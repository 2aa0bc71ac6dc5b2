"""Points in time as gauge files write them, in seconds since 1970 (UTC)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

from qt_hw.errors import DataError, InputError

__all__ = ["TimeReader", "hours_of"]

_ISO = re.compile(r"\d{4}-?\d{2}-?\d{2}")
_LOCAL = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?:[ T,]+(.*))?")
_YEAR_FIRST = re.compile(r"(\d{4})([/.])(\d{1,2})\2(\d{1,2})(?:[ T]+(.*))?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?")
_STEP = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)")
_HOURS = {"s": 1 / 3600, "min": 1 / 60, "h": 1.0, "d": 24.0}
#: Hours that the zones of the USGS' gauges are ahead of UTC; GST is Guam's.
_ZONES = {
    **{"UTC": 0, "GMT": 0, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5},
    **{"MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8},
    **{"HST": -10, "HDT": -9, "HAST": -10, "HADT": -9, "SST": -11, "GST": 10, "ChST": 10},
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hours_of(option: str, text: str) -> float:
    """Return the length of a step such as ``1h``, ``15min`` or ``1d``, in hours.

    Raises:
        InputError: It is written otherwise or not positive; says how it is written.

    >>> hours_of("step", "15min")
    0.25
    """
    match = _STEP.fullmatch(text.strip()) if isinstance(text, str) else None
    hours = float(match[1]) * _HOURS[match[2]] if match else 0.0
    if hours <= 0:
        raise InputError(f"{option} must be a length such as '1h', '15min' or '1d', got {text!r}")
    return hours


class TimeReader:
    """Reads the times of one file; all must be written in one way.

    ISO 8601, ``2020/12/31 23:45`` and ``31.12.2020 23:45`` are understood by themselves,
    ``12/31/2020`` where the file shows which number is the month, all else with ``pattern``. Times
    without a zone count as UTC.

    Args:
        where: Path of the file, for messages.
        cells: All times as written, with their lines: they tell days from months.
        pattern: As for ``datetime.strptime``, e.g. ``%d/%m/%Y %H:%M``.
    """

    def __init__(
        self, where: str, cells: Sequence[tuple[int, str]], pattern: str | None = None
    ) -> None:
        self.where, self.pattern = where, pattern
        self.day_first = True
        self._zone: bool | None = None
        if pattern is None:
            self._find_order(cells)

    def seconds(self, line: int, text: str, zone_code: str | None = None) -> float:
        """Return a time in seconds since 1970.

        Args:
            line: Where it is written, for messages.
            text: The time.
            zone_code: The USGS' code of its zone, unless the time has one.

        Raises:
            DataError: It cannot be read, or is the only kind with or without a zone.
        """
        try:
            moment = self._parsed(text)
        except (ValueError, OverflowError):
            problem = (
                "is no time; write it as 2020-12-31 23:45, or set time_format, e.g. time_format = "
                "'%d/%m/%Y %H:%M'"
                if self.pattern is None
                else f"is not written as time_format = {self.pattern!r} says; correct either"
            )
            raise DataError(f"{self.where}, line {line}: {text!r} {problem}") from None
        zone = moment.tzinfo is not None
        if self._zone is not None and zone != self._zone:
            raise DataError(
                f"{self.where}, line {line}: {text!r} has {'a' if zone else 'no'} time zone, "
                f"unlike the lines before: write all times with one, or none"
            )
        self._zone = zone
        if not zone:
            ahead = timedelta(hours=0 if zone_code is None else self._hours_ahead(line, zone_code))
            moment = moment.replace(tzinfo=timezone(ahead))
        return (moment - _EPOCH).total_seconds()

    def _hours_ahead(self, line: int, code: str) -> int:
        if code not in _ZONES:
            raise DataError(
                f"{self.where}, line {line}: unknown time zone {code!r} in tz_cd; known: "
                f"{', '.join(_ZONES)}; correct it, or delete the column if all times have one zone"
            )
        return _ZONES[code]

    def _parsed(self, text: str) -> datetime:
        text = text.strip()
        if self.pattern is not None:
            return datetime.strptime(text, self.pattern)
        if _ISO.match(text):
            return _iso(text)
        if year := _YEAR_FIRST.fullmatch(text):
            date = datetime(int(year[1]), int(year[3]), int(year[4]))
            return date + _clock(year[5] or "0:00")
        match = _LOCAL.fullmatch(text)
        if match is None:
            raise ValueError(text)
        first, second = int(match[1]), int(match[3])
        day, month = (first, second) if self._day_first(match[2]) else (second, first)
        return datetime(int(match[4]), month, day) + _clock(match[5] or "0:00")

    def _day_first(self, separator: str) -> bool:
        return separator == "." or self.day_first

    def _find_order(self, cells: Sequence[tuple[int, str]]) -> None:
        """Find out whether the day comes first where a slash does not tell.

        Raises:
            DataError: The file does not show it.
        """
        slashed = [(line, m) for line, text in cells if (m := _LOCAL.fullmatch(text.strip()))]
        slashed = [(line, m) for line, m in slashed if m[2] != "."]
        if not slashed:
            return
        day = any(int(m[1]) > 12 for _, m in slashed)
        month = any(int(m[3]) > 12 for _, m in slashed)
        if day == month:
            line, match = slashed[0]
            raise DataError(
                f"{self.where}, line {line}: {match[0]!r} may be day or month first; set "
                "time_format, e.g. time_format = '%d/%m/%Y %H:%M'"
            )
        self.day_first = day


def _iso(text: str) -> datetime:
    # Some loggers write midnight as 24:00 of the day before.
    if (at := text.find("24:00")) in (11, 9) and text[at - 1] in " T":
        return datetime.fromisoformat(text.replace("24:00", "00:00", 1)) + timedelta(days=1)
    return datetime.fromisoformat(text)


def _clock(text: str) -> timedelta:
    match = _CLOCK.fullmatch(text.strip())
    if match is None or int(match[1]) > 24 or int(match[2]) > 59:
        raise ValueError(text)
    return timedelta(hours=int(match[1]), minutes=int(match[2]), seconds=int(match[3] or 0))
