"""The fault table, second half: what goes wrong after a job was submitted.

Each row with both vendors' unmodified clients over HTTP: what the user reads, the exit code, how
many jobs there are at the vendor, and that the same command, once the fault is over, loses nothing.
"""

from __future__ import annotations

import re
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.loopback import Fault
from tests.hardware.clouds import Begin, Cloud, wait_for_end
from tests.hardware.user import User, ends_well

VENDORS = pytest.mark.parametrize("name", ["ibm", "braket"])

#: Where a device's answers about one job come from, and its result.
JOB = {"ibm": r"/jobs/\w+$", "braket": r"^/quantum-task/"}
RESULT = {"ibm": r"/jobs/\w+/results$", "braket": r"/results\.json$"}


def submitted(begin: Begin, user: User, name: str, *faults: str) -> Cloud:
    """Return a vendor with one job, which has ended."""
    cloud = begin(name, *faults)
    assert user.submits(cloud).code == 0
    wait_for_end(cloud)
    return cloud


@VENDORS
def test_a_job_that_fails_is_paid_again_on_request_only(
    begin: Begin, user: User, name: str
) -> None:
    cloud = submitted(begin, user, name, "job-fails")
    for _ in range(2):
        seen = user.collects()
        assert seen.code == 5
        assert "failed" in seen.problem
        assert "qt-hw retry pays for it once more" in seen.problem
    assert "qt-hw retry" in user.submits(cloud).out
    assert len(cloud.jobs()) == 1
    assert cloud.bill() == 0.0
    seen = user.types("retry", user.pair)
    assert seen.code == 0
    assert "price: " in seen.out
    ends_well(user, cloud, attempts=2)


@VENDORS
def test_a_job_that_is_cancelled_at_the_vendor(begin: Begin, user: User, name: str) -> None:
    cloud = submitted(begin, user, name, "job-cancelled")
    seen = user.collects()
    assert seen.code == 0
    assert "evaluation 1 was cancelled; qt-hw retry pays for it anew" in seen.out
    assert len(cloud.jobs()) == 1
    assert user.types("retry", user.pair).code == 0
    ends_well(user, cloud, attempts=2)


@VENDORS
@pytest.mark.parametrize("fault", ["truncated", "wrong-shape"])
def test_a_damaged_result_is_fetched_again(begin: Begin, user: User, name: str, fault: str) -> None:
    cloud = submitted(begin, user, name, fault)
    seen = user.collects()
    assert seen.code == 5
    assert re.search("damaged|cut off|the result has", seen.problem)
    assert "done, not collected" in user.types("status", user.pair).out
    ends_well(user, cloud)


@VENDORS
def test_waiting_fetches_a_damaged_result_again_by_itself(
    begin: Begin, user: User, name: str
) -> None:
    cloud = submitted(begin, user, name, "truncated")
    cloud.standin.faults.append(Fault(method="GET", path=RESULT[name], action="truncate"))
    seen = user.collects("--wait")
    assert seen.code == 0
    assert "fetching it again" in seen.err
    ends_well(user, cloud)


@VENDORS
def test_a_job_that_stays_queued(begin: Begin, user: User, name: str) -> None:
    cloud = begin(name)
    cloud.hold()
    assert user.submits(cloud).code == 0
    for _ in range(2):
        seen = user.collects()
        assert seen.code == 8
        assert "1 job is queued or running" in seen.problem
    assert "queued" in user.types("status", user.pair).out
    with ctrl_c_in_a_pause():
        seen = user.collects("--wait")
    assert seen.code == 130
    told = "stopped; the jobs go on at the vendor; go on with: qt-hw collect"
    assert told in " ".join(seen.err.split())
    assert "--wait" in seen.err
    with after_polls(cloud, name, 2, lambda over: cloud.release()):
        assert user.collects("--wait").code == 0
    ends_well(user, cloud)


@VENDORS
@pytest.mark.parametrize("what", ["counts", "weights"])
def test_a_full_disk_while_a_result_is_stored(
    begin: Begin, user: User, name: str, what: str
) -> None:
    cloud = submitted(begin, user, name)
    fill_disk(user.pair / "noiseless", what)
    seen = user.collects()
    assert seen.code == 6
    assert re.search(r"cannot write .*: No space left on device", seen.problem)
    assert len(cloud.jobs()) == 1
    ends_well(user, cloud)


@VENDORS
def test_a_login_that_is_refused_while_collecting(begin: Begin, user: User, name: str) -> None:
    cloud = submitted(begin, user, name)
    cloud.refuse_login()
    seen = user.collects()
    assert seen.code == 5
    assert re.search("log in (to AWS )?anew", seen.problem)
    assert "no job is lost" in seen.problem
    ends_well(user, cloud)


def test_a_token_that_expires_while_waiting_is_renewed(begin: Begin, user: User) -> None:
    cloud = begin("ibm")
    cloud.hold()
    assert user.submits(cloud).code == 0

    def expire(over: threading.Event) -> None:
        cloud.vendor.revoke_tokens()  # type: ignore[attr-defined]
        cloud.release()

    with after_polls(cloud, "ibm", 1, expire):
        seen = user.collects("--wait")
    assert (seen.code, seen.err) == (0, "")
    assert [r.path for r in cloud.standin.log].count("/identity/token") > 2
    ends_well(user, cloud)


@VENDORS
def test_a_network_that_fails_while_waiting(begin: Begin, user: User, name: str) -> None:
    cloud = submitted(begin, user, name)
    # What the clients do not ask again for by themselves: the login page of a hotel's network.
    page = b"<html>log in to this network</html>"
    cloud.standin.faults.append(
        Fault(method="GET", path=JOB[name], action="body", body=page, times=4)
    )
    assert user.collects().code == 5
    seen = user.collects("--wait")
    assert seen.code == 0
    assert "the jobs go on, asking again until there is an answer" in seen.err
    ends_well(user, cloud)


@VENDORS
def test_a_device_that_is_retired_after_the_job_is_done(
    begin: Begin, user: User, name: str
) -> None:
    cloud = submitted(begin, user, name)
    cloud.out_of_order("retired")
    ends_well(user, cloud)


class after_polls:  # noqa: N801 - reads as a statement
    """Do something when the vendor was asked about a job so many times more.

    What is done is told when the statement ends, by an event.
    """

    def __init__(
        self, cloud: Cloud, name: str, polls: int, act: Callable[[threading.Event], None]
    ) -> None:
        self._cloud, self._path, self._act = cloud, JOB[name], act
        self._target = self._count() + polls
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _count(self) -> int:
        log = list(self._cloud.standin.log)
        return sum(r.method == "GET" and re.search(self._path, r.path) is not None for r in log)

    def _watch(self) -> None:
        while self._count() < self._target and not self._over.wait(0.02):
            pass
        if not self._over.is_set():
            self._act(self._over)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()


@contextmanager
def ctrl_c_in_a_pause() -> Iterator[None]:
    """Press Ctrl-C when a command that waits pauses between two polls, however late that is."""
    pauses = property(lambda _: lambda seconds: signal.raise_signal(signal.SIGINT), lambda *_: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatcher, "sleep", pauses, raising=False)
        yield


def fill_disk(run: Path, what: str) -> None:
    """Let the device on which one file would be written first be full, once."""
    with closing(sqlite3.connect(run / "journal.sqlite")) as db:
        ((key,),) = db.execute("select key from jobs")
    file = {
        "counts": run / "results" / f"counts-{key}-0.npz",
        "weights": run / "evaluations" / "001" / "weights.safetensors",
    }[what]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.with_name(f"{file.name}.tmp").symlink_to("/dev/full")
