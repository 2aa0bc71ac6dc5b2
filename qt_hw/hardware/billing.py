"""What jobs cost: the vendors' own figures where they have any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qt_hw.errors import QtHwError
from qt_hw.execution.backend import Backend
from qt_hw.execution.budget import Totals
from qt_hw.execution.journal import OPEN, JobRow, Journal, RequestRow
from qt_hw.hardware.home import Home, homes
from qt_hw.hardware.sources import Caps, caps_of, open_source

__all__ = ["Bill", "bills"]

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What the jobs of one home cost.

    Attributes:
        home: Which.
        jobs: With the requests that they are part of.
        duplicates: Second jobs of a token, as in ``Journal.duplicates``.
        totals: Spent and queued, over everything in the journal.
        caps: The caps that hold for what comes next.
        problem: Why the vendor could not be asked; None if it was, or need not be.
    """

    home: Home
    jobs: list[tuple[RequestRow, JobRow]]
    duplicates: list[dict[str, Any]]
    totals: Totals
    caps: Caps
    problem: QtHwError | None


def bills(
    folder: str | Path, *, backend: Backend | None = None, say: Say = lambda text: None
) -> list[Bill]:
    """Return what every job of a run or a pair cost; the vendors' own figures where they have any.

    Real and rehearsed jobs are never in one bill.
    """
    return [_bill(home, backend, say) for home in homes(Path(folder))]


def _bill(home: Home, backend: Backend | None, say: Say) -> Bill:
    problem: QtHwError | None = None
    asked = set()
    for request, rows in home.requests():
        unknown = any(
            row.id and row.state not in OPEN and row.usd is None and row.qpu_seconds is None
            for row in rows
        )
        if not unknown or request.backend in asked:
            continue
        asked.add(request.backend)
        try:
            with open_source(home, request, say=say, backend=backend) as dispatcher:
                dispatcher.update_charges()
        except QtHwError as error:
            problem = error
    with Journal(home.journal) as journal:
        return Bill(
            home=home,
            jobs=[(request, row) for request, rows in home.requests() for row in rows],
            duplicates=journal.duplicates(),
            totals=journal.totals(),
            caps=caps_of(home),
            problem=problem,
        )
