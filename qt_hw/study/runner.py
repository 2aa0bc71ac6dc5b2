"""Runs the cells of a study that are open: free ones on a pool, paid ones here, under one cap."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from qt_hw.errors import Pending, QtHwError, StorageError, TransientError
from qt_hw.execution.rehearsal import costs_money
from qt_hw.study.cell import Cell
from qt_hw.study.folder import StudyFolder
from qt_hw.study.pools.pool import Job, Outcome, Pool
from qt_hw.study.work import compute
from qt_hw.training.paid import Hardware, Ledger

__all__ = ["Board", "Runner", "paid_cells"]

#: Refusals of the disk in a row after which going on makes no sense.
_MOST_REFUSALS = 3
_TICK_SECONDS = 0.2
#: What the system says of a full disk.
_FULL = ("No space left", "File too large", "quota exceeded")
_HELD, _MOST_WAITS = "another process is writing to", 50
_POLL_SECONDS = (1.0, 30.0)


@dataclass
class Board:
    """Where the cells of a study stand, for whoever shows it.

    Attributes:
        cells: By id.
        states: By id; ``"running"`` and ``"waiting"`` (for a vendor) besides those on the disk.
        errors: By id of a cell that failed in this call.
    """

    cells: Mapping[str, Cell]
    states: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)

    def ids(self, *states: str) -> list[str]:
        """Return the cells that are in one of ``states``."""
        return [id for id, state in self.states.items() if state in states]


def paid_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells whose circuits cost money."""
    names = {cell.config.backend.name for cell in cells}
    paid = {name for name in names if costs_money(name)}
    return [cell for cell in cells if cell.config.backend.name in paid]


class Runner:
    """Runs what is open in ``folder``; the caller holds its lock."""

    def __init__(
        self,
        folder: StudyFolder,
        pool: Callable[[], Pool],
        *,
        hardware: Hardware | None = None,
        show: Callable[[Board], None] = lambda board: None,
    ) -> None:
        """Plan what to run.

        Args:
            folder: The study.
            pool: Makes the pool for free cells, if there are any.
            hardware: How to go about paid cells.
            show: Told several times in a second where the cells stand.
        """
        self._folder, self._pool, self._show = folder, pool, show
        self._hardware = hardware or Hardware()
        cells = {cell.id: cell for cell in folder.cells}
        self.board = Board(cells=cells, states={id: folder.state(id) for id in cells})
        self._paid = {cell.id for cell in paid_cells(folder.cells)}
        self._refusals, self._silent = 0, False
        self._held: dict[str, int] = {}

    def run(self) -> Board:
        """Run everything that is not done; return where the cells stand then.

        Failed and unreadable cells are computed again.

        Raises:
            StorageError: The disk refuses.
            KeyboardInterrupt: Workers are stopped; ``--resume`` goes on.
        """
        self._reopen()
        if self._ready(paid=False) or self._left(paid=False):
            self._run_free()
        if self._left(paid=True):
            self._run_paid()
        self._show(self.board)
        return self.board

    def _reopen(self) -> None:
        for id in self.board.ids("failed", "unreadable"):
            self.board.states[id] = "open"

    def _left(self, *, paid: bool) -> list[str]:
        return [id for id in self.board.ids("open") if (id in self._paid) == paid]

    def _ready(self, *, paid: bool) -> list[str]:
        """Return the open cells whose needs are met; those whose never will be fail now."""
        ready = []
        for id in self._left(paid=paid):
            needs = [self.board.states.get(need, "failed") for need in self.board.cells[id].needs]
            if "failed" in needs:
                self._take(Outcome(id=id, state="failed", error="what it needs has failed"))
            elif all(state == "done" for state in needs):
                ready.append(id)
        return ready

    def _run_free(self) -> None:
        with self._pool() as pool:
            while self._left(paid=False) or pool.running:
                self._submit(pool)
                for outcome in pool.wait(_TICK_SECONDS):
                    self._take(outcome)
                self._show(self.board)

    def _submit(self, pool: Pool) -> None:
        """Keep the pool busy, and no more: a long queue would hide what is running."""
        for id in self._ready(paid=False):
            if len(pool.running) >= pool.slots:
                return
            cell = self.board.cells[id]
            needs = tuple(f"cells/{need}" for need in cell.needs)
            pool.submit(Job(id=id, payload=cell.to_json(), needs=needs))
            self.board.states[id] = "running"

    def _take(self, outcome: Outcome) -> None:
        """Note how a cell ended; the folder decides."""
        id, state = outcome.id, self._folder.state(outcome.id)
        if outcome.state == "done" and state == "done":
            self.board.states[id], self._refusals = "done", 0
            return
        error = outcome.error or "it ended without a result"
        if _HELD in error and self._held.get(id, 0) < _MOST_WAITS:
            # Of a driver that was killed a moment ago, a worker may still be ending.
            self._held[id] = self._held.get(id, 0) + 1
            self._folder.forget_failure(id)
            self.board.states[id] = "open"
            time.sleep(_TICK_SECONDS)
            return
        self.board.states[id], self.board.errors[id] = "failed", error
        refused = any(words in error for words in _FULL)
        self._refusals = self._refusals + 1 if refused else 0
        if self._refusals >= _MOST_REFUSALS:
            raise StorageError(f"{error}; make room, then --resume")
        if state != "failed":
            self._record(id, error, outcome.state)

    def _record(self, id: str, error: str, kind: str, details: str = "") -> None:
        try:
            self._folder.record_failure(id, error, kind, details)
        except StorageError as refused:
            raise StorageError(f"{refused}; make room, then --resume") from None

    def _run_paid(self) -> None:
        """Send what can be sent, then ask in turns until all is over."""
        pause = _POLL_SECONDS[0]
        while self._left(paid=True) or self.board.ids("waiting"):
            before = len(self.board.ids("done", "failed"))
            for id in [*self._ready(paid=True), *self.board.ids("waiting")]:
                self._ask(self.board.cells[id])
                self._show(self.board)
            waiting = self.board.ids("waiting")
            moved = len(self.board.ids("done", "failed")) > before
            pause = _POLL_SECONDS[0] if moved else min(1.5 * pause, _POLL_SECONDS[1])
            if waiting and not self._hardware.waiting:
                raise Pending(f"{len(waiting)} cells wait for jobs; {self._hardware.go_on}")
            if waiting:
                time.sleep(pause)

    def _lost(self, cell: Cell, error: Exception, details: str = "") -> None:
        text = str(error) or type(error).__name__
        self._record(cell.id, text, type(error).__name__, details)
        self._take(Outcome(id=cell.id, state="failed", error=text))

    def _ask(self, cell: Cell) -> None:
        """Go on with a paid cell as far as its jobs allow."""
        ledger = Ledger(journal=self._folder.ledger, run=cell.id)
        old = self._hardware
        hardware = Hardware(
            waiting=False,
            rehearsal=old.rehearsal,
            go_on=old.go_on,
            say=old.say,
            report=old.report,
            quoted=old.quoted,
            ledger=ledger,
        )
        try:
            compute(self._folder, cell, hardware)
        except Pending:
            self.board.states[cell.id] = "waiting"
            self._silent = False
        except TransientError as error:
            # A network that fails is asked again; the jobs go on.
            self.board.states[cell.id] = "waiting"
            if not self._silent:
                old.say(f"{error}; the jobs go on, asking again until there is an answer")
            self._silent = True
        except QtHwError as error:
            self._lost(cell, error)
        except Exception as error:  # a defect in one cell does not stop the others
            self._lost(cell, error, traceback.format_exc())
        else:
            self._take(Outcome(id=cell.id, state="done"))
