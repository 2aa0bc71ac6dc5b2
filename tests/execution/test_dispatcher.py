"""Paid once, whatever happens between this machine and the vendor."""

from __future__ import annotations

import resource
from dataclasses import replace

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qt_hw.errors import (
    AmbiguousSubmission,
    BadResult,
    BudgetExceeded,
    InputError,
    PermanentError,
    PreflightError,
    StorageError,
    TransientError,
)
from qt_hw.execution.backend import Batch
from qt_hw.execution.budget import Cap
from qt_hw.execution.canonical import token_of
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.storage import locked
from tests.execution.cloud import FEE, PER_SHOT, Cloud, CloudJob, make_batch, make_item
from tests.execution.killing import run_child, together

PLENTY = Cap(max_usd=100.0)


class Desk:
    """A dispatcher before a cloud, with what it said and how long it slept."""

    def __init__(self, root, *, cap=PLENTY, settle=3.0, **limits):
        self.root, self.cap, self.settle = root, cap, settle
        self.cloud = Cloud(root / "vendor", **limits)
        self.said: list[str] = []
        self.slept: list[float] = []
        self.open()

    def open(self) -> Dispatcher:
        """Open the run again, as another process would."""
        if hasattr(self, "dispatcher"):
            self.dispatcher.close()
        self.dispatcher = Dispatcher(
            self.cloud,
            self.root / "run",
            cap=self.cap,
            run="r",
            settle_seconds=self.settle,
            say=self.said.append,
            sleep=self.slept.append,
        )
        return self.dispatcher

    def plan(self, *items, step=0):
        return self.dispatcher.plan(make_batch(*items), step, f"step {step}", "2026-01-01")

    def sent(self, *items, step=0):
        request = self.plan(*items, step=step)
        self.dispatcher.submit(request)
        return request

    def rows(self, request):
        return self.dispatcher.journal.jobs(request.id)

    def states(self, request) -> list[str]:
        return [row.state for row in self.rows(request)]

    def check_one_job_each(self, request) -> None:
        """The vendor has exactly what the journal says, and no more."""
        of_vendor = {job["id"]: job["token"] for job in self.cloud.jobs()}
        of_journal = {row.id: row.token for row in self.rows(request) if row.id}
        assert of_vendor == of_journal
        assert len(set(of_vendor.values())) == len(of_vendor)


@pytest.fixture
def make(tmp_path):
    made = []

    def one(**options):
        made.append(Desk(tmp_path, **options))
        return made[-1]

    yield one
    for desk in made:
        desk.dispatcher.close()


@pytest.fixture
def desk(make):
    return make()


def expected(desk, request) -> list[np.ndarray]:
    """The counts that the vendor has for a request, put together independently."""
    batch = desk.dispatcher.store.load_batch(request.id)
    sums = [np.zeros((len(item.bindings), 8), dtype=int) for item in batch.items]
    of_token = {job["token"]: job["counts"] for job in desk.cloud.jobs()}
    for row in desk.rows(request):
        for piece, counts in zip(row.pieces, of_token[row.token], strict=True):
            sums[piece.item][piece.start : piece.stop] += np.array(counts)
    return sums


def unreachable(*args) -> None:
    raise TransientError("no network")


def check_complete(desk, request) -> None:
    counts = desk.dispatcher.counts(request)
    batch = desk.dispatcher.store.load_batch(request.id)
    assert counts is not None and counts.shots == tuple(item.shots for item in batch.items)
    for array, wanted in zip(counts.arrays, expected(desk, request), strict=True):
        np.testing.assert_array_equal(array, wanted)


# The good case


def test_a_step_is_planned_sent_collected_and_charged(desk):
    request = desk.plan()
    assert desk.states(request) == ["planned"] and desk.cloud.posts() == []
    assert desk.dispatcher.counts(request) is None
    desk.dispatcher.submit(request)
    [row] = desk.rows(request)
    assert (row.state, row.id) == ("submitted", "job-0001")
    assert row.token == token_of("r", 0, 0, 0, 0, row.payload) == desk.cloud.posts()[0]
    assert desk.dispatcher.counts(request) is None
    desk.dispatcher.update(request)
    check_complete(desk, request)
    [row] = desk.rows(request)
    assert (row.state, row.usd) == ("done", desk.cloud.bill())
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(FEE + 500 * PER_SHOT)
    assert row.result == f"counts-{row.key}-0.npz"
    assert request.calibration == "2026-01-01"


