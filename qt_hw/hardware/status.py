"""Where the jobs of a run stand: from the journal, and from the vendor where it can be reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qt_hw.errors import QtHwError
from qt_hw.execution.backend import Backend
from qt_hw.execution.budget import Totals
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import JobRow, Journal, RequestRow
from qt_hw.hardware.evaluation import Evaluation, records
from qt_hw.hardware.home import Home, homes
from qt_hw.hardware.sources import Caps, caps_of, open_source

__all__ = ["JobLine", "Standing", "queue_place", "standings"]

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class JobLine:
    """One job.

    Attributes:
        request: What it is part of.
        row: As the journal has it.
        state: What the vendor says of an open job, else what the journal says.
        place: Its place in the queue, as the vendor says it; empty where it says nothing.
    """

    request: RequestRow
    row: JobRow
    state: str
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The jobs of one home.

    Attributes:
        home: Which.
        lines: Its jobs, oldest first.
        evaluations: Its evaluations, those that were refused among them.
        totals: Spent and queued, over everything in the journal.
        caps: The caps that hold for what comes next.
        problems: Why a vendor could not be asked, in one line each.
    """

    home: Home
    lines: Sequence[JobLine]
    evaluations: Sequence[Evaluation]
    totals: Totals
    caps: Caps
    problems: Sequence[str]

    @property
    def n_moving(self) -> int:
        """Number of jobs that are on their way or at the vendor, and have not ended there."""
        return sum(line.state in _MOVING for line in self.lines)


def standings(
    folder: str | Path,
    *,
    asking: bool = True,
    backend: Backend | None = None,
    say: Say = lambda text: None,
) -> list[Standing]:
    """Return where the jobs of a run or a pair stand, real ones first; changes nothing.

    Args:
        folder: Of a run or a pair.
        asking: Whether to ask the vendors about open jobs.
        backend: In place of the backend of this name.
        say: Told in one line what a user should know.

    Raises:
        StorageError: ``folder`` holds no run, or a journal cannot be read.
    """
    return [_standing(home, asking, backend, say) for home in homes(Path(folder))]


def _standing(home: Home, asking: bool, backend: Backend | None, say: Say) -> Standing:
    requests = home.requests()
    found: dict[str, tuple[str, str]] = {}
    problems: list[str] = []
    for request, rows in requests:
        sent = [row for row in rows if row.state == "submitted"]
        if asking and sent and not problems:
            try:
                found |= _ask(home, request, sent, backend, say)
            except QtHwError as error:
                problems.append(f"{request.backend} cannot be asked ({error}): as last known")
    lines = [
        JobLine(
            request=request,
            row=row,
            state=found.get(row.token, (row.state, ""))[0],
            place=found.get(row.token, ("", ""))[1],
        )
        for request, rows in requests
        for row in rows
    ]
    with Journal(home.journal) as journal:
        totals = journal.totals()
    return Standing(
        home=home,
        lines=lines,
        evaluations=records(home),
        totals=totals,
        caps=caps_of(home),
        problems=problems,
    )


def _ask(
    home: Home, request: RequestRow, rows: Sequence[JobRow], backend: Backend | None, say: Say
) -> dict[str, tuple[str, str]]:
    """Return state and place in the queue of submitted jobs, by token."""
    found = {}
    # Two stand-ins on the same files would both run its jobs: hence the lock.
    with open_source(home, request, say=say, backend=backend, lock=home.rehearsed) as dispatcher:
        for row in rows:
            assert row.id is not None
            job = dispatcher.backend.job(row.id)
            state = job.status().value
            found[row.token] = (
                f"{state}, not collected" if state in _ENDED else state,
                (job.queue() or "") if state not in _ENDED else "",
            )
    return found


_ENDED = ("done", "failed", "cancelled")
_MOVING = ("submitting", "submitted", "queued", "running")


def queue_place(dispatcher: Dispatcher, rows: Sequence[JobRow]) -> str:
    """Return what the vendor says of the first open job's place in the queue; empty if nothing."""
    for row in rows:
        if row.state == "submitted" and row.id is not None:
            try:
                return dispatcher.backend.job(row.id).queue() or ""
            except QtHwError:
                return ""
    return ""
