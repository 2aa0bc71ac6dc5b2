"""Processes that are killed with SIGKILL at a chosen instant.

``kill_points(work)`` lists the instants of an undisturbed run of ``work`` in a forked child;
``run_child(work, kill_at=i)`` runs it again and kills it at the i-th. Instants are right before
and right after each transaction of the journal, each file that is stored, each ``submit`` of a
backend class that is named, each call of a method that is named and, over HTTP, each POST
(before it, after it was sent, after its reply). ``work`` opens everything that it needs: a
journal must not cross a fork.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qt_hw.execution import store
from qt_hw.execution.database import Database

Work = Callable[[], object]

#: Class, name of its method, name of the instants before and after each call.
Call = tuple[type, str, str]


@dataclass(frozen=True)
class Child:
    """How a child ended: the instants it reached, whether it was killed, its exit status."""

    reached: tuple[str, ...]
    killed: bool
    status: int | None


class Points:
    """Counts instants in the child, tells the parent, and kills at one of them."""

    def __init__(self, pipe: int, kill_at: int | None) -> None:
        self._pipe, self._kill_at, self._count = pipe, kill_at, 0

    def reach(self, name: str) -> None:
        os.write(self._pipe, name.encode() + b"\n")
        if self._count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._count += 1

    def around(self, owner: Any, name: str, label: str) -> None:
        """Make instants before and after every call of a function or method."""
        original = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.reach(f"before {label}")
            result = original(*args, **kwargs)
            self.reach(f"after {label}")
            return result

        setattr(owner, name, watched)

    def install(self, backends: Sequence[type], http_too: bool, calls: Sequence[Call]) -> None:
        self._watch_journal()
        for owner, name, label in calls:
            self.around(owner, name, label)
        self.around(store, "write_bytes", "file")
        self.around(store, "write_json", "file")
        for backend in backends:
            self.around(backend, "submit", "submit")
        if http_too:
            self._watch_http()

    def _watch_journal(self) -> None:
        original = Database.change

        @contextlib.contextmanager
        def change(database: Database) -> Iterator[Any]:
            self.reach("before transaction")
            with original(database) as db:
                yield db
                self.reach("in transaction")
            self.reach("after transaction")

        Database.change = change  # type: ignore[method-assign]

    def _watch_http(self) -> None:
        put, answer = http.client.HTTPConnection.putrequest, http.client.HTTPConnection.getresponse

        def putrequest(connection: Any, method: str, *args: Any, **kwargs: Any) -> Any:
            if method == "POST":
                self.reach("before POST")
            return put(connection, method, *args, **kwargs)

        def getresponse(connection: Any, *args: Any, **kwargs: Any) -> Any:
            posted = connection._method == "POST"
            if posted:
                self.reach("POST sent")
            reply = answer(connection, *args, **kwargs)
            if posted:
                self.reach("POST answered")
            return reply

        http.client.HTTPConnection.putrequest = putrequest  # type: ignore[method-assign]
        http.client.HTTPConnection.getresponse = getresponse  # type: ignore[method-assign]


def fork() -> int:
    """Fork; threads (of a stand-in, of the test runner) stay in the parent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def together(n: int, work: Callable[[int], int]) -> list[int]:
    """Run ``work(number)`` in ``n`` processes that start at once; return what each returned.

    Results are small numbers; 70 stands for an exception.
    """
    reader, writer = os.pipe()
    children = []
    for number in range(n):
        pid = fork()
        if pid == 0:
            code = 70
            try:
                os.close(writer)
                os.read(reader, 1)  # until the parent closes its end
                code = work(number)
            except BaseException:
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(code)
        children.append(pid)
    os.close(reader)
    os.close(writer)
    return [os.WEXITSTATUS(os.waitpid(pid, 0)[1]) for pid in children]


def run_child(
    work: Work,
    *,
    kill_at: int | None = None,
    backends: Sequence[type] = (),
    http_too: bool = False,
    calls: Sequence[Call] = (),
) -> Child:
    """Run ``work`` in a forked child.

    Args:
        work: What to run.
        kill_at: At which instant to kill it; None: at none.
        backends: Classes whose ``submit`` makes instants.
        http_too: Whether POSTs make instants.
        calls: Further methods around which there are instants.
    """
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            Points(writer, kill_at).install(backends, http_too, calls)
            work()
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        reached = tuple(line.decode() for line in pipe.read().splitlines())
    _, ended = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL
    return Child(reached, killed, os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else None)


def kill_points(work: Work, **options: Any) -> tuple[str, ...]:
    """Return the instants of an undisturbed run of ``work``; ``options`` as of ``run_child``."""
    child = run_child(work, **options)
    assert child.status == 0, "the undisturbed run failed"
    return child.reached
