"""Where a model's batches run: at once on this machine, or through the journal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError, JobFailed, Pending
from qt_hw.execution.backend import Backend, Batch, Counts, Prepared
from qt_hw.execution.dispatch import run
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import JobRow, RequestRow
from qt_hw.execution.registry import open_backend
from qt_hw.execution.watch import wait

__all__ = ["Executor", "JournalledExecutor", "LocalExecutor", "as_executor", "closed_executor"]


class Executor(ABC):
    """Prepares circuits and runs batches.

    Attributes:
        backend: Where they run.
        immediate: Whether a result costs nothing and is there at once.
    """

    backend: Backend
    immediate: bool

    @abstractmethod
    def prepare(self, ansatz: Ansatz) -> Prepared:
        """Return the circuit as it will run."""

    @abstractmethod
    def run(self, batch: Batch, step: int, label: str = "") -> Counts:
        """Return the counts of the batch of step ``step``; ``label`` names it in messages.

        Raises:
            Pending: They are not there yet.
        """


class LocalExecutor(Executor):
    """Runs on a backend that costs nothing."""

    immediate = True

    def __init__(self, backend: Backend) -> None:
        """Use ``backend``."""
        self.backend = backend

    def prepare(self, ansatz: Ansatz) -> Prepared:
        return self.backend.prepare(ansatz)

    def run(self, batch: Batch, step: int, label: str = "") -> Counts:
        return run(self.backend, batch)


class JournalledExecutor(Executor):
    """Runs through a ``Dispatcher``: what was paid for once is never asked for again."""

    immediate = False

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        waiting: bool = True,
        report: Callable[[list[JobRow]], None] = lambda rows: None,
        go_on: str = "collect again later",
    ) -> None:
        """Use ``dispatcher``.

        Args:
            dispatcher: Of the run.
            waiting: Whether ``run`` waits for jobs, or raises ``Pending``.
            report: Told the open jobs while waiting.
            go_on: What a user does when jobs are pending, for messages.
        """
        self.dispatcher, self.backend = dispatcher, dispatcher.backend
        self._waiting, self._report, self._go_on = waiting, report, go_on
        self._calibration = ""

    def prepare(self, ansatz: Ansatz) -> Prepared:
        prepared = self.dispatcher.prepare(ansatz)
        self._calibration = prepared.calibration_date or ""
        return prepared

    def run(self, batch: Batch, step: int, label: str = "") -> Counts:
        request = self.dispatcher.plan(batch, step, label or f"step {step}", self._calibration)
        counts = self.dispatcher.counts(request)
        if counts is not None:
            return counts
        if self.dispatcher.failed(request):
            self.dispatcher.poll(request)  # what else has ended is worth having
        else:
            self._get(request)
        counts = self.dispatcher.counts(request)
        if counts is not None:
            return counts
        if failed := self.dispatcher.failed(request):
            raise JobFailed(self._failure(request, failed[0]))
        n_open = sum(row.state == "submitted" for row in self.dispatcher.journal.jobs(request.id))
        raise Pending(f"{n_open} job(s) of {request.label} are queued or running; {self._go_on}")

    def _get(self, request: RequestRow) -> None:
        """Submit what is not on its way; store what has come back."""
        self.dispatcher.submit(request)
        if self._waiting:
            wait(self.dispatcher, [request], report=self._report)
        else:
            self.dispatcher.update(request)

    @staticmethod
    def _failure(request: RequestRow, row: JobRow) -> str:
        return (
            f"job {row.id or row.token} of {request.label} {row.state}: {row.note}; "
            "nothing is sent again by itself: qt-hw retry RUN pays for it once more"
        )

    def __deepcopy__(self, memo: object) -> JournalledExecutor:
        """Return the same: copies of a model share one journal."""
        return self


class _Closed(LocalExecutor):
    """Prepares circuits for a backend that costs money, and runs none."""

    immediate = False

    def run(self, batch: Batch, step: int, label: str = "") -> Counts:
        raise InputError(_COSTS.format(name=self.backend.name))


_COSTS = (
    "{name} costs money: it runs only through a priced and capped submission, "
    "qt-hw submit RUN, or qt-hw run CONFIG with max_usd or max_qpu_seconds"
)


def closed_executor(backend: Backend) -> Executor:
    """Return an executor that refuses to run what costs money."""
    return _Closed(backend) if backend.limits.paid else LocalExecutor(backend)


def as_executor(backend: str | Backend | Executor) -> Executor:
    """Return where ``backend`` runs; a paid one only through an executor of its own.

    Raises:
        UnknownName: There is no such backend.
        InputError: It costs money.
    """
    if isinstance(backend, Executor):
        return backend
    opened = open_backend(backend)
    if opened.limits.paid:
        raise InputError(_COSTS.format(name=opened.name))
    return LocalExecutor(opened)