def test_nothing_is_sent_twice_by_asking_twice(desk):
    for _ in range(3):
        request = desk.sent()
        desk.dispatcher.update(request)
        desk.open()
    assert len(desk.cloud.posts()) == 1
    assert len(desk.dispatcher.journal.requests()) == 1
    other = desk.sent(step=1)
    assert other.id != request.id and len(desk.cloud.posts()) == 2


def test_steps_may_be_numpy_integers(desk):
    assert desk.plan(step=np.int64(3)).id == desk.plan(step=3).id
    assert desk.dispatcher.request_id(make_batch(), 3) == desk.plan(step=3).id


def test_shots_may_be_numpy_integers(make):
    desk = make(split_shots=40)
    request = desk.sent(make_item(2, np.int64(110)), make_item(1, np.int32(7), seed=1))
    assert request.id == desk.plan(make_item(2, 110), make_item(1, 7, seed=1)).id
    desk.dispatcher.update(request)
    check_complete(desk, request)


@pytest.mark.parametrize(
    ("limits", "n_jobs"),
    [
        ({"max_bindings": 2}, 3),
        ({"split_shots": 40}, 3),
        ({"split_shots": 40, "max_bindings": 3}, 6),
        ({"max_executions": 250}, 3),
        ({"one_shot_count": True}, 2),
    ],
)
def test_several_jobs_make_one_result(make, limits, n_jobs):
    desk = make(**limits)
    items = make_item(2, 110), make_item(3, 90, seed=1)
    request = desk.sent(*items)
    assert len(desk.cloud.jobs()) == n_jobs == len(desk.rows(request))
    desk.check_one_job_each(request)
    desk.dispatcher.update(request)
    check_complete(desk, request)
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())


def test_no_two_jobs_of_a_step_draw_from_one_stream(make):
    """Where a backend samples by the batch's seed: jobs, repetitions and attempts differ."""
    desk, seeds = make(split_shots=40, max_bindings=2), []
    submit = desk.cloud.submit
    desk.cloud.submit = lambda batch, token: (seeds.append(batch.seed), submit(batch, token))[1]
    desk.sent()
    assert len(set(seeds)) == len(seeds) == 9 and seeds[0] == (0,)


def test_a_request_belongs_to_its_backend(desk):
    request = desk.plan()
    desk.cloud.name = "cloud:other"
    with pytest.raises(InputError, match="step 0 was planned for cloud:test, not for cloud:other"):
        desk.plan()
    with pytest.raises(InputError, match="was planned for cloud:test"):
        desk.dispatcher.submit(request)
    assert desk.cloud.posts() == []


def test_circuits_that_storing_would_change_are_refused(desk):
    circuit = QuantumCircuit(3)
    circuit.delay(10, 0, unit="ns")  # QPY forgets the unit
    item = make_item(circuit=circuit, bindings=np.zeros((1, 0)))
    with pytest.raises(InputError, match="change when they are stored"):
        desk.dispatcher.plan(Batch(items=(item,)), 0, "step 0")
    assert desk.dispatcher.journal.requests() == []


def test_a_stored_request_that_was_changed_is_not_sent(desk):
    request = desk.plan()
    other = make_batch(make_item(), make_item(3, seed=2, role="shift", part=1))
    desk.dispatcher.store.save_batch(request.id, other)
    desk.open()
    with pytest.raises(StorageError, match="changed after it was planned"):
        desk.dispatcher.submit(request)
    assert desk.states(request) == ["planned"] and desk.cloud.posts() == []


# Requests that go wrong


REFUSED = {"refused": TransientError, "denied": PermanentError, "wrong": InputError}


@pytest.mark.parametrize("fault", ["denied", "wrong"])
def test_a_refused_request_is_planned_again(desk, fault):
    desk.cloud.faults = [fault]
    with pytest.raises(REFUSED[fault]):
        desk.sent()
    request = desk.plan()
    assert desk.states(request) == ["planned"]
    assert desk.dispatcher.journal.totals().usd_queued == 0.0
    desk.dispatcher.submit(request)
    desk.check_one_job_each(request)
    assert len(desk.cloud.posts()) == 2


def test_what_is_refused_for_now_is_sent_again_with_patience(desk):
    desk.cloud.faults = ["refused", "refused"]
    request = desk.sent()
    desk.check_one_job_each(request)
    assert desk.slept == [1.0, 2.0] and len(desk.cloud.posts()) == 3
    assert any("too many requests" in text for text in desk.said)


def test_what_is_refused_for_too_long_is_an_error_and_no_job(desk):
    desk.cloud.faults = ["refused"] * 11
    with pytest.raises(TransientError, match="too many requests"):
        desk.sent()
    request = desk.plan()
    assert desk.states(request) == ["planned"] and desk.cloud.jobs() == []
    assert sum(desk.slept) == pytest.approx(308)
    desk.dispatcher.submit(request)
    desk.check_one_job_each(request)


