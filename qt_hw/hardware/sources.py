"""What stands behind a job: its backend, its account, its cap, and whether it is a rehearsal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qt_hw.errors import InputError
from qt_hw.execution.backend import Backend
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import JobRow, RequestRow
from qt_hw.hardware.evaluation import load, records
from qt_hw.hardware.home import Home, homes, last_attempts
from qt_hw.hardware.shared_ledger import caps_in, cell_folder, cell_ledger, cell_source
from qt_hw.storage import locked
from qt_hw.training.config import RunConfig
from qt_hw.training.paid import open_dispatcher
from qt_hw.training.run import Run

__all__ = ["Caps", "caps_of", "chosen_jobs", "matches", "open_source", "short_id"]

Say = Callable[[str], None]

_RUNNING = "its study is running: end it with Ctrl-C first, its jobs go on"

#: Letters of an id or a token that are enough to name a job.
_LEAST_PREFIX = 8


@dataclass(frozen=True, kw_only=True)
class Caps:
    """New caps in place of recorded ones; None leaves one as it is."""

    max_usd: float | None = None
    max_qpu_seconds: float | None = None


def caps_of(home: Home) -> Caps:
    """Return the caps of the training, or of the last evaluation if there is one."""
    if home.of_study:
        return Caps(**caps_in(home.run))
    if found := records(home):
        return Caps(max_usd=found[-1].max_usd, max_qpu_seconds=found[-1].max_qpu_seconds)
    return Caps(**Run.open(home.run).config.budget.model_dump())


def short_id(id: str | None) -> str:
    """Return the last part of a vendor's id.

    >>> short_id("arn:aws:braket:us-east-1:1:quantum-task/abc")
    'abc'
    """
    return (id or "").rpartition("/")[2]


def matches(row: JobRow, job: str | None) -> bool:
    """Whether ``job`` names this one: its id, the last part of it, its token, or their start."""
    if job is None or job in (row.id, row.token, short_id(row.id)):
        return True
    names = (row.token, row.id or "", short_id(row.id))
    return len(job) >= _LEAST_PREFIX and any(name.startswith(job) for name in names)


def source_of(home: Home, request: RequestRow) -> tuple[RunConfig, Mapping[str, Any] | None]:
    """Return the configuration (backend, account, cap) behind a request, and its rehearsal."""
    if home.of_study:
        return cell_source(home.run, request)
    run = Run.open(home.run)
    if request.step >= 0:
        return run.config, home.training_rehearsal()
    evaluation = load(home, -request.step)
    return evaluation.config(run.config), evaluation.rehearsal


@contextlib.contextmanager
def open_source(
    home: Home,
    request: RequestRow,
    *,
    say: Say,
    backend: Backend | None = None,
    lock: bool = True,
) -> Iterator[Dispatcher]:
    """Yield the dispatcher behind a request of any kind; see ``open_dispatcher``."""
    config, rehearsal = source_of(home, request)
    same = backend is not None and backend.name == request.backend and rehearsal is None
    given = backend if same else None
    folder, ledger = home.run, None
    with contextlib.ExitStack() as stack:
        if home.of_study:
            folder = cell_folder(home.run, request)
            ledger = cell_ledger(home.journal, request)
            if lock:
                stack.enter_context(
                    locked(
                        home.run, "its study is running: end it with Ctrl-C first, its jobs go on"
                    )
                )
        yield stack.enter_context(
            open_dispatcher(
                config,
                folder,
                rehearsal=rehearsal,
                backend=given,
                say=say,
                lock=lock,
                ledger=ledger,
            )
        )


def chosen_jobs(
    folder: Path, job: str | None, wanted: Callable[[JobRow], bool]
) -> list[tuple[Home, RequestRow, list[JobRow]]]:
    """Return the last attempts that are wanted, by request; one that is named must exist.

    Raises:
        InputError: No job has this name.
    """
    found, named = [], False
    for home in homes(folder):
        for request, rows in home.requests():
            mine = [row for row in last_attempts(rows) if matches(row, job)]
            named = named or bool(mine)
            if chosen := [row for row in mine if wanted(row)]:
                found.append((home, request, chosen))
    if job is not None and not named:
        raise InputError(f"no job {job} in {folder}; see qt-hw status {folder}")
    return found
