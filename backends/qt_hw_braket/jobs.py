"""A task of Amazon Braket as a job."""

from __future__ import annotations

import time
from typing import Any

from qt_hw.errors import BadResult, JobFailed, TransientError
from qt_hw.execution.backend import Charge, Counts, Job, JobStatus
from qt_hw_braket.pricing import Price
from qt_hw_braket.request import Shape
from qt_hw_braket.results import Failure, counts_of, document, read_circuits
from qt_hw_braket.service import Service

__all__ = ["BraketJob"]

_STATES = {
    "CREATED": JobStatus.QUEUED,
    "QUEUED": JobStatus.QUEUED,
    "RUNNING": JobStatus.RUNNING,
    "CANCELLING": JobStatus.RUNNING,
    "COMPLETED": JobStatus.DONE,
    "FAILED": JobStatus.FAILED,
    "CANCELLED": JobStatus.CANCELLED,
}
_ENDED = ("COMPLETED", "FAILED", "CANCELLED")

#: Seconds between two looks at a task that ``result`` waits for: the first, the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 60.0


class BraketJob(Job):
    """One task, rebuilt from its ARN; its tags say what it ran.

    Attributes:
        id: The task's ARN.
    """

    def __init__(self, service: Service, arn: str, shape: Shape, price: Price | None) -> None:
        """Know a task.

        Args:
            service: Where it runs.
            arn: Its name.
            shape: What it runs.
            price: Of its device, None if that is not known.
        """
        self.id = arn
        self._service, self._shape, self._price = service, shape, price
        self._task: dict[str, Any] = {}

    def _look(self) -> str:
        """Return the state of the task, asked for unless it has ended."""
        if self._task.get("status") not in _ENDED:
            self._task = self._service.task(self.id)
        return str(self._task["status"])

    def status(self) -> JobStatus:
        state = self._look()
        if state not in _STATES:
            raise TransientError(f"Amazon Braket says that the task {self.id} is {state[:40]!r}")
        return _STATES[state]

    def result(self) -> Counts:
        pause = _FIRST_PAUSE
        while (status := self.status()) in (JobStatus.QUEUED, JobStatus.RUNNING):
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return self._counts(status)

    def _counts(self, status: JobStatus) -> Counts:
        """Return what a task brought; a program set that did not end well may have brought a part.

        Raises:
            JobFailed: It failed or was cancelled, or some of its circuits failed.
            BadResult: See ``qt_hw_braket.results``.
        """
        folder = str(self._task["outputS3Directory"])
        name = f"{folder}/results.json"
        cancelled = status is JobStatus.CANCELLED
        ended_badly = status is not JobStatus.DONE
        reason = "" if cancelled else str(self._task.get("failureReason") or "")
        if ended_badly and (self._n_circuits == 1 or self._file(name) is None):
            raise self._failure(reason, cancelled=cancelled)
        circuits = read_circuits(self._document(name), self._document)
        shots = int(self._task["shots"]) // self._n_circuits
        counts = counts_of(circuits, self._shape, shots)
        failures = [circuit for circuit in circuits if isinstance(circuit, Failure)]
        if failures:
            why = f"{len(failures)} of {len(circuits)} circuits have no result: {failures[0]}"
            raise self._failure(why, cancelled=cancelled, partial=counts)
        if ended_badly:
            raise self._failure(reason, cancelled=cancelled, partial=counts)
        return counts

    @property
    def _n_circuits(self) -> int:
        return sum(rows for rows, _ in self._shape)

    def _failure(self, reason: str, *, cancelled: bool, partial: Counts | None = None) -> JobFailed:
        text = f"the task {self.id} " + ("was cancelled" if cancelled else "failed")
        why = " ".join(reason.split())[:300] or ("" if cancelled else "no reason was given")
        return JobFailed(f"{text}: {why}" if why else text, cancelled=cancelled, partial=partial)

    def _file(self, key: str) -> bytes | None:
        return self._service.file(str(self._task["outputS3Bucket"]), key)

    def _document(self, key: str) -> dict[str, Any]:
        place = f"s3://{self._task['outputS3Bucket']}/{key}"
        data = self._file(key)
        if data is None:
            raise BadResult(f"there is no result at {place}")
        return document(data, place)

    def cancel(self) -> None:
        self._service.cancel(self.id)

    def queue(self) -> str | None:
        if self.status() is not JobStatus.QUEUED:
            return None
        info = self._task.get("queueInfo") or {}
        position = info.get("position")
        return None if position in (None, "None") else f"position {position}"

    def charge(self) -> Charge | None:
        state = self._look()
        if state not in _ENDED or self._price is None:
            return None
        taken = self._task.get("numSuccessfulShots")
        if state != "COMPLETED" and not taken:
            return Charge(usd=0.0)  # as the SDK's cost tracker has it
        shots = int(self._task["shots"] if taken is None else taken)
        return Charge(usd=self._price.usd(1, shots))