def test_a_lost_reply_is_settled_by_search(desk):
    desk.cloud.faults = ["lost after"]
    request = desk.sent()
    desk.check_one_job_each(request)
    assert desk.states(request) == ["submitted"] and len(desk.cloud.posts()) == 1


def test_a_search_that_lags_is_waited_for(desk):
    desk.cloud.faults, desk.cloud.lag = ["lost after"], 3
    request = desk.sent()
    desk.check_one_job_each(request)
    assert len(desk.cloud.posts()) == 1 and desk.slept == [0.2, 0.5, 1.0]


def test_a_request_that_never_arrived_is_sent_again_only_by_the_next_command(desk):
    desk.cloud.faults = ["lost before"]
    with pytest.raises(AmbiguousSubmission, match="nothing is sent again now"):
        desk.sent()
    request = desk.plan()
    assert desk.states(request) == ["submitting"] and len(desk.cloud.posts()) == 1
    assert desk.dispatcher.journal.totals().usd_queued == pytest.approx(FEE + 500 * PER_SHOT)
    assert sum(desk.slept) == pytest.approx(3.0)
    desk.open().submit(request)
    assert sum(desk.slept) == pytest.approx(6.0), "the search is given its time once more"
    desk.check_one_job_each(request)
    assert len(set(desk.cloud.posts())) == 1 and len(desk.cloud.posts()) == 2


@pytest.mark.parametrize("fault", ["bug before", "bug after", "interrupted"])
def test_whatever_else_comes_out_of_a_backend_leaves_the_job_in_doubt(desk, fault):
    desk.cloud.faults = [fault]
    with pytest.raises(KeyboardInterrupt if fault == "interrupted" else RuntimeError):
        desk.sent()
    request = desk.plan()
    assert desk.states(request) == ["submitting"]
    desk.open().submit(request)
    desk.check_one_job_each(request)
    assert len(desk.cloud.posts()) == (2 if fault == "bug before" else 1)


@pytest.mark.parametrize("fault", ["bug before", "bug after"])
def test_nothing_is_sent_while_the_vendor_cannot_be_asked(desk, fault):
    desk.cloud.faults = [fault]
    with pytest.raises(RuntimeError):
        desk.sent()
    request = desk.plan()
    for _ in range(2):
        desk.cloud.down = 1
        with pytest.raises(AmbiguousSubmission, match="cannot be asked"):
            desk.dispatcher.submit(request)
        assert desk.states(request) == ["submitting"]
    desk.dispatcher.submit(request)
    desk.check_one_job_each(request)


def test_the_jobs_after_one_in_doubt_are_sent_once_too(make):
    desk = make(max_bindings=2)
    desk.cloud.faults = ["", "bug after"]
    with pytest.raises(RuntimeError):
        desk.sent()
    request = desk.plan()
    assert desk.states(request) == ["submitted", "submitting", "planned"]
    desk.open().submit(request)
    desk.check_one_job_each(request)
    assert len(desk.cloud.posts()) == 3


def test_a_device_that_takes_nothing_is_sent_nothing(desk):
    desk.cloud.offline = ["the device is retired", "no bucket"]
    with pytest.raises(PreflightError, match="retired; no bucket"):
        desk.sent()
    assert desk.cloud.posts() == [] and desk.states(desk.plan()) == ["planned"]


def test_the_journal_is_full_when_the_job_is_to_be_recorded(desk):
    """The job is at the vendor, its id is not on the disk: found again by its token."""

    def work():
        child = Desk(desk.root)
        request = child.plan()
        size = (desk.root / "run" / "journal.sqlite-wal").stat().st_size

        def fill(token: str) -> None:
            # Reserving made the file longer already: nothing more fits.
            now = (desk.root / "run" / "journal.sqlite-wal").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (max(now, size), resource.RLIM_INFINITY))

        child.cloud.on_request = fill
        with pytest.raises(StorageError, match="cannot write the journal"):
            child.dispatcher.submit(request)

    assert run_child(work).status == 0
    request = desk.plan()
    assert desk.states(request) == ["submitting"] and len(desk.cloud.jobs()) == 1
    desk.dispatcher.submit(request)
    desk.check_one_job_each(request)
    assert len(desk.cloud.posts()) == 1


# Second jobs of one token


