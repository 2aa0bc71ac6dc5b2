"""What the journal tells: requests, jobs, events, and what all of it cost."""

from __future__ import annotations

from typing import Any

from qt_hw.errors import StorageError
from qt_hw.execution.budget import Totals
from qt_hw.execution.database import Database
from qt_hw.execution.rows import JobRow, RequestRow, job_row

__all__ = ["Reader"]

# An ended job counts with its charge, or at the high estimate as long as that is not known; so
# does a second job of a token, at the estimate of the first. Planned jobs have cost nothing.
_TOTALS = """
select
  coalesce(sum(case when sent = 0 then coalesce(usd, usd_high) end), 0.0) as usd_spent,
  coalesce(sum(case when sent = 1 then coalesce(usd, usd_high) end), 0.0) as usd_queued,
  coalesce(sum(case when sent = 0 then coalesce(seconds, seconds_high) end), 0.0)
    as qpu_seconds_spent,
  coalesce(sum(case when sent = 1 then coalesce(seconds, seconds_high) end), 0.0)
    as qpu_seconds_queued
from (
  select state in ('submitting', 'submitted') as sent, usd, usd_high, qpu_seconds as seconds,
    qpu_seconds_high as seconds_high
  from jobs where state != 'planned'
  union all
  select 0, d.usd, j.usd_high, d.qpu_seconds, j.qpu_seconds_high
  from duplicates d join jobs j using (token))
"""


class Reader:
    """Reads a journal; oldest first, by the order of writing rather than by any clock."""

    def __init__(self, db: Database) -> None:
        """Read ``db``."""
        self._db, self.path = db, db.path

    def requests(self, run: str | None = None) -> list[RequestRow]:
        """Return the requests of ``run`` (of all runs), oldest first."""
        rows = self._db.read(
            "select * from requests where ?1 is null or run = ?1 order by rowid", run
        )
        return [RequestRow(**dict(row)) for row in rows]

    def request(self, id: str) -> RequestRow | None:
        """Return the request with this id, None if there is none."""
        rows = self._db.read("select * from requests where id = ?", id)
        return RequestRow(**dict(rows[0])) if rows else None

    def jobs(self, request: str | None = None) -> list[JobRow]:
        """Return the jobs of ``request`` (of all requests), oldest first."""
        where = "" if request is None else "where request = ?"
        values = () if request is None else (request,)
        rows = self._db.read(f"select * from jobs {where} order by number", *values)
        return [job_row(row) for row in rows]

    def job(self, token: str) -> JobRow:
        """Return the job with this token.

        Raises:
            StorageError: There is none.
        """
        rows = self._db.read("select * from jobs where token = ?", token)
        if not rows:
            raise StorageError(f"the journal {self.path} has no job {token}")
        return job_row(rows[0])

    def uncharged(self, run: str, backend: str) -> list[JobRow]:
        """Return the ended jobs of ``run`` on ``backend`` whose charge is not known.

        Runs ``run/…`` count too.
        """
        rows = self._db.read(
            "select j.* from jobs j join requests r on r.id = j.request "
            "where (r.run = ?1 or r.run like ?1 || '/%') and r.backend = ?2 "
            "and j.state in ('done', 'failed', 'cancelled') "
            "and j.id is not null and j.usd is null and j.qpu_seconds is null order by j.number",
            run,
            backend,
        )
        return [job_row(row) for row in rows]

    def duplicates(self, token: str | None = None) -> list[dict[str, Any]]:
        """Return second jobs that carried the token of a first, oldest first.

        Each has ``id``, ``token``, ``cancelled`` (before it was billed), ``ended`` (nothing more
        will happen to it), ``usd`` and ``qpu_seconds`` (None while not known), ``at``.
        """
        rows = self._db.read(
            "select * from duplicates where ?1 is null or token = ?1 order by rowid", token
        )
        return [dict(row) for row in rows]

    def uncharged_duplicates(self, run: str, backend: str) -> list[dict[str, Any]]:
        """Return the second jobs of ``run`` on ``backend`` whose charge is not known."""
        rows = self._db.read(
            "select d.* from duplicates d join jobs j using (token) "
            "join requests r on r.id = j.request "
            "where (r.run = ?1 or r.run like ?1 || '/%') and r.backend = ?2 "
            "and d.usd is null and d.qpu_seconds is null order by d.rowid",
            run,
            backend,
        )
        return [dict(row) for row in rows]

    def events(self, token: str | None = None) -> list[dict[str, Any]]:
        """Return every transition so far, oldest first."""
        rows = self._db.read(
            "select * from events where ?1 is null or token = ?1 order by number", token
        )
        return [dict(row) for row in rows]

    def totals(self) -> Totals:
        """Return what was spent and what open jobs may still cost, over all runs."""
        return Totals(**dict(self._db.read(_TOTALS)[0]))
