"""Tasks as the rehearsed service shows them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from qt_hw_braket.standin.refusal import Refusal
from qt_hw_braket.standin.tasks import ENDED, Task, Tasks

__all__ = ["passes", "summary", "view"]

_KINDS = {True: "braket.ir.openqasm.program_set", False: "braket.ir.openqasm.program"}
_FILTERS = ("quantumTaskArn", "deviceArn", "status", "createdAt")
_COMPARE: dict[str, Callable[[str, list[str]], bool]] = {
    "EQUAL": lambda value, wanted: value in wanted,
    "LT": lambda value, wanted: value < wanted[0],
    "LTE": lambda value, wanted: value <= wanted[0],
    "GT": lambda value, wanted: value > wanted[0],
    "GTE": lambda value, wanted: value >= wanted[0],
    "BETWEEN": lambda value, wanted: wanted[0] <= value <= wanted[1],
}


def view(task: Task, tasks: Tasks, now: datetime) -> dict[str, Any]:
    """Return the reply of GetQuantumTask."""
    out = summary(task, now)
    out["deviceParameters"] = task.request.get("deviceParameters", "{}")
    out["actionMetadata"] = {"actionType": _KINDS[task.is_set]}
    out["queueInfo"] = _queue_info(task, tasks, now)
    if out["status"] == "COMPLETED":
        out["numSuccessfulShots"] = task.successful_shots
    if out["status"] == "FAILED":
        out["failureReason"] = "the device failed to run the task (injected)"
    return out


def summary(task: Task, now: datetime) -> dict[str, Any]:
    """Return an entry of SearchQuantumTasks."""
    request = task.request
    out = {
        "quantumTaskArn": task.arn,
        "status": task.status(now),
        "deviceArn": request["deviceArn"],
        "shots": request["shots"],
        "outputS3Bucket": request["outputS3Bucket"],
        "outputS3Directory": task.folder,
        "createdAt": _zulu(task.created),
        "tags": request.get("tags", {}),
    }
    if out["status"] in ENDED:
        ended = task.cancelled or task.ends_at().isoformat(timespec="microseconds")
        out["endedAt"] = _zulu(ended)
    return out


def _zulu(instant: str) -> str:
    return instant.replace("+00:00", "Z")


def _queue_info(task: Task, tasks: Tasks, now: datetime) -> dict[str, str]:
    info = {"queue": "QUANTUM_TASKS_QUEUE", "queuePriority": "Normal"}
    if task.status(now) != "QUEUED":
        return {**info, "position": "None", "message": "the task has left the queue"}
    before = [other for other in tasks if other.created <= task.created]
    return {**info, "position": str(sum(other.status(now) == "QUEUED" for other in before))}


def passes(entry: dict[str, Any], rule: dict[str, Any]) -> bool:
    """Whether an entry passes a filter of SearchQuantumTasks.

    Raises:
        Refusal: The service has no such filter; tags are none.
    """
    if rule["name"] not in _FILTERS:
        raise Refusal.invalid(f"unknown filter {rule['name']}")
    return _COMPARE[rule["operator"]](entry[rule["name"]], rule["values"])
