"""What a command shows while it waits for jobs: a line on a terminal, sparse lines elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

    from qt_hw.execution.dispatcher import Dispatcher
    from qt_hw.execution.journal import JobRow

__all__ = ["Watcher"]

#: Seconds before the first line of a wait, and between lines that say something new.
_FIRST, _NEXT = 10.0, 60.0


class Watcher(AbstractContextManager["Watcher"]):
    """Says where jobs are.

    On a terminal, where nothing else moves there, one line is kept up to date; else a line is
    printed after ten seconds, and then at most one a minute.
    """

    def __init__(self, *, live: bool) -> None:
        """Show one moving line if ``live`` and on a terminal."""
        self._status: Status | None = None
        if live and sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status("asking for the jobs")
        self._tokens: tuple[str, ...] = ()
        self._last_text, self._due = "", 0.0

    def __enter__(self) -> Watcher:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._status is not None:
            self._status.stop()

    def say(self, text: str) -> None:
        """Print one line above the moving one."""
        if self._status is not None:
            self._status.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def report(self, dispatcher: Dispatcher, rows: list[JobRow]) -> None:
        """Show the open jobs of a request."""
        if not rows:
            return
        if self._status is not None:
            self._status.update(_text(dispatcher, rows))
            return
        now, tokens = time.monotonic(), tuple(row.request for row in rows[:1])
        if tokens != self._tokens:
            self._tokens, self._due = tokens, now + _FIRST
        if now < self._due:
            return
        text = _text(dispatcher, rows)
        if text != self._last_text:
            self._last_text, self._due = text, now + _NEXT
            self.say(text)


def _text(dispatcher: Dispatcher, rows: list[JobRow]) -> str:
    from qt_hw.cli.money import counted
    from qt_hw.hardware.status import queue_place

    request = dispatcher.journal.request(rows[0].request)
    label = "" if request is None else f"{request.label}: "
    place = queue_place(dispatcher, rows)
    queue = f" ({place})" if place else ""
    return f"{label}{counted(len(rows), 'job')} at {dispatcher.backend.name}{queue}"
