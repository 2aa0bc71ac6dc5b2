"""Quantum tasks of the rehearsed service: one file each, nothing kept only in memory.

What state a task is in follows from when it was created, so that a service that was killed and
started again, now or tomorrow, goes on with the same tasks.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from qt_hw.storage import read_json, write_json
from qt_hw_braket.standin.refusal import Refusal

__all__ = ["ENDED", "Task", "Tasks", "present"]

ENDED = ("COMPLETED", "FAILED", "CANCELLED")

#: What a task costs and what a shot costs, US dollars, by name of the device; read from the
#: vendor's page like the backend's own table, but kept apart from it.
_PRICES = {
    "Forte-1": ("0.30", "0.08"),
    "Forte-Enterprise-1": ("0.30", "0.08"),
    "Garnet": ("0.30", "0.00145"),
    "Ankaa-3": ("0.30", "0.0009"),
}
_OTHER_PRICE = ("0.30", "0.01")


@dataclass(kw_only=True)
class Task:
    """One task.

    Attributes:
        arn: Its name.
        token: ``clientToken`` of the request.
        request: The rest of the request.
        n_circuits: Number of circuits.
        is_set: Whether it runs a program set.
        created: ISO 8601, microseconds.
        queue_seconds: How long it waits.
        run_seconds: How long it then runs.
        outcome: Name of the fault that it meets, or empty.
        cancelled: When it was cancelled, or None.
    """

    arn: str
    token: str
    request: dict[str, Any]
    n_circuits: int
    is_set: bool
    created: str
    queue_seconds: float
    run_seconds: float
    outcome: str = ""
    cancelled: str | None = None

    @property
    def id(self) -> str:
        """Last part of the ARN."""
        return self.arn.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """Where its results lie in the bucket."""
        return f"{self.request['outputS3KeyPrefix']}/{self.id}"

    @property
    def action(self) -> dict[str, Any]:
        """What it runs."""
        action: dict[str, Any] = json.loads(self.request["action"])
        return action

    @property
    def sources(self) -> list[str]:
        """OpenQASM of its circuits."""
        action = self.action
        return [program["source"] for program in action.get("programs", [action])]

    @property
    def debiased(self) -> bool:
        """Whether error mitigation was asked for."""
        return "debias" in self.request.get("deviceParameters", "").lower()

    @property
    def n_failed(self) -> int:
        """Number of its circuits that fail: every other one of a set that fails in part."""
        return self.n_circuits // 2 if self.outcome.startswith("partial") else 0

    @property
    def successful_shots(self) -> int:
        """Shots of the circuits that do not fail."""
        shots = int(self.request["shots"]) // self.n_circuits
        return shots * (self.n_circuits - self.n_failed)

    def ends_at(self) -> datetime:
        """Return when it ends, cancellation aside."""
        seconds = self.queue_seconds + self.run_seconds
        return datetime.fromisoformat(self.created) + timedelta(seconds=seconds)

    def status(self, now: datetime) -> str:
        """Return its state at ``now``."""
        if self.cancelled is not None:
            return "CANCELLED"
        age = (now - datetime.fromisoformat(self.created)).total_seconds()
        if self.outcome == "stuck" or age < self.queue_seconds:
            return "QUEUED"
        if self.outcome == "job-cancelled":
            return "CANCELLED"
        if age < self.queue_seconds + self.run_seconds:
            return "RUNNING"
        return "FAILED" if self.outcome in ("job-fails", "partial") else "COMPLETED"

    def usd(self, now: datetime) -> Decimal:
        """Return what it is billed: nothing before it is completed, nor if it fails."""
        if self.status(now) != "COMPLETED":
            return Decimal(0)
        name = self.request["deviceArn"].rpartition("/")[2]
        task, shot = _PRICES.get(name, _OTHER_PRICE)
        return Decimal(task) + Decimal(shot) * self.successful_shots


class Tasks:
    """All tasks in a folder, by ARN and by token."""

    def __init__(self, folder: Path) -> None:
        """Read the tasks that are there."""
        self._folder = folder
        self._by_arn: dict[str, Task] = {}
        self._by_token: dict[str, Task] = {}
        for path in sorted(folder.glob("*.json")):
            self._keep(Task(**read_json(path)))
        self._last = max((datetime.fromisoformat(t.created) for t in self), default=None)

    def __iter__(self) -> Iterator[Task]:
        return iter(sorted(self._by_arn.values(), key=lambda task: task.created))

    def __len__(self) -> int:
        return len(self._by_arn)

    def _keep(self, task: Task) -> None:
        self._by_arn[task.arn] = self._by_token[task.token] = task

    def save(self, task: Task) -> None:
        """Write a task to its file."""
        write_json(self._folder / f"{task.id}.json", task.__dict__)
        self._keep(task)

    def get(self, arn: str) -> Task:
        """Return a task.

        Raises:
            Refusal: There is none.
        """
        if arn not in self._by_arn:
            raise Refusal.unknown(f"quantum task {arn}")
        return self._by_arn[arn]

    def with_token(self, token: str, request: dict[str, Any]) -> Task | None:
        """Return the task that was made with ``token``, None if there is none.

        Raises:
            Refusal: It was made by another request.
        """
        task = self._by_token.get(token)
        if task is not None and task.request != request:
            raise Refusal.invalid("clientToken was used with other parameters")
        return task

    def create(self, token: str, request: dict[str, Any], **fields: Any) -> Task:
        """Make and save a task; its ARN follows from its token."""
        region = request["deviceArn"].split(":")[3] or "us-east-1"
        name = uuid.UUID(hashlib.sha256(token.encode()).hexdigest()[:32])
        programs = json.loads(request["action"]).get("programs")
        task = Task(
            arn=f"arn:aws:braket:{region}:000000000000:quantum-task/{name}",
            token=token,
            request=request,
            n_circuits=1 if programs is None else len(programs),
            is_set=programs is not None,
            created=self._next_instant().isoformat(timespec="microseconds"),
            **fields,
        )
        self.save(task)
        return task

    def _next_instant(self) -> datetime:
        """Return the present, later than that of any other task."""
        now = present()
        if self._last is not None:
            now = max(now, self._last + timedelta(microseconds=1))
        self._last = now
        return now


def present() -> datetime:
    """Return the present instant."""
    return datetime.fromtimestamp(time.time(), UTC)
