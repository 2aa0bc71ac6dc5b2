"""Cells in processes of this machine, one for each core."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from contextlib import ExitStack, suppress
from multiprocessing.connection import wait as wait_for
from pathlib import Path

from qt_hw.errors import InputError, StorageError
from qt_hw.study.pools.calling import ONE_THREAD
from qt_hw.study.pools.pool import RUN_CELL, Job, Outcome, Pool, outcome_of
from qt_hw.study.pools.worker import BOOT

__all__ = ["LOG", "LocalPool", "cores"]

LOG = "workers.log"
"""Where workers print, in the study's folder: the terminal belongs to the live table."""


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalPool(Pool):
    """Computes cells in processes of this machine, each on one thread.

    The death of a worker costs only its own cell, which goes to a fresh one. Workers end with
    their parent, however it dies.
    """

    def __init__(
        self, study: Path, jobs: int | None = None, *, work: str = RUN_CELL, retries: int = 2
    ) -> None:
        """Start nothing yet; a worker starts when there is a job for it.

        Args:
            study: Folder of the study.
            jobs: Number of workers; None: one for each core that this process may use.
            work: The work function, as ``"module:function"``.
            retries: How often a cell is given to another worker after its own died.

        Raises:
            InputError: ``jobs`` is below 1.
        """
        if jobs is not None and jobs < 1:
            raise InputError(f"jobs is {jobs}: it must be at least 1; leave it out for every core")
        self.slots = jobs or cores()
        self._study, self._work, self._retries = study, work, retries
        self._workers: list[_Worker] = []
        self._queue: deque[Job] = deque()
        self._deaths: dict[str, int] = {}

    def submit(self, job: Job) -> None:
        self._queue.append(job)
        self._fill()

    @property
    def running(self) -> tuple[str, ...]:
        begun = [worker.job.id for worker in self._workers if worker.job is not None]
        return (*begun, *(job.id for job in self._queue))

    def wait(self, timeout: float) -> list[Outcome]:
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = wait_for([worker.link for worker in busy], timeout) if busy else []
        found = [self._ended(worker) for worker in busy if worker.link in ready]
        self._fill()
        return [outcome for outcome in found if outcome is not None]

    def close(self) -> None:
        self._queue.clear()
        while self._workers:
            self._workers[-1].kill()
            self._workers.pop()

    def _fill(self) -> None:
        """Give queued jobs to workers that have none, and to new ones up to ``slots``."""
        for worker in [w for w in self._workers if w.job is None and w.dead]:
            self._remove(worker)
        while self._queue:
            free = next((worker for worker in self._workers if worker.job is None), None)
            if free is None and len(self._workers) >= self.slots:
                return
            if free is None:
                free = _Worker(self._study, self._work)
                self._workers.append(free)
            free.begin(self._queue.popleft())

    def _ended(self, worker: _Worker) -> Outcome | None:
        """Return how the worker's job ended; None if it died and the job is queued again."""
        job, error = worker.job, worker.answer()
        assert job is not None
        if error is not None:
            self._deaths.pop(job.id, None)
            return outcome_of(job.id, error)
        self._remove(worker)
        deaths = self._deaths.pop(job.id, 0) + 1
        if deaths <= self._retries:
            self._deaths[job.id] = deaths
            self._queue.appendleft(job)
            return None
        text = f"its worker {worker.death} {deaths} times; see {self._study / LOG}"
        return Outcome(id=job.id, state="lost", error=text)

    def _remove(self, worker: _Worker) -> None:
        worker.kill()
        self._workers.remove(worker)


class _Worker:
    """A worker process, seen from its parent."""

    def __init__(self, study: Path, work: str) -> None:
        self.job: Job | None = None
        self.link, theirs = socket.socketpair()
        with theirs, ExitStack() as failed:
            failed.callback(self.link.close)
            self._process = _start(study, theirs.fileno(), str(study), work)
            failed.pop_all()
        self._lines = self.link.makefile("rw", encoding="utf-8")

    def begin(self, job: Job) -> None:
        self.job = job
        with suppress(ConnectionError):  # it has just died: ``answer`` finds that out
            self._lines.write(json.dumps(job.payload) + "\n")
            self._lines.flush()

    def answer(self) -> str | None:
        """Return the error of its job, empty if there was none; None if it died."""
        self.job = None
        try:
            line = self._lines.readline()
        except ConnectionError:
            return None
        return str(json.loads(line)) if line.endswith("\n") else None

    @property
    def dead(self) -> bool:
        return self._process.poll() is not None

    @property
    def death(self) -> str:
        """What it died of, for a message."""
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL: out of memory? try fewer jobs)"
        if code < 0:
            return f"was killed ({signal.Signals(-code).name})"
        return f"ended with exit code {code}"

    def kill(self) -> None:
        """End it at once: whatever it writes, it writes in one step."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        for file in (self._process.stdin, self._lines, self.link):
            with suppress(OSError):  # what it was not told any more
                file.close()


def _start(study: Path, handle: int, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a worker whose standard input closes when this process ends."""
    command = [sys.executable, "-c", BOOT, json.dumps(sys.path), str(handle), *arguments]
    try:
        with open(study / LOG, "ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(handle,),
                env={**os.environ, **ONE_THREAD},
            )
    except OSError as error:
        raise StorageError(f"cannot start a worker in {study}: {error.strerror or error}") from None
