"""Jobs at IBM."""

from __future__ import annotations

import time
from typing import Any

from qt_hw.errors import BadResult, InputError, JobFailed, TransientError
from qt_hw.execution.backend import Charge, Counts, Job, JobStatus
from qt_hw_ibm.failures import one_line
from qt_hw_ibm.pubs import counts_of
from qt_hw_ibm.service import Connection

__all__ = ["IbmJob"]

_STATUS = {
    "INITIALIZING": JobStatus.QUEUED,
    "QUEUED": JobStatus.QUEUED,
    "RUNNING": JobStatus.RUNNING,
    "DONE": JobStatus.DONE,
    "CANCELLED": JobStatus.CANCELLED,
    "ERROR": JobStatus.FAILED,
}

#: Seconds between two questions while a result is waited for.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0


class IbmJob(Job):
    """One job; everything about it is asked of IBM by its id."""

    def __init__(
        self,
        connection: Connection,
        id: str,
        *,
        vendor: Any = None,
        usd_per_second: float | None = None,
    ) -> None:
        """Take a job's id, and the vendor's object of it where there is one.

        Args:
            connection: To the device.
            id: IBM's.
            vendor: The client's object, from the present login.
            usd_per_second: Price of device time, if known.
        """
        self.id, self._connection, self._rate = id, connection, usd_per_second
        self._vendor, self._login = vendor, connection.login

    def _job(self) -> Any:
        from qiskit_ibm_runtime.exceptions import RuntimeJobNotFound

        service = self._connection.service
        if self._vendor is None or self._login != self._connection.login:
            try:
                self._vendor = service.job(self.id)
            except RuntimeJobNotFound:
                raise InputError(f"IBM knows no job {self.id!r} of this account") from None
            self._login = self._connection.login
        return self._vendor

    def look_up(self) -> None:
        """Check that IBM knows the job.

        Raises:
            InputError: It does not.
        """
        self._connection.ask(self._job, f"asking for job {self.id}")

    def status(self) -> JobStatus:
        """Return the present state without waiting.

        Raises:
            TransientError: IBM cannot be reached, or answers with a state that is not known.
            PermanentError: IBM refuses to answer.
        """
        state = self._connection.ask(lambda: self._job().status(), f"asking for job {self.id}")
        if state not in _STATUS:
            raise TransientError(f"IBM says that job {self.id} is {one_line(state)!r}")
        return _STATUS[state]

    def result(self) -> Counts:
        pause, status = _FIRST_PAUSE, self.status()
        while status in (JobStatus.QUEUED, JobStatus.RUNNING):
            time.sleep(pause)
            pause, status = min(2 * pause, _LONGEST_PAUSE), self.status()
        if status is not JobStatus.DONE:
            raise self._failure(status)
        try:
            return counts_of(self._fetch())
        except BadResult as error:
            raise BadResult(f"the result of job {self.id} is damaged: {error}") from error
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise BadResult(f"the result of job {self.id} does not fit: {error!r}") from error

    def _fetch(self) -> Any:
        """Return the decoded result."""
        wire = self._connection.wire

        def fetch() -> Any:
            try:
                return self._job().result()
            except Exception as error:
                # The service answered: what it sent cannot be read, in whatever way.
                if wire.exchanges and wire.failure is None:
                    raise BadResult(one_line(f"{type(error).__name__}: {error}")) from error
                raise

        return self._connection.ask(fetch, f"fetching the result of job {self.id}")

    def _failure(self, status: JobStatus) -> JobFailed:
        reason = self._connection.ask(
            lambda: self._job().error_message(), f"asking for job {self.id}"
        )
        cancelled = status is JobStatus.CANCELLED
        what = "was cancelled" if cancelled else "failed"
        text = f"job {self.id} {what} at {self._connection.device}"
        return JobFailed(f"{text}: {one_line(reason)}" if reason else text, cancelled=cancelled)

    def cancel(self) -> None:
        """Ask IBM to stop the job; a finished job stays as it is.

        Raises:
            TransientError: IBM cannot be reached.
            PermanentError: IBM refuses.
        """
        from qiskit_ibm_runtime.exceptions import RuntimeInvalidStateError

        def cancel() -> None:
            try:
                self._job().cancel()
            except RuntimeInvalidStateError:
                return

        self._connection.ask(cancel, f"cancelling job {self.id}")
        # The client now takes it for cancelled, whatever became of it.
        self._vendor = None

    def queue(self) -> str | None:
        """Return the job's place in the queue, or how many wait; None unless this one waits."""
        if self.status() is not JobStatus.QUEUED:
            return None
        connection, device = self._connection, self._connection.device
        place = self._metrics(f"asking for job {self.id}").get("position_in_queue")
        if place is not None:
            return f"place {place} in the queue of {device}"
        state = connection.ask(lambda: connection.backend.status(), f"asking for {device}")
        return f"{state.pending_jobs} jobs wait for {device}"

    def charge(self) -> Charge | None:
        """Return the device time that IBM charged, None while it has not settled.

        Raises:
            TransientError: IBM cannot be reached.
            PermanentError: IBM refuses to answer.
        """
        usage = self._metrics(f"asking for the usage of job {self.id}").get("usage") or {}
        charged, older_name = usage.get("qpu_charge_time_seconds"), usage.get("quantum_seconds")
        seconds = older_name if charged is None else charged
        if seconds is None or usage.get("status") == "pending":
            return None
        usd = None if self._rate is None else self._rate * float(seconds)
        return Charge(usd=usd, qpu_seconds=float(seconds), source="vendor")

    def _metrics(self, doing: str) -> dict[str, Any]:
        metrics = self._connection.ask(lambda: self._job().metrics(), doing)
        return metrics if isinstance(metrics, dict) else {}
