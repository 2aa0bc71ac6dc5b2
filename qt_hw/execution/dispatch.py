"""From a step's batch to its counts: split to the limits, submit, collect, join."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.execution.backend import Backend, Batch, Cost, Counts, Item, Limits
from qt_hw.execution.checks import check_batch

__all__ = ["estimate", "run", "split"]


def _capacity(limits: Limits, shots: int | None, bindings: int, executions: int) -> int:
    """How many bindings with ``shots`` still fit into a job."""
    room = [10**12]
    if limits.max_bindings is not None:
        room.append(limits.max_bindings - bindings)
    if limits.max_executions is not None and shots is not None:
        room.append((limits.max_executions - executions) // shots)
    return min(room)


def _pieces(batch: Batch, limits: Limits) -> Iterator[list[tuple[int, slice]]]:
    """Yield for each job the (item number, bindings) it holds, in order."""
    job: list[tuple[int, slice]] = []
    bindings = executions = 0
    for number, item in enumerate(batch.items):
        at = 0
        while at < len(item.bindings):
            room = _capacity(limits, item.shots, bindings, executions)
            if room < 1:
                yield job
                job, bindings, executions = [], 0, 0
                continue
            stop = min(len(item.bindings), at + room)
            job.append((number, slice(at, stop)))
            bindings += stop - at
            executions += (stop - at) * (item.shots or 0)
            at = stop
    if job:
        yield job


def _part(item: Item, piece: slice) -> Item:
    whole = piece == slice(0, len(item.bindings))
    return item if whole else replace(item, bindings=item.bindings[piece], origin=None)


def split(batch: Batch, limits: Limits) -> list[tuple[Batch, list[tuple[int, slice]]]]:
    """Return the jobs that a batch needs, each with the pieces of items that it holds.

    Jobs after the first draw from streams of their own.

    Raises:
        InputError: See ``check_batch``.
        PreflightError: A single binding exceeds the limits.
    """
    check_batch(batch, limits)
    jobs = []
    for number, pieces in enumerate(_pieces(batch, limits)):
        items = tuple(_part(batch.items[i], piece) for i, piece in pieces)
        seed = batch.seed if number == 0 else (*batch.seed, number)
        jobs.append((Batch(items=items, seed=seed), pieces))
    return jobs


def estimate(backend: Backend, batch: Batch) -> Cost:
    """Return what ``batch`` would cost, over all its jobs.

    Raises:
        InputError: See ``check_batch``.
        PreflightError: A single binding exceeds the limits.
    """
    costs = [backend.estimate(job) for job, _ in split(batch, backend.limits)]
    return Cost(
        circuits=sum(c.circuits for c in costs),
        shots=sum(c.shots for c in costs),
        jobs=sum(c.jobs for c in costs),
        usd_low=sum(c.usd_low for c in costs),
        usd_high=sum(c.usd_high for c in costs),
        qpu_seconds_low=sum(c.qpu_seconds_low for c in costs),
        qpu_seconds_high=sum(c.qpu_seconds_high for c in costs),
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
            f"{backend.name} costs money: it runs only through a priced and capped submission"
        )
    jobs = split(batch, backend.limits)
    if len(jobs) == 1:
        return backend.submit(jobs[0][0], token).result()
    parts: list[list[NDArray[Any]]] = [[] for _ in batch.items]
    for number, (job, pieces) in enumerate(jobs):
        counts = backend.submit(job, f"{token}.{number}").result()
        for (item, _), array in zip(pieces, counts.arrays, strict=True):
            parts[item].append(array)
    arrays = tuple(np.concatenate(part) for part in parts)
    return Counts(arrays=arrays, shots=tuple(item.shots for item in batch.items))
