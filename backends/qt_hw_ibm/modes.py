"""How jobs are scheduled at IBM: each by itself, as a batch, or in a session.

A batch is billed like its jobs and is closed once its jobs are in; closing leaves them in the
queue. A session reserves the device and bills idle time too, so it has a time limit and ends
with the process at the latest.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qt_hw.errors import PermanentError, TransientError
from qt_hw_ibm.options import Options
from qt_hw_ibm.service import Connection

__all__ = ["Modes"]


class Modes:
    """What the next job is submitted through."""

    def __init__(self, connection: Connection, options: Options) -> None:
        """Start with neither batch nor session."""
        self._connection, self._options = connection, options
        self._batch: Any = None
        self._session: Any = None
        self._session_ends, self._session_owner = 0.0, 0
        self._close_session: Callable[[], Any] = lambda: None

    def makes_batch(self, n_jobs: int) -> bool:
        """Whether ``n_jobs`` jobs of one step are submitted as a batch."""
        return self._options.mode == "batch" and n_jobs > 1

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Open a batch for what is submitted within.

        Raises:
            PermanentError: IBM refuses; nothing was submitted.
            TransientError: IBM cannot be reached; nothing was submitted.
        """
        from qiskit_ibm_runtime import Batch

        connection = self._connection
        opened = connection.ask(
            lambda: Batch(backend=connection.backend), f"opening a batch on {connection.device}"
        )
        self._batch = opened
        try:
            yield
        finally:
            self._batch = None
            _close(connection, opened, os.getpid())

    def current(self, remaining_seconds: float | None) -> Any:
        """Return the vendor's object that the next job is submitted through.

        Args:
            remaining_seconds: What is left of the cap on device time: a session ends there.

        Raises:
            PermanentError: IBM refuses a session.
            TransientError: IBM cannot be reached.
        """
        if self._batch is not None:
            return self._batch
        if self._options.mode != "session":
            return self._connection.backend
        if not self._session_is_open():
            self._open_session(remaining_seconds)
        return self._session

    def _session_is_open(self) -> bool:
        """Whether there is a session of this process; IBM ends one that is idle for a minute."""
        if self._session is None or self._session_owner != os.getpid():
            return False
        if time.monotonic() > self._session_ends:
            return False
        connection = self._connection
        doing = f"asking for the session on {connection.device}"
        details = connection.ask(self._session.details, doing)
        return bool(details and details["accepting_jobs"])

    def _open_session(self, remaining_seconds: float | None) -> None:
        from qiskit_ibm_runtime import Session

        self.close()
        connection, limit = self._connection, self._options.session_seconds
        assert limit is not None
        if remaining_seconds is not None:
            limit = max(1, min(limit, int(remaining_seconds)))
        self._session = connection.ask(
            lambda: Session(backend=connection.backend, max_time=limit),
            f"opening a session on {connection.device}",
        )
        self._session_ends, self._session_owner = time.monotonic() + limit, os.getpid()
        # Also when the program ends, so that no idle time is billed after it.
        self._close_session = weakref.finalize(self, _close, connection, self._session, os.getpid())

    def close(self) -> None:
        """Close the session, if there is one: its queued jobs still run."""
        self._close_session()
        self._session = None


def _close(connection: Connection, opened: Any, owner: int) -> None:
    if owner != os.getpid():  # a forked child ends: the session is its parent's
        return
    # What cannot be closed ends by itself, after its idle time; the jobs are in.
    with suppress(TransientError, PermanentError):
        connection.ask(opened.close, f"closing a batch or session on {connection.device}")
