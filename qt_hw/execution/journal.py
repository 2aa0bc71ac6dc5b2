"""The journal of paid jobs: what was asked for, what is on its way, what it cost.

An SQLite file: a transition is on the disk before its effect is relied on. A job goes planned →
submitting → submitted → done, failed or cancelled. ``submitting`` is written before the request
leaves, so that after a crash at any instant the vendor can be asked for a job with this token.
One file may serve several runs (a study) under one cap.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qt_hw.errors import BudgetExceeded, StorageError
from qt_hw.execution.backend import Charge, Cost
from qt_hw.execution.budget import Cap, refusals
from qt_hw.execution.database import Database
from qt_hw.execution.reading import Reader
from qt_hw.execution.rows import (
    ENDED,
    OPEN,
    SCHEMA,
    JobRow,
    RequestRow,
    cost_of,
    new_job,
    new_request,
    now,
)

__all__ = ["ENDED", "OPEN", "JobRow", "Journal", "RequestRow", "new_job", "new_request"]

_VERSION = 1

#: From which states a job may come into one.
_BEFORE = {
    "planned": ("submitting",),
    "submitting": ("planned",),
    "submitted": ("submitting", "submitted"),
    "done": ("submitted",),
    "failed": ("submitted",),
    "cancelled": ("submitted",),
}


class Journal(Reader):
    """The journal in one file; every change is durable when its method returns."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            StorageError: It cannot be opened or is no journal.
        """
        super().__init__(Database(path, SCHEMA, _VERSION))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def remember(self, name: str, value: str) -> str:
        """Store ``value`` under ``name`` unless there is one; return what is stored."""
        with self._db.change() as db:
            db.execute("insert or ignore into meta values (?, ?)", (name, value))
        return str(self._db.read("select value from meta where name = ?", name)[0]["value"])

    def plan(self, request: RequestRow, jobs: Sequence[dict[str, Any]]) -> None:
        """Record a request with its jobs, all planned; one that is there stays as it is."""
        with self._db.change() as db:
            if db.execute("select 1 from requests where id = ?", (request.id,)).fetchone():
                return
            names = vars(request)
            marks = ", ".join(f":{name}" for name in names)
            db.execute(f"insert into requests ({', '.join(names)}) values ({marks})", names)
            for job in jobs:
                _insert(db, job)

    def plan_again(self, jobs: Sequence[dict[str, Any]]) -> None:
        """Record further attempts, all planned."""
        with self._db.change() as db:
            for job in jobs:
                _insert(db, job)

    def reprice(self, token: str, cost: Cost) -> None:
        """Record what a planned job costs now.

        Raises:
            StorageError: It is not planned any more.
        """
        with self._db.change() as db:
            changed = db.execute(
                "update jobs set usd_low = ?, usd_high = ?, qpu_seconds_low = ?, "
                "qpu_seconds_high = ?, price_source = ? where token = ? and state = 'planned'",
                (
                    cost.usd_low,
                    cost.usd_high,
                    cost.qpu_seconds_low,
                    cost.qpu_seconds_high,
                    cost.source,
                    token,
                ),
            )
            if changed.rowcount != 1:
                raise StorageError(f"{token} is not planned any more; repeat the command")
            _event(db, token, "planned", "priced anew")

    def check(self, jobs: Sequence[JobRow], cap: Cap) -> None:
        """Check that all of ``jobs`` together would stay under the cap.

        Raises:
            BudgetExceeded: They would not, or there is no cap.
        """
        if reasons := refusals(cost_of(jobs), self.totals(), cap):
            raise BudgetExceeded(reasons)

    def reserve(self, token: str, cap: Cap) -> None:
        """Turn a planned job into ``submitting``, if spent + queued + this stay under the cap.

        Raises:
            BudgetExceeded: They do not, or there is no cap; nothing was changed.
            StorageError: The job is not planned: another process has taken it.
        """
        with self._db.change() as db:
            row = self.job(token)
            if row.state != "planned":
                raise StorageError(f"{token} is {row.state} already; repeat the command")
            self.check([row], cap)
            _transition(db, token, "submitting")

    def release(self, token: str, note: str) -> None:
        """Turn ``submitting`` back into planned: the request was refused, there is no job."""
        with self._db.change() as db:
            _transition(db, token, "planned", note)

    def adopt(self, token: str, id: str, note: str = "") -> None:
        """Record the vendor's job for ``token``."""
        with self._db.change() as db:
            _transition(db, token, "submitted", note)
            db.execute("update jobs set id = ?, submitted = ? where token = ?", (id, now(), token))

    def end(
        self,
        token: str,
        state: str,
        *,
        result: tuple[str, str] | None = None,
        note: str = "",
        charge: Charge | None = None,
    ) -> None:
        """Record that a submitted job is done, failed or cancelled; doing so twice is the same.

        Args:
            token: Of the job.
            state: How it ended.
            result: File and hash of what came back.
            note: Why it failed.
            charge: What it cost, where that is known already.

        Raises:
            StorageError: It was not submitted, or another process has recorded another end.
        """
        name, sha = result or (None, None)
        with self._db.change() as db:
            if self.job(token).state == state:
                return
            _transition(db, token, state, note)
            db.execute(
                "update jobs set ended = ?, result = ?, result_sha256 = ? where token = ?",
                (now(), name, sha, token),
            )
            if charge is not None:
                _charge(db, token, charge)

    def withdraw(self, row: JobRow, note: str) -> None:
        """Record that a planned or submitting job was cancelled and never left: it costs nothing.

        Raises:
            StorageError: Its state is no longer that of ``row``.
        """
        with self._db.change() as db:
            _transition(db, row.token, "cancelled", note, before=(row.state,))
            db.execute("update jobs set ended = ? where token = ?", (now(), row.token))
            _charge(db, row.token, Charge(usd=0.0, qpu_seconds=0.0, source="never sent"))

    def replace_result(self, token: str, result: tuple[str, str]) -> None:
        """Record that the result of an ended job was fetched and stored once more."""
        with self._db.change() as db:
            db.execute(
                "update jobs set result = ?, result_sha256 = ? where token = ?", (*result, token)
            )
            _event(db, token, self.job(token).state, "result stored once more")

    def charge(self, token: str, charge: Charge) -> None:
        """Record what a job cost."""
        with self._db.change() as db:
            _charge(db, token, charge)

    def duplicate(
        self,
        token: str,
        id: str,
        cancelled: bool,
        *,
        ended: bool = False,
        charge: Charge | None = None,
    ) -> None:
        """Record a second job that carries ``token``.

        Args:
            token: Which both carry.
            id: Of the second job.
            cancelled: Whether it was stopped in time.
            ended: Whether nothing more will happen to it.
            charge: What it cost; None while that is not known.
        """
        cost = charge or Charge()
        with self._db.change() as db:
            db.execute(
                "insert into duplicates (id, token, cancelled, ended, usd, qpu_seconds, at) "
                "values (?, ?, ?, ?, ?, ?, ?) on conflict (id) do update set "
                "cancelled = excluded.cancelled, ended = excluded.ended, usd = excluded.usd, "
                "qpu_seconds = excluded.qpu_seconds",
                (id, token, int(cancelled), int(ended), cost.usd, cost.qpu_seconds, now()),
            )

    def note(self, token: str, note: str) -> None:
        """Record something about a job that changes nothing."""
        with self._db.change() as db:
            _event(db, token, self.job(token).state, note)