@pytest.mark.parametrize("fault", ["twice", "twice lost"])
def test_a_second_job_is_cancelled_and_reported(make, fault):
    desk = make(may_duplicate=True)
    desk.cloud.faults, desk.cloud.queue = [fault], 5
    request = desk.sent()
    first, second = desk.cloud.jobs()
    assert [row.id for row in desk.rows(request)] == [first["id"]]
    assert (first["state"], second["state"]) == ("queued", "cancelled")
    [entry] = desk.dispatcher.journal.duplicates()
    assert (entry["id"], entry["cancelled"], entry["usd"]) == (second["id"], 1, 0.0)
    assert any("two jobs carry" in t and "it was cancelled" in t for t in desk.said)
    totals = desk.dispatcher.journal.totals()
    assert (totals.usd_spent, totals.usd_queued) == (0.0, pytest.approx(FEE + 500 * PER_SHOT))


def test_a_second_job_that_ran_is_counted(make):
    desk = make(may_duplicate=True)
    desk.cloud.faults = ["twice"]
    request = desk.sent()
    desk.dispatcher.update(request)
    assert any("could not be stopped and may be billed" in text for text in desk.said)
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())
    assert desk.cloud.bill() == pytest.approx(2 * (FEE + 500 * PER_SHOT))
    check_first(desk, request)


def check_first(desk, request) -> None:
    counts = desk.dispatcher.counts(request)
    first = desk.cloud.jobs()[0]["counts"]
    assert counts is not None
    for array, wanted in zip(counts.arrays, first, strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_a_second_job_that_the_search_missed_is_found_when_the_first_ends(make):
    desk = make(may_duplicate=True)
    desk.cloud.faults, desk.cloud.queue, desk.cloud.lag = ["twice"], 3, 1
    request = desk.sent()
    # The reply named the second job, so that one was taken.
    assert [row.id for row in desk.rows(request)] == ["job-0002"]
    assert desk.dispatcher.journal.duplicates() == []
    while desk.states(request) == ["submitted"]:
        desk.dispatcher.update(request)
    assert [d["id"] for d in desk.dispatcher.journal.duplicates()] == ["job-0001"]
    assert [job["state"] for job in desk.cloud.jobs()] == ["cancelled", "done"]
    assert len(desk.cloud.posts()) == 1


def test_a_search_that_fails_right_after_a_request_is_made_up_for(make):
    desk = make(may_duplicate=True)
    desk.cloud.faults, desk.cloud.queue, desk.cloud.down = ["twice"], 2, 1
    request = desk.sent()
    assert desk.states(request) == ["submitted"]
    assert any("looked for when it ends" in text for text in desk.said)
    while desk.states(request) == ["submitted"]:
        desk.dispatcher.update(request)
    assert len(desk.dispatcher.journal.duplicates()) == 1


def test_a_second_job_that_cannot_be_cancelled_now_is_cancelled_later(make, monkeypatch):
    desk = make(may_duplicate=True)
    desk.cloud.faults, desk.cloud.queue = ["twice"], 3
    with monkeypatch.context() as patch:
        patch.setattr(CloudJob, "cancel", unreachable)
        request = desk.sent()
    assert desk.states(request) == ["submitted"]
    assert any("not cancelled yet" in text for text in desk.said)
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(FEE + 500 * PER_SHOT)
    while desk.states(request) == ["submitted"]:
        desk.dispatcher.update(request)
    [entry] = desk.dispatcher.journal.duplicates()
    assert entry["cancelled"] == entry["ended"] == 1
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())


def test_a_refusal_is_not_believed_where_the_client_sends_twice_by_itself(make):
    """The first attempt made a job, its reply was lost, the client's second one was refused."""
    desk = make(may_duplicate=True)
    desk.cloud.faults = ["refused after"]
    request = desk.sent()
    desk.check_one_job_each(request)
    assert len(desk.cloud.posts()) == 1
    desk.cloud.faults = ["refused"]
    desk.sent(step=1)
    assert len(desk.cloud.jobs()) == 2 and len(desk.cloud.posts()) == 3


# Money


def test_a_step_that_does_not_fit_as_a_whole_is_not_begun(make):
    desk = make(max_bindings=2, cap=Cap(max_usd=5.0))
    request = desk.plan()
    with pytest.raises(BudgetExceeded, match=r"5.90 for the next 3 jobs = 5.90, above max_usd"):
        desk.dispatcher.submit(request)
    assert desk.cloud.posts() == [] and set(desk.states(request)) == {"planned"}


