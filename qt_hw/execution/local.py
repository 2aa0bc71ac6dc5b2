"""Backends that run in this process and are done when ``submit`` returns."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Any
from weakref import WeakValueDictionary

from qt_hw.errors import InputError
from qt_hw.execution.backend import Backend, Batch, Cost, Counts, Job, JobStatus
from qt_hw.execution.checks import check_job

__all__ = ["FinishedJob", "LocalBackend"]

#: Results that stay available to ``find`` and ``job`` although nobody holds them.
_KEPT_JOBS = 4
_KEPT_BYTES = 16 << 20


class FinishedJob(Job):
    """A job that ran when it was submitted."""

    def __init__(self, token: str, number: int, counts: Counts) -> None:
        """Keep the result of the ``number``-th submission."""
        self.id, self.token, self.number = f"{token}/{number}", token, number
        self._counts = counts

    def status(self) -> JobStatus:
        return JobStatus.DONE

    def result(self) -> Counts:
        return self._counts

    def cancel(self) -> None:
        """Do nothing: a finished job stays as it is."""


class LocalBackend(Backend):
    """Shared by simulators: checks, free of charge, the last few jobs kept in memory."""

    def __init__(self) -> None:
        """Start without jobs."""
        # Jobs that somebody holds; the last small ones are held here.
        self._jobs: WeakValueDictionary[str, FinishedJob] = WeakValueDictionary()
        self._kept: deque[FinishedJob] = deque(maxlen=_KEPT_JOBS)
        self._n_submitted = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave jobs out of copies and pickles: they belong to this object."""
        return {**self.__dict__, "_jobs": None, "_kept": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without jobs."""
        self.__dict__.update(state)
        self._jobs, self._kept = WeakValueDictionary(), deque(maxlen=_KEPT_JOBS)

    @abstractmethod
    def _run(self, batch: Batch) -> Counts:
        """Run a checked batch."""

    def _check(self, batch: Batch) -> None:
        check_job(batch, self.limits)

    def estimate(self, batch: Batch) -> Cost:
        """Return the number of circuits and shots; the price is zero."""
        return Cost(circuits=batch.n_circuits, shots=batch.n_shots)

    def submit(self, batch: Batch, token: str) -> Job:
        """Run ``batch`` and return its finished job.

        Raises:
            InputError: An item has wrong bindings, shots, or gates; or the token is empty.
            PreflightError: An item exceeds the limits; all reasons at once.
        """
        if not isinstance(token, str) or not token:
            raise InputError(f"a token is a non-empty text, not {token!r}")
        self._check(batch)
        counts = self._run(batch)
        self._n_submitted += 1
        job = FinishedJob(token, self._n_submitted, counts)
        self._jobs[job.id] = job
        if sum(array.nbytes for array in counts.arrays) <= _KEPT_BYTES:
            self._kept.append(job)
        return job

    def find(self, token: str) -> list[Job]:
        """Return the kept jobs of this object that carry ``token``, oldest first."""
        found = [job for job in self._jobs.values() if job.token == token]
        found.sort(key=lambda job: job.number)
        return [*found]

    def job(self, id: str) -> Job:
        """Return a kept job.

        Raises:
            InputError: No such job; a simulator's jobs end with the process.
        """
        if id not in self._jobs:
            raise InputError(
                f"{self.name} has no job {id!r}: a simulator's jobs end with their process; "
                "submit again"
            )
        return self._jobs[id]
