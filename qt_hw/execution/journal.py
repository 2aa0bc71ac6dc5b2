"""The journal of paid jobs: what was asked for, what is on its way, what it cost.

An SQLite file (write-ahead log, full sync): a transition is on the disk before its effect is relied
on. A job goes planned → submitting → submitted → done, failed or cancelled. ``submitting`` is
written before the request leaves, so that after a crash at any instant the vendor can be asked
for a job with this token. One file may serve several runs (a study) under one cap.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qt_hw.errors import BudgetExceeded, StorageError
from qt_hw.execution.backend import Charge, Cost
from qt_hw.execution.budget import Cap, Totals, refusals
from qt_hw.execution.splitting import Piece

__all__ = ["ENDED", "OPEN", "JobRow", "Journal", "RequestRow", "new_job", "new_request"]

_SCHEMA = """
create table if not exists meta (name text primary key, value text not null);
create table if not exists requests (
  id text primary key, run text not null, step integer not null, label text not null,
  backend text not null, payload text not null, created text not null);
create table if not exists jobs (
  number integer primary key, token text not null unique,
  request text not null references requests(id),
  part integer not null, repetition integer not null, attempt integer not null,
  payload text not null, key text not null, pieces text not null,
  circuits integer not null, shots integer not null,
  usd_low real not null, usd_high real not null,
  qpu_seconds_low real not null, qpu_seconds_high real not null, price_source text not null,
  state text not null, id text,
  usd real, qpu_seconds real, charge_source text,
  result text, result_sha256 text, note text not null default '',
  created text not null, submitted text, ended text,
  unique (request, part, repetition, attempt));
create table if not exists duplicates (
  id text primary key, token text not null, cancelled integer not null, at text not null);
create table if not exists events (
  number integer primary key, at text not null, token text not null, state text not null,
  note text not null);
