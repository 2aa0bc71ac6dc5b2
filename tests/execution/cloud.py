"""A vendor in a folder: a paid backend whose jobs are files, so that any process meets the same.

It has no clock: a job stays queued for a number of questions. Counts come from the exact engine,
sampled from a seed that follows from the token: the same token, the same counts.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import qt_hw as qt
from qt_hw.errors import (
    AmbiguousSubmission,
    BadResult,
    InputError,
    JobFailed,
    PermanentError,
    TransientError,
)
from qt_hw.execution.backend import (
    Backend,
    Batch,
    Charge,
    Cost,
    Counts,
    Item,
    Job,
    JobStatus,
    Limits,
    Prepared,
)
from qt_hw.execution.checks import check_job
from qt_hw.execution.statevector_backend import StatevectorBackend

FEE, PER_SHOT = 0.30, 0.01
FORM = qt.RyCnot(3, 2).form("lowered")


def make_item(rows: int = 2, shots: int = 100, seed: int = 0, **changes: Any) -> Item:
    bindings = np.random.default_rng(seed).uniform(-3, 3, (rows, 6))
    return Item(**{"circuit": FORM.circuit, "bindings": bindings, "shots": shots, **changes})


def make_batch(*items: Item) -> Batch:
    return Batch(items=items or (make_item(), make_item(3, seed=1, role="shift", part=1)))


class Cloud(Backend):
    """The backend.

    Attributes:
        faults: What goes wrong with the next requests, one each: see ``submit``.
        ends: How the next jobs end, one each: "fails", "partial", "cancelled", "bad once", "bad",
            "wrong shape".
        queue: How many questions a new job stays queued for.
        lag: How many searches miss every job.
        down: How many questions about jobs are not answered.
        late_charges: How many questions about charges are not answered.
        offline: What ``preflight`` says.
        seconds: Device time of a shot, billed beside the money.
        told: What ``remaining_seconds`` was at each request.
        on_request: Called with the token when a request arrives.
    """

    def __init__(self, folder: Path, name: str = "cloud:test", **limits: Any) -> None:
        self.folder, self.name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.limits = Limits(**{"paid": True, "max_shots": 10_000, **limits})
        self.faults: list[str] = []
        self.ends: list[str] = []
        self.queue = self.lag = self.down = self.late_charges = 0
        self.offline: list[str] = []
        self.calibration, self.seconds = 1, 0.0
        self.told: list[float | None] = []
        self.on_request: Callable[[str], None] = lambda token: None

    # What the vendor has

    def jobs(self) -> list[dict[str, Any]]:
        """Every job, oldest first."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]

    def posts(self) -> list[str]:
        """The token of every request that arrived."""
        path = self.folder / "posts"
        return path.read_text().splitlines() if path.exists() else []

    def bill(self) -> float:
        """What the vendor charged in all."""
        return sum(self._price(job) for job in self.jobs())

    @staticmethod
    def _price(job: dict[str, Any]) -> float:
        billed = job["state"] == "done"
        return FEE + PER_SHOT * job["shots"] if billed else 0.0

    def create(self, batch: Batch, token: str) -> str:
        """Make a job, whatever there is already."""
        seed = int(hashlib.sha256(token.encode()).hexdigest()[:16], 16)
        engine = StatevectorBackend()
        counts = engine.submit(Batch(items=batch.items, seed=(seed,)), token).result()
        job = {
            "token": token,
            "state": "queued" if self.queue else "done",
            "left": self.queue,
            "end": self.ends.pop(0) if self.ends else "",
            "shots": batch.n_shots,
            "counts": [array.tolist() for array in counts.arrays],
            "item_shots": list(counts.shots),
        }
        if not self.queue:
            job["state"] = _final(job)
        draft = self.folder / f"draft-{os.getpid()}"
        for number in range(1, 10_000):
            id = f"job-{number:04d}"
            draft.write_text(json.dumps({"id": id, **job}))
            try:
                os.link(draft, self.folder / f"{id}.json")
            except FileExistsError:
                continue
            draft.unlink()
            return id
        raise AssertionError

    def _lost(self) -> bool:
        lost = self.down > 0
        self.down -= lost
        return lost

    # The contract

    def prepare(self, ansatz: Any) -> Prepared:
        properties = {"calibration": self.calibration, "t1": float("nan")}
        return Prepared.of(ansatz.form("lowered"), properties, f"2026-01-{self.calibration:02d}")

    def estimate(self, batch: Batch) -> Cost:
        usd = FEE + PER_SHOT * batch.n_shots
        return Cost(
            circuits=batch.n_circuits,
            shots=batch.n_shots,
            usd_low=usd,
            usd_high=usd,
            qpu_seconds_low=0.5 * self.seconds * batch.n_shots,
            qpu_seconds_high=self.seconds * batch.n_shots,
            source="list",
        )

    def submit(self, batch: Batch, token: str) -> Job:
        check_job(batch, self.limits)
        self.told.append(self.remaining_seconds)
        self.on_request(token)
        fault = self.faults.pop(0) if self.faults else ""
        with (self.folder / "posts").open("a") as file:
            file.write(token + "\n")
        if fault == "refused":
            raise TransientError("too many requests")
        if fault == "denied":
            raise PermanentError("no access")
        if fault == "wrong":
            raise InputError("a gate is not supported")
        if fault == "lost before":
            raise AmbiguousSubmission("the connection was closed")
        if fault == "bug before":
            raise RuntimeError("a bug of the client")
        id = self.create(batch, token)
        if fault == "lost after":
            raise AmbiguousSubmission("the reply was lost")
        if fault == "bug after":
            raise RuntimeError("a bug of the client")
        if fault == "interrupted":
            raise KeyboardInterrupt
        if fault == "refused after":
            raise TransientError("too many requests")
        if fault in ("twice", "twice lost"):
            id = self.create(batch, token)
            if fault == "twice lost":
                raise AmbiguousSubmission("504")
        return CloudJob(self, id)

    def find(self, token: str) -> list[Job]:
        if self._lost():
            raise TransientError("no network")
        if self.lag > 0:
            self.lag -= 1
            return []
        return [CloudJob(self, job["id"]) for job in self.jobs() if job["token"] == token]

    def job(self, id: str) -> Job:
        if not (self.folder / f"{id}.json").exists():
            raise InputError(f"{self.name} has no job {id!r}")
        return CloudJob(self, id)

    def preflight(self) -> list[str]:
        return self.offline


