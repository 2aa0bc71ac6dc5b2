"""Cells of the table, each with all its metrics, one for each condition and seed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

import numpy as np

from qt_hw.study.condition import Condition, condition_of

__all__ = ["CellValues", "Table", "gathered", "read_cells"]

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class CellValues:
    """One cell.

    Attributes:
        cell: Its id.
        condition: What it was computed under.
        seed: Its seed.
        twin: Id of the noiseless cell that it is compared with; empty if there is none.
        values: By metric, all finite.
    """

    cell: str
    condition: Condition
    seed: int
    twin: str
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Table:
    """The cells of a study.

    Attributes:
        cells: In the order of the table, each condition and seed once.
        twins: Values of all cells by id, for the comparisons.
        merged: Ids of cells that share condition and seed with an earlier one. They differ in
            something that is no column, and are no seeds of their own: their mean counts once.
        not_finite: ``"cell: metric"`` of values that are NaN or infinite and were left out.
    """

    cells: tuple[CellValues, ...]
    twins: Mapping[str, CellValues]
    merged: tuple[str, ...]
    not_finite: tuple[str, ...]


def read_cells(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the cells of a table's rows."""
    finite = [row for row in rows if isfinite(row["value"])]
    by_id = {name: _cell(own) for name, own in gathered(finite, lambda row: row["cell"]).items()}
    alike = gathered(by_id.values(), lambda cell: (cell.condition, cell.seed))
    return Table(
        cells=tuple(_merged(cells) for cells in alike.values()),
        twins=by_id,
        merged=tuple(cell.cell for cells in alike.values() for cell in cells[1:]),
        not_finite=tuple(
            f"{row['cell']}: {row['metric']}" for row in rows if not isfinite(row["value"])
        ),
    )


def _cell(rows: Sequence[Mapping[str, Any]]) -> CellValues:
    first = rows[0]
    return CellValues(
        cell=str(first["cell"]),
        condition=condition_of(first),
        seed=int(first["seed"]),
        twin=str(first["twin"]),
        values={str(row["metric"]): float(row["value"]) for row in rows},
    )


def _merged(cells: Sequence[CellValues]) -> CellValues:
    """Return the mean of cells that share condition and seed, of the metrics that all have."""
    first = cells[0]
    if len(cells) == 1:
        return first
    shared = [name for name in first.values if all(name in cell.values for cell in cells)]
    return CellValues(
        cell=first.cell,
        condition=first.condition,
        seed=first.seed,
        twin=first.twin,
        values={name: float(np.mean([c.values[name] for c in cells])) for name in shared},
    )


def gathered(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return the items by key, both in the order of their first appearance.

    >>> gathered([1, 2, 3], lambda n: n % 2)
    {1: [1, 3], 0: [2]}
    """
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
