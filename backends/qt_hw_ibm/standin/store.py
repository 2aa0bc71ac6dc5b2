"""Jobs and sessions as files, so that a stand-in can be killed at any instant.

``jobs/00000001-<id>.json`` holds a job's record, ``params/<id>.json`` what was posted,
``results/<id>`` its result. Nothing is kept in memory: two stand-ins on one folder see the same.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from qt_hw.storage import read_json, write_bytes, write_json

__all__ = ["FINAL", "Job", "Store", "new_id"]

#: States in which nothing happens to a job any more.
FINAL = ("Completed", "Failed", "Cancelled")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Record of a job; times are seconds since 1970.

    Attributes:
        number: Position among all jobs, from 1.
        ready: When it leaves the queue; None for never.
        executions: Bound circuits × shots.
        cost: Most seconds that it may take, None for no limit.
        billed: Seconds that were charged for it.
        deleted: Whether the user deleted it; it still counts as usage.
        instance: CRN of the instance through which it came, and which alone knows it.
    """

    id: str
    number: int
    backend: str
    program: str
    created: float
    ready: float | None
    executions: int
    tags: list[str] = field(default_factory=list)
    session_id: str | None = None
    cost: float | None = None
    private: bool = False
    status: str = "Queued"
    reason: str | None = None
    reason_code: int | None = None
    running: float | None = None
    finished: float | None = None
    billed: float = 0.0
    deleted: bool = False
    instance: str = ""


class Store:
    """The folder of one stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._jobs, self._sessions = folder / "jobs", folder / "sessions"
        self._lock = threading.RLock()

    def add(self, params: Any, **fields: Any) -> Job:
        """Store a new job; once this returns it survives."""
        with self._lock:
            number = max((int(path.name[:8]) for path in self._files()), default=0) + 1
            job = Job(id=new_id(), number=number, created=time.time(), **fields)
            # The record comes last: with it the job exists.
            write_json(self.folder / "params" / f"{job.id}.json", params)
            self._write(job)
        return job

    def jobs(self, *, without: Collection[str] = (), deleted: bool = False) -> list[Job]:
        """Return the jobs, oldest first.

        Args:
            without: Ids of jobs to leave out, unread.
            deleted: Whether to return deleted jobs too.
        """
        paths = [path for path in sorted(self._files()) if path.stem[9:] not in without]
        jobs = [Job(**read_json(path)) for path in paths]
        return [job for job in jobs if deleted or not job.deleted]

    def job(self, id: str) -> Job | None:
        """Return one job, None if there is no such id."""
        paths = list(self._jobs.glob(f"*-{id}.json")) if re.fullmatch(r"\w+", id) else []
        job = Job(**read_json(paths[0])) if paths else None
        return None if job is None or job.deleted else job

    def change(self, id: str, when: Collection[str] | None = None, **fields: Any) -> Job | None:
        """Change a job and return it; None if it is gone or its status is not one of ``when``."""
        with self._lock:
            job = self.job(id)
            if job is None or (when is not None and job.status not in when):
                return None
            job = replace(job, **fields)
            self._write(job)
        return job

    def params(self, id: str) -> Any:
        """Return what was posted for a job."""
        return read_json(self.folder / "params" / f"{id}.json")

    def result(self, id: str) -> str:
        """Return a job's result, empty if it has none."""
        path = self.folder / "results" / id
        return path.read_text("utf-8") if path.exists() else ""

    def write_result(self, id: str, text: str) -> None:
        """Store a job's result."""
        write_bytes(self.folder / "results" / id, text.encode())

    def session(self, id: str) -> dict[str, Any] | None:
        """Return a session, None if there is no such id."""
        path = self._sessions / f"{id}.json"
        if not re.fullmatch(r"\w+", id) or not path.exists():
            return None
        session: dict[str, Any] = read_json(path)
        return session

    def write_session(self, session: dict[str, Any]) -> None:
        """Store a session under its ``id``."""
        write_json(self._sessions / f"{session['id']}.json", session)

    def _files(self) -> list[Path]:
        return list(self._jobs.glob("*.json"))

    def _write(self, job: Job) -> None:
        write_json(self._jobs / f"{job.number:08d}-{job.id}.json", asdict(job))


def new_id() -> str:
    """Return an id in the form of the vendor's."""
    return "d" + uuid.uuid4().hex[:19]
