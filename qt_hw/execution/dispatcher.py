"""Paid jobs: priced, capped and journalled before the request, submitted once, collected whenever.

A request is the batch of one step; it becomes one job or several. Every method may be called
again after a crash at any instant, by another process: what the journal says is done is not done
twice, and what it leaves open is settled by asking the vendor for the job's token.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import (
    AmbiguousSubmission,
    InputError,
    JobFailed,
    PermanentError,
    PreflightError,
    QtHwError,
    TransientError,
)
from qt_hw.execution.assembly import assemble, check_counts, job_batch, missing
from qt_hw.execution.backend import Backend, Batch, Counts, Job, JobStatus, Prepared
from qt_hw.execution.budget import Cap
from qt_hw.execution.canonical import digest, key_of, payload, token_of
from qt_hw.execution.journal import (
    ENDED,
    JobRow,
    Journal,
    RequestRow,
    new_job,
    new_request,
)
from qt_hw.execution.splitting import PlannedJob, split
from qt_hw.execution.store import Store

__all__ = ["Dispatcher"]

#: Seconds between searches for a job whose request was not answered, and between attempts at a
#: request that was refused for now.
_SEARCH_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_REFUSED_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0, 60.0)


class Dispatcher:
    """Submits the requests of one run and collects what comes back.

    Attributes:
        backend: Where jobs run.
        journal: What was planned, sent and paid.
        store: Batches and counts.
        cap: What may be spent in all, over everything in the journal.
        run: Identity of the run in tokens; made once, kept in the journal.
        say: Told in one line what a user should know.
    """

    def __init__(
        self,
        backend: Backend,
        folder: Path,
        *,
        cap: Cap,
        journal: Path | None = None,
        run: str | None = None,
        settle_seconds: float | None = None,
        say: Callable[[str], None] = lambda text: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Open the journal of ``folder``.

        Args:
            backend: Where jobs run.
            folder: A run folder; counts go into ``results``.
            cap: What may be spent in all.
            journal: Another file for the journal: one that several runs share.
            run: Identity of the run, needed where a journal is shared.
            settle_seconds: In place of the backend's.
            say: Told in one line what a user should know.
            sleep: Waits.
        """
        self.backend, self.cap = backend, cap
        self.journal = Journal(journal or folder / "journal.sqlite")
        self.store = Store(folder / "results")
        self.run = run or self.journal.remember("run", uuid4().hex)
        limits = backend.limits
        self._settle = limits.settle_seconds if settle_seconds is None else settle_seconds
        self.say, self._sleep = say, sleep

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    # Planning

    def prepare(self, ansatz: Ansatz) -> Prepared:
        """Return the circuit as this run first prepared it."""
        return self.store.prepare(self.backend, ansatz)

    def plan(self, batch: Batch, step: int, label: str, calibration: str = "") -> RequestRow:
        """Record what ``batch`` needs; the same batch of the same step is the same request.

        Raises:
            InputError: See ``check_batch``.
            PreflightError: A limit is exceeded.
        """
        content = payload(batch)
        id = digest(self.run, step, content)
        for row in self.journal.requests(self.run):
            if row.id == id:
                return row
        planned = split(batch, self.backend.limits, self.backend.bindings_per_job)
        request = new_request(
            id=id, run=self.run, step=step, label=label, backend=self.backend.name, payload=content
        )
        self.store.save_batch(id, batch)
        jobs = [self._new_job(request, job, attempt=0, calibration=calibration) for job in planned]
        self.journal.plan(request, jobs)
        return request

    def _new_job(
        self, request: RequestRow, job: PlannedJob, *, attempt: int, calibration: str
    ) -> dict[str, object]:
        content = payload(job.batch)
        place = (self.run, request.step, job.part, job.repetition)
        return new_job(
            token=token_of(*place, attempt, content),
            request=request.id,
            place=(job.part, job.repetition, attempt),
            payload=content,
            key=key_of(*place, content, self.backend.name, calibration),
            pieces=job.pieces,
            cost=self.backend.estimate(job.batch),
        )

    # Submitting

    def submit(self, request: RequestRow) -> None:
        """Submit all jobs of ``request`` that are not on their way yet.

        Raises:
            BudgetExceeded: The next job would cross the cap; it was not sent.
            PreflightError: The device takes nothing now.
            TransientError: The vendor refused for too long.
            PermanentError: The vendor refused.
            AmbiguousSubmission: There may be a job or not; the next call asks again.
        """
        waiting = [row for row in self.journal.jobs(request.id) if row.state == "planned"]
        unknown = [row for row in self.journal.jobs(request.id) if row.state == "submitting"]
        if not waiting and not unknown:
            return
        batch = self.store.load_batch(request.id)
        for row in unknown:
            self._recover(row)
        again = [row for row in self.journal.jobs(request.id) if row.state == "planned"]
        if again and (reasons := self.backend.preflight()):
            raise PreflightError(reasons)
        with self.backend.grouped(len(again)):
            for row in again:
                self._send(row, job_batch(batch, row))

    def _recover(self, row: JobRow) -> None:
        """Settle a request that another process sent, or was about to send, when it ended."""
        jobs = self._search(row, f"looking for the job of {row.token}, sent when a process ended")
        if jobs:
            self._adopt(row, jobs)
        else:
            self.journal.release(row.token, "no job carries the token: the request never arrived")

    def _send(self, row: JobRow, batch: Batch) -> None:
        """Reserve the money, send one request, record its job."""
        for pause in (*_REFUSED_PAUSES, None):
            self.journal.reserve(row.token, self.cap)
            self._tell_what_is_left(row)
            try:
                job = self.backend.submit(batch, row.token)
            except TransientError as error:
                self.journal.release(row.token, str(error))
                if pause is None:
                    raise
                self.say(f"{error}; the same request is sent in {pause:.0f} s")
                self._sleep(pause)
                continue
            except (PermanentError, InputError, PreflightError) as error:
                self.journal.release(row.token, str(error))
                raise
            except AmbiguousSubmission as error:
                self._settle_doubt(row, error)
                return
            self.journal.adopt(row.token, job.id)
            if self.backend.limits.may_duplicate:
                self._adopt(row, self.backend.find(row.token) or [job])
            return

    def _tell_what_is_left(self, row: JobRow) -> None:
        if self.cap.max_qpu_seconds is not None:
            totals = self.journal.totals()
            others = totals.qpu_seconds_spent + totals.qpu_seconds_queued - row.qpu_seconds_high
            self.backend.remaining_seconds = self.cap.max_qpu_seconds - others

    def _settle_doubt(self, row: JobRow, error: AmbiguousSubmission) -> None:
        """Ask for the job of a request whose reply was lost."""
        jobs = self._search(row, f"{error}; looking for its job")
        if not jobs:
            raise AmbiguousSubmission(
                f"{error}; no job was found for {row.token} so far, and nothing is sent again now: "
                "repeat the command to look once more"
            ) from error
        self._adopt(row, jobs)

    def _search(self, row: JobRow, why: str) -> list[Job]:
        """Return the jobs of a token; wait for the vendor's search to settle before saying none."""
        waited, step = 0.0, 0
        self.say(why)
        while True:
            jobs = self._find(row)
            if jobs or waited >= self._settle:
                return jobs
            pause = min(_SEARCH_PAUSES[min(step, len(_SEARCH_PAUSES) - 1)], self._settle - waited)
            self._sleep(pause)
            waited, step = waited + pause, step + 1

    def _find(self, row: JobRow) -> list[Job]:
        try:
            return self.backend.find(row.token)
        except QtHwError as error:
            raise AmbiguousSubmission(
                f"it is not known whether {row.token} has a job, and the vendor cannot be asked "
                f"({error}); nothing is sent again: repeat the command later"
            ) from error

    def _adopt(self, row: JobRow, jobs: Sequence[Job]) -> None:
        """Take the first job of a token; stop and report the others."""
        first, *others = jobs
        self.journal.adopt(row.token, first.id)
        known = {entry["id"] for entry in self.journal.duplicates()}
        for second in others:
            if second.id in known:
                continue
            self.journal.duplicate(row.token, second.id, cancelled=False)
            second.cancel()
            stopped = second.status() in (JobStatus.CANCELLED, JobStatus.FAILED)
            self.journal.duplicate(row.token, second.id, cancelled=stopped)
            end = "it was cancelled" if stopped else "it could not be stopped and may be billed"
            self.say(f"two jobs carry {row.token}: {first.id} was kept, of {second.id}: {end}")

    # Collecting

    def update(self, request: RequestRow) -> None:
        """Ask once for every job that is on its way; store what has come back.

        Raises:
            TransientError: The vendor cannot be reached; nothing is lost.
            PermanentError: The vendor refuses to answer.
            BadResult: A result is damaged; its job stays open.
            StorageError: A result cannot be stored; its job stays open.
        """
        for row in self.journal.jobs(request.id):
            if row.state == "submitted":
                self._update(row, request)

    def _update(self, row: JobRow, request: RequestRow) -> None:
        assert row.id is not None
        job = self.backend.job(row.id)
        status = job.status()
        if status not in (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED):
            return
        batch = job_batch(self.store.load_batch(request.id), row)
        try:
            counts = job.result()
            check_counts(counts, batch, complete=True)
        except JobFailed as failure:
            stored = None
            if failure.partial is not None:
                check_counts(failure.partial, batch, complete=False)
                stored = self.store.save_counts(f"{row.key}-{row.attempt}", failure.partial)
            state = "cancelled" if failure.cancelled else "failed"
            self.journal.end(row.token, state, result=stored, note=str(failure))
            self.say(f"{row.token}: {failure}")
        else:
            stored = self.store.save_counts(f"{row.key}-{row.attempt}", counts)
            self.journal.end(row.token, "done", result=stored)
        self._charge(row.token, job)

    def _charge(self, token: str, job: Job) -> None:
        charge = job.charge()
        if charge is not None:
            self.journal.charge(token, charge)

    def update_charges(self) -> None:
        """Ask for what finished jobs cost, where that is not known yet."""
        mine = {request.id for request in self.journal.requests(self.run)}
        for row in self.journal.jobs():
            known = row.usd is not None or row.qpu_seconds is not None
            if row.request in mine and row.state in ENDED and row.id and not known:
                self._charge(row.token, self.backend.job(row.id))

    def counts(self, request: RequestRow) -> Counts | None:
        """Return the counts of ``request``, None unless every binding has all its shots.

        Raises:
            StorageError: A stored result is damaged.
        """
        rows = [row for row in self.journal.jobs(request.id) if row.result is not None]
        batch = self.store.load_batch(request.id)
        return assemble(batch, [(row, self._stored(row)) for row in rows])

    def _stored(self, row: JobRow) -> Counts:
        assert row.result is not None and row.result_sha256 is not None
        return self.store.load_counts(row.result, row.result_sha256)

    def failed(self, request: RequestRow) -> list[JobRow]:
        """Return the last attempts that failed or were cancelled."""
        last: dict[tuple[int, int], JobRow] = {}
        for row in self.journal.jobs(request.id):
            last[row.part, row.repetition] = row
        return [row for row in last.values() if row.state in ("failed", "cancelled")]

    # What only the user asks for

    def cancel(self, row: JobRow) -> None:
        """Ask the vendor to stop a job; one that is only planned never leaves."""
        if row.state == "planned":
            self.journal.end(row.token, "cancelled", note="cancelled before it was sent")
            return
        if row.state == "submitting":
            jobs = self._search(row, f"looking for the job of {row.token}")
            if not jobs:
                self.journal.end(row.token, "cancelled", note="no job carries the token")
                return
            self._adopt(row, jobs)
            row = self.journal.job(row.token)
        if row.state == "submitted":
            assert row.id is not None
            self.backend.job(row.id).cancel()
            self.journal.note(row.token, "cancelling")

    def retry(self, request: RequestRow, row: JobRow) -> None:
        """Plan a failed or cancelled job again: what is missing of it, under a new token.

        Raises:
            InputError: The job neither failed nor was cancelled, or was retried already.
        """
        if row not in self.failed(request):
            raise InputError(
                f"{row.token} is {row.state}: only failed or cancelled jobs are retried"
            )
        batch = self.store.load_batch(request.id)
        got = None if row.result is None else self._stored(row)
        job = missing(batch, row, got)
        again = self._new_job(request, job, attempt=row.attempt + 1, calibration="")
        again["key"] = row.key
        self.journal.plan_again([again])