"""

OPEN = ("planned", "submitting", "submitted")
ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class RequestRow:
    """The batch of one step, as it was planned."""

    id: str
    run: str
    step: int
    label: str
    backend: str
    payload: str
    created: str


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """One job; ``state`` is the truth about it.

    Attributes:
        token: What its request carries.
        request: Which request it is part of.
        pieces: Which bindings of which items it runs.
        key: Name of its result.
        state: planned, submitting, submitted, done, failed or cancelled.
        id: At the vendor; None before the request was answered.
        usd: What it cost, None while that is not known; so ``qpu_seconds``.
        result: File of what came back; of a failed job a part.
        note: Why it failed.
    """

    number: int
    token: str
    request: str
    part: int
    repetition: int
    attempt: int
    payload: str
    key: str
    pieces: tuple[Piece, ...]
    circuits: int
    shots: int
    usd_low: float
    usd_high: float
    qpu_seconds_low: float
    qpu_seconds_high: float
    price_source: str
    state: str
    id: str | None
    usd: float | None
    qpu_seconds: float | None
    charge_source: str | None
    result: str | None
    result_sha256: str | None
    note: str
    created: str
    submitted: str | None
    ended: str | None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Journal:
    """The journal in one file; every change is durable when its method returns."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            StorageError: It cannot be opened or is no journal.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=60.0, isolation_level=None, check_same_thread=False
            )
            self._db.row_factory = sqlite3.Row
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=full")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"cannot open the journal {path}: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Make one durable transaction that no other process interleaves with."""
        try:
            self._db.execute("begin immediate")
            try:
                yield self._db
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
        except sqlite3.Error as error:
            raise StorageError(f"cannot write the journal {self.path}: {error}") from None

    def _read(self, query: str, *values: Any) -> list[sqlite3.Row]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"cannot read the journal {self.path}: {error}") from None

    def remember(self, name: str, value: str) -> str:
        """Store ``value`` under ``name`` unless there is one; return what is stored."""
        with self._change() as db:
            db.execute("insert or ignore into meta values (?, ?)", (name, value))
        return str(self._read("select value from meta where name = ?", name)[0]["value"])

    # Reading

    def requests(self, run: str | None = None) -> list[RequestRow]:
        """Return the requests of ``run`` (of all runs), oldest first."""
        rows = self._read("select * from requests where ?1 is null or run = ?1 order by rowid", run)
        return [RequestRow(**dict(row)) for row in rows]

    def jobs(self, request: str | None = None) -> list[JobRow]:
        """Return the jobs of ``request`` (of all requests), oldest first."""
        rows = self._read(
            "select * from jobs where ?1 is null or request = ?1 order by number", request
        )
        return [_job(row) for row in rows]

    def job(self, token: str) -> JobRow:
        """Return the job with this token.

        Raises:
            StorageError: There is none.
        """
        rows = self._read("select * from jobs where token = ?", token)
        if not rows:
            raise StorageError(f"the journal {self.path} has no job {token}")
        return _job(rows[0])

    def duplicates(self) -> list[dict[str, Any]]:
        """Return second jobs that carried the token of a first."""
        return [dict(row) for row in self._read("select * from duplicates order by at")]

    def events(self, token: str | None = None) -> list[dict[str, Any]]:
        """Return every transition so far, oldest first."""
        rows = self._read(
            "select * from events where ?1 is null or token = ?1 order by number", token
        )
        return [dict(row) for row in rows]

    def totals(self) -> Totals:
        """Return what was spent and what open jobs may still cost, over all runs."""
        spent, queued = [0.0, 0.0], [0.0, 0.0]
        rows = {row.token: row for row in self.jobs()}
        for row in rows.values():
            into = spent if row.state in ENDED else queued
            if row.state != "planned":
                into[0] += row.usd_high if row.usd is None else row.usd
                into[1] += row.qpu_seconds_high if row.qpu_seconds is None else row.qpu_seconds
        for second in self.duplicates():
            if not second["cancelled"]:
                spent[0] += rows[second["token"]].usd_high
                spent[1] += rows[second["token"]].qpu_seconds_high
        return Totals(
            usd_spent=spent[0],
            usd_queued=queued[0],
            qpu_seconds_spent=spent[1],
            qpu_seconds_queued=queued[1],
        )

    # Writing

    def plan(self, request: RequestRow, jobs: Sequence[dict[str, Any]]) -> None:
        """Record a request with its jobs, all planned; one that is there stays as it is."""
        with self._change() as db:
            if db.execute("select 1 from requests where id = ?", (request.id,)).fetchone():
                return
            db.execute(
                "insert into requests values "
                "(:id, :run, :step, :label, :backend, :payload, :created)",
                vars(request),
            )
            for job in jobs:
                _insert(db, job)

    def plan_again(self, jobs: Sequence[dict[str, Any]]) -> None:
        """Record further attempts, all planned."""
        with self._change() as db:
            for job in jobs:
                _insert(db, job)

    def reserve(self, token: str, cap: Cap) -> None:
        """Turn a planned job into ``submitting``, if spent + queued + this stay under the cap.

        Raises:
            BudgetExceeded: They do not, or there is no cap; nothing was changed.
            StorageError: The job is not planned: another process has taken it.
        """
        with self._change() as db:
            row = self.job(token)
            if row.state != "planned":
                raise StorageError(f"another process is submitting {token}; wait for it")
            reasons = refusals(_cost(row), self.totals(), cap)
            if reasons:
                raise BudgetExceeded(reasons)
            _transition(db, token, "submitting")

    def release(self, token: str, note: str) -> None:
        """Turn ``submitting`` back into planned: the request was refused, there is no job."""
        with self._change() as db:
            _transition(db, token, "planned", note)

    def adopt(self, token: str, id: str, note: str = "") -> None:
        """Record the vendor's job for ``token``."""
        with self._change() as db:
            _transition(db, token, "submitted", note)
            db.execute("update jobs set id = ?, submitted = ? where token = ?", (id, _now(), token))

    def end(
        self,
        token: str,
        state: str,
        *,
        result: tuple[str, str] | None = None,
        note: str = "",
    ) -> None:
        """Record that a job is done, failed or cancelled, with file and hash of its result."""
        name, sha = result or (None, None)
        with self._change() as db:
            _transition(db, token, state, note)
            db.execute(
                "update jobs set ended = ?, result = ?, result_sha256 = ? where token = ?",
                (_now(), name, sha, token),
            )

    def charge(self, token: str, charge: Charge) -> None:
        """Record what a job cost."""
        with self._change() as db:
            db.execute(
                "update jobs set usd = ?, qpu_seconds = ?, charge_source = ? where token = ?",
                (charge.usd, charge.qpu_seconds, charge.source, token),
            )

    def duplicate(self, token: str, id: str, cancelled: bool) -> None:
        """Record a second job that carries ``token``, and whether it was stopped in time."""
        with self._change() as db:
            db.execute(
                "insert or replace into duplicates values (?, ?, ?, ?)",
                (id, token, int(cancelled), _now()),
            )

    def note(self, token: str, note: str) -> None:
        """Record something about a job that changes nothing."""
        with self._change() as db:
            state = db.execute("select state from jobs where token = ?", (token,)).fetchone()
            _event(db, token, state["state"], note)


