"""``metrics.csv``: one row for each evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qt_hw.errors import StorageError
from qt_hw.storage import append_line, write_text
from qt_hw.tasks.metric import Metric

__all__ = ["TIME_COLUMNS", "MetricsFile", "ordered", "with_gap"]

_FIRST = ("step", "epoch", "batch_loss")
_LAST = ("circuit_share", "lr_angles", "lr_mapping", "circuits", "shots", "seconds")
TIME_COLUMNS = ("seconds",)
_INTEGERS = {"step", "epoch", "circuits", "shots"}

Row = dict[str, Any]


class MetricsFile:
    """The table in ``path``; floats are written so that they read back exactly.

    Its columns are those of the first row. ``batch_loss`` is the mean loss of the batches since
    the row before, empty in the first row; the metrics of the task follow it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row and push it to the disk.

        Raises:
            StorageError: The disk is full or the folder not writable, or the row has other
                columns than the table.
        """
        if not self.path.exists():
            write_text(self.path, ",".join(row) + "\n")
        columns = self._columns()
        if set(columns) != set(row):
            raise StorageError(
                f"{self.path} has other columns ({', '.join(columns)}) than this version of the "
                "task measures: train anew elsewhere"
            )
        append_line(self.path, ",".join(_cell(row[column]) for column in columns))

    def rows(self) -> list[Row]:
        """Return all whole rows; None stands for an empty cell.

        Raises:
            StorageError: The file is damaged or holds something else.
        """
        if not self.path.exists():
            return []
        try:
            return self._parsed(self.path.read_text("utf-8"))
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            raise StorageError(
                f"{self.path} is damaged ({error}); put a copy back, or train anew elsewhere"
            ) from None

    def _parsed(self, text: str) -> list[Row]:
        lines = text.splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]  # a kill may leave half a row
        reader = csv.DictReader(io.StringIO("".join(whole)))
        self._check(tuple(reader.fieldnames or ()))
        return [{name: _number(name, text) for name, text in row.items()} for row in reader]

    def _columns(self) -> tuple[str, ...]:
        try:
            with self.path.open(encoding="utf-8") as file:
                columns = tuple(file.readline().rstrip("\n").split(","))
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"cannot read {self.path}: {error}") from None
        self._check(columns)
        return columns

    def _check(self, columns: tuple[str, ...]) -> None:
        if columns[: len(_FIRST)] != _FIRST or columns[-len(_LAST) :] != _LAST:
            raise StorageError(f"{self.path} is not a table of metrics: its columns are others")

    def cut(self, step: int) -> None:
        """Drop the rows from ``step`` on, and half a row at the end."""
        if self.path.exists():
            rows, columns = self.rows(), self._columns()
            kept = [[_cell(row[c]) for c in columns] for row in rows if row["step"] < step]
            write_text(self.path, "".join(",".join(line) + "\n" for line in [columns, *kept]))


def ordered(values: Mapping[str, Any], headline: Metric) -> dict[str, Any]:
    """Return the ``test_…`` and ``train_…`` of ``values``, those of the headline metric first.

    >>> from qt_hw.tasks.metric import ACCURACY
    >>> row = {"step": 3, "train_loss": 1.0, "train_accuracy": 0.5, "test_accuracy": 0.4}
    >>> list(ordered(row, ACCURACY))
    ['test_accuracy', 'train_accuracy', 'train_loss']
    """
    parts = ("test_", "train_")
    keys = [name.partition("_")[2] for name in values if name.startswith(parts)]
    names = [part + key for key in dict.fromkeys([headline.key, *keys]) for part in parts]
    return {name: values[name] for name in names if name in values}


def with_gap(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the generalisation gap, test minus training loss, if both are there.

    >>> with_gap({"test_loss": 3.0, "train_loss": 1.0})["generalisation_gap"]
    2.0
    """
    if not {"test_loss", "train_loss"} <= values.keys():
        return dict(values)
    return {**values, "generalisation_gap": values["test_loss"] - values["train_loss"]}


def _cell(value: Any) -> str:
    return "" if value is None else repr(value)


def _number(name: str, text: str) -> int | float | None:
    if text == "":
        return None
    return int(text) if name in _INTEGERS else float(text)