def test_what_waited_is_sent_at_the_price_of_the_day(make, monkeypatch):
    desk = make(cap=Cap(max_usd=6.0))
    with monkeypatch.context() as patch:
        patch.setattr("tests.execution.cloud.PER_SHOT", 0.02)
        with pytest.raises(BudgetExceeded, match=r"10\.30 for the next job"):
            desk.sent()
    request = desk.plan()
    assert desk.rows(request)[0].usd_high == pytest.approx(10.30)
    with monkeypatch.context() as patch:
        patch.setattr("tests.execution.cloud.FEE", 1.30)
        with pytest.raises(BudgetExceeded, match=r"6\.30 for the next job"):
            desk.dispatcher.submit(request)
    desk.dispatcher.submit(request)
    assert desk.rows(request)[0].usd_high == pytest.approx(5.30)
    assert desk.dispatcher.journal.totals().usd_queued == pytest.approx(5.30)
    with pytest.raises(StorageError, match="not planned any more"):
        desk.dispatcher.journal.reprice(
            desk.rows(request)[0].token, desk.cloud.estimate(make_batch())
        )


def test_without_a_cap_nothing_is_sent(make):
    desk = make(cap=Cap())
    with pytest.raises(BudgetExceeded, match="a paid job needs a cap"):
        desk.sent()
    assert desk.cloud.posts() == []


def test_the_cap_holds_over_steps_and_the_bill_never_crosses_it(make):
    desk, step = make(cap=Cap(max_usd=30.0)), 0
    with pytest.raises(BudgetExceeded):
        for step in range(100):
            desk.dispatcher.update(desk.sent(step=step))
    assert step == int(30.0 // 5.30)
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())
    assert desk.cloud.bill() <= 30.0 < desk.cloud.bill() + 5.30


def test_charges_that_come_late_are_asked_for_before_a_refusal(make):
    desk = make(cap=Cap(max_usd=11.0))
    desk.cloud.ends, desk.cloud.late_charges = ["fails"], 1
    desk.dispatcher.update(desk.sent())
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(5.30)
    desk.dispatcher.update(desk.sent(step=1))
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(10.60)
    desk.dispatcher.update(desk.sent(step=2))
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())
    with pytest.raises(BudgetExceeded):
        desk.sent(step=3)


def test_a_refusal_stands_where_charges_cannot_be_asked_for(make, monkeypatch):
    desk = make(cap=Cap(max_usd=6.0))
    desk.cloud.ends, desk.cloud.late_charges = ["fails"], 1
    desk.dispatcher.update(desk.sent())
    with monkeypatch.context() as patch:
        patch.setattr(CloudJob, "charge", unreachable)
        with pytest.raises(BudgetExceeded, match=r"5\.30 USD spent"):
            desk.sent(step=1)
    desk.sent(step=1)


def test_the_charge_of_a_second_job_is_asked_for_too(make):
    desk = make(may_duplicate=True)
    desk.cloud.faults, desk.cloud.queue, desk.cloud.late_charges = ["twice"], 1, 2
    request = desk.sent()
    while desk.states(request) == ["submitted"]:
        desk.dispatcher.update(request)
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(2 * 5.30)
    desk.dispatcher.update_charges()
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())
    assert desk.cloud.bill() == pytest.approx(5.30)


def test_a_search_for_second_jobs_that_fails_does_not_hold_up_the_result(make, monkeypatch):
    desk = make(may_duplicate=True)
    request = desk.sent()
    monkeypatch.setattr(desk.cloud, "find", unreachable)
    desk.dispatcher.update(request)
    check_complete(desk, request)
    assert any("not known whether job-0001 has a second job" in text for text in desk.said)


def test_charges_can_be_asked_for_by_themselves(desk):
    desk.cloud.late_charges = 1
    request = desk.sent()
    desk.dispatcher.update(request)
    assert desk.rows(request)[0].usd is None
    desk.dispatcher.update_charges()
    assert desk.rows(request)[0].usd == desk.cloud.bill()


def test_the_device_is_told_what_is_left_of_its_time(make):
    desk = make(cap=Cap(max_qpu_seconds=12.0))
    desk.cloud.seconds = 0.01
    first = desk.sent()
    desk.dispatcher.update(first)
    assert desk.rows(first)[0].qpu_seconds == pytest.approx(3.75)
    desk.sent(step=1)
    assert desk.cloud.told == [pytest.approx(12.0), pytest.approx(8.25)]
    with pytest.raises(BudgetExceeded, match=r"3.75 QPU seconds spent \+ 5.00 queued \+ 5.00"):
        desk.sent(step=2)


# Results