def _final(job: dict[str, Any]) -> str:
    return {"fails": "failed", "partial": "failed", "cancelled": "cancelled"}.get(
        job["end"], "done"
    )


class CloudJob(Job):
    """One file."""

    def __init__(self, cloud: Cloud, id: str) -> None:
        self.cloud, self.id = cloud, id

    def _read(self) -> dict[str, Any]:
        return json.loads((self.cloud.folder / f"{self.id}.json").read_text())

    def _write(self, **changes: Any) -> dict[str, Any]:
        path = self.cloud.folder / f"{self.id}.json"
        job = {**self._read(), **changes}
        draft = self.cloud.folder / f"draft-{os.getpid()}"
        draft.write_text(json.dumps(job))
        os.replace(draft, path)
        return job

    def status(self) -> JobStatus:
        if self.cloud._lost():
            raise TransientError("no network")
        job = self._read()
        if job["state"] == "queued":
            left = job["left"] - 1
            state = "queued" if left >= 0 else _final(job)
            job = self._write(left=left, state=state)
        return JobStatus(job["state"])

    def result(self) -> Counts:
        job = self._read()
        if job["end"] in ("fails", "cancelled") or job["state"] == "cancelled":
            raise JobFailed(f"{self.id} {job['state']}", cancelled=job["state"] == "cancelled")
        arrays = [np.array(counts) for counts in job["counts"]]
        if job["end"] == "partial":
            arrays[-1][1:] = 0
            partial = Counts(arrays=tuple(arrays), shots=tuple(job["item_shots"]))
            raise JobFailed("the device broke off", partial=partial)
        if job["end"] == "bad once":
            self._write(end="")
        if job["end"] in ("bad once", "bad"):
            raise BadResult("the result is truncated")
        if job["end"] == "wrong shape":
            arrays[0] = arrays[0][1:]
        return Counts(arrays=tuple(arrays), shots=tuple(job["item_shots"]))

    def cancel(self) -> None:
        if self._read()["state"] == "queued":
            self._write(state="cancelled", end="cancelled")

    def charge(self) -> Charge | None:
        job = self._read()
        if job["state"] == "queued":
            return None
        if self.cloud.late_charges > 0:
            self.cloud.late_charges -= 1
            return None
        seconds = 0.75 * self.cloud.seconds * job["shots"] if job["state"] == "done" else 0.0
        return Charge(usd=self.cloud._price(job), qpu_seconds=seconds, source="vendor")
