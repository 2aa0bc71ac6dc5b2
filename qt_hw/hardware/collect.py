"""Fetch what devices have measured: recover what a crash left, store, evaluate, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from qt_hw.errors import (
    BackendError,
    BadResult,
    BudgetExceeded,
    JobFailed,
    PreflightError,
    QtHwError,
    TransientError,
)
from qt_hw.execution.backend import Backend
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import JobRow, RequestRow
from qt_hw.execution.watch import wait
from qt_hw.hardware.evaluate import request_of, send
from qt_hw.hardware.evaluation import Evaluation, records
from qt_hw.hardware.home import Home, homes, last_attempts, state_of
from qt_hw.hardware.results import Bench, finish
from qt_hw.hardware.shared_ledger import refuse_study
from qt_hw.hardware.table import metric_of, write_tables
from qt_hw.tasks import Data, Task
from qt_hw.tasks.metric import ACCURACY, Metric
from qt_hw.training.paid import open_dispatcher
from qt_hw.training.run import Run

__all__ = ["Collected", "Outcome", "collect"]

Say = Callable[[str], None]
Report = Callable[[Dispatcher, list[JobRow]], None]
State = Literal["finished", "open", "failed", "cancelled", "refused"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where one evaluation stands.

    Attributes:
        home: Where it is recorded.
        evaluation: Its record.
        state: ``finished``, ``open`` while jobs are on their way, or how it ended without a result.
        text: The same for a user, in one line.
        error: What went wrong, if something did.
    """

    home: Home
    evaluation: Evaluation
    state: State
    text: str
    error: QtHwError | None = None


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What ``collect`` came to.

    Attributes:
        outcomes: One for each evaluation, real ones first.
        tables: Columns of the comparison with the real evaluations (False) and with the rehearsed
            ones (True), where there are any; they are files in the run's folder too.
        metric: Headline metric of the task.
    """

    outcomes: Sequence[Outcome]
    tables: Mapping[bool, list[dict[str, Any]]] = field(default_factory=dict)
    metric: Metric = ACCURACY


def collect(
    folder: str | Path,
    *,
    target: nn.Module | None = None,
    data: Data | Task | None = None,
    backend: Backend | None = None,
    waiting: bool = False,
    say: Say = lambda text: None,
    report: Report = lambda dispatcher, rows: None,
) -> Collected:
    """Fetch the results of all evaluations of a run or a pair; evaluate those that are complete.

    What a crash left between record and request is sent now, within the recorded cap. May be
    repeated at any time: what is finished stays as it is, and nothing is paid twice.

    Args:
        folder: Of a run, or of a pair.
        target: The target that the run was given, where it was given one.
        data: The data that the run was given, where it was given some.
        backend: In place of the backend of this name.
        waiting: Whether to wait for jobs that are queued or running.
        say: Told in one line what a user should know.
        report: Told the open jobs while waiting.

    Raises:
        StorageError: ``folder`` holds no run; or its tables cannot be written.
        InputError: ``folder`` is a study's.
    """
    folder = Path(folder)
    refuse_study(folder)
    collector = _Collector(target, data, backend, say, report)
    outcomes = [
        collector.collect(home, evaluation, waiting=False)
        for home in homes(folder)
        for evaluation in records(home)
    ]
    if waiting:  # only now, so that what is done already is not kept waiting
        outcomes = [
            collector.collect(o.home, o.evaluation, waiting=True) if _worth_waiting(o) else o
            for o in outcomes
        ]
    return Collected(outcomes=outcomes, tables=write_tables(folder), metric=metric_of(folder))


def _worth_waiting(outcome: Outcome) -> bool:
    passing = outcome.error is None or isinstance(outcome.error, BadResult | TransientError)
    return outcome.state == "open" and passing


class _Collector:
    """Collects evaluations one by one; what goes wrong with one does not stop the others."""

    def __init__(
        self,
        target: nn.Module | None,
        data: Data | Task | None,
        backend: Backend | None,
        say: Say,
        report: Report,
    ) -> None:
        self._given = (target, data)
        self._backend, self._say, self._report = backend, say, report
        self._benches: dict[Path, Bench] = {}

    def collect(self, home: Home, evaluation: Evaluation, *, waiting: bool) -> Outcome:
        def outcome(state: State, text: str, error: QtHwError | None = None) -> Outcome:
            return Outcome(home=home, evaluation=evaluation, state=state, text=text, error=error)

        if evaluation.finished(home):
            return outcome("finished", f"{evaluation.label} is finished")
        if evaluation.refused:
            return outcome("refused", f"{evaluation.label} was refused: {evaluation.refused}")
        try:
            return outcome(*self._ask(home, evaluation, waiting=waiting))
        except QtHwError as error:
            return outcome("open", f"{evaluation.label}: {error}{_hint(error)}", error)

    def _bench(self, folder: Path) -> Bench:
        if folder not in self._benches:
            self._benches[folder] = Bench(Run.open(folder), *self._given)
        return self._benches[folder]

    def _ask(
        self, home: Home, evaluation: Evaluation, *, waiting: bool
    ) -> tuple[State, str, QtHwError | None]:
        bench = self._bench(home.run)
        given = self._backend if not home.rehearsed and self._is(evaluation.backend) else None
        with open_dispatcher(
            evaluation.config(bench.run.config),
            home.run,
            rehearsal=evaluation.rehearsal,
            backend=given,
            say=self._say,
        ) as dispatcher:
            problem = self._fetch(dispatcher, home, evaluation, bench.run, waiting=waiting)
            request = request_of(dispatcher, evaluation, bench.run)
            counts = dispatcher.counts(request)
            jobs = dispatcher.journal.jobs(request.id)
            if counts is not None:
                device = {
                    **dispatcher.backend.describe(),
                    "calibration_date": request.calibration or None,
                }
                prepare = partial(dispatcher.prepare, scope=evaluation.scope)
                result = finish(bench, home, evaluation, counts, jobs, device, prepare)
                for line in result.get("verdict", ()):
                    self._say(f"{evaluation.label}: {line}")
                return "finished", f"{evaluation.label} is finished", None
            return self._unfinished(evaluation, request, jobs, problem)

    def _is(self, name: str) -> bool:
        return self._backend is not None and self._backend.name == name

    def _fetch(
        self,
        dispatcher: Dispatcher,
        home: Home,
        evaluation: Evaluation,
        run: Run,
        *,
        waiting: bool,
    ) -> QtHwError | None:
        """Send what was left, ask for what is on its way; return what hindered either."""
        problem: QtHwError | None = None
        try:
            send(dispatcher, home, evaluation, run)
        except (PreflightError, BackendError) as error:
            problem = error  # jobs that were sent before are collected all the same
        request = request_of(dispatcher, evaluation, run)
        if waiting and problem is None:
            wait(
                dispatcher,
                [request],
                report=lambda rows: self._report(dispatcher, rows),
                sleep=dispatcher.sleep,
            )
            return None
        for _, trouble in dispatcher.poll(request):
            problem = problem or trouble
        return problem

    def _unfinished(
        self,
        evaluation: Evaluation,
        request: RequestRow,
        jobs: Sequence[JobRow],
        problem: QtHwError | None,
    ) -> tuple[State, str, QtHwError | None]:
        last, label = last_attempts(jobs), evaluation.label
        if problem is not None:
            return "open", f"{label}: {problem}{_hint(problem)}", problem
        if state_of(jobs) in ("open", "planned"):
            n_open = sum(row.state == "submitted" for row in last)
            done = f" ({len(last) - n_open} of {len(last)} done)" if len(last) > 1 else ""
            what = "job is" if n_open == 1 else "jobs are"
            return "open", f"{label}: {n_open} {what} queued or running{done}", None
        if all(row.state in ("cancelled", "done") for row in last):
            return "cancelled", f"{label} was cancelled; qt-hw retry pays for it anew", None
        first = next(row for row in last if row.state == "failed")
        text = (
            f"{label}: job {first.id} failed: {first.note}; nothing is sent again by itself: "
            "qt-hw retry pays for it once more"
        )
        return "failed", text, JobFailed(text)


def _hint(problem: QtHwError) -> str:
    if isinstance(problem, BudgetExceeded):
        return "; submit it again with a higher cap"
    if isinstance(problem, BadResult):
        return "; no job is lost: collect again, or give it up with qt-hw retry --job"
    return ""
