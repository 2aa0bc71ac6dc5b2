"""What both best-track formats share: cells that must be numbers, and errors that say where."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NoReturn

from qt_hw.errors import DataError

__all__ = ["check_latitude", "check_longitude", "damaged", "number", "whole"]


def damaged(path: Path, line: int, what: str, remedy: str) -> NoReturn:
    """Raise the error of a damaged line.

    Raises:
        DataError: Always.
    """
    raise DataError(f"{path}, line {line}: {what}: {remedy}")


def number(path: Path, line: int, column: str, text: str) -> float:
    """Return a finite number.

    Raises:
        DataError: The text is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        damaged(
            path, line, f"{column} is {text.strip()!r}, not a number", "correct or remove the line"
        )
    return value


def whole(path: Path, line: int, column: str, text: str) -> int:
    """Return a whole number.

    Raises:
        DataError: The text is none.
    """
    value = number(path, line, column, text)
    if value != int(value):
        damaged(
            path,
            line,
            f"{column} is {text.strip()!r}, not a whole number",
            "correct or remove the line",
        )
    return int(value)


def check_latitude(path: Path, line: int, value: float) -> float:
    """Return a latitude in degrees.

    Raises:
        DataError: It is not on the globe.
    """
    if not -90.0 <= value <= 90.0:
        damaged(
            path,
            line,
            f"the latitude {value:g} is not between -90 and 90 degrees",
            "correct or remove the line",
        )
    return value


def check_longitude(path: Path, line: int, value: float) -> float:
    """Return a longitude in degrees.

    Raises:
        DataError: It is outside of -180 … 360.
    """
    if not -180.0 <= value <= 360.0:
        damaged(
            path,
            line,
            f"the longitude {value:g} is not between -180 and 360 degrees",
            "correct or remove the line",
        )
    return value
