"""Cells as tasks of a Ray cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from qt_hw import __version__
from qt_hw.errors import InputError, StorageError
from qt_hw.storage import write_text
from qt_hw.study.pools.packing import Files, pack, put_back
from qt_hw.study.pools.pool import RUN_CELL, Job, Outcome, Pool, outcome_of
from qt_hw.study.pools.ray_cluster import Connection
from qt_hw.study.pools.ray_task import TOKEN, Answer, Order, compute

__all__ = ["RayPool"]


class RayPool(Pool):
    """Computes cells as tasks of a Ray cluster, each on one core and one thread.

    A cell whose worker or node dies is computed by another. Workers that see the study's folder
    (a shared disk) work in it and go on from a dead worker's checkpoints; the others get what
    they read, and return what they wrote, through Ray's object store.
    """

    def __init__(
        self,
        study: Path,
        address: str,
        jobs: int | None = None,
        *,
        work: str = RUN_CELL,
        retries: int = 3,
        timeout: float = 10.0,
    ) -> None:
        """Connect to the cluster, or start one on this machine.

        Args:
            study: Folder of the study.
            address: ``host:port`` of the head node, ``"auto"`` for the cluster of this machine,
                or ``"local"`` to start one here that ends with the pool.
            jobs: How many cells run at once; None: one for each core of the cluster.
            work: The work function, as ``"module:function"``.
            retries: How often a cell is begun again after its worker or node died.
            timeout: Seconds after which a silent address is given up.

        Raises:
            InputError: The cluster cannot be reached, or its workers have another version of
                this package.
            MissingExtra: Ray is not installed.
            StorageError: The study's folder cannot be written to.
        """
        if jobs is not None and jobs < 1:
            raise InputError(f"jobs is {jobs}: it must be at least 1; leave it out for every core")
        self._study, self._work, self._token = study.absolute(), work, uuid4().hex
        self._tasks: dict[Any, Job] = {}
        self._packed: dict[str, Any] = {}
        self._refused: list[Outcome] = []
        write_text(self._study / TOKEN, self._token)
        self._connection = Connection(address, jobs, timeout)
        try:
            self._ray = self._connection.ray
            self._share = self._connection.check(str(self._study), self._token)
            self.slots = jobs or self._connection.cores()
            self._task = self._ray.remote(_task(compute)).options(
                num_cpus=1, max_retries=retries, retry_exceptions=False
            )
        except BaseException:
            self.close()
            raise

    def submit(self, job: Job) -> None:
        order = Order(
            id=job.id,
            payload=job.payload,
            study=str(self._study),
            token=self._token,
            work=self._work,
            version=__version__,
            path=tuple(os.path.abspath(entry) for entry in sys.path),
        )
        try:
            folders = None if self._share else self._folders(job)
        except StorageError as error:  # a folder that cannot be read costs this cell alone
            self._refused.append(Outcome(id=job.id, state="failed", error=str(error)))
        else:
            self._tasks[self._task.remote(order, folders)] = job

    @property
    def running(self) -> tuple[str, ...]:
        refused = (outcome.id for outcome in self._refused)
        return (*(job.id for job in self._tasks.values()), *refused)

    def wait(self, timeout: float) -> list[Outcome]:
        if self._refused or not self._tasks:
            refused, self._refused = self._refused, []
            return refused
        ready, _ = self._ray.wait(list(self._tasks), timeout=timeout)
        if ready:  # what else has ended meanwhile
            every = list(self._tasks)
            ready, _ = self._ray.wait(every, num_returns=len(every), timeout=0)
        found = [self._ended(reference, self._tasks.pop(reference)) for reference in ready]
        return [outcome for outcome in found if outcome is not None]

    def close(self) -> None:
        for reference in self._tasks:
            self._ray.cancel(reference, force=True)
        self._tasks.clear()
        self._refused.clear()
        self._packed.clear()
        self._connection.close()

    def _folders(self, job: Job) -> list[Any]:
        """Put what a worker out of sight of the folder needs where it can fetch it."""
        for need in job.needs:
            if need not in self._packed:  # a twin is read by many cells
                self._packed[need] = self._ray.put(pack(self._study, need))
        begun = pack(self._study, f"cells/{job.id}")
        own = [self._ray.put(begun)] if begun else []
        return [*(self._packed[need] for need in job.needs), *own]

    def _ended(self, reference: Any, job: Job) -> Outcome | None:
        """Return how a task ended; None if it is begun again with the files that it lacked."""
        errors = self._ray.exceptions
        try:
            answer: Answer = self._ray.get(reference)
        except errors.RayTaskError as error:  # raised by our code in the worker
            return Outcome(id=job.id, state="failed", error=str(error.cause))
        except errors.RayError as error:
            text = f"its worker or node died each time: {_first_line(error)}"
            return Outcome(id=job.id, state="lost", error=text)
        if answer.blind:
            self._share = False
            self.submit(job)
            return None
        if answer.files is not None:
            put_back(self._study, job.id, answer.files)
        return outcome_of(job.id, answer.error)


def _task(compute: Any) -> Any:
    """Return the function that Ray sends to its workers."""

    def qt_hw_cell(order: Order, folders: Sequence[Any] | None) -> Answer:
        def fetch() -> list[Files]:
            import ray

            found: list[Files] = ray.get(list(folders or ()))
            return found

        answer: Answer = compute(order, None if folders is None else fetch)
        return answer

    return qt_hw_cell


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
