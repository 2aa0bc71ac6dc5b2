"""One step's batch as the jobs that a backend's limits allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from qt_hw.errors import PreflightError
from qt_hw.execution.backend import Batch, Item, Limits
from qt_hw.execution.checks import check_batch

__all__ = ["Piece", "PlannedJob", "piece_of", "split"]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Bindings ``start`` to ``stop`` of item ``item`` of the step's batch, with ``shots`` each."""

    item: int
    start: int
    stop: int
    shots: int | None


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedJob:
    """One job of a step.

    Attributes:
        part: Number of the job among those of its repetition.
        repetition: Counts the jobs over which the shots of one binding are spread.
        batch: What the job runs; item i of it is ``pieces[i]`` of the step's batch.
        pieces: Where its items belong.
    """

    part: int
    repetition: int
    batch: Batch
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True)
class _Share:
    """The shots of one item that belong to one repetition."""

    item: int
    shots: int | None
    repetition: int


def split(
    batch: Batch, limits: Limits, per_job: Callable[[Item], int | None] | None = None
) -> list[PlannedJob]:
    """Return the jobs that a batch needs.

    Jobs after the first draw from streams of their own.

    Args:
        batch: What one step needs.
        limits: Of the backend.
        per_job: ``Backend.bindings_per_job``.

    Raises:
        InputError: See ``check_batch``.
        PreflightError: A single binding exceeds the limits, or its shots cannot be spread.
    """
    check_batch(batch, limits)
    sizes = [None if per_job is None else per_job(item) for item in batch.items]
    jobs: list[PlannedJob] = []
    parts: dict[int, int] = {}
    for repetition, pieces in _fill(batch, limits, sizes):
        items = tuple(piece_of(batch.items[piece.item], piece) for piece in pieces)
        seed = batch.seed if not jobs else (*batch.seed, len(jobs))
        part = parts.get(repetition, 0)
        parts[repetition] = part + 1
        jobs.append(
            PlannedJob(
                part=part,
                repetition=repetition,
                batch=Batch(items=items, seed=seed),
                pieces=tuple(pieces),
            )
        )
    return jobs


def piece_of(item: Item, piece: Piece) -> Item:
    """Return the item of a job that ``piece`` stands for."""
    if piece.start == 0 and piece.stop == len(item.bindings):
        return item if piece.shots == item.shots else replace(item, shots=piece.shots)
    bindings = item.bindings[piece.start : piece.stop]
    return replace(item, bindings=bindings, shots=piece.shots, origin=None)


def _shares(batch: Batch, limits: Limits) -> list[_Share]:
    """Spread the shots of each item over repetitions, in the order in which jobs take them."""
    out = []
    for number, item in enumerate(batch.items):
        for repetition, shots in enumerate(_repetitions(item.shots, limits)):
            out.append(_Share(item=number, shots=shots, repetition=repetition))
    out.sort(key=lambda share: share.repetition)
    if limits.one_shot_count:
        first: dict[tuple[int, int | None], int] = {}
        for share in out:
            first.setdefault((share.repetition, share.shots), len(first))
        out.sort(key=lambda share: first[share.repetition, share.shots])
    return out


def _repetitions(shots: int | None, limits: Limits) -> list[int | None]:
    """Return the shots of one binding in each of the jobs over which they are spread."""
    most = limits.split_shots
    if shots is None or most is None:
        return [shots]
    most = min(most, limits.max_executions or most)
    n = -(-shots // most)
    each, more = divmod(shots, n)
    if n > 1 and each < limits.min_shots:
        raise PreflightError(
            [
                f"{shots} shots of a binding need {n} jobs of at most {most}, each of which takes "
                f"at least {limits.min_shots}: ask for {n * limits.min_shots} or more"
            ]
        )
    return [each + (repetition < more) for repetition in range(n)]


def _fill(
    batch: Batch, limits: Limits, sizes: list[int | None]
) -> Iterator[tuple[int, list[Piece]]]:
    """Yield (repetition, pieces) of each job."""
    job = _Job(limits)
    for share in _shares(batch, limits):
        at, stop = 0, len(batch.items[share.item].bindings)
        while at < stop:
            room = job.room(share, sizes[share.item])
            if room < 1:
                yield job.repetition, job.pieces
                job = _Job(limits)
                continue
            end = min(stop, at + room)
            piece = Piece(item=share.item, start=at, stop=end, shots=share.shots)
            job.add(share.repetition, piece, sizes[share.item])
            at = end
    if job.pieces:
        yield job.repetition, job.pieces


class _Job:
    """A job that is being filled."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.pieces = limits, list[Piece]()
        self.repetition, self._bindings, self._executions, self._load = 0, 0, 0, 0.0

    def room(self, share: _Share, size: int | None) -> int:
        """How many bindings of ``share`` still fit; an empty job takes at least one."""
        if self.pieces and share.repetition != self.repetition:
            return 0
        if self.pieces and self.limits.one_shot_count and share.shots != self.pieces[0].shots:
            return 0
        room = [10**12]
        if self.limits.max_bindings is not None:
            room.append(self.limits.max_bindings - self._bindings)
        if self.limits.max_executions is not None and share.shots is not None:
            room.append((self.limits.max_executions - self._executions) // share.shots)
        if size is not None:
            room.append(int((1.0 - self._load) * size + 1e-9))
        return min(room) if self.pieces else max(1, min(room))

    def add(self, repetition: int, piece: Piece, size: int | None) -> None:
        count = piece.stop - piece.start
        self.repetition = repetition
        self.pieces.append(piece)
        self._bindings += count
        self._executions += count * (piece.shots or 0)
        self._load += count / size if size else 0.0
