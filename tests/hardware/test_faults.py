"""The fault table, first half: what goes wrong while a job is submitted.

Each row with both vendors' unmodified clients over HTTP: what the user reads, the exit code, how
many jobs there are at the vendor, and that the same command, once the fault is over, loses nothing.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qt_hw.execution.loopback import Fault, Request
from tests.hardware.clouds import Begin, Cloud, wait_for_end
from tests.hardware.user import Seen, User, assert_no_secret, ends_well, journal_states

VENDORS = pytest.mark.parametrize("name", ["ibm", "braket"])

#: A day, and more than any difference of time zones.
DAYS = 3


class AfterTheJobs(Fault):
    """A search that is answered when all jobs have ended."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(method="GET", path=r"/jobs$", action="sleep")
        self.cloud = cloud

    def hits(self, request: Request) -> bool:
        hit = super().hits(request)
        if hit:
            wait_for_end(self.cloud)
        return hit


def refused(seen: Seen, cloud: Cloud, code: int, pattern: str) -> None:
    """Check a submission that made no job."""
    assert seen.code == code
    assert re.search(pattern, seen.problem), seen
    assert cloud.jobs() == []


@VENDORS
@pytest.mark.parametrize("fault", ["reply-lost", "504-after"])
def test_a_job_whose_reply_is_lost_is_found(
    begin: Begin, user: User, name: str, fault: str
) -> None:
    cloud = begin(name, fault)
    seen = user.submits(cloud)
    assert seen.code == 0
    assert re.search("not known whether there is a job|may have made a job", seen.err)
    assert "looking for its job" in seen.err
    assert "evaluation 1 is submitted" in seen.out
    # Amazon's client asks three times for what has one token.
    assert cloud.posts() == {"ibm": 1, "braket": 3}[name]
    ends_well(user, cloud)


@VENDORS
@pytest.mark.parametrize("fault", ["500", "503"])
def test_a_server_error_is_not_followed_by_a_second_request(
    begin: Begin, user: User, name: str, fault: str
) -> None:
    cloud = begin(name, fault)
    refused(user.submits(cloud), cloud, 5, "nothing is sent again now: repeat the command")
    posts = cloud.posts()
    assert "2.21 queued" in user.types("status", user.pair).out or name == "braket"
    seen = user.submits(cloud)
    assert seen.code == 0
    assert "looking for the job" in seen.err
    assert cloud.posts() == posts + 1
    ends_well(user, cloud)


@VENDORS
def test_a_job_that_the_search_does_not_show_yet(begin: Begin, user: User, name: str) -> None:
    cloud = begin(name, "504-after")
    cloud.hide()
    seen = user.submits(cloud)
    assert seen.code == 5
    assert "no job was found" in seen.problem
    assert len(cloud.jobs()) == 1
    cloud.show()
    posts = cloud.posts()
    seen = user.submits(cloud)
    assert seen.code == 0
    assert "nothing more is paid" in seen.out
    assert cloud.posts() == posts
    ends_well(user, cloud)


@pytest.mark.parametrize("in_time", [True, False])
def test_the_second_job_of_the_clients_own_retry(begin: Begin, user: User, in_time: bool) -> None:
    cloud = begin("ibm", "504-after")
    if in_time:
        cloud.hold()
    else:  # the search takes longer than both jobs
        cloud.standin.faults.append(AfterTheJobs(cloud))
    cloud.options += ("--option", "retry_posts=true")
    seen = user.submits(cloud)
    assert seen.code == 0
    end = "it was cancelled" if in_time else "it could not be stopped and may be billed"
    assert re.search(f"two jobs carry qthw-\\w+: .* {end}", seen.err), seen
    first, second = cloud.jobs()
    assert first[0] == second[0]
    assert (second[1] == "CANCELLED") is in_time
    cloud.release()
    wait_for_end(cloud)
    assert user.collects().code == 0
    user.result()
    # 2 s and 500 shots of 0.35 ms each, twice where the second had begun.
    assert cloud.bill() == pytest.approx(2.175 if in_time else 4.35)
    told = user.types("cost", user.pair).out
    assert "second job" in told
    assert f"in all: {cloud.bill():.2f} QPU seconds spent" in told


@VENDORS
def test_too_many_requests(begin: Begin, user: User, name: str) -> None:
    cloud = begin(name, "429")
    seen = user.submits(cloud)
    assert seen.code == 0
    assert "the same request is sent in 1 s" in seen.err
    assert cloud.posts() == {"ibm": 2, "braket": 4}[name]
    ends_well(user, cloud)


