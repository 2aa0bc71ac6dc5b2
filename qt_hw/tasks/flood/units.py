"""Columns of gauge files: what they hold and in which unit, from the words of the header."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["KINDS", "Column", "read_header_cell"]

KINDS = ("time", "discharge", "level", "rain")

_CFS = 0.3048**3
_UNITS: dict[str, dict[str, float]] = {
    "discharge": {
        **dict.fromkeys(("m3/s", "m^3/s", "m3s", "m3s-1", "m3s^-1", "cumecs", "cms"), 1.0),
        **dict.fromkeys(("cfs", "ft3/s", "ft^3/s", "ft3s"), _CFS),
        **dict.fromkeys(("l/s", "ls"), 1e-3),
        "m3/h": 1 / 3600,
    },
    "level": {
        **dict.fromkeys(("m", "meter", "metre"), 1.0),
        "cm": 1e-2,
        "mm": 1e-3,
        **dict.fromkeys(("ft", "feet"), 0.3048),
        **dict.fromkeys(("in", "inch", "inches"), 0.0254),
    },
    "rain": {
        **dict.fromkeys(("mm", "l/m2"), 1.0),
        "cm": 10.0,
        **dict.fromkeys(("in", "inch", "inches"), 25.4),
        **dict.fromkeys(("mm/h", "mm/hr"), 1.0),
        **dict.fromkeys(("in/h", "in/hr"), 25.4),
    },
}
_RATES = {"mm/h", "mm/hr", "in/h", "in/hr"}
_SI = {"discharge": "m³/s", "level": "m", "rain": "mm", "time": ""}

_WORDS = {
    "time": {
        *("time", "datetime", "date time", "date/time", "date", "timestamp", "valid time"),
        *("datum", "zeit", "zeitpunkt", "zeitstempel", "datum/uhrzeit", "time stamp"),
    },
    "discharge": {
        *("discharge", "flow", "streamflow", "stream flow", "river flow", "q"),
        *("abfluss", "durchfluss", "debit", "débit", "caudal"),
    },
    "level": {
        *("level", "water level", "waterlevel", "stage", "river stage", "gage height"),
        *("gauge height", "height", "h", "w", "wasserstand", "pegel", "pegelstand"),
    },
    "rain": {
        *("rain", "rainfall", "precipitation", "precip", "prcp", "p", "niederschlag", "pluie"),
    },
}
_USGS = {"00060": ("discharge", "cfs"), "00065": ("level", "ft"), "00045": ("rain", "in")}
_USGS_NAME = re.compile(r"(?:\d+_)?(000(?:60|65|45))(?:_\d{5})?")
_BRACKETS = re.compile(r"\s*[\[(]([^\])]*)[\])]\s*$")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column that is used.

    Attributes:
        kind: ``time``, ``discharge``, ``level`` or ``rain``.
        index: Its place in a row, from 0.
        header: Its header as written.
        factor: From its numbers to m³/s, m or mm (of rates: mm/h).
        rate: Whether rain is given in an amount per hour.
        assumed: Whether the header names no unit, so that the SI unit was taken.
    """

    kind: str
    index: int
    header: str
    factor: float = 1.0
    rate: bool = False
    assumed: bool = False

    @property
    def unit(self) -> str:
        """Unit after the conversion."""
        return _SI[self.kind]


def read_header_cell(text: str) -> tuple[str, str | None]:
    """Return the name in a header, in small letters, and its unit, None where there is none.

    >>> read_header_cell("Water level [cm]"), read_header_cell("flow_cfs"), read_header_cell("Q")
    (('water level', 'cm'), ('flow', 'cfs'), ('q', None))
    """
    name, unit = " ".join(text.strip().strip('"').split()), None
    if match := _BRACKETS.search(name):
        name, unit = name[: match.start()], _plain(match[1])
    name = name.replace("_", " ").strip().lower()
    if unit is None:
        head, _, tail = name.rpartition(" ")
        if head and any(_plain(tail) in known for known in _UNITS.values()):
            name, unit = head, _plain(tail)
    return name, unit


def kind_of(text: str) -> tuple[str, str | None] | None:
    """Return kind and unit of a column by its header, None if it says neither.

    >>> kind_of("Abfluss [m³/s]"), kind_of("192839_00065"), kind_of("station")
    (('discharge', 'm3/s'), ('level', 'ft'), None)
    """
    if match := _USGS_NAME.fullmatch(text.strip()):
        return _USGS[match[1]]
    name, unit = read_header_cell(text)
    for kind, words in _WORDS.items():
        if name in words:
            return kind, unit
    return None


def factor_of(kind: str, unit: str) -> float | None:
    """Return the factor from ``unit`` to the SI unit of the kind, None for an unknown unit."""
    return _UNITS[kind].get(_plain(unit))


def is_rate(unit: str | None) -> bool:
    """Return whether a unit of rain is one of an amount per hour."""
    return unit is not None and _plain(unit) in _RATES


def known_units(kind: str) -> str:
    """Return the units that a kind of column may have, for messages."""
    return ", ".join(_UNITS[kind])


def _plain(unit: str) -> str:
    """Return a unit in one spelling."""
    return (
        unit.strip()
        .lower()
        .replace("³", "3")
        .replace("²", "2")
        .replace("**", "^")
        .replace(" ", "")
        .replace("·", "")
        .replace("⁻¹", "-1")
        .replace("m3/sec", "m3/s")
    )
