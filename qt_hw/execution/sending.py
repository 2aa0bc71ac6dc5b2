"""Requests on their way out: reserved, sent once, every doubt settled by the vendor's search."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from qt_hw.errors import (
    AmbiguousSubmission,
    BackendError,
    BudgetExceeded,
    InputError,
    PermanentError,
    PreflightError,
    QtHwError,
    TransientError,
)
from qt_hw.execution.backend import Backend, Batch, Job, JobStatus
from qt_hw.execution.budget import Cap
from qt_hw.execution.journal import JobRow, Journal

__all__ = ["ENDED_AT_VENDOR", "Sender"]

#: Seconds between searches for a job whose request was not answered, and between attempts at a
#: request that was refused for now.
_SEARCH_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_REFUSED_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0, 60.0)

ENDED_AT_VENDOR = (JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED)


class Sender:
    """Sends jobs and finds those of which it is not known whether they were sent."""

    def __init__(
        self,
        backend: Backend,
        journal: Journal,
        *,
        run: str,
        cap: Cap,
        settle_seconds: float,
        say: Callable[[str], None],
        sleep: Callable[[float], None],
    ) -> None:
        """See ``Dispatcher``."""
        self.backend, self.journal, self.run, self.cap = backend, journal, run, cap
        self._settle, self.say, self._sleep = settle_seconds, say, sleep

    # Money

    def check(self, rows: Sequence[JobRow]) -> None:
        """Check that all of ``rows`` fit under the cap: part of a step is of no use.

        Raises:
            BudgetExceeded: They do not; nothing was sent.
        """
        self._with_charges(lambda: self.journal.check(rows, self.cap))

    def _with_charges(self, act: Callable[[], None]) -> None:
        """Act; where the cap forbids it, ask first what ended jobs really cost."""
        try:
            act()
            return
        except BudgetExceeded as error:
            refusal = error
        try:
            self.learn_charges()
        except QtHwError:  # what the user needs to know is the refusal
            raise refusal from None
        act()

    def learn_charges(self) -> None:
        """Ask for what ended jobs on this backend cost, where that is not known yet.

        Those of the other runs that share the journal too: they count against the same cap.
        """
        runs = self.run.partition("/")[0]
        for row in self.journal.uncharged(runs, self.backend.name):
            assert row.id is not None
            with contextlib.suppress(InputError):  # forgotten by the vendor: it stays unknown
                charge = self.backend.job(row.id).charge()
                if charge is not None:
                    self.journal.charge(row.token, charge)
        for second in self.journal.uncharged_duplicates(runs, self.backend.name):
            with contextlib.suppress(InputError):
                self._record_second(second["token"], self.backend.job(second["id"]))

    def _record_second(self, token: str, job: Job) -> JobStatus:
        status = job.status()
        ended = status in ENDED_AT_VENDOR
        charge = job.charge() if ended else None
        stopped = status in (JobStatus.CANCELLED, JobStatus.FAILED)
        self.journal.duplicate(token, job.id, stopped, ended=ended, charge=charge)
        return status

    def _tell_what_is_left(self, row: JobRow) -> None:
        if self.cap.max_qpu_seconds is not None:
            totals = self.journal.totals()
            others = totals.qpu_seconds_spent + totals.qpu_seconds_queued - row.qpu_seconds_high
            self.backend.remaining_seconds = self.cap.max_qpu_seconds - others

    # Sending

    def send(self, row: JobRow, batch: Batch) -> None:
        """Reserve the money, send one request, record its job.

        Whatever else than a refusal comes out of the backend leaves the job in doubt, and the
        journal says so already: the next ``recover`` asks the vendor.

        Raises:
            BudgetExceeded: The cap would be crossed; nothing was sent.
            TransientError: The vendor refused for too long.
            PermanentError: The vendor refused.
            AmbiguousSubmission: There may be a job or not.
        """
        for pause in (*_REFUSED_PAUSES, None):
            self._with_charges(lambda: self.journal.reserve(row.token, self.cap))
            self._tell_what_is_left(row)
            try:
                job = self.backend.submit(batch, row.token)
            except (TransientError, PermanentError) as error:
                if self._made_one_after_all(row, error):
                    return
                self.journal.release(row.token, str(error))
                if pause is None or isinstance(error, PermanentError):
                    raise
                self.say(f"{error}; the same request is sent in {pause:.0f} s")
                self._sleep(pause)
            except (InputError, PreflightError) as error:
                self.journal.release(row.token, str(error))
                raise
            except AmbiguousSubmission as error:
                self._settle_doubt(row, error)
                return
            else:
                self._sent(row, job)
                return

    def _made_one_after_all(self, row: JobRow, error: QtHwError) -> bool:
        """Find the job of a refused request where the client may have sent it twice."""
        if not self.backend.limits.may_duplicate:
            return False
        jobs = self.search(row, f"{error}; looking for a job of an earlier attempt")
        if jobs:
            self.adopt(row, jobs)
        return bool(jobs)

    def _sent(self, row: JobRow, job: Job) -> None:
        self.journal.adopt(row.token, job.id)
        if not self.backend.limits.may_duplicate:
            return
        try:
            found = self.backend.find(row.token)
        except BackendError as error:
            self.say(f"second jobs of {row.token} are looked for when it ends ({error})")
            return
        known = any(other.id == job.id for other in found)
        self.adopt(row, found if known else [*found, job])

    def _settle_doubt(self, row: JobRow, error: AmbiguousSubmission) -> None:
        """Ask for the job of a request whose reply was lost."""
        jobs = self.search(row, f"{error}; looking for its job")
        if not jobs:
            raise AmbiguousSubmission(
                f"{error}; no job was found for {row.token} so far, and nothing is sent again now: "
                "repeat the command to look once more"
            ) from error
        self.adopt(row, jobs)

    # Finding

    def recover(self, row: JobRow) -> None:
        """Settle a request that another process sent, or was about to send, when it ended.

        Raises:
            AmbiguousSubmission: The vendor cannot be asked.
        """
        if self.journal.job(row.token).state != "submitting":
            return
        jobs = self.search(row, f"looking for the job of {row.token}, sent when a process ended")
        if jobs:
            self.adopt(row, jobs)
        else:
            self.journal.release(row.token, "no job carries the token: the request never arrived")

    def search(self, row: JobRow, why: str) -> list[Job]:
        """Return the jobs of a token; wait for the vendor's search to settle before saying none.

        Raises:
            AmbiguousSubmission: The vendor cannot be asked.
        """
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

    # One job for each token

    def adopt(self, row: JobRow, jobs: Sequence[Job]) -> None:
        """Take the first job of a token; stop and report the others."""
        first, *others = jobs
        if self.journal.job(row.token).id != first.id:
            self.journal.adopt(row.token, first.id)
        self._stop(row.token, first.id, others)

    def look_again(self, row: JobRow) -> None:
        """Look for second jobs of one that ended: a search right after a request may miss them."""
        open_ones = [second for second in self.journal.duplicates(row.token) if not second["ended"]]
        if not open_ones and not self.backend.limits.may_duplicate:
            return
        assert row.id is not None
        try:
            jobs = self.backend.find(row.token)
        except BackendError as error:
            self.say(f"it is not known whether {row.id} has a second job ({error})")
            return
        self._stop(row.token, row.id, [job for job in jobs if job.id != row.id])

    def _stop(self, token: str, kept: str, others: Sequence[Job]) -> None:
        settled = {entry["id"] for entry in self.journal.duplicates(token) if entry["ended"]}
        for job in others:
            if job.id in settled:
                continue
            self.journal.duplicate(token, job.id, cancelled=False)
            try:
                job.cancel()
                end = _END.get(self._record_second(token, job), "it is being cancelled")
            except BackendError as error:
                end = f"it is not cancelled yet ({error})"
            self.say(f"two jobs carry {token}: {kept} was kept, of {job.id}: {end}")


_END = {
    JobStatus.CANCELLED: "it was cancelled",
    JobStatus.FAILED: "it had failed",
    JobStatus.DONE: "it could not be stopped and may be billed",
}
