"""How a training reaches a device that costs money: journal, cap, rehearsal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from qt_hw.errors import BudgetExceeded, InputError
from qt_hw.execution.backend import Backend
from qt_hw.execution.budget import Cap
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.executor import Executor, JournalledExecutor, LocalExecutor
from qt_hw.execution.journal import JobRow, Journal
from qt_hw.execution.rehearsal import rehearse
from qt_hw.storage import locked, read_json, write_json
from qt_hw.training.build import make_backend
from qt_hw.training.config import RunConfig
from qt_hw.training.quote import Quote

__all__ = [
    "Hardware",
    "Ledger",
    "cap_of",
    "open_dispatcher",
    "open_executor",
    "open_stand_in",
    "rehearsed",
]

#: Seconds for which a stand-in's search may miss a job: it answers from one place.
_REHEARSAL_SETTLES = 0.5

Say = Callable[[str], None]
Rehearsal = Mapping[str, Any]


def _silent(text: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """One journal, and so one cap, for several runs.

    Attributes:
        journal: Its file; a rehearsal's stand-in keeps its own state beside it.
        run: Which of the runs this is.
    """

    journal: Path
    run: str

    def identity(self) -> str:
        """Return the identity of the run in tokens: no two journals share one."""
        with Journal(self.journal) as journal:
            return f"{journal.remember('run', uuid4().hex)}/{self.run}"


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """How to go about paid jobs.

    Attributes:
        waiting: Whether to wait for jobs, or to stop with ``Pending`` where one is open.
        rehearsal: Options of a rehearsal (``queue_seconds``, ``faults``); None: for real.
        go_on: What a user types when jobs are pending.
        say: Told in one line what a user should know.
        report: Told the open jobs while waiting.
        quoted: Told what the whole training would cost, before its first job.
        ledger: The journal that the run shares with others; None: it has its own.
    """

    waiting: bool = True
    rehearsal: Rehearsal | None = None
    go_on: str = "collect them later"
    say: Say = field(default=_silent)
    report: Callable[[Dispatcher, list[JobRow]], None] = field(default=lambda d, rows: None)
    quoted: Callable[[RunConfig, Quote], None] = field(default=lambda config, quote: None)
    ledger: Ledger | None = None


def rehearsed(folder: Path) -> Rehearsal | None:
    """Return the options of the rehearsal that the run in ``folder`` is, None if it is none."""
    path = folder / "rehearsal" / "options.json"
    return dict(read_json(path)) if path.exists() else None


def cap_of(config: RunConfig) -> Cap:
    """Return the caps of ``[budget]``.

    Raises:
        BudgetExceeded: There is none.
    """
    cap = Cap(**config.budget.model_dump())
    if cap == Cap():
        raise BudgetExceeded(
            [
                f"{config.backend.name} costs money: set a cap, e.g. --set budget.max_usd=50 or "
                "--set budget.max_qpu_seconds=120"
            ]
        )
    return cap


def open_stand_in(
    config: RunConfig, state: Path, rehearsal: Rehearsal
) -> contextlib.AbstractContextManager[None]:
    """Return a context in which a stand-in of the vendor runs; each vendor's has its own files.

    Raises:
        InputError: The backend has no stand-in.
    """
    name, instance = config.backend.name, config.account.instance
    known = {} if instance is None else {"instance": instance}
    return rehearse(name, state / name.partition(":")[0], **{**known, **rehearsal})


@contextlib.contextmanager
def open_dispatcher(
    config: RunConfig,
    folder: Path,
    *,
    rehearsal: Rehearsal | None = None,
    backend: Backend | None = None,
    say: Say = _silent,
    lock: bool = True,
    hint: str = "wait for it, or end it with Ctrl-C: its jobs go on at the vendor",
    ledger: Ledger | None = None,
) -> Iterator[Dispatcher]:
    """Yield what submits and collects the paid jobs of the run in ``folder``.

    Under a rehearsal its stand-in runs meanwhile; journal and counts are then in
    ``folder/rehearsal``, apart from real ones. With a ledger, the journal is the ledger's, and the
    counts are in ``folder`` either way.

    Args:
        config: Names backend, account and caps.
        folder: The run folder.
        rehearsal: Options of the rehearsal; None: for real.
        backend: In place of the one that ``config`` names; not in a rehearsal.
        say: Told in one line what a user should know.
        lock: Whether to hold the folder: needed for everything but looking.
        hint: What to do if another process holds it.
        ledger: The journal that the run shares with others.

    Raises:
        BudgetExceeded: There is no cap.
        InputError: The backend costs nothing; or a rehearsal of an object.
        StorageError: Another process is writing to the folder.
    """
    name = config.backend.name
    home = folder if rehearsal is None or ledger is not None else folder / "rehearsal"
    service = home if ledger is None else ledger.journal.parent
    stand_in: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if rehearsal is not None:
        if backend is not None:  # it may know the real service already
            raise InputError("a rehearsal needs the backend's name, not an object")
        stand_in = open_stand_in(config, service / "service", rehearsal)
    elif backend is None:
        backend = make_backend(config)
    if backend is not None and not backend.limits.paid:
        raise InputError(f"{name} costs nothing: there is nothing to submit; see qt-hw run")
    cap = cap_of(config)
    with contextlib.ExitStack() as stack:
        if lock:
            stack.enter_context(locked(folder, hint))
        stack.enter_context(stand_in)
        backend = make_backend(config) if backend is None else backend
        settles = None if rehearsal is None else _REHEARSAL_SETTLES
        dispatcher = Dispatcher(
            backend,
            home,
            cap=cap,
            journal=None if ledger is None else ledger.journal,
            run=None if ledger is None else ledger.identity(),
            settle_seconds=settles,
            say=say,
        )
        yield stack.enter_context(contextlib.closing(dispatcher))


@contextlib.contextmanager
def open_executor(
    config: RunConfig, folder: Path, hardware: Hardware, *, lock: bool = True
) -> Iterator[Executor]:
    """Yield where the circuits of a run run; for a paid backend with the run folder locked.

    Args:
        config: Names backend, account and caps.
        folder: The run folder.
        hardware: How to go about paid jobs.
        lock: Whether to hold the folder, where the caller does not.

    Raises:
        BudgetExceeded: The backend costs money and the configuration has no cap.
        InputError: A rehearsal of something that costs nothing, or a run that began as one or
            the other.
        StorageError: Another process is writing to the folder.
    """
    backend, rehearsal = None, hardware.rehearsal
    if rehearsal is None:
        backend = make_backend(config)
        if not backend.limits.paid:
            yield LocalExecutor(backend)
            return
    ledger = hardware.ledger
    if ledger is None:
        _check_kind(folder, rehearsal)
    if rehearsal is not None and ledger is None:
        rehearsal = {**(rehearsed(folder) or {}), **rehearsal}
    hint = "wait for it, or choose another --out"
    with open_dispatcher(
        config,
        folder,
        rehearsal=rehearsal,
        backend=backend,
        say=hardware.say,
        lock=lock,
        hint=hint,
        ledger=ledger,
    ) as dispatcher:
        if rehearsal is not None and ledger is None:
            write_json(folder / "rehearsal" / "options.json", dict(rehearsal))
        yield JournalledExecutor(
            dispatcher,
            waiting=hardware.waiting,
            report=lambda rows: hardware.report(dispatcher, rows),
            go_on=hardware.go_on,
        )


def _check_kind(folder: Path, rehearsal: Rehearsal | None) -> None:
    """Refuse to go on for real with a rehearsed training, and the other way round."""
    if rehearsal is None:
        if rehearsed(folder) is not None:
            raise InputError(
                f"{folder} is a rehearsal: go on with --rehearse, or choose another --out for the "
                "real run"
            )
    elif _has_trained(folder / "journal.sqlite"):
        raise InputError(f"{folder} has real jobs; choose another --out for a rehearsal")


def _has_trained(path: Path) -> bool:
    """Whether a journal holds steps of a training; evaluations count downwards from -1."""
    if not path.exists():
        return False
    with Journal(path) as journal:
        return any(request.step >= 0 for request in journal.requests())
