"""Killed with SIGKILL at each state of the journal: the vendor has each job once, nothing is lost.

The unmodified clients talk over HTTP to the vendors' stand-ins, which run in this process. The
command runs in forked children: one that is killed, then one that repeats it to the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import qt_hw as qt
from qt_hw.execution.backend import Batch, Item
from qt_hw.execution.budget import Cap
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import Journal
from qt_hw.execution.rehearsal import rehearse
from qt_hw.execution.store import Store
from qt_hw.execution.watch import wait
from qt_hw_braket import standin as braket_standin
from qt_hw_braket.cloud import BraketDevice
from qt_hw_braket.jobs import BraketJob
from qt_hw_ibm.device import IbmDevice
from qt_hw_ibm.jobs import IbmJob
from qt_hw_ibm.standin import server as ibm_standin
from qt_hw_ibm.standin.start import environment
from qt_hw_ibm.standin.start import redirected as ibm_redirected
from tests.execution.killing import Child, kill_points, run_child

ANSATZ = qt.RyCnot(3, 1)
ROWS, SHOTS, RUN = 4, 200, "0123456789abcdef"
#: Seconds after which a child that hangs is ended, which no test takes for a kill.
LONGEST = 300


class Vendor:
    """A vendor whose jobs take two of the four circuits of the command.

    Attributes:
        name: As users type it.
        backend: Class of its backend.
        job: Class of its jobs.
        unit: Of its bills, as in the journal.
        variable: Of the environment, sends the client to the stand-in.
    """

    name: str
    backend: type
    job: type
    unit: str
    variable: str

    def open(self) -> qt.Backend:
        """Return the backend; connects when it is first used."""
        raise NotImplementedError

    def serve(self, state: Path, *faults: str) -> AbstractContextManager[Any]:
        """Return a stand-in to which the client is sent; ``faults`` happen once each."""
        raise NotImplementedError

    def tokens(self, standin: Any) -> list[str]:
        """Return the token of each job, oldest first."""
        raise NotImplementedError

    def requests(self, standin: Any) -> int:
        """Return how many requests for a job came in."""
        raise NotImplementedError

    def billed(self, standin: Any) -> float:
        """Return what the vendor charged in all."""
        raise NotImplementedError


class Ibm(Vendor):
    name, backend, job, unit = "ibm:ibm_manila", IbmDevice, IbmJob, "qpu_seconds"
    variable = "QISKIT_IBM_URL"

    def open(self) -> qt.Backend:
        return qt.backend(self.name, layout=[3, 1, 2], max_executions=2 * SHOTS)

    @contextmanager
    def serve(self, state: Path, *faults: str) -> Iterator[Any]:
        devices = {"ibm_manila": "fake_manila"}
        standin = ibm_standin.Standin(state, devices=devices, faults=faults)
        with standin, ibm_redirected(environment(standin.url)):
            yield standin

    def tokens(self, standin: Any) -> list[str]:
        return [tag for job in standin.jobs for tag in job["tags"]]

    def requests(self, standin: Any) -> int:
        return standin.posts

    def billed(self, standin: Any) -> float:
        return standin.billed_seconds()


class Ionq(Vendor):
    name, backend, job, unit = "ionq:forte-1", BraketDevice, BraketJob, "usd"
    variable = "AWS_ENDPOINT_URL_BRAKET"

    def open(self) -> qt.Backend:
        return qt.backend(self.name)

    @contextmanager
    def serve(self, state: Path, *faults: str) -> Iterator[Any]:
        standin = braket_standin.Standin(state, max_executables=2, faults=faults)
        with standin, braket_standin.redirected(standin.url):
            yield standin

    def tokens(self, standin: Any) -> list[str]:
        return [task["token"] for task in standin.tasks()]

    def requests(self, standin: Any) -> int:
        return sum((r.method, r.path) == ("POST", "/quantum-task") for r in [*standin.log])

    def billed(self, standin: Any) -> float:
        return standin.billed_usd()


VENDORS = {"ibm": Ibm(), "ionq": Ionq()}


def dispatcher_of(folder: Path, vendor: Vendor) -> Dispatcher:
    return Dispatcher(
        vendor.open(),
        folder,
        cap=Cap(max_usd=1000.0, max_qpu_seconds=1000.0),
        run=RUN,
        settle_seconds=0.5,
        sleep=lambda seconds: time.sleep(min(seconds, 0.02)),
    )


def command(folder: Path, vendor: Vendor) -> None:
    """Submit a step of two jobs, wait for it, pay anew for what failed, write its counts."""
    dispatcher = dispatcher_of(folder, vendor)
    form = dispatcher.prepare(ANSATZ).form
    angles = np.random.default_rng(5).uniform(-np.pi, np.pi, (ROWS, ANSATZ.n_angles))
    batch = Batch(items=(Item(form.circuit, form.gate_angles(angles), SHOTS),))
    request = dispatcher.plan(batch, 0, "step 0")
    while (counts := dispatcher.counts(request)) is None:
        for row in dispatcher.failed(request):
            dispatcher.retry(request, row)
        dispatcher.submit(request)
        wait(dispatcher, [request])
    np.save(folder / "counts.npy", counts.arrays[0])
    dispatcher.update_charges()
    dispatcher.close()


def in_child(folder: Path, vendor: Vendor) -> Callable[[], None]:
    """Return ``command`` as a child runs it."""

    def work() -> None:
        signal.alarm(LONGEST)
        command(folder, vendor)

    return work


def watched(vendor: Vendor) -> dict[str, Any]:
    """Return the instants at which ``command`` may be killed."""
    calls = [
        (Journal, "plan", "planned"),
        (Journal, "reserve", "submitting"),
        (Journal, "adopt", "submitted"),
        (vendor.job, "result", "fetched"),
        (Store, "save_counts", "stored"),
        (vendor.job, "charge", "billed"),
        (Journal, "end", "ended"),
        (Journal, "plan_again", "retried"),
    ]
    return {"backends": (vendor.backend,), "http_too": True, "calls": calls}


#: Fault of the first job; instant; whether that of the first or of the second job.
INSTANTS = [
    ("", "before planned", 1),
    ("", "after planned", 1),
    ("", "before submitting", 1),
    ("", "after submitting", 1),
    ("", "POST sent", 1),
    ("", "POST answered", 1),
    ("", "before submitted", 1),
    ("", "after submitted", 1),
    ("", "after submitting", 2),
    ("", "POST answered", 2),
    ("", "after submitted", 2),
    ("", "after fetched", 1),
    ("", "after stored", 1),
    ("", "after ended", 1),
    ("", "before stored", 2),
    ("", "after stored", 2),
    ("", "after billed", 2),
    ("", "after ended", 2),
    ("job-fails", "after ended", 1),
    ("job-fails", "after retried", 1),
    ("job-cancelled", "after ended", 1),
]


def number_of(points: tuple[str, ...], name: str, time: int) -> int:
    """Return the place of an instant; POSTs count inside ``submit``, where they ask for jobs."""
    found, inside = [], False
    for number, point in enumerate(points):
        inside = {"before submit": True, "after submit": False}.get(point, inside)
        if point == name and (inside or "POST" not in name):
            found.append(number)
    return found[time - 1]


@dataclass(frozen=True)
class Truth:
    """An undisturbed run.

    Attributes:
        template: A folder with the prepared circuit and nothing else.
        points: Its instants.
        tokens: Of its jobs, in the order of the plan.
        states: Of its jobs in the journal.
        counts: What it measured.
        billed: What the vendor charged.
    """

    template: Path
    points: tuple[str, ...]
    tokens: list[str]
    states: list[str]
    counts: np.ndarray
    billed: float


def template_of(root: Path, vendor: Vendor) -> Path:
    """Return a folder with the prepared circuit.

    It is made here, not in a child: the transpiler has threads, which a fork does not take along.
    So is a first run, that children need not import everything again.
    """
    with vendor.serve(root / "first"):
        dispatcher = dispatcher_of(root / "template", vendor)
        dispatcher.prepare(ANSATZ)
        dispatcher.close()
        command(Path(shutil.copytree(root / "template", root / "here")), vendor)
    return root / "template"


def undisturbed(root: Path, vendor: Vendor, template: Path, *faults: str) -> Truth:
    folder = Path(shutil.copytree(template, root / "run"))
    with vendor.serve(root / "vendor", *faults) as standin:
        points = kill_points(in_child(folder, vendor), **watched(vendor))
        tokens, billed = vendor.tokens(standin), vendor.billed(standin)
    with Journal(folder / "journal.sqlite") as journal:
        rows = journal.jobs()
    assert [row.token for row in rows] == tokens
    left = [row.state for row in rows]
    return Truth(template, points, tokens, left, np.load(folder / "counts.npy"), billed)


@pytest.fixture(scope="module")
def truth_of(tmp_path_factory) -> Callable[[str, str], Truth]:
    """Return what makes the undisturbed run of a vendor with a fault, once for all tests."""
    template = cache(lambda key: template_of(tmp_path_factory.mktemp(key), VENDORS[key]))

    @cache
    def make(key: str, fault: str) -> Truth:
        root = tmp_path_factory.mktemp(key)
        return undisturbed(root, VENDORS[key], template(key), *filter(None, [fault]))

    return make


def settle(standin: Any, vendor: Vendor, child: Child) -> None:
    """Wait until the stand-in has answered what a killed child had sent."""
    sent, inside = 0, False
    for point in child.reached:
        inside = {"before submit": True, "after submit": False}.get(point, inside)
        sent += inside and point == "POST sent"
    end = time.monotonic() + LONGEST
    while len(vendor.tokens(standin)) < sent:
        assert time.monotonic() < end, "a request that was sent made no job"
        time.sleep(0.01)


def check(folder: Path, standin: Any, vendor: Vendor, truth: Truth) -> None:
    """Compare what is there with an undisturbed run."""
    assert vendor.tokens(standin) == truth.tokens, "one job for each token that was planned"
    assert vendor.requests(standin) == len(truth.tokens), "each was asked for once"
    np.testing.assert_array_equal(np.load(folder / "counts.npy"), truth.counts)
    assert vendor.billed(standin) == truth.billed
    with Journal(folder / "journal.sqlite") as journal:
        rows, totals = journal.jobs(), journal.totals()
        assert [row.token for row in rows] == truth.tokens
        assert [row.state for row in rows] == truth.states and journal.duplicates() == []
        spent = {"usd": totals.usd_spent, "qpu_seconds": totals.qpu_seconds_spent}
        assert spent[vendor.unit] == pytest.approx(truth.billed, abs=1e-9)
        assert all(getattr(row, vendor.unit) is not None for row in rows), "the vendor's own bill"
        assert totals.usd_queued == totals.qpu_seconds_queued == 0.0


def states(folder: Path) -> list[str]:
    """Return what the journal that a killed process left says of its jobs."""
    with Journal(folder / "journal.sqlite") as journal:
        return [row.state for row in journal.jobs()]


#: States of the jobs at the instants at which they are certain.
LEFT = {
    ("", "before planned", 1): [],
    ("", "after planned", 1): ["planned", "planned"],
    ("", "after submitting", 1): ["submitting", "planned"],
    ("", "POST answered", 1): ["submitting", "planned"],
    ("", "after submitted", 1): ["submitted", "planned"],
    ("", "POST answered", 2): ["submitted", "submitting"],
    ("", "after submitted", 2): ["submitted", "submitted"],
    ("", "after stored", 1): ["submitted", "submitted"],
    ("", "after ended", 1): ["done", "submitted"],
    ("", "after stored", 2): ["done", "submitted"],
    ("", "after ended", 2): ["done", "done"],
    ("job-fails", "after ended", 1): ["failed", "submitted"],
    ("job-fails", "after retried", 1): ["failed", "done", "planned"],
    ("job-cancelled", "after ended", 1): ["cancelled", "submitted"],
}


@pytest.mark.parametrize(("fault", "name", "time"), INSTANTS)
@pytest.mark.parametrize("key", VENDORS)
def test_a_kill_changes_nothing(tmp_path, truth_of, key, fault, name, time):
    vendor, truth = VENDORS[key], truth_of(key, fault)
    folder = Path(shutil.copytree(truth.template, tmp_path / "run"))
    at = number_of(truth.points, name, time)
    with vendor.serve(tmp_path / "vendor", *filter(None, [fault])) as standin:
        child = run_child(in_child(folder, vendor), kill_at=at, **watched(vendor))
        assert child.killed and child.reached == truth.points[: at + 1]
        settle(standin, vendor, child)
        if (fault, name, time) in LEFT:
            assert states(folder) == LEFT[fault, name, time]
        again = run_child(in_child(folder, vendor))
        assert again.status == 0
        check(folder, standin, vendor, truth)


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
def test_a_rehearsal_ends_with_the_command(tmp_path, vendor):
    def rehearsed() -> None:
        signal.alarm(LONGEST)
        with rehearse(vendor.name, tmp_path / "vendor"):
            (tmp_path / "address").write_text(os.environ[vendor.variable])
            os.kill(os.getpid(), signal.SIGKILL)

    assert run_child(rehearsed).killed
    address = urlsplit((tmp_path / "address").read_text())
    end = time.monotonic() + LONGEST
    while True:
        try:
            socket.create_connection((address.hostname, address.port)).close()
        except ConnectionRefusedError:
            break
        assert time.monotonic() < end, "the stand-in goes on without the command"
        time.sleep(0.05)
