"""What the journal holds, as tables and as rows of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from qt_hw.execution.backend import Cost
from qt_hw.execution.splitting import Piece

__all__ = [
    "ENDED",
    "OPEN",
    "SCHEMA",
    "JobRow",
    "RequestRow",
    "cost_of",
    "job_row",
    "new_job",
    "new_request",
    "now",
]

#: The first state, and those of a job that may have reached the vendor.
OPEN = ("planned", "submitting", "submitted")
ENDED = ("done", "failed", "cancelled")

SCHEMA = (
    "create table if not exists meta (name text primary key, value text not null)",
    """create table if not exists requests (
  id text primary key, run text not null, step integer not null, label text not null,
  backend text not null, payload text not null, calibration text not null,
  created text not null)""",
    """create table if not exists jobs (
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
  unique (request, part, repetition, attempt))""",
    """create table if not exists duplicates (
  id text primary key, token text not null, cancelled integer not null,
  ended integer not null, usd real, qpu_seconds real, at text not null)""",
    """create table if not exists events (
  number integer primary key, at text not null, token text not null, state text not null,
  note text not null)""",
    "create index if not exists jobs_by_state on jobs (state)",
)


@dataclass(frozen=True, kw_only=True)
class RequestRow:
    """The batch of one step, as it was planned; ``calibration`` is that of its circuits."""

    id: str
    run: str
    step: int
    label: str
    backend: str
    payload: str
    calibration: str
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


def now() -> str:
    """Return the time for people: nothing is decided by it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_request(
    *, id: str, run: str, step: int, label: str, backend: str, payload: str, calibration: str = ""
) -> RequestRow:
    """Return the row of a request made now."""
    return RequestRow(
        id=id,
        run=run,
        step=step,
        label=label,
        backend=backend,
        payload=payload,
        calibration=calibration,
        created=now(),
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
        "created": now(),
    }


def job_row(row: sqlite3.Row) -> JobRow:
    """Return a row of the table."""
    values = dict(row)
    pieces = json.loads(values.pop("pieces"))
    return JobRow(
        **values, pieces=tuple(Piece(item=i, start=a, stop=b, shots=s) for i, a, b, s in pieces)
    )


def cost_of(rows: Iterable[JobRow]) -> Cost:
    """Return what jobs would cost together."""
    jobs = list(rows)
    return Cost(
        circuits=sum(row.circuits for row in jobs),
        shots=sum(row.shots for row in jobs),
        jobs=len(jobs),
        usd_low=sum(row.usd_low for row in jobs),
        usd_high=sum(row.usd_high for row in jobs),
        qpu_seconds_low=sum(row.qpu_seconds_low for row in jobs),
        qpu_seconds_high=sum(row.qpu_seconds_high for row in jobs),
        source=jobs[0].price_source if jobs else "",
    )
