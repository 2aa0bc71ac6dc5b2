"""What a study shows while it runs: a live table of its cells, or a line now and then."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from qt_hw.study.runner import Board

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Display", "make_display"]

_LINE_SECONDS = 15.0
_LOOK_SECONDS = 1.0
_MOST_RUNNING = 8
_MOST_ERRORS = 4
_WHAT = {
    "noiseless": "noiseless twins",
    "control": "controls",
    "train": "trained under noise",
    "evaluate": "evaluated under noise",
    "gradient": "gradients",
    "approximation": "approximations",
}


class Display(AbstractContextManager["Display"], ABC):
    """Is told where the cells stand."""

    @abstractmethod
    def show(self, board: Board) -> None:
        """Take note of where the cells stand."""

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""


class _Silent(Display):
    def show(self, board: Board) -> None:
        """Do nothing."""


class _Lines(Display):
    """One line now and then, for logs and pipes; failures at once."""

    def __init__(self) -> None:
        self._last, self._told, self._over = -_LINE_SECONDS, set[str](), False

    def show(self, board: Board) -> None:
        for id, error in board.errors.items():
            if id not in self._told:
                self._told.add(id)
                print(f"failed: {id}: {error}", file=sys.stderr, flush=True)
        done, total = len(board.ids("done")), len(board.states)
        now, over = time.monotonic(), not board.ids("open", "running", "waiting")
        if now - self._last >= _LINE_SECONDS or (over and not self._over):
            self._last, self._over = now, over
            running = ", ".join(board.ids("running")) or "none"
            print(f"{done}/{total} cells; running: {running}", file=sys.stderr, flush=True)


class _Live(Display):
    """A table by kind of cell, and below it what is running, with its steps."""

    def __init__(self, study: Path) -> None:
        from rich.console import Console
        from rich.live import Live

        self._study, self._start, self._done_before = study, time.monotonic(), -1
        self._looked, self._notes = 0.0, dict[str, str]()
        self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=False)

    def __enter__(self) -> _Live:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, board: Board) -> None:
        if self._done_before < 0:
            self._done_before = len(board.ids("done"))
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._notes = {id: self._note(id) for id in board.ids("running")[:_MOST_RUNNING]}
        self._live.update(self._table(board))

    def _note(self, id: str) -> str:
        """Return how far a running cell is, from the end of its metrics."""
        path = self._study / "cells" / id / "metrics.csv"
        try:
            last = path.read_text("utf-8").splitlines()[-1].partition(",")[0]
        except (OSError, IndexError, UnicodeDecodeError):  # not begun, or just being written
            return ""
        return f"step {last}" if last.isdigit() else ""

    def _table(self, board: Board) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("cells", "done", "running", "waiting", "failed", "of"):
            table.add_column(name, justify="left" if name == "cells" else "right")
        for kind, what in _WHAT.items():
            states = [s for id, s in board.states.items() if board.cells[id].kind == kind]
            if states:
                counts = [str(states.count(s)) for s in ("done", "running", "waiting", "failed")]
                table.add_row(what, *counts, str(len(states)))
        lines = [Text(f"  {id}  {note}", style="dim") for id, note in self._notes.items()]
        errors = list(board.errors.items())[-_MOST_ERRORS:]
        lines += [Text(f"failed: {id}: {error}", style="red") for id, error in errors]
        return Group(table, *lines, Text(self._time_left(board)))

    def _time_left(self, board: Board) -> str:
        ended = len(board.ids("done", "failed"))
        begun, spent = ended - self._done_before, time.monotonic() - self._start
        left = len(board.states) - ended
        if begun < 3 or not left:
            return f"{ended} of {len(board.states)} cells, {spent / 60:.0f} min"
        return (
            f"{ended} of {len(board.states)} cells, {spent / 60:.0f} min; "
            f"at this rate {left * spent / begun / 60:.0f} min more"
        )


def make_display(study: Path, *, progress: bool) -> Display:
    """Return what fits the place: a live table on a terminal, lines elsewhere."""
    if not progress:
        return _Silent()
    return _Live(study) if sys.stderr.isatty() else _Lines()
