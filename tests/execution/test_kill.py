"""Killed with SIGKILL at every instant: the same jobs, the same counts, the same bill."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import qt_hw as qt
from qt_hw.execution.backend import Batch, Item
from qt_hw.execution.budget import Cap
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.executor import JournalledExecutor
from qt_hw.execution.journal import Journal
from qt_hw.execution.watch import wait
from tests.execution.cloud import Cloud, make_batch
from tests.execution.killing import kill_points, run_child


class Scripted(Cloud):
    """A cloud whose faults depend on what it has seen, whichever process asks.

    Attributes:
        script: Number of the request -> what goes wrong with it.
        endings: How jobs end, chosen by their token.
    """

    script: dict[int, str]
    endings: tuple[str, ...]

    def submit(self, batch, token):
        self.faults = [self.script.get(len(self.posts()), "")]
        return super().submit(batch, token)

    def create(self, batch, token):
        self.ends = [self.endings[int(token[-8:], 16) % len(self.endings)]]
        return super().create(batch, token)


def no_sleep(seconds: float) -> None:
    """Sleep not at all: the cloud has no clock."""


def cloud_of(root: Path, script=None, endings=("",), queue: int = 1, **limits) -> Scripted:
    cloud = Scripted(root / "vendor", **{"max_bindings": 3, **limits})
    cloud.script, cloud.endings, cloud.queue = script or {}, endings, queue
    return cloud


def dispatcher_of(root: Path, cloud: Cloud, run: str = "r") -> Dispatcher:
    return Dispatcher(
        cloud, root / "run", cap=Cap(max_usd=100.0), run=run, settle_seconds=1.0, sleep=no_sleep
    )


def finish(root: Path, cloud: Cloud, run: str = "r"):
    """Submit a step, wait, retry what failed, until its counts are complete."""
    dispatcher = dispatcher_of(root, cloud, run)
    try:
        request = dispatcher.plan(make_batch(), 0, "step 0")
        while (counts := dispatcher.counts(request)) is None:
            for row in dispatcher.failed(request):
                dispatcher.retry(request, row)
            dispatcher.submit(request)
            wait(dispatcher, [request])
        dispatcher.update_charges()
        return counts.arrays
    finally:
        dispatcher.close()


def plain(root: Path):
    return finish(root, cloud_of(root))


def with_a_lost_reply(root: Path):
    return finish(root, cloud_of(root, script={0: "lost after", 1: "refused"}))


def with_failures(root: Path):
    # The tokens of this run make the first job fail and the second one break off.
    cloud = cloud_of(root, endings=("fails", "partial", ""), max_bindings=None)
    return finish(root, cloud, "run 25")


def with_second_jobs(root: Path):
    return finish(root, cloud_of(root, script={0: "twice", 1: "twice lost"}, may_duplicate=True))


def with_cancelling(root: Path):
    """Cancel the first job at the vendor and the second before it leaves, then pay anew."""
    cloud = cloud_of(root, queue=3)
    dispatcher = dispatcher_of(root, cloud)
    request = dispatcher.plan(make_batch(), 0, "step 0")
    attempts = [row.attempt for row in dispatcher.journal.jobs(request.id)]
    if max(attempts) == 0:
        first, second = dispatcher.journal.jobs(request.id)
        if second.state == "planned":
            dispatcher.cancel(second)
        if first.state in ("planned", "submitting"):
            dispatcher.submit(request)
        first = dispatcher.journal.job(first.token)
        if first.state == "submitted":
            dispatcher.cancel(first)
            wait(dispatcher, [request])
    dispatcher.close()
    return finish(root, cloud)


def through_an_executor(root: Path):
    """Prepare, run two steps on the prepared circuit; every process finds another calibration."""
    cloud = cloud_of(root, queue=0, max_bindings=None)
    cloud.calibration = 1 + len(list(root.glob("started-*")))
    (root / f"started-{cloud.calibration}").touch()
    dispatcher, out = dispatcher_of(root, cloud), []
    executor = JournalledExecutor(dispatcher)
    for step in range(2):
        form = executor.prepare(qt.U3Cu3(2, 1)).form
        angles = np.random.default_rng(step).uniform(-3, 3, (4, form.A.shape[1]))
        batch = Batch(items=(Item(form.circuit, form.gate_angles(angles), 50),), seed=(step,))
        out += executor.run(batch, step).arrays
    dates = {request.calibration for request in dispatcher.journal.requests()}
    assert len(dates) == 1, "the circuit was prepared once, for one calibration"
    dispatcher.close()
    return tuple(out)


SCENARIOS = [
    plain,
    with_a_lost_reply,
    with_failures,
    with_second_jobs,
    with_cancelling,
    through_an_executor,
]


ENDS = {with_failures: {"failed"}, with_cancelling: {"cancelled"}}


@dataclass(frozen=True)
class Truth:
    """What an undisturbed run leaves behind."""

    arrays: tuple[np.ndarray, ...]
    tokens: list[str]
    posts: list[str]
    bill: float


def truth_of(root: Path, arrays) -> Truth:
    cloud = Cloud(root / "vendor")
    tokens = sorted(job["token"] for job in cloud.jobs())
    return Truth(arrays, tokens, sorted(cloud.posts()), cloud.bill())


def check(root: Path, arrays, truth: Truth) -> None:
    found = truth_of(root, arrays)
    assert found.tokens == truth.tokens, "the vendor has other jobs than planned"
    assert found.posts == truth.posts
    assert len(arrays) == len(truth.arrays)
    for array, expected in zip(arrays, truth.arrays, strict=True):
        np.testing.assert_array_equal(array, expected)
    with Journal(root / "run" / "journal.sqlite") as journal:
        assert journal.totals().usd_spent == pytest.approx(found.bill)
        assert journal.totals().usd_queued == 0.0
        ids = [row.id for row in journal.jobs() if row.id]
        seconds = [entry["id"] for entry in journal.duplicates()]
        at_vendor = [job["id"] for job in Cloud(root / "vendor").jobs()]
        assert sorted(ids + seconds) == at_vendor, "a job nobody knows of"


@pytest.fixture
def folder(tmp_path):
    """A folder in memory where there is one: a kill, unlike a power cut, leaves writes alone."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def undisturbed(folder: Path, work: Callable[[Path], object]) -> Truth:
    root = folder / "undisturbed"
    root.mkdir()
    return truth_of(root, work(root))


