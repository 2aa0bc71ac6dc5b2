"""Where the paid jobs of a run are recorded: real ones in its folder, rehearsed ones apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qt_hw.errors import InputError, StorageError
from qt_hw.execution.journal import OPEN, JobRow, Journal, RequestRow
from qt_hw.hardware.shared_ledger import is_study
from qt_hw.training.folder import PAIR
from qt_hw.training.paid import rehearsed
from qt_hw.training.run import Run

__all__ = ["Home", "chosen_run", "homes", "last_attempts", "run_folders", "state_of"]


@dataclass(frozen=True, kw_only=True)
class Home:
    """The real or the rehearsed jobs of one run, or of all runs of a study.

    Attributes:
        run: The run folder, or the study's, which is locked by whoever writes.
        rehearsed: Which of the two.
    """

    run: Path
    rehearsed: bool

    @property
    def of_study(self) -> bool:
        """Whether these are the jobs of a study, whose cells share one journal."""
        return is_study(self.run)

    @property
    def path(self) -> Path:
        """Folder of journal, counts and evaluations."""
        return self.run / "rehearsal" if self.rehearsed else self.run

    @property
    def journal(self) -> Path:
        """File of the journal."""
        return self.path / "journal.sqlite"

    @property
    def label(self) -> str:
        """What a user sees of it."""
        return f"{self.run} (rehearsal)" if self.rehearsed else str(self.run)

    def training_rehearsal(self) -> Mapping[str, Any] | None:
        """Return the options of the rehearsal that its training is."""
        return rehearsed(self.run) if self.rehearsed else None

    def requests(self) -> list[tuple[RequestRow, list[JobRow]]]:
        """Return what was asked for, oldest first, each request with its jobs."""
        with Journal(self.journal) as journal:
            jobs = journal.jobs()
            return [
                (request, [row for row in jobs if row.request == request.id])
                for request in journal.requests()
            ]


def run_folders(folder: Path) -> list[Path]:
    """Return ``folder`` itself if it is a run, else the runs of the pair in it.

    Raises:
        StorageError: It holds no run.
    """
    if (folder / "config.toml").is_file() or is_study(folder):
        return [folder]
    inner = [folder / name for name in PAIR if (folder / name).is_dir()]
    if not any((path / "config.toml").is_file() for path in inner):
        raise StorageError(f"{folder} is not a run folder: it has no config.toml")
    return inner


def homes(folder: Path) -> list[Home]:
    """Return every home of paid jobs in a run or a pair, real ones first.

    Raises:
        StorageError: ``folder`` holds no run.
    """
    every = [
        Home(run=path, rehearsed=kind) for kind in (False, True) for path in run_folders(folder)
    ]
    return [home for home in every if home.journal.exists()]


def chosen_run(folder: Path, which: str | None = None) -> Run:
    """Return the run that is meant by a run's folder, or by a pair's and ``which`` of the two.

    Raises:
        StorageError: There is no such run.
        InputError: ``folder`` is a single run, and not the one that ``which`` says.
    """
    if not (folder / "config.toml").is_file():
        inner = folder / (which or PAIR[0])
        return Run.open(inner if inner.is_dir() else folder)
    run = Run.open(folder)
    own = PAIR[0] if run.config.is_noiseless else PAIR[1]
    if which not in (None, own):
        raise InputError(f"{folder} is a single run, the {own} one; leave out --from {which}")
    return run


def last_attempts(rows: Sequence[JobRow]) -> list[JobRow]:
    """Return the newest attempt at each job of one request."""
    last = {(row.part, row.repetition): row for row in rows}
    return list(last.values())


def state_of(rows: Sequence[JobRow]) -> str:
    """Return what the jobs of one request come to.

    ``planned`` before anything was sent, ``open`` while something is to be sent or collected,
    ``failed`` or ``cancelled`` if that is how a job ended, else ``done``.
    """
    states = {row.state for row in last_attempts(rows)}
    if states <= {"planned"}:
        return "planned"
    if states & set(OPEN):
        return "open"
    return next((state for state in ("failed", "cancelled") if state in states), "done")
