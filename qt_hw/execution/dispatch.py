"""From a step's batch to its counts on a backend that costs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.execution.backend import Backend, Batch, Cost, Counts
from qt_hw.execution.splitting import split

__all__ = ["estimate", "run"]


def estimate(backend: Backend, batch: Batch) -> Cost:
    """Return what ``batch`` would cost, over all its jobs.

    Raises:
        InputError: See ``check_batch``.
        PreflightError: A single binding exceeds the limits.
    """
    costs = [
        backend.estimate(job.batch)
        for job in split(batch, backend.limits, backend.bindings_per_job)
    ]
    return Cost(
        circuits=batch.n_circuits,
        shots=sum(c.shots for c in costs),
        jobs=sum(c.jobs for c in costs),
        usd_low=sum(c.usd_low for c in costs),
        usd_high=sum(c.usd_high for c in costs),
        qpu_seconds_low=sum(c.qpu_seconds_low for c in costs),
        qpu_seconds_high=sum(c.qpu_seconds_high for c in costs),
        source=costs[0].source if costs else "",
    )


def run(backend: Backend, batch: Batch, token: str = "local") -> Counts:
    """Run a batch and wait for it; only for backends that cost nothing.

    Args:
        backend: Where to run.
        batch: What to run.
        token: Mark of the jobs; job i of several carries ``token.i``.

    Returns:
        One array per item, bindings in order.

    Raises:
        InputError: See ``check_batch``; or the backend is paid.
        PreflightError: A limit is exceeded.
        BackendError: A job failed.
    """
    if backend.limits.paid:
        raise InputError(
            f"{backend.name} costs money: it runs only through a priced and capped submission, "
            "qt-hw submit RUN or qt-hw run CONFIG with max_usd or max_qpu_seconds"
        )
    jobs = split(batch, backend.limits, backend.bindings_per_job)
    if len(jobs) == 1:
        return backend.submit(jobs[0].batch, token).result()
    results = [backend.submit(job.batch, f"{token}.{i}").result() for i, job in enumerate(jobs)]
    sums: list[NDArray[Any] | None] = [None] * len(batch.items)
    for job, counts in zip(jobs, results, strict=True):
        for piece, array in zip(job.pieces, counts.arrays, strict=True):
            total = sums[piece.item]
            if total is None:
                rows = len(batch.items[piece.item].bindings)
                total = sums[piece.item] = np.zeros((rows, array.shape[1]), array.dtype)
            total[piece.start : piece.stop] += array
    arrays = tuple(total for total in sums if total is not None)
    return Counts(arrays=arrays, shots=tuple(item.shots for item in batch.items))
