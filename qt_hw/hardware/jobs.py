"""Cancel and retry the jobs of a run, those of its training and of its evaluations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qt_hw.errors import BudgetExceeded, InputError
from qt_hw.execution.backend import Backend, Cost
from qt_hw.execution.budget import refusals
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import OPEN, JobRow, RequestRow
from qt_hw.hardware.evaluation import load, save
from qt_hw.hardware.home import Home
from qt_hw.hardware.shared_ledger import raise_caps_in
from qt_hw.hardware.sources import Caps, chosen_jobs, open_source
from qt_hw.storage import locked, write_text
from qt_hw.training.loading import config_from_dict, to_toml
from qt_hw.training.quote import total
from qt_hw.training.run import Run

__all__ = ["cancel", "retry"]

Say = Callable[[str], None]


def cancel(
    folder: str | Path,
    job: str | None = None,
    *,
    backend: Backend | None = None,
    say: Say = lambda text: None,
) -> list[tuple[Home, RequestRow, JobRow]]:
    """Ask the vendor to stop the open jobs of a run, or one of them.

    Args:
        folder: Of a run or a pair.
        job: Id or token of one job; None: all that are open.
        backend: In place of the backend of this name.
        say: Told in one line what a user should know.

    Returns:
        Each job as it is now; one may stay ``submitted`` until the vendor has stopped it.

    Raises:
        InputError: No open job has this name.
        QtHwError: See ``Dispatcher.cancel``.
    """
    chosen = chosen_jobs(Path(folder), job, lambda row: row.state in OPEN)
    if job is not None and not chosen:
        raise InputError(f"{job} has ended already: there is nothing to cancel")
    done = []
    for home, request, rows in chosen:
        with open_source(home, request, say=say, backend=backend) as dispatcher:
            for row in rows:
                dispatcher.cancel(row)
            dispatcher.poll(request)
            done += [(home, request, dispatcher.journal.job(row.token)) for row in rows]
    return done


def retry(
    folder: str | Path,
    job: str | None = None,
    *,
    max_usd: float | None = None,
    max_qpu_seconds: float | None = None,
    backend: Backend | None = None,
    say: Say = lambda text: None,
    quoted: Callable[[str, Cost], None] = lambda label, cost: None,
) -> list[tuple[Home, RequestRow, JobRow]]:
    """Pay once more for what is missing of failed or cancelled jobs.

    A job that is done at the vendor but whose result cannot be read is given up if it is named.

    Args:
        folder: Of a run or a pair.
        job: Id or token of one job; None: all that failed or were cancelled.
        max_usd: A new cap in place of the recorded one; so ``max_qpu_seconds``.
        max_qpu_seconds: See ``max_usd``.
        backend: In place of the backend of this name.
        say: Told in one line what a user should know.
        quoted: Told what a request's retry costs, before it is sent.

    Returns:
        The new jobs.

    Raises:
        InputError: There is nothing to retry.
        BudgetExceeded: It would cross the cap; nothing was sent.
        QtHwError: See ``Dispatcher.submit``.
    """
    caps = Caps(max_usd=max_usd, max_qpu_seconds=max_qpu_seconds)
    ended = ("failed", "cancelled") if job is None else ("failed", "cancelled", "submitted")
    chosen = [
        (home, request, rows)
        for home, request, rows in chosen_jobs(Path(folder), job, lambda row: row.state in ended)
        if not _refused(home, request)
    ]
    if not chosen:
        raise InputError(f"no job of {folder} failed or was cancelled: there is nothing to retry")
    done = []
    for home, request, rows in chosen:
        with locked(home.run, "wait for it, or end it with Ctrl-C"):
            _raise_caps(home, request, caps)
        with open_source(home, request, say=say, backend=backend) as dispatcher:
            done += [(home, request, row) for row in _retry(dispatcher, request, rows, quoted)]
    return done


def _retry(
    dispatcher: Dispatcher,
    request: RequestRow,
    rows: list[JobRow],
    quoted: Callable[[str, Cost], None],
) -> list[JobRow]:
    for row in rows:
        if row.state == "submitted":
            dispatcher.give_up(row, "on the user's word")
    failed = {row.token for row in dispatcher.failed(request)}
    again = [dispatcher.journal.job(row.token) for row in rows if row.token in failed]
    if not again:
        dispatcher.say("the result could be read after all: nothing is paid again")
        return []
    cost = total([(dispatcher.price_of_retry(request, row), 1) for row in again])
    quoted(request.label, cost)
    if reasons := refusals(cost, dispatcher.journal.totals(), dispatcher.cap):
        raise BudgetExceeded(reasons)
    before = {row.token for row in dispatcher.journal.jobs(request.id)}
    for row in again:
        dispatcher.retry(request, row)
    dispatcher.submit(request)
    return [row for row in dispatcher.journal.jobs(request.id) if row.token not in before]


def _refused(home: Home, request: RequestRow) -> bool:
    return request.step < 0 and bool(load(home, -request.step).refused)


def _raise_caps(home: Home, request: RequestRow, caps: Caps) -> None:
    """Record new caps, where the old ones are recorded."""
    new = {name: value for name, value in vars(caps).items() if value is not None}
    if not new:
        return
    if home.of_study:
        raise_caps_in(home.run, new)
        return
    run = Run.open(home.run)
    if request.step < 0:
        evaluation = replace(load(home, -request.step), **new)
        evaluation.config(run.config)  # refuses what is no cap
        save(home, evaluation)
        return
    tables = run.config.model_dump(mode="json", exclude_none=True)
    tables["budget"] = {**tables.get("budget", {}), **new}
    write_text(home.run / "config.toml", to_toml(config_from_dict(tables, "retry")))