def test_a_failed_job_is_recorded_and_not_sent_again(desk):
    desk.cloud.ends = ["fails"]
    request = desk.sent()
    desk.dispatcher.update(request)
    for _ in range(2):
        desk.dispatcher.submit(request)
        desk.dispatcher.update(request)
    [row] = desk.dispatcher.failed(request)
    assert (row.state, row.note, row.result, row.usd) == ("failed", "job-0001 failed", None, 0.0)
    assert desk.dispatcher.counts(request) is None and len(desk.cloud.posts()) == 1


def test_a_failed_job_is_paid_again_on_the_users_word_only(desk):
    desk.cloud.ends = ["fails"]
    request = desk.sent()
    desk.dispatcher.update(request)
    [row] = desk.dispatcher.failed(request)
    assert desk.dispatcher.price_of_retry(request, row).usd_high == pytest.approx(5.30)
    desk.dispatcher.retry(request, row)
    with pytest.raises(InputError, match="once each"):
        desk.dispatcher.retry(request, row)
    desk.open().submit(request)
    desk.dispatcher.update(request)
    first, second = desk.rows(request)
    assert second.token == token_of("r", 0, 0, 0, 1, first.payload) != first.token
    assert second.key == first.key and second.payload == first.payload
    assert desk.dispatcher.failed(request) == []
    assert desk.dispatcher.counts(request) is not None
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())


def test_what_came_back_of_a_failed_job_is_kept_and_only_the_rest_is_paid_again(make):
    desk = make(max_bindings=4)
    desk.cloud.ends = ["partial", "", "partial"]
    request = desk.sent(make_item(2), make_item(5, seed=1))
    desk.dispatcher.update(request)
    [row] = desk.dispatcher.failed(request)
    assert [(p.item, p.start, p.stop) for p in row.pieces] == [(0, 0, 2), (1, 0, 2)]
    assert row.result is not None and desk.dispatcher.counts(request) is None
    for attempt in range(1, 4):
        [row] = desk.dispatcher.failed(request)
        price = desk.dispatcher.price_of_retry(request, row)
        assert price.circuits == 1
        desk.dispatcher.retry(request, row)
        desk.dispatcher.submit(request)
        desk.dispatcher.update(request)
        last = desk.rows(request)[-1]
        assert (last.attempt, last.circuits) == (attempt, 1)
        assert [(p.item, p.start, p.stop) for p in last.pieces] == [(1, 1, 2)]
        if desk.dispatcher.counts(request) is not None:
            break
    counts = desk.dispatcher.counts(request)
    assert counts is not None
    assert [array.sum(axis=1).tolist() for array in counts.arrays] == [[100] * 2, [100] * 5]
    assert len({row.key for row in desk.rows(request)}) == 3
    assert len({row.result for row in desk.rows(request)}) == len(desk.rows(request))
    with pytest.raises(InputError, match="once each"):
        desk.dispatcher.retry(request, desk.rows(request)[0])


def test_retries_of_retries_of_repeated_shots_add_up(make):
    desk = make(split_shots=40, max_bindings=3)
    desk.cloud.ends = ["fails", "partial", "cancelled", "", "partial", "fails", "partial"]
    request, rounds = desk.sent(make_item(2, 110), make_item(3, 70, seed=1)), 0
    while desk.dispatcher.counts(request) is None:
        desk.dispatcher.update(request)
        for row in desk.dispatcher.failed(request):
            desk.dispatcher.retry(request, row)
        desk.open().submit(request)
        rounds += 1
        assert rounds < 10
    counts = desk.dispatcher.counts(request)
    assert [array.sum(axis=1).tolist() for array in counts.arrays] == [[110] * 2, [70] * 3]
    desk.check_one_job_each(request)
    spent = desk.dispatcher.journal.totals().usd_spent
    assert spent == pytest.approx(desk.cloud.bill()) and rounds > 2


def test_a_failed_job_that_has_everything_is_not_paid_again(desk):
    desk.cloud.ends = ["partial"]
    request = desk.sent(make_item(1))
    desk.dispatcher.update(request)
    assert desk.states(request) == ["done"] and desk.dispatcher.failed(request) == []
    check_complete(desk, request)
    assert any("the device broke off; but everything came back" in text for text in desk.said)


@pytest.mark.parametrize("end", ["bad once", "wrong shape"])
def test_a_damaged_result_leaves_its_job_open(desk, end):
    desk.cloud.ends = [end]
    request = desk.sent()
    with pytest.raises(BadResult, match=r"truncated|the shape \(1, 8\), asked for was \(2, 8\)"):
        desk.dispatcher.update(request)
    assert desk.states(request) == ["submitted"]
    if end == "bad once":
        desk.dispatcher.update(request)
        check_complete(desk, request)


