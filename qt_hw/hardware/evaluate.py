"""Submit the circuit of a trained run to a device: priced, capped, recorded, sent once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from qt_hw.errors import (
    BudgetExceeded,
    InputError,
    PermanentError,
    PreflightError,
    TransientError,
)
from qt_hw.execution.backend import Backend, Batch, Cost
from qt_hw.execution.budget import refusals
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import JobRow, RequestRow
from qt_hw.hardware.evaluation import Evaluation, next_number, records, save
from qt_hw.hardware.home import Home, state_of
from qt_hw.hardware.outlook import foretell
from qt_hw.hardware.planning import batch_of, order, priced
from qt_hw.training.build import make_ansatz
from qt_hw.training.paid import open_dispatcher
from qt_hw.training.provenance import now
from qt_hw.training.run import Run

__all__ = ["Submission", "request_of", "send", "submit"]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What ``submit`` came to.

    Attributes:
        home: Where it is recorded.
        evaluation: Its record.
        news: Whether it was ``"sent"``, gone on with (``"resumed"``), or was over already
            (``"done"``, ``"failed"``, ``"cancelled"``), in which case nothing was sent.
        jobs: Its jobs.
    """

    home: Home
    evaluation: Evaluation
    news: Literal["sent", "resumed", "done", "failed", "cancelled"]
    jobs: list[JobRow]


