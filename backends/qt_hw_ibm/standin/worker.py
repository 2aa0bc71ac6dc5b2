"""The thread that runs the jobs of a stand-in, one after the other."""

from __future__ import annotations

import hashlib
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from qt_hw.errors import StorageError
from qt_hw.storage import locked
from qt_hw_ibm.standin import executor, sampler
from qt_hw_ibm.standin.billing import qpu_seconds
from qt_hw_ibm.standin.circuits import Rejected
from qt_hw_ibm.standin.simulate import Simulator
from qt_hw_ibm.standin.store import FINAL, Job, Store

__all__ = ["PROGRAMS", "Worker"]

#: Programs of the service, by the ``program_id`` of a request.
PROGRAMS: dict[str, Any] = {"executor": executor, "sampler": sampler}

_FAILED, _RAN_TOO_LONG = 1500, 1305
_LONGEST_WAIT = 1.0


class Worker:
    """Runs jobs whose time in the queue is over, oldest first.

    Jobs that a killed process left running are run again, with the same seeds: a job has one
    result whatever happens.
    """

    def __init__(
        self, store: Store, simulator: Callable[[str], Simulator], strikes: Callable[[str], bool]
    ) -> None:
        """Run the jobs of ``store``.

        Args:
            store: Where jobs are.
            simulator: Gives the simulator of a device.
            strikes: Whether the fault of a name happens now.
        """
        self._store, self._simulator, self._strikes = store, simulator, strikes
        self._finished: set[str] = set()
        self._wake, self._stopping, self._free = (threading.Event() for _ in range(3))
        self._free.set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the job that is running."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def hold(self, held: bool) -> None:
        """Leave jobs in the queue, or no longer."""
        if held:
            self._free.clear()
        else:
            self._free.set()
            self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with locked(self._store.folder):
                    self._work()
            except StorageError:  # another stand-in runs the jobs of this folder: take over later
                self._stopping.wait(0.2)

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            job, seconds = self._next()
            if job is None:
                self._wake.wait(seconds)
            else:
                self._execute(job)

    def _next(self) -> tuple[Job | None, float]:
        """Return the next job to run, or None and how long to wait at most."""
        wait = _LONGEST_WAIT
        if not self._free.is_set():
            return None, wait
        for job in self._store.jobs(without=self._finished):
            if job.status in FINAL:
                self._finished.add(job.id)
            elif job.ready is not None:
                seconds = job.ready - time.time()
                if seconds <= 0.0:
                    return job, 0.0
                wait = min(wait, seconds)
        return None, wait

    def _execute(self, job: Job) -> None:
        fields: dict[str, Any] = {"status": "Running", "running": time.time()}
        if self._store.change(job.id, ("Queued", "Running"), **fields) is None:
            return
        outcome, result = self._outcome(job)
        if result:
            self._store.write_result(job.id, result)
        # Somebody may have cancelled it meanwhile.
        self._store.change(job.id, ("Running",), finished=time.time(), **outcome)

    def _outcome(self, job: Job) -> tuple[dict[str, Any], str]:
        """Return how a job ends, fields of its record, and the text of its result."""
        seconds = qpu_seconds(job.executions)
        if self._strikes("job-fails"):
            return _failure("The device failed while it ran the job.", _FAILED), "no traceback"
        if self._strikes("job-cancelled"):
            return {"status": "Cancelled", "reason": "Cancelled by the user."}, ""
        if job.cost is not None and seconds > job.cost:
            reason = "Job ran longer than its maximum execution time."
            cut = {"status": "Cancelled", "reason": reason, "reason_code": _RAN_TOO_LONG}
            return {**cut, "billed": job.cost}, ""
        try:
            program, simulator = PROGRAMS[job.program], self._simulator(job.backend)
            result = program.run(self._store.params(job.id), simulator, _seeds(job))
        except Rejected as error:
            return _failure(str(error), error.code), str(error)
        except Exception as error:  # whatever it is, the service says that the job failed
            return _failure(f"{type(error).__name__}: {error}", _FAILED), traceback.format_exc()
        return {"status": "Completed", "billed": seconds}, result


def _failure(reason: str, code: int) -> dict[str, Any]:
    return {"status": "Failed", "reason": reason[:500], "reason_code": code}


def _seeds(job: Job) -> Callable[[int], int]:
    """Return the seeds of a job's items: the same tag always gives the same counts."""
    name = job.tags[0] if job.tags else job.id

    def seed(index: int) -> int:
        digest = hashlib.sha256(f"{name}/{index}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    return seed
