"""A task of Amazon Braket as a job."""

from __future__ import annotations

import time
from typing import Any

from qt_hw.errors import BadResult, JobFailed
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
        return _STATES.get(self._look(), JobStatus.RUNNING)

    def result(self) -> Counts:
        pause = _FIRST_PAUSE
        while (state := self._look()) not in _ENDED:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        if state == "CANCELLED":
            raise JobFailed(f"the task {self.id} was cancelled", cancelled=True)
        return self._counts(failed=state == "FAILED")

    def _counts(self, failed: bool) -> Counts:
        """Return what a task brought; a program set that failed may have brought a part."""
        folder = str(self._task["outputS3Directory"])
        name = f"{folder}/results.json"
        if failed and (self._n_circuits == 1 or self._file(name) is None):
            raise JobFailed(self._failure(str(self._task.get("failureReason") or "")))
        circuits = read_circuits(self._document(name), self._document)
        shots = int(self._task["shots"]) // self._n_circuits
        counts = counts_of(circuits, self._shape, shots)
        failures = [circuit for circuit in circuits if isinstance(circuit, Failure)]
        if failures:
            why = f"{len(failures)} of {len(circuits)} circuits have no result: {failures[0]}"
            raise JobFailed(self._failure(why), partial=counts)
        if failed:
            raise JobFailed(self._failure(""), partial=counts)
        return counts

    @property
    def _n_circuits(self) -> int:
        return sum(rows for rows, _ in self._shape)

    def _failure(self, reason: str) -> str:
        text = " ".join(reason.split())[:300] or "no reason was given"
        return f"the task {self.id} failed: {text}"

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
        if state != "COMPLETED":
            return Charge(usd=0.0)  # as the SDK's cost tracker has it
        shots = int(self._task.get("numSuccessfulShots", self._task["shots"]))
        return Charge(usd=self._price.usd(1, shots))