def submit(
    run: Run | str | Path,
    backend: str | Backend,
    *,
    shots: int,
    max_usd: float | None = None,
    max_qpu_seconds: float | None = None,
    options: Mapping[str, Any] | None = None,
    account: Mapping[str, Any] | None = None,
    mitigation: Any = None,
    mitigation_options: Mapping[str, Mapping[str, Any]] | None = None,
    calibration_shots: int | None = None,
    again: bool = False,
    rehearsal: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda text: None,
    quoted: Callable[[Cost], None] = lambda cost: None,
) -> Submission:
    """Measure the circuit of a finished run once on a device; do not wait for it.

    Asking twice for the same thing pays once: an evaluation that is under way is gone on with.

    Args:
        run: A finished run or its folder.
        backend: Name of a paid backend, or the object.
        shots: Of each circuit; the circuit of a ``ProductAnsatz`` is several.
        max_usd: Cap on what all jobs recorded for this run cost, US dollars.
        max_qpu_seconds: The same in seconds of the device; one of the two is needed.
        options: Of the backend, where it is named.
        account: ``bucket``, ``region``, ``instance``; no secrets.
        mitigation: See ``qt_hw.probabilities``; calibration circuits are measured in the same
            submission. ``"auto"`` decides by what the backend says of its errors.
        mitigation_options: Of the techniques that are named, by their names.
        calibration_shots: Of each calibration circuit; by default as many as ``shots``.
        again: Measure anew although the same evaluation is over.
        rehearsal: Options of a rehearsal (``queue_seconds``, ``faults``); None: for real.
        say: Told in one line what a user should know.
        quoted: Told the price before anything is sent.

    Raises:
        InputError: Something is wrong with the arguments, or ``again`` comes too early.
        StorageError: The run is not finished, or another process is writing to its folder.
        BudgetExceeded: There is no cap, or this would cross it; nothing was sent.
        PreflightError: The device cannot run it, or takes nothing now; nothing was sent.
        PermanentError: The vendor refused.
        TransientError: The vendor refused for too long.
        AmbiguousSubmission: There may be a job or not; ``collect`` finds out.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    given = backend if isinstance(backend, Backend) else None
    name = backend.name if isinstance(backend, Backend) else backend
    wanted = order(
        run,
        name,
        shots=shots,
        max_usd=max_usd,
        max_qpu_seconds=max_qpu_seconds,
        options=options or {},
        account=account or {},
        mitigation=mitigation,
        mitigation_options=mitigation_options,
        calibration_shots=calibration_shots,
        rehearsal=rehearsal,
    )
    _check_cap(wanted)
    home = Home(run=run.folder, rehearsed=rehearsal is not None)
    with open_dispatcher(
        wanted.config(run.config), run.folder, rehearsal=rehearsal, backend=given, say=say
    ) as dispatcher:
        before = _last_same(home, wanted)
        if before is not None:
            over = _news(dispatcher, before)
            if over is None:
                if again:
                    raise InputError(
                        f"{before.label} asks for the same and is under way: collect it first"
                    )
                kept = None if rehearsal is None else {**(before.rehearsal or {}), **rehearsal}
                evaluation = replace(
                    before, max_usd=max_usd, max_qpu_seconds=max_qpu_seconds, rehearsal=kept
                )
                save(home, evaluation)
                jobs = send(dispatcher, home, evaluation, run)
                return Submission(home=home, evaluation=evaluation, news="resumed", jobs=jobs)
            if not again:
                jobs = dispatcher.journal.jobs(before.request)
                return Submission(home=home, evaluation=before, news=over, jobs=jobs)
        evaluation = _record(dispatcher, home, wanted, run, quoted, say)
        jobs = send(dispatcher, home, evaluation, run)
    return Submission(home=home, evaluation=evaluation, news="sent", jobs=jobs)


def send(dispatcher: Dispatcher, home: Home, evaluation: Evaluation, run: Run) -> list[JobRow]:
    """Submit what is not on its way yet; a request that was refused as a whole is over.

    Raises:
        QtHwError: See ``submit``.
    """
    try:
        dispatcher.submit(request_of(dispatcher, evaluation, run))
    except (InputError, PreflightError, PermanentError, TransientError) as error:
        rows = dispatcher.journal.jobs(evaluation.request)
        if all(row.state == "planned" for row in rows):
            # First the record: a crash between two jobs must not leave the rest of them to be sent.
            save(home, replace(evaluation, refused=str(error)))
            for row in rows:
                dispatcher.cancel(row)
        raise
    return dispatcher.journal.jobs(evaluation.request)


def request_of(dispatcher: Dispatcher, evaluation: Evaluation, run: Run) -> RequestRow:
    """Return the request of an evaluation; one that a crash kept from the journal is planned now.

    Raises:
        StorageError: The run was trained on since, or files of its folder are missing.
    """
    for request in dispatcher.journal.requests():
        if request.id == evaluation.request:
            return request
    batch, _, calibration = _batch(dispatcher, run, evaluation)
    if dispatcher.request_id(batch, evaluation.step) != evaluation.request:
        raise InputError(
            f"{run.folder} is not what it was when {evaluation.label} was asked for, of which "
            "nothing was sent: submit it anew"
        )
    return dispatcher.plan(batch, evaluation.step, evaluation.label, calibration)


def _batch(
    dispatcher: Dispatcher, run: Run, evaluation: Evaluation
) -> tuple[Batch, Evaluation, str]:
    """Return the circuits of a run, its record, and the date of the calibration they are for."""
    prepare = partial(dispatcher.prepare, scope=evaluation.scope)
    ansatz = make_ansatz(run.config.ansatz)
    batch, made = batch_of(evaluation, ansatz, prepare, run, dispatcher.backend.limits)
    return batch, made, prepare(ansatz.factors()[0]).calibration_date or ""


def _record(
    dispatcher: Dispatcher,
    home: Home,
    wanted: Evaluation,
    run: Run,
    quoted: Callable[[Cost], None],
    say: Callable[[str], None],
) -> Evaluation:
    """Price a new evaluation, hold it against the cap, and write it down."""
    evaluation = replace(wanted, number=next_number(home), created=now())
    prepare, totals = (
        partial(dispatcher.prepare, scope=evaluation.scope),
        dispatcher.journal.totals(),
    )

    def refused(cost: Cost) -> list[str]:
        return refusals(cost, totals, dispatcher.cap)

    batch, evaluation, cost = priced(evaluation, prepare, run, dispatcher.backend, refused)
    quoted(cost)
    if wanted.mitigation != "none":
        foretell(evaluation, make_ansatz(run.config.ansatz), prepare, run.arrays()["angles"], say)
    if reasons := refused(cost):
        raise BudgetExceeded(reasons)
    evaluation = replace(evaluation, request=dispatcher.request_id(batch, evaluation.step))
    save(home, evaluation)
    return evaluation


def _last_same(home: Home, wanted: Evaluation) -> Evaluation | None:
    """Return the last evaluation that asks for the same and was not refused."""
    same = [e for e in records(home) if e.same(wanted) and not e.refused]
    return same[-1] if same else None


def _news(
    dispatcher: Dispatcher, evaluation: Evaluation
) -> Literal["done", "failed", "cancelled"] | None:
    """Return how an evaluation ended, None if it is under way."""
    state = state_of(dispatcher.journal.jobs(evaluation.request))
    return state if state in ("done", "failed", "cancelled") else None  # type: ignore[return-value]


def _check_cap(wanted: Evaluation) -> None:
    if wanted.max_usd is None and wanted.max_qpu_seconds is None:
        raise BudgetExceeded([f"{wanted.backend} costs money: set --max-usd or --max-qpu-seconds"])