def _insert(db: sqlite3.Connection, job: dict[str, Any]) -> None:
    names = ", ".join(job)
    db.execute(f"insert into jobs ({names}) values ({', '.join(':' + n for n in job)})", job)
    _event(db, job["token"], "planned", "")


def _transition(
    db: sqlite3.Connection,
    token: str,
    state: str,
    note: str = "",
    before: Sequence[str] | None = None,
) -> None:
    before = _BEFORE[state] if before is None else before
    marks = ", ".join("?" * len(before))
    changed = db.execute(
        f"update jobs set state = ?, note = ? where token = ? and state in ({marks})",
        (state, note, token, *before),
    )
    if changed.rowcount != 1:
        raise StorageError(
            f"{token} cannot become {state}: another process has changed it; repeat the command"
        )
    _event(db, token, state, note)


def _charge(db: sqlite3.Connection, token: str, charge: Charge) -> None:
    db.execute(
        "update jobs set usd = ?, qpu_seconds = ?, charge_source = ? where token = ?",
        (charge.usd, charge.qpu_seconds, charge.source, token),
    )


def _event(db: sqlite3.Connection, token: str, state: str, note: str) -> None:
    db.execute(
        "insert into events (at, token, state, note) values (?, ?, ?, ?)",
        (now(), token, state, note),
    )