@VENDORS
def test_a_login_that_is_refused(begin: Begin, user: User, name: str) -> None:
    cloud = begin(name)
    cloud.fail("status", status=401, headers={"x-amzn-ErrorType": "UnauthorizedException"})
    refused(user.submits(cloud), cloud, 5, "log in (to AWS )?anew")
    assert user.submits(cloud).code == 0
    ends_well(user, cloud)


def test_an_expired_token_of_amazon(begin: Begin, user: User) -> None:
    cloud = begin("braket", "401")
    refused(user.submits(cloud), cloud, 5, "ExpiredTokenException.*log in to AWS anew")
    assert user.submits(cloud).code == 0
    ends_well(user, cloud)


@VENDORS
@pytest.mark.parametrize("state", ["offline", "maintenance", "retired"])
def test_a_device_that_takes_no_jobs(begin: Begin, user: User, name: str, state: str) -> None:
    cloud = begin(name)
    cloud.out_of_order(state)
    seen = user.submits(cloud)
    word = "offline" if (name, state) == ("braket", "maintenance") else state
    gone = (name, state) == ("ibm", "retired")
    refused(seen, cloud, 5 if gone else 3, "(?i)no such device" if gone else f"(?i){word}")
    assert cloud.posts() == 0
    cloud.out_of_order("")
    assert user.submits(cloud).code == 0
    ends_well(user, cloud)


@pytest.mark.parametrize("days", [-DAYS, DAYS])
def test_a_clock_that_jumps_does_not_hide_a_job_at_ibm(begin: Begin, user: User, days: int) -> None:
    cloud = begin("ibm", "504-after")
    cloud.hide()
    with clock_wrong_by(-days):
        assert user.submits(cloud).code == 5
    cloud.show()
    with clock_wrong_by(days):
        seen = user.submits(cloud)
    assert seen.code == 0
    assert "nothing more is paid" in seen.out
    assert len(cloud.jobs()) == 1
    ends_well(user, cloud)


@pytest.mark.parametrize("days", [-DAYS, DAYS])
def test_a_clock_that_jumps_is_refused_by_amazon(begin: Begin, user: User, days: int) -> None:
    cloud = begin("braket", "504-after")
    cloud.hide()
    assert user.submits(cloud).code == 5
    cloud.show()
    posts = cloud.posts()
    with clock_wrong_by(days):
        for seen in (user.submits(cloud), user.collects()):
            assert seen.code == 5
            assert "set the clock of this machine right and repeat the command" in seen.problem
    seen = user.submits(cloud)
    assert seen.code == 0
    assert "nothing more is paid" in seen.out
    assert (cloud.posts(), len(cloud.jobs())) == (posts, 1)
    ends_well(user, cloud)


def test_jobs_before_a_refused_one_are_collected(begin: Begin, user: User) -> None:
    cloud = begin("braket")
    words = ("--mitigation", "readout", "--calibration-shots", "100")
    # The vector's job, and two for the calibration, the first of which is refused three times.
    offline = {"status": 424, "headers": {"x-amzn-ErrorType": "DeviceOfflineException"}}
    cloud.standin.faults.append(
        SecondOn(**cloud.create, action="status", times=3, **offline)  # type: ignore[arg-type]
    )
    for seen in (user.submits(cloud, *words), user.collects()):
        assert seen.code == 5
        assert "DeviceOfflineException" in seen.problem
        assert len(cloud.jobs()) == 1
    assert journal_states(user.pair) == ["done", "planned", "planned"]
    assert user.submits(cloud, *words).code == 5
    assert user.submits(cloud, *words).code == 0
    assert user.collects().code == 0
    user.result()
    tokens = [token for token, _ in cloud.jobs()]
    assert len(tokens) == len(set(tokens)) == 3
    assert cloud.bill() == pytest.approx(3 * 0.30 + 700 * 0.08)
    assert_no_secret(user, cloud.secrets())


class SecondOn(Fault):
    """A fault that spares the first request that it matches."""

    spared = False

    def hits(self, request: Request) -> bool:
        if not super().hits(request):
            return False
        spared, self.spared = self.spared, True
        return spared


@contextlib.contextmanager
def clock_wrong_by(days: int) -> Iterator[None]:
    """Let the clock of the user's thread be wrong; the vendor's threads keep theirs."""
    user, shift, right = threading.main_thread(), timedelta(days=days), time.time

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + shift

    def wrong() -> float:
        mine = threading.current_thread() is user
        return right() + (shift.total_seconds() if mine else 0.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", wrong)
        for place in ("qt_hw.execution.rows", "qt_hw.storage"):
            patch.setattr(f"{place}.datetime", Wrong)
        patch.setattr(
            "botocore.auth.get_current_datetime", lambda: Wrong.now(UTC).replace(tzinfo=None)
        )
        yield
