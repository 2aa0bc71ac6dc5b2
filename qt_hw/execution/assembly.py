"""Counts of a request out of the counts of its jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import BadResult, StorageError
from qt_hw.execution.backend import Batch, Counts
from qt_hw.execution.canonical import payload
from qt_hw.execution.journal import JobRow
from qt_hw.execution.splitting import Piece, PlannedJob, piece_of

__all__ = ["assemble", "check_counts", "job_batch", "missing"]


def job_batch(batch: Batch, row: JobRow) -> Batch:
    """Return what one job of a request runs.

    Raises:
        StorageError: It is not what the journal says was planned.
    """
    job = _batch_of(batch, row.pieces, (row.part, row.repetition, row.attempt))
    if payload(job) != row.payload:
        raise StorageError(
            f"the stored request of {row.token} was changed after it was planned; "
            "put the original files of the run folder back"
        )
    return job


def _batch_of(batch: Batch, pieces: Sequence[Piece], place: tuple[int, ...]) -> Batch:
    """Return the batch of one job; all but the very first draw from streams of their own."""
    items = tuple(piece_of(batch.items[piece.item], piece) for piece in pieces)
    return Batch(items=items, seed=(*batch.seed, *place) if any(place) else batch.seed)


def check_counts(counts: Counts, batch: Batch, *, complete: bool) -> None:
    """Check what a backend returned for ``batch``; rows of zeros are missing ones.

    Raises:
        BadResult: Rows, outcomes or shots are not those that were asked for.
    """
    if len(counts.arrays) != len(batch.items):
        raise BadResult(f"the result has {len(counts.arrays)} parts instead of {len(batch.items)}")
    for item, array in zip(batch.items, counts.arrays, strict=True):
        circuit = item.circuit
        wanted = (len(item.bindings), 1 << (circuit.num_qubits - circuit.num_ancillas))
        if array.shape != wanted:
            raise BadResult(f"the result has the shape {array.shape}, asked for was {wanted}")
        sums = array.sum(axis=1)
        good = np.isclose(sums, item.shots or 1.0, rtol=0, atol=1e-6)
        if not (good if complete else good | (sums == 0)).all() or array.min() < 0:
            raise BadResult(
                f"the result has rows of {sorted(set(sums.tolist()))[:3]} shots, "
                f"asked for were {item.shots}"
            )


def assemble(batch: Batch, results: Sequence[tuple[JobRow, Counts]]) -> Counts | None:
    """Add the counts of jobs; None unless every binding has exactly its shots."""
    sums: list[NDArray[Any] | None] = [None] * len(batch.items)
    for row, counts in results:
        for piece, array in zip(row.pieces, counts.arrays, strict=True):
            total = sums[piece.item]
            if total is None:
                shape = (len(batch.items[piece.item].bindings), array.shape[1])
                total = np.zeros(shape, array.dtype)
            total = total.astype(np.result_type(total, array), copy=False)
            total[piece.start : piece.stop] += array
            sums[piece.item] = total
    arrays = []
    for item, total in zip(batch.items, sums, strict=True):
        if total is None or not np.allclose(total.sum(axis=1), item.shots or 1, rtol=0, atol=1e-6):
            return None
        arrays.append(total)
    return Counts(arrays=tuple(arrays), shots=tuple(item.shots for item in batch.items))


def missing(batch: Batch, row: JobRow, got: Counts | None) -> PlannedJob:
    """Return the part of a job for which nothing came back, as a job with the same place."""
    pieces = tuple(_gaps(row, got))
    job = _batch_of(batch, pieces, (row.part, row.repetition, row.attempt + 1))
    return PlannedJob(part=row.part, repetition=row.repetition, batch=job, pieces=pieces)


def _gaps(row: JobRow, got: Counts | None) -> Iterator[Piece]:
    for number, piece in enumerate(row.pieces):
        if got is None:
            yield piece
            continue
        empty = np.flatnonzero(got.arrays[number].sum(axis=1) == 0)
        for run in np.split(empty, np.flatnonzero(np.diff(empty) > 1) + 1):
            if len(run):
                start, stop = piece.start + int(run[0]), piece.start + int(run[-1]) + 1
                yield Piece(item=piece.item, start=start, stop=stop, shots=piece.shots)
