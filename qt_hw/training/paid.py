"""How a training reaches a device that costs money: journal, cap, rehearsal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qt_hw.errors import BudgetExceeded, InputError
from qt_hw.execution.budget import Cap
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.executor import Executor, JournalledExecutor, LocalExecutor
from qt_hw.execution.journal import JobRow
from qt_hw.execution.rehearsal import rehearse
from qt_hw.storage import locked, read_json, write_json
from qt_hw.training.build import make_backend
from qt_hw.training.config import RunConfig

__all__ = ["Hardware", "open_executor", "rehearsed"]

#: Seconds for which a stand-in's search may miss a job: it answers from one place.
_REHEARSAL_SETTLES = 0.5


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """How to go about paid jobs.

    Attributes:
        waiting: Whether to wait for jobs, or to stop with ``Pending`` where one is open.
        rehearsal: Options of a rehearsal (``queue_seconds``, ``faults``); None: for real.
        go_on: What a user types when jobs are pending.
        say: Told in one line what a user should know.
        report: Told the open jobs while waiting.
    """

    waiting: bool = True
    rehearsal: Mapping[str, Any] | None = None
    go_on: str = "collect them later"
    say: Callable[[str], None] = field(default=lambda text: None)
    report: Callable[[list[JobRow]], None] = field(default=lambda rows: None)


def rehearsed(folder: Path) -> Mapping[str, Any] | None:
    """Return the options of the rehearsal that the run in ``folder`` is, None if it is none."""
    path = folder / "rehearsal" / "options.json"
    return dict(read_json(path)) if path.exists() else None


@contextlib.contextmanager
def open_executor(config: RunConfig, folder: Path, hardware: Hardware) -> Iterator[Executor]:
    """Yield where the circuits of a run run; for a paid backend with the run folder locked.

    Raises:
        BudgetExceeded: The backend costs money and the configuration has no cap.
        InputError: A rehearsal of something that costs nothing, or a run that began as one or
            the other.
        StorageError: Another process is writing to the folder.
    """
    with contextlib.ExitStack() as stack:
        if hardware.rehearsal is not None:
            stand_in = folder / "rehearsal" / "service"
            stack.enter_context(rehearse(config.backend.name, stand_in, **hardware.rehearsal))
        backend = make_backend(config)
        if not backend.limits.paid:
            if hardware.rehearsal is not None:
                raise InputError(f"{backend.name} costs nothing: run it without --rehearse")
            yield LocalExecutor(backend)
            return
        cap = Cap(**config.budget.model_dump())
        if cap == Cap():
            raise BudgetExceeded(
                [
                    f"{backend.name} costs money: set a cap, e.g. --set budget.max_usd=50 or "
                    "--set budget.max_qpu_seconds=120"
                ]
            )
        stack.enter_context(locked(folder))
        home = _home(folder, hardware)
        dispatcher = stack.enter_context(
            contextlib.closing(
                Dispatcher(
                    backend,
                    home,
                    cap=cap,
                    settle_seconds=None if hardware.rehearsal is None else _REHEARSAL_SETTLES,
                    say=hardware.say,
                )
            )
        )
        yield JournalledExecutor(
            dispatcher, waiting=hardware.waiting, report=hardware.report, go_on=hardware.go_on
        )


def _home(folder: Path, hardware: Hardware) -> Path:
    """Return where journal and counts are: a rehearsal's are apart from real ones."""
    if hardware.rehearsal is None:
        if rehearsed(folder) is not None:
            raise InputError(f"{folder} is a rehearsal; choose another --out for the real run")
        return folder
    if (folder / "journal.sqlite").exists():
        raise InputError(f"{folder} has real jobs; choose another --out for a rehearsal")
    write_json(folder / "rehearsal" / "options.json", dict(hardware.rehearsal))
    return folder / "rehearsal"
