"""The two vendors of the kill benchmark: what is asked of their stand-ins, what these then hold."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from qt_hw.execution.loopback import Request

__all__ = ["VENDORS", "Entry", "Vendor"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A job at the vendor; ``billed`` in the vendor's unit."""

    token: str
    billed: float


class Vendor(ABC):
    """A vendor.

    Attributes:
        title: As printed.
        backend: As users type it.
        options: Of the backend; a step makes two jobs with them.
        rehearsal: Options of its stand-in.
        shots: Of an evaluation, which makes two jobs.
        unit: Of its bills.
        column: Of the journal that holds them.
        start: Module that starts its stand-in.
    """

    title: str
    backend: str
    options: ClassVar[Mapping[str, Any]]
    rehearsal: ClassVar[Mapping[str, Any]]
    shots: int
    unit: str
    column: str
    start: str

    def state(self, folder: Path) -> Path:
        """Return the folder of the stand-in of a run."""
        return folder / "rehearsal" / "service" / self.backend.partition(":")[0]

    @abstractmethod
    def token_in(self, request: Request) -> str | None:
        """Return the token of a request for a job, None if it is another one."""

    @abstractmethod
    def jobs(self, state: Path) -> list[Entry]:
        """Return all jobs in the folder of a stand-in, oldest first."""


class Ibm(Vendor):
    """IBM: jobs are charged in seconds of the device."""

    title, unit, column = "IBM", "QPU s", "qpu_seconds"
    backend, start = "ibm:ibm_manila", "qt_hw_ibm.standin.start"
    options: ClassVar[Mapping[str, Any]] = {"max_executions": 500, "optimization_level": 1}
    rehearsal: ClassVar[Mapping[str, Any]] = {"queue_seconds": 0.2}
    shots = 500

    def token_in(self, request: Request) -> str | None:
        if request.method != "POST" or not request.path.endswith("/jobs"):
            return None
        return str(json.loads(request.body)["tags"][0])

    def jobs(self, state: Path) -> list[Entry]:
        from qt_hw_ibm.standin.store import Store

        found = Store(state).jobs(deleted=True)
        return [Entry(token=tag, billed=job.billed) for job in found for tag in job.tags]


class Ionq(Vendor):
    """IonQ at Amazon Braket: tasks are charged in dollars."""

    title, unit, column = "IonQ (Braket)", "USD", "usd"
    backend, start = "ionq:forte-1", "qt_hw_braket.standin.start"
    options: ClassVar[Mapping[str, Any]] = {}
    rehearsal: ClassVar[Mapping[str, Any]] = {
        "queue_seconds": 0.2,
        "run_seconds": 0.1,
        "shots": [10, 100],
        "max_executables": 5,
    }
    shots = 200

    def token_in(self, request: Request) -> str | None:
        if (request.method, request.path) != ("POST", "/quantum-task"):
            return None
        return str(json.loads(request.body)["clientToken"])

    def jobs(self, state: Path) -> list[Entry]:
        from qt_hw_braket.standin import Standin

        return [Entry(token=task["token"], billed=task["usd"]) for task in Standin(state).tasks()]


VENDORS: tuple[Vendor, ...] = (Ibm(), Ionq())
