"""A device made of paper, as a third party's package would bring it.

Its jobs are files in the folder that ``$PAPER_DESK`` names; ``control.json`` there says what goes
wrong. Counts follow from what a job runs and from nothing else, so that two trainings that ask for
the same get the same.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qt_hw.errors import (
    AmbiguousSubmission,
    BadResult,
    InputError,
    JobFailed,
    PermanentError,
    TransientError,
    UnknownName,
)
from qt_hw.execution.backend import (
    Backend,
    Batch,
    Charge,
    Cost,
    Counts,
    Job,
    JobStatus,
    Limits,
    Prepared,
)
from qt_hw.execution.canonical import payload
from qt_hw.execution.statevector_backend import StatevectorBackend
from qt_hw.storage import read_json, write_json

KEY = "PAPER_KEY"
TASK_USD, SHOT_USD = 0.30, 0.01


def open_paper(device: str | None = None, **options: Any) -> Backend:
    if device is None:
        raise InputError("'paper' needs a device: write 'paper:a4'")
    for name in options:
        if name not in ("region", "max_bindings"):
            raise UnknownName("option of the backend 'paper'", name, ["region", "max_bindings"])
    return Paper(device, options)


@contextlib.contextmanager
def rehearse_paper(
    device: str | None, state: Path, *, queue_seconds: float = 0.0, faults: Sequence[str] = ()
) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ("PAPER_DESK", KEY)}
    os.environ.update(PAPER_DESK=str(state), PAPER_KEY="rehearsal")
    if not (state / "control.json").exists():
        write_json(
            state / "control.json", {"queue_seconds": queue_seconds} | dict.fromkeys(faults, 1)
        )
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Desk:
    """The folder of a vendor who writes everything down."""

    def __init__(self) -> None:
        self.folder = Path(os.environ["PAPER_DESK"])
        (self.folder / "jobs").mkdir(parents=True, exist_ok=True)

    def control(self, name: str) -> Any:
        path = self.folder / "control.json"
        return read_json(path).get(name, 0) if path.exists() else 0

    def once(self, name: str) -> bool:
        """Whether something goes wrong now; numbers count down."""
        value = self.control(name)
        if value and value is not True:
            change = read_json(self.folder / "control.json") | {name: value - 1}
            write_json(self.folder / "control.json", change)
        return bool(value)

    def answer(self) -> None:
        if self.once("unreachable"):
            raise TransientError("the paper mill does not answer")
        if not os.environ.get(KEY):
            raise PermanentError("no paper key: get one")

    def jobs(self) -> list[dict[str, Any]]:
        return [read_json(path) for path in sorted((self.folder / "jobs").glob("*.json"))]

    def save(self, job: dict[str, Any]) -> None:
        write_json(self.folder / "jobs" / f"{job['number']:05d}.json", job)


class Paper(Backend):
    def __init__(self, device: str, options: dict[str, Any]) -> None:
        self.name = f"paper:{device}"
        most = options.get("max_bindings")
        self.limits = Limits(max_qubits=6, min_shots=10, paid=True, max_bindings=most)
        self.desk = Desk()

    def prepare(self, ansatz: Any) -> Prepared:
        properties = {"grain": "fine", **(self.desk.control("properties") or {})}
        return Prepared.of(ansatz.form("lowered"), properties, "2025-01-01T00:00:00")

    def estimate(self, batch: Batch) -> Cost:
        usd = TASK_USD + SHOT_USD * batch.n_shots
        return Cost(
            circuits=batch.n_circuits,
            shots=batch.n_shots,
            usd_low=usd,
            usd_high=usd,
            source="prices of 2025-01 (paper)",
        )

    def preflight(self) -> list[str]:
        return ["the paper is wet"] if self.desk.control("offline") else []

    def submit(self, batch: Batch, token: str) -> Job:
        self.desk.answer()
        if self.desk.once("refuse"):
            raise PermanentError("the paper mill refuses")
        if self.desk.once("lose_request"):
            raise AmbiguousSubmission("the request was lost")
        jobs = self.desk.jobs()
        seeded = Batch(items=batch.items, seed=(int(payload(batch)[:12], 16),))
        counts = StatevectorBackend().submit(seeded, "x").result()
        job = {
            "number": len(jobs),
            "id": f"paper/{len(jobs):05d}",
            "token": token,
            "created": time.time(),
            "circuits": batch.n_circuits,
            "shots": list(counts.shots),
            "usd": self.estimate(batch).usd_high,
            "counts": [array.tolist() for array in counts.arrays],
            "state": "failed" if self.desk.once("fail") else "done",
        }
        self.desk.save(job)
        if len(jobs) + 1 == self.desk.control("die_at"):
            os.kill(os.getpid(), 9)
        if self.desk.once("lose_reply"):
            raise AmbiguousSubmission("the reply was lost")
        return PaperJob(self.desk, job)

    def find(self, token: str) -> list[Job]:
        self.desk.answer()
        return [PaperJob(self.desk, job) for job in self.desk.jobs() if job["token"] == token]

    def job(self, id: str) -> Job:
        for job in self.desk.jobs():
            if job["id"] == id:
                return PaperJob(self.desk, job)
        raise InputError(f"paper knows no job {id}")

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "mill": "test"}


class PaperJob(Job):
    def __init__(self, desk: Desk, job: dict[str, Any]) -> None:
        self.desk, self.data, self.id = desk, job, str(job["id"])

    def status(self) -> JobStatus:
        self.desk.answer()
        state = next(job["state"] for job in self.desk.jobs() if job["id"] == self.id)
        waiting = time.time() < self.data["created"] + self.desk.control("queue_seconds")
        if state == "done" and (self.desk.once("held") or waiting):
            return JobStatus.QUEUED
        return JobStatus(state)

    def result(self) -> Counts:
        arrays = tuple(np.array(a, dtype=np.int64) for a in self.data["counts"])
        status = self.status()
        if status is JobStatus.CANCELLED:
            raise JobFailed("torn up by the user", cancelled=True)
        if status is JobStatus.FAILED:
            half = tuple(a.copy() for a in arrays)
            for array in half:
                array[len(array) // 2 :] = 0
            whole = self.data["circuits"] < 2
            raise JobFailed("the ink ran out", partial=None if whole else self._counts(half))
        if self.desk.once("garbled"):
            raise BadResult("the ink is smeared")
        return self._counts(arrays)

    def _counts(self, arrays: tuple[Any, ...]) -> Counts:
        return Counts(arrays=arrays, shots=tuple(self.data["shots"]))

    def cancel(self) -> None:
        self.desk.answer()
        if self.status() is JobStatus.QUEUED:
            self.desk.save({**self.data, "state": "cancelled", "usd": 0.0})

    def queue(self) -> str | None:
        return "7" if self.status() is JobStatus.QUEUED else None

    def charge(self) -> Charge | None:
        job = next(job for job in self.desk.jobs() if job["id"] == self.id)
        return Charge(usd=job["usd"], source="vendor")