def test_trouble_with_one_job_does_not_hold_up_the_others(make):
    desk = make(max_bindings=1)
    desk.cloud.ends = ["bad", "", "wrong shape", "", ""]
    request = desk.sent()
    (desk.cloud.folder / "job-0004.json").rename(desk.cloud.folder / "hidden")
    problems = desk.dispatcher.poll(request)
    assert [(row.id, type(error)) for row, error in problems] == [
        ("job-0001", BadResult),
        ("job-0003", BadResult),
        ("job-0004", InputError),
    ]
    assert desk.states(request) == ["submitted", "done", "submitted", "submitted", "done"]
    desk.cloud.down = 1
    with pytest.raises(TransientError, match="no network"):
        desk.dispatcher.update(request)


def test_a_full_disk_leaves_the_result_at_the_vendor(desk):
    request = desk.sent()

    def work():
        child = Desk(desk.root)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        with pytest.raises(StorageError, match="cannot write"):
            child.dispatcher.update(request)

    assert run_child(work).status == 0
    assert desk.states(request) == ["submitted"]
    desk.dispatcher.update(request)
    check_complete(desk, request)


def test_a_damaged_file_is_fetched_once_more(desk):
    request = desk.sent()
    desk.dispatcher.update(request)
    path = desk.dispatcher.store.folder / str(desk.rows(request)[0].result)
    path.write_bytes(b"damaged")
    check_complete(desk, request)
    assert any("fetched once more" in text for text in desk.said)
    path.unlink()
    check_complete(desk, request)


def test_a_damaged_file_that_the_vendor_has_no_more_is_reported(desk):
    request = desk.sent()
    desk.dispatcher.update(request)
    path = desk.dispatcher.store.folder / str(desk.rows(request)[0].result)
    path.write_bytes(b"damaged")
    (desk.cloud.folder / "job-0001.json").unlink()
    with pytest.raises(StorageError, match="wrong checksum"):
        desk.dispatcher.counts(request)


# What only the user asks for


def test_a_result_that_stays_damaged_can_be_given_up_and_retried(desk):
    desk.cloud.ends = ["bad"]
    request = desk.sent()
    [row] = desk.rows(request)
    desk.dispatcher.give_up(row, "asked for by the user")
    [row] = desk.dispatcher.failed(request)
    assert row.note == "given up (asked for by the user): the result is truncated"
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(5.30), "it may be billed"
    desk.dispatcher.update_charges()
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())
    desk.dispatcher.retry(request, row)
    desk.dispatcher.submit(request)
    desk.dispatcher.update(request)
    assert desk.dispatcher.counts(request) is not None


def test_a_job_that_the_vendor_forgot_can_be_given_up(desk):
    request = desk.sent()
    (desk.cloud.folder / "job-0001.json").unlink()
    desk.dispatcher.give_up(desk.rows(request)[0], "lost")
    assert "has no job 'job-0001'" in desk.dispatcher.failed(request)[0].note
    desk.dispatcher.update_charges()
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(5.30)


def test_giving_up_stores_what_is_there_after_all(desk):
    request = desk.sent()
    desk.dispatcher.give_up(desk.rows(request)[0], "impatience")
    check_complete(desk, request)
    with pytest.raises(InputError, match="only a submitted job"):
        desk.dispatcher.give_up(desk.rows(request)[0], "impatience")


def test_a_queued_job_is_not_given_up(desk):
    desk.cloud.queue = 9
    request = desk.sent()
    with pytest.raises(InputError, match="still queued or running: cancel it first"):
        desk.dispatcher.give_up(desk.rows(request)[0], "impatience")
    desk.cloud.down = 1
    with pytest.raises(TransientError):
        desk.dispatcher.give_up(desk.rows(request)[0], "impatience")
    assert desk.states(request) == ["submitted"]


def test_a_planned_job_is_cancelled_without_leaving(desk):
    request = desk.plan()
    [row] = desk.rows(request)
    desk.dispatcher.cancel(row)
    desk.dispatcher.cancel(row)
    desk.dispatcher.submit(request)
    assert desk.states(request) == ["cancelled"] and desk.cloud.posts() == []
    assert desk.dispatcher.journal.totals().usd_spent == 0.0
    desk.dispatcher.retry(request, row)
    desk.dispatcher.submit(request)
    desk.dispatcher.update(request)
    assert desk.dispatcher.counts(request) is not None


