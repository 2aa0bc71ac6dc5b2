"""``metrics.csv``: one row for each evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qt_hw.errors import StorageError
from qt_hw.storage import append_line, write_text

__all__ = ["COLUMNS", "TIME_COLUMNS", "MetricsFile"]

COLUMNS = (
    "step",
    "epoch",
    "batch_loss",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "circuit_share",
    "lr_angles",
    "lr_mapping",
    "circuits",
    "shots",
    "seconds",
)
TIME_COLUMNS = ("seconds",)
_INTEGERS = {"step", "epoch", "circuits", "shots"}

Row = dict[str, Any]


class MetricsFile:
    """The table in ``path``; floats are written so that they read back exactly.

    ``batch_loss`` is the mean loss of the batches since the row before, empty in the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row and push it to the disk.

        Raises:
            StorageError: The disk is full or the folder not writable.
        """
        if not self.path.exists():
            write_text(self.path, ",".join(COLUMNS) + "\n")
        append_line(self.path, ",".join(_cell(row[column]) for column in COLUMNS))

    def rows(self) -> list[Row]:
        """Return all whole rows; None stands for an empty cell.

        Raises:
            StorageError: The file is damaged or holds other columns.
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
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise StorageError(f"{self.path} is not a table of metrics: its columns are others")
        return [{name: _number(name, text) for name, text in row.items()} for row in reader]

    def cut(self, step: int) -> None:
        """Drop the rows from ``step`` on, and half a row at the end."""
        if self.path.exists():
            kept = [row for row in self.rows() if row["step"] < step]
            lines = [COLUMNS, *([_cell(row[column]) for column in COLUMNS] for row in kept)]
            write_text(self.path, "".join(",".join(line) + "\n" for line in lines))


def _cell(value: Any) -> str:
    return "" if value is None else repr(value)


def _number(name: str, text: str) -> int | float | None:
    if text == "":
        return None
    return int(text) if name in _INTEGERS else float(text)
