"""Commands as forked processes that are killed with SIGKILL; their stand-ins as forks of theirs.

A fork of a process that has everything imported starts at once, so that hundreds of kills take
minutes. Needs Linux: the children of a process are read from ``/proc``.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["Process", "forked_service", "wait_for_end"]

_POLL = 0.005
_MOST_FILES = 4096


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


class Process:
    """A command in a process of its own.

    Attributes:
        pid: Of the process.
        status: Exit status; negative the signal that ended it; None while it runs.
    """

    def __init__(self, work: Callable[[], None], log: Path) -> None:
        """Start ``work``; what it prints and its traceback go to the file ``log``."""
        self.status: int | None = None
        self.pid = _fork()
        if self.pid == 0:
            _run(work, log)

    def wait(self, seconds: float) -> bool:
        """Return whether it ends within ``seconds``."""
        end = time.monotonic() + seconds
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= end:
                return False
            else:
                time.sleep(_POLL)
        return True

    def wait_for_writes(self, path: Path, times: int) -> bool:
        """Return False when the file ``path`` has changed ``times`` times, True if it ends before.

        Changes in quick succession may count as one.
        """
        last = _stamp(path)
        while not self.wait(0.0):
            if (stamp := _stamp(path)) != last:
                last, times = stamp, times - 1
                if times == 0:
                    return False
            time.sleep(0.001)
        return True

    def kill(self, *, services_too: bool = False) -> list[int]:
        """Kill it; return its children, which have to end by themselves unless they are killed."""
        os.kill(self.pid, signal.SIGSTOP)  # so that no further child is forked meanwhile
        children = self.children()
        if services_too:
            _kill(children)
        os.kill(self.pid, signal.SIGKILL)
        self.wait(10.0)
        return children

    def kill_services(self) -> list[int]:
        """Kill its children."""
        children = self.children()
        _kill(children)
        return children

    def children(self) -> list[int]:
        """Return its children."""
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:  # it has ended
            return []
        return [int(word) for word in text.split()]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for_end(pids: Sequence[int], seconds: float) -> list[int]:
    """Return those of ``pids`` that still run after ``seconds``."""
    end = time.monotonic() + seconds
    left = [*pids]
    while (left := [pid for pid in left if _runs(pid)]) and time.monotonic() < end:
        time.sleep(_POLL)
    return left


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _run(work: Callable[[], None], log: Path) -> None:
    status = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.close(handle)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@contextlib.contextmanager
def forked_service(
    module: str, arguments: Sequence[str], before: Callable[[], None]
) -> Iterator[str]:
    """Do what ``qt_hw.execution.loopback.child`` does, with a fork.

    Args:
        module: Is run as ``python -m`` does.
        arguments: Of its command line.
        before: Called in the new process first.
    """
    life, hold = os.pipe()
    told, tell = os.pipe()
    pid = _fork()
    if pid == 0:
        _serve(module, arguments, life, tell, before)
    os.close(life)
    os.close(tell)
    with os.fdopen(told) as pipe:
        try:
            url = pipe.readline().strip()
            assert url.startswith("http://"), f"{module} did not start"
            yield url
        finally:
            os.close(hold)
            os.waitpid(pid, 0)


def _serve(
    module: str, arguments: Sequence[str], life: int, tell: int, before: Callable[[], None]
) -> None:
    status = 1
    try:
        os.setsid()
        os.dup2(life, 0)
        os.dup2(tell, 1)
        os.closerange(3, _MOST_FILES)  # among them the lock of the run folder
        sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
        sys.argv = [module, *arguments]
        before()
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
