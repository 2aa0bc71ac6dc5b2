"""Jobs on their way back: asked for, checked, stored, and only then called done."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from qt_hw.errors import (
    BackendError,
    BadResult,
    InputError,
    JobFailed,
    QtHwError,
    StorageError,
    TransientError,
)
from qt_hw.execution.assembly import check_counts, job_batch
from qt_hw.execution.backend import Backend, Batch, Counts, Job
from qt_hw.execution.journal import JobRow, Journal
from qt_hw.execution.sending import ENDED_AT_VENDOR, Sender
from qt_hw.execution.store import Store

__all__ = ["Collector"]


class Collector:
    """Fetches what the vendor has, and counts again what is stored."""

    def __init__(self, backend: Backend, journal: Journal, store: Store, sender: Sender) -> None:
        """See ``Dispatcher``."""
        self.backend, self.journal, self.store, self._sender = backend, journal, store, sender
        self._batch: tuple[str, Batch] | None = None

    def batch(self, request: str) -> Batch:
        """Return the batch of a request; the last one is kept.

        Raises:
            StorageError: Its file is missing or damaged.
        """
        if self._batch is None or self._batch[0] != request:
            self._batch = request, self.store.load_batch(request)
        return self._batch[1]

    def poll(self, rows: Sequence[JobRow]) -> list[tuple[JobRow, QtHwError]]:
        """Ask once for every job that is on its way; return those for which that failed.

        Raises:
            PermanentError: The vendor refuses to answer.
            StorageError: A result cannot be stored; its job stays open.
        """
        problems: list[tuple[JobRow, QtHwError]] = []
        for row in rows:
            if row.state != "submitted":
                continue
            try:
                self.collect(row)
            except (BadResult, InputError, TransientError) as error:
                problems.append((row, error))
        return problems

    def collect(self, row: JobRow) -> None:
        """Store what came back of a job, if it has ended.

        Raises:
            BadResult: It is damaged; the job stays open.
            InputError: The vendor knows no such job.
            TransientError: The vendor cannot be reached.
            PermanentError: The vendor refuses to answer.
            StorageError: It cannot be stored; the job stays open.
        """
        assert row.id is not None
        job = self.backend.job(row.id)
        if job.status() not in ENDED_AT_VENDOR:
            return
        self._sender.look_again(row)
        state, counts, note = _fetch(job, job_batch(self.batch(row.request), row))
        stored = None if counts is None else self._save(row, counts)
        charge = None
        with contextlib.suppress(BackendError):  # asked again by ``learn_charges``
            charge = job.charge()
        self.journal.end(row.token, state, result=stored, note=note, charge=charge)
        if note:
            self._sender.say(f"{row.id}: {note}")

    def _save(self, row: JobRow, counts: Counts) -> tuple[str, str]:
        return self.store.save_counts(f"{row.key}-{row.attempt}", counts)

    def stored(self, row: JobRow) -> Counts:
        """Return what came back of a job, fetched once more where the file is damaged.

        Raises:
            StorageError: The file is damaged, and the vendor does not give it again.
        """
        assert row.result is not None and row.result_sha256 is not None
        try:
            return self.store.load_counts(row.result, row.result_sha256)
        except StorageError as error:
            try:
                return self._fetch_again(row)
            except (BackendError, InputError):
                raise error from None

    def _fetch_again(self, row: JobRow) -> Counts:
        assert row.id is not None
        job = self.backend.job(row.id)
        _, counts, _ = _fetch(job, job_batch(self.batch(row.request), row))
        if counts is None:
            raise BadResult(f"{row.id} has no result any more")
        self.journal.replace_result(row.token, self._save(row, counts))
        self._sender.say(f"the stored result of {row.id} was damaged; it was fetched once more")
        return counts


def _fetch(job: Job, batch: Batch) -> tuple[str, Counts | None, str]:
    """Return how a job ended, what came back, and why it failed."""
    try:
        counts = job.result()
    except JobFailed as failure:
        partial, state = failure.partial, "cancelled" if failure.cancelled else "failed"
        if partial is None:
            return state, None, str(failure)
        check_counts(partial, batch, complete=False)
        rows = [array.any(axis=1) for array in partial.arrays]
        if all(row.all() for row in rows):
            return "done", partial, f"{failure}; but everything came back"
        return state, partial if any(row.any() for row in rows) else None, str(failure)
    check_counts(counts, batch, complete=True)
    return "done", counts, ""