def states_of(root: Path) -> set[str]:
    path = root / "run" / "journal.sqlite"
    if not path.exists():
        return set()
    with Journal(path) as journal:
        return {row.state for row in journal.jobs()}


@pytest.mark.parametrize("work", SCENARIOS)
def test_a_kill_at_any_instant_changes_nothing(folder, work):
    truth = undisturbed(folder, work)
    (folder / "points").mkdir()
    points = kill_points(lambda: work(folder / "points"), backends=(Cloud,))
    assert {"before submit", "after submit", "before file", "in transaction"} <= set(points)
    seen: set[str] = set()
    for number, name in enumerate(points):
        if work is not plain and number > 0 and not name.startswith("after"):
            continue  # nothing durable has happened since the instant before
        root = folder / f"{number}"
        root.mkdir()
        child = run_child(lambda root=root: work(root), kill_at=number, backends=(Cloud,))
        assert child.killed and child.reached == points[: number + 1], name
        seen |= states_of(root)
        check(root, work(root), truth)
    wanted = {"planned", "submitting", "submitted", "done"}
    assert seen >= wanted | ENDS.get(work, set())


@pytest.mark.parametrize("work", SCENARIOS)
@pytest.mark.parametrize("seed", range(2))
def test_kills_again_and_again_change_nothing(folder, work, seed):
    truth = undisturbed(folder, work)
    root, rng, kills = folder / "killed", np.random.default_rng(seed), 0
    root.mkdir()
    while kills < 200:
        at = int(rng.integers(2, 12))
        child = run_child(lambda: work(root), kill_at=at, backends=(Cloud,))
        if not child.killed:
            assert child.status == 0
            break
        kills += 1
    assert 2 < kills < 200
    check(root, work(root), truth)