@pytest.mark.parametrize("fault", ["bug before", "bug after"])
def test_a_job_in_doubt_is_looked_for_before_it_is_cancelled(desk, fault):
    desk.cloud.faults, desk.cloud.queue = [fault], 5
    with pytest.raises(RuntimeError):
        desk.sent()
    request = desk.plan()
    desk.dispatcher.cancel(desk.rows(request)[0])
    desk.dispatcher.update(request)
    assert desk.states(request) == ["cancelled"]
    assert [job["state"] for job in desk.cloud.jobs()] == ["cancelled"] * (fault == "bug after")
    assert desk.dispatcher.journal.totals().usd_spent == 0.0


def test_a_submitted_job_is_cancelled_at_the_vendor(desk):
    desk.cloud.queue = 5
    request = desk.sent()
    desk.dispatcher.cancel(desk.rows(request)[0])
    assert desk.states(request) == ["submitted"]
    desk.dispatcher.update(request)
    assert desk.states(request) == ["cancelled"] and desk.dispatcher.counts(request) is None
    desk.dispatcher.cancel(desk.rows(request)[0])


def test_a_stale_row_does_not_cancel_a_job_that_left_meanwhile(desk):
    request = desk.plan()
    [stale] = desk.rows(request)
    desk.dispatcher.submit(request)
    desk.dispatcher.cancel(stale)
    desk.dispatcher.update(request)
    assert desk.states(request) == ["done"], "it had finished at the vendor"
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())


# Processes


def test_while_one_process_submits_another_does_not(desk):
    """A job that is on its way looks like one in doubt; only its process knows better."""
    request = desk.plan()
    seen: list[str] = []

    def meanwhile(token: str) -> None:
        other = Desk(desk.root)
        with pytest.raises(StorageError, match="being submitted: wait for it"):
            other.dispatcher.submit(request)
        with pytest.raises(StorageError, match="being submitted: wait for it"):
            other.dispatcher.cancel(other.rows(request)[0])
        seen.extend(other.states(request))
        other.dispatcher.close()

    desk.cloud.on_request = meanwhile
    desk.dispatcher.submit(request)
    assert seen == ["submitting"] and desk.states(request) == ["submitted"]
    desk.check_one_job_each(request)


@pytest.mark.parametrize("round", range(3))
def test_processes_that_run_the_same_step_at_once_make_each_job_once(tmp_path, round):
    def work(number: int) -> int:
        desk = Desk(tmp_path, max_bindings=1)
        request, refused = desk.plan(), 0
        while desk.dispatcher.counts(request) is None:
            try:
                desk.dispatcher.submit(request)
            except StorageError:
                refused += 1
            desk.dispatcher.update(request)
        return 0

    assert together(3, work) == [0] * 3
    desk = Desk(tmp_path, max_bindings=1)
    request = desk.plan()
    desk.check_one_job_each(request)
    check_complete(desk, request)
    assert len(desk.cloud.posts()) == 5
    assert desk.dispatcher.journal.totals().usd_spent == pytest.approx(desk.cloud.bill())
    desk.dispatcher.close()


def test_a_lock_of_the_run_folder_does_not_stop_its_own_dispatcher(desk):
    with locked(desk.root / "run"):
        request = desk.sent()
    assert desk.states(request) == ["submitted"]


def test_runs_that_share_a_journal_share_the_cap_and_nothing_else(tmp_path):
    cap, journal = Cap(max_usd=12.0), tmp_path / "ledger.sqlite"
    cloud = Cloud(tmp_path / "vendor")
    runs = [
        Dispatcher(cloud, tmp_path / name, cap=cap, journal=journal, run=name)
        for name in ("a", "b", "c")
    ]
    for run in runs[:2]:
        run.submit(run.plan(make_batch(), 0, "step 0"))
    with pytest.raises(BudgetExceeded):
        runs[2].submit(runs[2].plan(make_batch(), 0, "step 0"))
    assert len({job["token"] for job in cloud.jobs()}) == 2
    for run in runs:
        run.close()


def test_a_run_keeps_its_identity(tmp_path):
    cloud = Cloud(tmp_path / "vendor")
    names = []
    for _ in range(2):
        dispatcher = Dispatcher(cloud, tmp_path / "run", cap=Cap(max_usd=9))
        names.append(dispatcher.run)
        dispatcher.close()
    assert names[0] == names[1] and len(names[0]) == 32


def test_exact_results_of_a_paid_simulator_are_kept_too(make):
    desk = make(exact=True)
    batch = Batch(items=(replace(make_item(2), shots=None),))
    request = desk.dispatcher.plan(batch, 0, "step 0")
    desk.dispatcher.submit(request)
    desk.dispatcher.update(request)
    counts = desk.dispatcher.counts(request)
    assert counts is not None and counts.shots == (None,)
    np.testing.assert_allclose(counts.arrays[0].sum(axis=1), 1.0)
