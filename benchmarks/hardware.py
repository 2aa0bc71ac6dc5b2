"""One gradient of U3Cu3(8, 4) on its way to a device and back: whose code takes how long.

    python -m benchmarks.hardware [--repetitions 5]

369 circuits of 1,024 shots go to each vendor's stand-in, a process of its own on this machine,
through the dispatcher and the vendor's unmodified client. Every instant belongs to our code, to
the client (what is called through our connection to it), or to the wait for an answer.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.client
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import qt_hw as qt
from benchmarks._timing import Row, Table, show, verdict, write
from qt_hw.circuits.shift import shift_rows
from qt_hw.execution.backend import Batch, Item, JobStatus, Prepared
from qt_hw.execution.budget import Cap
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import RequestRow
from qt_hw.execution.rehearsal import rehearse
from qt_hw_braket.service import Service
from qt_hw_ibm import device as ibm
from qt_hw_ibm.service import Connection

ANSATZ, CIRCUITS, SHOTS = qt.U3Cu3(8, 4), 369, 1024
#: Seconds of our own code in a step, there and back.
OURS_SECONDS = 0.5
OURS, CLIENT, ANSWER = "our code", "the vendor's client", "waiting for the stand-in"

#: Where our code calls a client's.
ENTRIES: tuple[tuple[Any, str], ...] = (
    (ibm, "make_sampler"),
    (ibm, "run"),
    (Connection, "ask"),
    (Service, "device"),
    (Service, "create"),
    (Service, "task"),
    (Service, "file"),
)


class Stopwatch:
    """Gives each instant to whoever was called last and has not returned."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}  # empty while it stands still
        self._inside, self._since = [OURS], 0.0

    def start(self) -> None:
        """Begin anew."""
        self.seconds, self._since = dict.fromkeys((OURS, CLIENT, ANSWER), 0.0), time.perf_counter()

    def stop(self) -> dict[str, float]:
        """Return the seconds of each."""
        self._book()
        seconds, self.seconds = self.seconds, {}
        return seconds

    def _book(self) -> None:
        now = time.perf_counter()
        if self.seconds:
            self.seconds[self._inside[-1]] += now - self._since
        self._since = now

    def watched(self, work: Callable[..., Any], whose: str) -> Callable[..., Any]:
        """Return ``work`` with its time given to ``whose``."""

        @functools.wraps(work)
        def run(*args: Any, **kwargs: Any) -> Any:
            self._book()
            self._inside.append(whose)
            try:
                return work(*args, **kwargs)
            finally:
                self._book()
                self._inside.pop()

        return run


def watch_clients(stopwatch: Stopwatch) -> None:
    """Let ``stopwatch`` see the calls into clients, and their waits for an answer."""
    for owner, name in ENTRIES:
        setattr(owner, name, stopwatch.watched(getattr(owner, name), CLIENT))
    answer = stopwatch.watched(http.client.HTTPConnection.getresponse, ANSWER)
    http.client.HTTPConnection.getresponse = answer  # type: ignore[method-assign]


def gradient(prepared: Prepared, step: int) -> Batch:
    """Return base and shifted circuits at angles of their own for each step."""
    form = prepared.form
    angles = np.random.default_rng(step).uniform(-np.pi, np.pi, (1, ANSATZ.n_angles))
    base = form.gate_angles(angles)
    shifted = shift_rows(form).bindings(base)
    return Batch(
        items=(
            Item(form.circuit, base, SHOTS),
            Item(form.circuit, shifted, SHOTS, "shift", 1),
        )
    )


def wait_for_jobs(dispatcher: Dispatcher, request: RequestRow) -> int:
    """Return how many jobs the request has, once all have ended at the vendor."""
    rows = dispatcher.journal.jobs(request.id)
    for row in rows:
        assert row.id is not None
        while dispatcher.backend.job(row.id).status() is not JobStatus.DONE:
            time.sleep(0.2)
    return len(rows)


@contextlib.contextmanager
def dispatcher_of(name: str, folder: Path) -> Iterator[Dispatcher]:
    """Yield a dispatcher whose client talks to the stand-in of ``name``."""
    with rehearse(name, folder / "service", queue_seconds=0.0):
        cap = Cap(max_usd=1e9, max_qpu_seconds=1e9)
        dispatcher = Dispatcher(qt.backend(name), folder, cap=cap)
        with contextlib.closing(dispatcher):
            yield dispatcher


def measure(name: str, stopwatch: Stopwatch, repetitions: int) -> Table:
    """Send and collect some gradients; the first one warms up."""
    there: list[dict[str, float]] = []
    back: list[dict[str, float]] = []
    n_jobs = 0
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        dispatcher_of(name, Path(folder)) as dispatcher,
    ):
        prepared = dispatcher.prepare(ANSATZ)
        for step in range(repetitions + 1):
            batch = gradient(prepared, step)
            assert batch.n_circuits == CIRCUITS
            stopwatch.start()
            request = dispatcher.plan(batch, step, f"step {step}")
            dispatcher.submit(request)
            there.append(stopwatch.stop())
            n_jobs = wait_for_jobs(dispatcher, request)
            stopwatch.start()
            dispatcher.update(request)
            counts = dispatcher.counts(request)
            back.append(stopwatch.stop())
            assert counts is not None
    rows = [*_rows("from run to accepted", there[1:]), *_rows("from done to counts", back[1:])]
    ours = [a[OURS] + b[OURS] for a, b in zip(there[1:], back[1:], strict=True)]
    median = statistics.median(ours)
    rows.append(
        Row(
            name=f"{OURS}, there and back",
            seconds=median,
            fastest=min(ours),
            verdict=f"s {verdict(median, ceiling=OURS_SECONDS)}",
        )
    )
    jobs = f"{n_jobs} job{'s' if n_jobs > 1 else ''}"
    title = f"Stand-in of {name}, {CIRCUITS} circuits × {SHOTS:,} shots, {jobs}"
    table = Table(title=title, rows=tuple(rows), repetitions=repetitions)
    show(table)
    return table


def _rows(way: str, seconds: list[dict[str, float]]) -> list[Row]:
    """Return one line for each who took time, and one for the whole way."""
    sums = [sum(each.values()) for each in seconds]
    rows = [Row(name=way, seconds=statistics.median(sums), fastest=min(sums))]
    for whose in (OURS, CLIENT, ANSWER):
        own = [each[whose] for each in seconds]
        rows.append(Row(name=f"- {whose}", seconds=statistics.median(own), fastest=min(own)))
    return rows


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    stopwatch = Stopwatch()
    watch_clients(stopwatch)
    names = ("ibm:ibm_torino", "ionq:forte-1")
    write("hardware", [measure(name, stopwatch, args.repetitions) for name in names])


if __name__ == "__main__":
    main()
