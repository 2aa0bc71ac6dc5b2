"""The header of a gauge file: where it is, its separator, and which column holds what."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qt_hw.errors import DataError
from qt_hw.tasks.flood.units import (
    KINDS,
    Column,
    factor_of,
    is_rate,
    kind_of,
    known_units,
    read_header_cell,
)

__all__ = ["Header", "find_header", "split"]

_SEPARATORS = (";", "\t", ",", "|")
_CLOCKS = {"uhrzeit", "clock", "time of day", "heure", "hora"}
_ZONES = {"tz_cd"}
_WITHIN = 60  # lines in which a header is looked for

Numbered = tuple[int, str]


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the header says.

    Attributes:
        place: Its index among the lines that were passed.
        line: Its number in the file.
        separator: Between two cells.
        cells: As written.
        columns: The columns in use by kind.
        clock: Place of a separate column with the time of day; None for none.
        zone: Place of the USGS' column with the zone of each time; None for none.
    """

    place: int
    line: int
    separator: str
    cells: tuple[str, ...]
    columns: dict[str, Column]
    clock: int | None
    zone: int | None

    @property
    def width(self) -> int:
        """Cells that a row must have at least."""
        return 1 + max(
            self.clock or 0, self.zone or 0, *(column.index for column in self.columns.values())
        )


def split(line: str, separator: str) -> list[str]:
    """Return the cells of a line without the spaces around them."""
    rows = csv.reader(io.StringIO(line), delimiter=separator, skipinitialspace=True)
    return [cell.strip() for cell in next(rows)]


def find_header(where: str, lines: Sequence[Numbered], columns: Mapping[str, str]) -> Header:
    """Return the header: the first line with a time column.

    Args:
        where: Path of the file, for messages.
        lines: Its lines with their numbers.
        columns: Header by kind, where the user names it.

    Raises:
        DataError: There is no time column, no discharge or level, a column that ``columns`` names
            is missing, or a unit is unknown.
    """
    names = {kind: read_header_cell(header)[0] for kind, header in columns.items()}
    for place, (number, line) in enumerate(lines[:_WITHIN]):
        separator = max(_SEPARATORS, key=line.count)
        try:
            cells = tuple(split(line, separator))
        except csv.Error as error:
            raise DataError(f"{where}, line {number}: {error}: is this a gauge file?") from error
        if len(cells) > 1 and _places(cells, "time", names):
            found = _Finder(where, number, cells, names).columns()
            return Header(
                place=place,
                line=number,
                separator=separator,
                cells=cells,
                columns=found,
                clock=_clock(cells, found["time"].index),
                zone=next((k for k, cell in enumerate(cells) if cell in _ZONES), None),
            )
    if not lines:
        raise DataError(f"{where} holds no lines: expected a header and rows of numbers")
    number, line = lines[0]
    wanted = f" {names['time']!r}" if "time" in names else ""
    raise DataError(
        f"{where}, line {number}: no time column{wanted} in {line.strip()[:80]!r}; say which one "
        "it is, e.g. columns = 'time=Messzeit, discharge=Q'"
    )


def _places(cells: Sequence[str], kind: str, names: Mapping[str, str]) -> list[int]:
    """Return the places of the columns of a kind."""
    if kind in names:
        return [k for k, cell in enumerate(cells) if read_header_cell(cell)[0] == names[kind]]
    guesses = [kind_of(cell) for cell in cells]
    return [k for k, guess in enumerate(guesses) if guess is not None and guess[0] == kind]


def _clock(cells: Sequence[str], time: int) -> int | None:
    """Return the place of a second column with the time of day."""
    dated = read_header_cell(cells[time])[0] in ("date", "datum")
    words = _CLOCKS | ({"time", "zeit"} if dated else set())
    places = [k for k, c in enumerate(cells) if k != time and read_header_cell(c)[0] in words]
    return places[0] if places else None


class _Finder:
    """Finds the columns of one header."""

    def __init__(
        self, where: str, line: int, cells: tuple[str, ...], names: Mapping[str, str]
    ) -> None:
        self.where, self.line, self.cells, self.names = where, line, cells, names

    def columns(self) -> dict[str, Column]:
        """Return the columns in use by kind."""
        found = {kind: c for kind in KINDS if (c := self._column(kind)) is not None}
        if not {"discharge", "level"} & set(found):
            raise self._error(
                f"neither discharge nor level in {self._listed()}; say which column it is, e.g. "
                "columns = 'discharge=Q'"
            )
        return found

    def _column(self, kind: str) -> Column | None:
        places = _places(self.cells, kind, self.names)
        if places:
            return self._read(kind, places[0])
        if kind in self.names:
            raise self._error(
                f"no column {self.names[kind]!r} in {self._listed()}; correct columns"
            )
        return None

    def _read(self, kind: str, place: int) -> Column:
        header = self.cells[place]
        if kind == "time":
            return Column(kind=kind, index=place, header=header)
        guess = kind_of(header)
        unit = read_header_cell(header)[1] if guess is None else guess[1]
        factor = 1.0 if unit is None else factor_of(kind, unit)
        if factor is None:
            raise self._error(
                f"unknown unit {unit!r} of {kind} in {header!r}; known: {known_units(kind)}"
            )
        return Column(
            kind=kind,
            index=place,
            header=header,
            factor=factor,
            rate=is_rate(unit),
            assumed=unit is None,
        )

    def _listed(self) -> str:
        return ", ".join(repr(cell) for cell in self.cells)

    def _error(self, problem: str) -> DataError:
        return DataError(f"{self.where}, line {self.line}: {problem}")
