"""Paid jobs: priced, capped and journalled before the request, submitted once, collected whenever.

A request is the batch of one step; it becomes one job or several. Every method may be called
again after a crash at any instant, by another process: what the journal says is done is not done
twice, and what it leaves open is settled by asking the vendor for the job's token.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import BadResult, InputError, PreflightError, QtHwError
from qt_hw.execution.assembly import assemble, job_batch, missing
from qt_hw.execution.backend import Backend, Batch, Cost, Counts, Prepared
from qt_hw.execution.budget import Cap
from qt_hw.execution.canonical import digest, key_of, payload, token_of
from qt_hw.execution.checks import check_shots
from qt_hw.execution.collecting import Collector
from qt_hw.execution.journal import JobRow, Journal, RequestRow, new_job, new_request
from qt_hw.execution.rows import cost_of
from qt_hw.execution.sending import Sender
from qt_hw.execution.splitting import PlannedJob, split
from qt_hw.execution.store import Store
from qt_hw.storage import locked

__all__ = ["Dispatcher"]

_HINT = "its jobs are being submitted: wait for it, then repeat the command"


class Dispatcher:
    """Submits the requests of one run and collects what comes back.

    Attributes:
        backend: Where jobs run.
        journal: What was planned, sent and paid.
        store: Batches and counts.
        cap: What may be spent in all, over everything in the journal.
        run: Identity of the run in tokens; made once, kept in the journal.
        say: Told in one line what a user should know.
        sleep: Waits.
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
        settle = backend.limits.settle_seconds if settle_seconds is None else settle_seconds
        self.backend, self.cap, self.say, self.sleep = backend, cap, say, sleep
        self.journal = Journal(journal or folder / "journal.sqlite")
        self.store = Store(folder / "results")
        self.run = run or self.journal.remember("run", uuid4().hex)
        self._sender = Sender(
            backend,
            self.journal,
            run=self.run,
            cap=cap,
            settle_seconds=settle,
            say=say,
            sleep=sleep,
        )
        self._collector = Collector(backend, self.journal, self.store, self._sender)

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    # Planning

    def prepare(self, ansatz: Ansatz, scope: str = "") -> Prepared:
        """Return the circuit as this run first prepared it for ``scope``."""
        return self.store.prepare(self.backend, ansatz, scope)

    def request_id(self, batch: Batch, step: int) -> str:
        """Return the id that ``plan`` gives the request of this batch and step."""
        return digest(self.run, step, payload(batch))

    def plan(self, batch: Batch, step: int, label: str, calibration: str = "") -> RequestRow:
        """Record what ``batch`` needs; the same batch of the same step is the same request.

        Raises:
            InputError: See ``check_batch`` and ``circuit_bytes``; or the circuits cannot be stored
                without a loss, or the request was planned for another backend.
            PreflightError: A limit is exceeded.
            StorageError: It cannot be recorded.
        """
        # Numbers of numpy, which neither JSON nor SQLite takes, become plain ones.
        items = tuple(replace(item, shots=check_shots(item.shots)) for item in batch.items)
        batch, step = Batch(items=items, seed=batch.seed), int(step)
        content = payload(batch)
        id = digest(self.run, step, content)
        found = self.journal.request(id)
        if found is not None:
            return self._of_this_backend(found)
        planned = split(batch, self.backend.limits, self.backend.bindings_per_job)
        request = new_request(
            id=id,
            run=self.run,
            step=step,
            label=label,
            backend=self.backend.name,
            payload=content,
            calibration=calibration,
        )
        self.store.save_batch(id, batch)
        if payload(self._collector.batch(id)) != content:
            raise InputError("the circuits change when they are stored; decompose their gates")
        self.journal.plan(request, [self._new_job(request, job, attempt=0) for job in planned])
        found = self.journal.request(id)
        assert found is not None
        return self._of_this_backend(found)

    def _of_this_backend(self, request: RequestRow) -> RequestRow:
        if request.backend != self.backend.name:
            raise InputError(
                f"{request.label} was planned for {request.backend}, not for {self.backend.name}: "
                "choose another --out for another backend"
            )
        return request

    def _new_job(self, request: RequestRow, job: PlannedJob, *, attempt: int) -> dict[str, object]:
        content = payload(job.batch)
        place = (self.run, request.step, job.part, job.repetition)
        return new_job(
            token=token_of(*place, attempt, content),
            request=request.id,
            place=(job.part, job.repetition, attempt),
            payload=content,
            key=key_of(*place, content, self.backend.name, request.calibration),
            pieces=job.pieces,
            cost=self.backend.estimate(job.batch),
        )

    # Submitting

    def submit(self, request: RequestRow) -> None:
        """Submit all jobs of ``request`` that are not on their way yet.

        Raises:
            BudgetExceeded: They would cross the cap; none was sent.
            PreflightError: The device takes nothing now.
            TransientError: The vendor refused for too long.
            PermanentError: The vendor refused.
            AmbiguousSubmission: There may be a job or not; the next call asks again.
            StorageError: Another process is submitting, or the journal cannot be written.
        """
        if not self._in_state(request, "planned", "submitting"):
            return
        self._of_this_backend(request)
        with locked(self.store.folder, _HINT):
            for row in self._in_state(request, "submitting"):
                self._sender.recover(row)
            if rows := self._in_state(request, "planned"):
                self._send(request, rows)

    def _send(self, request: RequestRow, rows: list[JobRow]) -> None:
        batch = self._collector.batch(request.id)
        batches = [job_batch(batch, row) for row in rows]
        rows = [self._at_todays_price(*pair) for pair in zip(rows, batches, strict=True)]
        self._sender.check(rows)
        if reasons := self.backend.preflight():
            raise PreflightError(reasons)
        with self.backend.grouped(len(rows)):
            for row, part in zip(rows, batches, strict=True):
                self._sender.send(row, part)

    def _at_todays_price(self, row: JobRow, batch: Batch) -> JobRow:
        """Return a job that was planned, perhaps long ago, with what it costs now."""
        cost = replace(self.backend.estimate(batch), jobs=1)
        if cost == cost_of([row]):
            return row
        self.journal.reprice(row.token, cost)
        return self.journal.job(row.token)

    def _in_state(self, request: RequestRow, *states: str) -> list[JobRow]:
        return [row for row in self.journal.jobs(request.id) if row.state in states]

    # Collecting

    def poll(self, request: RequestRow) -> list[tuple[JobRow, QtHwError]]:
        """Ask once for every job that is on its way; store what has come back.

        Returns:
            Jobs for which that failed, each with its error: a ``TransientError``, a ``BadResult``,
            or the ``InputError`` of a job that the vendor does not know. They stay open.

        Raises:
            PermanentError: The vendor refuses to answer.
            StorageError: A result cannot be stored; its job stays open.
        """
        return self._collector.poll(self._in_state(request, "submitted"))

    def update(self, request: RequestRow) -> None:
        """Do as ``poll``, and raise the first error after all jobs were asked for."""
        for _, error in self.poll(request):
            raise error

    def update_charges(self) -> None:
        """Ask for what finished jobs of this backend cost, where that is not known yet.

        Raises:
            TransientError: The vendor cannot be reached.
            PermanentError: The vendor refuses to answer.
        """
        self._sender.learn_charges()

    def counts(self, request: RequestRow) -> Counts | None:
        """Return the counts of ``request``, None unless every binding has all its shots.

        Raises:
            StorageError: A stored result is damaged, and the vendor does not give it again.
        """
        rows = [row for row in self.journal.jobs(request.id) if row.result is not None]
        if not rows:
            return None
        results = [(row, self._collector.stored(row)) for row in rows]
        return assemble(self._collector.batch(request.id), results)

    def failed(self, request: RequestRow) -> list[JobRow]:
        """Return the last attempts that failed or were cancelled."""
        last = {(row.part, row.repetition): row for row in self.journal.jobs(request.id)}
        return [row for row in last.values() if row.state in ("failed", "cancelled")]

    # What only the user asks for

    def cancel(self, row: JobRow) -> None:
        """Ask the vendor to stop a job; one that is only planned never leaves.

        Raises:
            AmbiguousSubmission: It is not known whether there is a job.
            TransientError: The vendor cannot be reached.
            PermanentError: The vendor refuses.
            StorageError: Another process is submitting it.
        """
        row = self.journal.job(row.token)
        if row.state == "planned":
            self.journal.withdraw(row, "cancelled before it was sent")
            return
        if row.state == "submitting":
            with locked(self.store.folder, _HINT):
                self._sender.recover(row)
            self.cancel(row)
            return
        if row.state == "submitted":
            assert row.id is not None
            self.backend.job(row.id).cancel()
            self.journal.note(row.token, "cancelling")

    def retry(self, request: RequestRow, row: JobRow) -> None:
        """Plan a failed or cancelled job again: what is missing of it, under a new token.

        Raises:
            InputError: The job neither failed nor was cancelled, or was retried already.
        """
        again = self._missing(request, row)
        self.journal.plan_again([self._new_job(request, again, attempt=row.attempt + 1)])

    def price_of_retry(self, request: RequestRow, row: JobRow) -> Cost:
        """Return what ``retry`` would cost.

        Raises:
            InputError: See ``retry``.
        """
        return self.backend.estimate(self._missing(request, row).batch)

    def _missing(self, request: RequestRow, row: JobRow) -> PlannedJob:
        """Return what is missing of a failed job, as a job."""
        self._of_this_backend(request)
        row = self.journal.job(row.token)
        if row.token not in {failed.token for failed in self.failed(request)}:
            raise InputError(
                f"{row.token} is {row.state}: only failed or cancelled jobs are retried, once each"
            )
        got = None if row.result is None else self._collector.stored(row)
        again = missing(self._collector.batch(request.id), row, got)
        if not again.pieces:
            raise InputError(f"{row.token} has all its counts: there is nothing to retry")
        return again

    def give_up(self, row: JobRow, reason: str) -> None:
        """Call a job failed that ended at the vendor but whose result stays damaged or lost.

        A result that can be stored after all is stored instead.

        Args:
            row: A submitted job.
            reason: For the journal.

        Raises:
            InputError: The job was not submitted, or has not ended.
            TransientError: The vendor cannot be reached.
            PermanentError: The vendor refuses to answer.
        """
        if row.state != "submitted":
            raise InputError(f"{row.token} is {row.state}: only a submitted job can be given up")
        try:
            self._collector.collect(row)
        except (BadResult, InputError) as error:
            self.journal.end(row.token, "failed", note=f"given up ({reason}): {error}")
            return
        if self.journal.job(row.token).state == "submitted":
            raise InputError(f"{row.id} is still queued or running: cancel it first")
