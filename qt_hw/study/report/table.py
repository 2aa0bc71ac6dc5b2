"""A table of the page: headers that sort, cells that carry their exact value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from qt_hw.study.statistics.intervals import Interval

__all__ = ["Cell", "Table", "count", "digits_of", "number", "ranged", "text"]


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the number that it is sorted by (None: by its text)."""

    shown: str
    value: float | None = None
    numeric: bool = False

    def to_html(self) -> str:
        """Return the cell."""
        kind = ' class="number"' if self.numeric else ""
        value = "" if self.value is None else f' data-value="{self.value!r}"'
        return f"<td{kind}{value}>{escape(self.shown)}</td>"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with a caption; ``name`` is its id."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    filtered: bool = False

    def to_html(self) -> str:
        """Return the table in a container of its own that scrolls sideways."""
        heads = "".join(
            f'<th scope="col" aria-sort="none"><button type="button">{escape(column)}</button></th>'
            for column in self.columns
        )
        lines = "\n".join(
            f"<tr>{''.join(cell.to_html() for cell in row)}</tr>" for row in self.rows
        )
        label = f'aria-labelledby="{self.name}-caption"'
        table = (
            f'<table id="{self.name}" class="sortable" {label}>\n'
            f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody></table>"
        )
        caption = f'<p class="caption" id="{self.name}-caption">{escape(self.caption)}</p>\n'
        scrolling = f'<div class="scrolling" tabindex="0" role="region" {label}>{table}</div>'
        return caption + (self._filter() if self.filtered else "") + scrolling

    def _filter(self) -> str:
        field = f'<input type="search" data-table="{self.name}" autocomplete="off">'
        shown = f'<output data-count="{self.name}">{len(self.rows)} rows</output>'
        return f'<p class="filter"><label>Show rows with {field}</label> {shown}</p>\n'


def text(shown: object) -> Cell:
    """Return a cell of text."""
    return Cell(str(shown))


def count(value: int | None, missing: str = "") -> Cell:
    """Return a cell of a whole number."""
    return Cell(missing, numeric=True) if value is None else Cell(f"{value:,}", value, True)


def number(value: float | None, digits: int = 3, scale: float = 1.0) -> Cell:
    """Return a cell of a number with some significant digits; it keeps all of them for sorting."""
    if value is None:
        return Cell("", numeric=True)
    return Cell(digits_of(scale * value, digits), value, True)


def digits_of(value: float, digits: int) -> str:
    """Return a number with exactly so many significant digits.

    >>> digits_of(-0.5, 3)
    '−0.500'
    """
    return f"{value:#.{digits}g}".rstrip(".").replace("-", "−") if value else "0"


def ranged(value: Interval | None, digits: int = 4, scale: float = 1.0) -> Cell:
    """Return a cell of a mean and its interval, ``mean [low, high]``, sorted by the mean."""
    if value is None:
        return Cell("", numeric=True)
    ends = (value.mean, value.low, value.high)
    mean, low, high = (digits_of(scale * end, digits) for end in ends)
    shown = mean if value.method == "none" else f"{mean} [{low}, {high}]"
    return Cell(shown, value.mean, True)
