"""Waiting: patient with networks, honest about what waiting will not mend."""

from __future__ import annotations

import pytest

from qt_hw.errors import BadResult, InputError, PermanentError, StorageError
from qt_hw.execution.assembly import job_batch
from qt_hw.execution.watch import FIRST_PAUSE, LONGEST_PAUSE, wait
from tests.execution.cloud import CloudJob
from tests.execution.test_dispatcher import Desk, check_complete


@pytest.fixture
def make(tmp_path):
    made = []

    def one(**options):
        made.append(Desk(tmp_path, **options))
        return made[-1]

    yield one
    for desk in made:
        desk.dispatcher.close()


def test_pauses_grow_to_a_minute_and_stay_there(make):
    desk = make()
    desk.cloud.queue = 40
    request = desk.sent()
    wait(desk.dispatcher, [request])
    check_complete(desk, request)
    assert len(desk.slept) == 40
    assert desk.slept[0] == pytest.approx(1.5 * FIRST_PAUSE)
    assert all(b >= a for a, b in zip(desk.slept, desk.slept[1:], strict=False))
    assert desk.slept[15:] == [LONGEST_PAUSE] * 25 and LONGEST_PAUSE == 60.0


def test_pauses_start_again_when_a_job_has_ended(make):
    desk = make(max_bindings=3)
    request = desk.plan()
    for row, queue in zip(desk.rows(request), (10, 14), strict=True):
        desk.cloud.queue = queue
        desk.cloud.submit(desk_batch(desk, request, row), row.token)
        desk.dispatcher.journal.reserve(row.token, desk.cap)
        desk.dispatcher.journal.adopt(row.token, desk.cloud.find(row.token)[0].id)
    wait(desk.dispatcher, [request])
    assert desk.slept[9] > 10 and desk.slept[10] == FIRST_PAUSE
    assert desk.slept[11] == pytest.approx(1.5 * FIRST_PAUSE)


def desk_batch(desk, request, row):
    return job_batch(desk.dispatcher.store.load_batch(request.id), row)


def test_nothing_open_is_nothing_to_wait_for(make):
    desk, reports = make(), []
    request = desk.plan()
    wait(desk.dispatcher, [request], report=reports.append)
    assert desk.slept == [] and reports == [[]]


def test_one_loop_waits_for_all_requests(make):
    desk, reports = make(max_bindings=3), []
    desk.cloud.queue = 2
    requests = [desk.sent(step=step) for step in range(3)]
    wait(desk.dispatcher, requests, report=lambda rows: reports.append(len(rows)))
    assert reports == [6, 6, 0]
    for request in requests:
        check_complete(desk, request)


def test_a_network_that_is_gone_is_waited_for_and_told_once(make):
    desk = make(max_bindings=3)
    desk.cloud.queue = 1
    request = desk.sent()
    desk.cloud.down = 500
    wait(desk.dispatcher, [request])
    check_complete(desk, request)
    told = [text for text in desk.said if "asking again until there is an answer" in text]
    assert len(told) == 1 and "no network" in told[0]
    assert max(desk.slept) == LONGEST_PAUSE and len(desk.slept) >= 250


def test_a_network_that_goes_twice_is_told_twice(make):
    desk = make()
    desk.cloud.queue = 5
    request = desk.sent()

    def sleep(seconds: float) -> None:
        desk.slept.append(seconds)
        desk.cloud.down = int(len(desk.slept) in (1, 4))

    wait(desk.dispatcher, [request], sleep=sleep)
    assert sum("asking again" in text for text in desk.said) == 2


def test_a_result_that_is_damaged_once_is_fetched_again(make):
    desk = make(max_bindings=1)
    desk.cloud.ends = ["bad once"] * 5
    request = desk.sent()
    wait(desk.dispatcher, [request])
    check_complete(desk, request)
    assert sum("fetching it again" in text for text in desk.said) == 5


def test_a_result_that_stays_damaged_is_an_error_after_the_others_are_stored(make):
    desk = make(max_bindings=1)
    desk.cloud.ends = ["bad", "", "bad once", "", ""]
    request = desk.sent()
    with pytest.raises(BadResult, match="truncated"):
        wait(desk.dispatcher, [request])
    assert desk.states(request) == ["submitted", "done", "done", "done", "done"]
    assert len(desk.slept) == 2


@pytest.mark.parametrize("error", [PermanentError("log in anew"), StorageError("the disk is full")])
def test_what_waiting_does_not_mend_ends_it(make, monkeypatch, error):
    desk = make()
    request = desk.sent()

    def fail(job):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(CloudJob, "status", fail)
        with pytest.raises(type(error), match=str(error)):
            wait(desk.dispatcher, [request])
    assert desk.states(request) == ["submitted"]
    wait(desk.dispatcher, [request])
    check_complete(desk, request)


def test_a_job_that_the_vendor_does_not_know_ends_it_after_the_others_are_stored(make):
    desk = make(max_bindings=1)
    request = desk.sent()
    (desk.cloud.folder / "job-0001.json").unlink()
    with pytest.raises(InputError, match="has no job 'job-0001'"):
        wait(desk.dispatcher, [request])
    assert desk.states(request) == ["submitted", "done", "done", "done", "done"]


def test_an_interruption_loses_nothing(make):
    desk = make()
    desk.cloud.queue = 3
    request = desk.sent()

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait(desk.dispatcher, [request], sleep=interrupted)
    desk.open()
    wait(desk.dispatcher, [request])
    check_complete(desk, request)
    assert len(desk.cloud.posts()) == 1


def test_failed_jobs_end_the_waiting(make):
    desk = make(max_bindings=3)
    desk.cloud.ends, desk.cloud.queue = ["fails", "cancelled"], 2
    request = desk.sent()
    wait(desk.dispatcher, [request])
    assert desk.states(request) == ["failed", "cancelled"]
    assert "job-0001: job-0001 failed" in desk.said