def new_request(
    *, id: str, run: str, step: int, label: str, backend: str, payload: str
) -> RequestRow:
    """Return the row of a request made now."""
    return RequestRow(
        id=id, run=run, step=step, label=label, backend=backend, payload=payload, created=_now()
    )


def new_job(
    *,
    token: str,
    request: str,
    place: tuple[int, int, int],
    payload: str,
    key: str,
    pieces: Sequence[Piece],
    cost: Cost,
) -> dict[str, Any]:
    """Return the row of a job planned now; ``place`` is (part, repetition, attempt)."""
    part, repetition, attempt = place
    return {
        "token": token,
        "request": request,
        "part": part,
        "repetition": repetition,
        "attempt": attempt,
        "payload": payload,
        "key": key,
        "pieces": json.dumps([[p.item, p.start, p.stop, p.shots] for p in pieces]),
        "circuits": cost.circuits,
        "shots": cost.shots,
        "usd_low": cost.usd_low,
        "usd_high": cost.usd_high,
        "qpu_seconds_low": cost.qpu_seconds_low,
        "qpu_seconds_high": cost.qpu_seconds_high,
        "price_source": cost.source,
        "state": "planned",
        "created": _now(),
    }


def _insert(db: sqlite3.Connection, job: dict[str, Any]) -> None:
    names = ", ".join(job)
    db.execute(f"insert into jobs ({names}) values ({', '.join(':' + n for n in job)})", job)
    _event(db, job["token"], "planned", "")


def _transition(db: sqlite3.Connection, token: str, state: str, note: str = "") -> None:
    db.execute("update jobs set state = ?, note = ? where token = ?", (state, note, token))
    _event(db, token, state, note)


def _event(db: sqlite3.Connection, token: str, state: str, note: str) -> None:
    db.execute(
        "insert into events (at, token, state, note) values (?, ?, ?, ?)",
        (_now(), token, state, note),
    )


def _job(row: sqlite3.Row) -> JobRow:
    values = dict(row)
    pieces = json.loads(values.pop("pieces"))
    return JobRow(
        **values, pieces=tuple(Piece(item=i, start=a, stop=b, shots=s) for i, a, b, s in pieces)
    )


def _cost(row: JobRow) -> Cost:
    return Cost(
        circuits=row.circuits,
        shots=row.shots,
        usd_low=row.usd_low,
        usd_high=row.usd_high,
        qpu_seconds_low=row.qpu_seconds_low,
        qpu_seconds_high=row.qpu_seconds_high,
        source=row.price_source,
    )
