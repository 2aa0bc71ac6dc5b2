"""The tidy table of a study: one row for each cell and metric, as CSV and as Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qt_hw.errors import MissingExtra, StorageError
from qt_hw.storage import write_bytes, write_text
from qt_hw.study.cell import Cell
from qt_hw.study.folder import StudyFolder

__all__ = ["COLUMNS", "Row", "rows_of", "write_table"]

Row = dict[str, Any]

COLUMNS = {
    "cell": "string",
    "kind": "string",
    "base": "string",
    "task": "string",
    "ansatz": "string",
    "qubits": "int64",
    "layers": "int64",
    "width": "int64",
    "backend": "string",
    "noise": "string",
    "noise_scale": "float64",
    "shots": "int64",
    "mitigation": "string",
    "gradient": "string",
    "control": "string",
    "seed": "int64",
    "twin": "string",
    "metric": "string",
    "value": "float64",
    "spread": "float64",
    "repeats": "int64",
}
"""Name and Arrow type of each column; ``width`` and ``shots`` may be null (shots: exact)."""


def rows_of(folder: StudyFolder) -> list[Row]:
    """Return the rows of all finished cells of a study, in its order.

    Cells that cannot be read are left out; ``StudyFolder.failures`` names them.
    """
    rows: list[Row] = []
    for cell in folder.cells:
        if folder.state(cell.id) == "done":
            rows += _rows(cell, folder.result(cell.id)["values"])
    return rows


def _rows(cell: Cell, values: Mapping[str, Sequence[float]]) -> list[Row]:
    head = {
        "cell": cell.id,
        **vars(cell.condition),
        "seed": cell.seed,
        "twin": cell.twin,
        "repeats": cell.repeats,
    }
    return [
        {**head, "metric": metric, "value": value, "spread": spread}
        for metric, (value, spread) in values.items()
    ]


def write_table(folder: Path, rows: Sequence[Row]) -> None:
    """Write ``table.csv`` and ``table.parquet``.

    Raises:
        MissingExtra: pyarrow is not installed; the CSV file is written all the same.
        StorageError: The disk is full or the folder not writable.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if row[name] is None else row[name] for name in COLUMNS})
    write_text(folder / "table.csv", buffer.getvalue())
    write_bytes(folder / "table.parquet", _parquet(rows))


def _parquet(rows: Sequence[Row]) -> bytes:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("the Parquet table", "study") from error
    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in COLUMNS.items()])
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    sink = pa.BufferOutputStream()
    try:
        parquet.write_table(pa.table(columns, schema=schema), sink)
    except pa.ArrowException as error:
        raise StorageError(f"the Parquet table cannot be made: {error}") from None
    return bytes(sink.getvalue().to_pybytes())
