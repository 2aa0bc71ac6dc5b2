"""Training through the journal: one request a step, the same numbers after any interruption."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import qt_hw as qt
from qt_hw.errors import BudgetExceeded, InputError, JobFailed, Pending
from qt_hw.execution.backend import Batch
from qt_hw.execution.budget import Cap
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.executor import JournalledExecutor, LocalExecutor, as_executor, closed_executor
from qt_hw.execution.statevector_backend import StatevectorBackend
from tests.execution.cloud import Cloud, make_batch, make_item

SHOTS = 20


@pytest.fixture
def make(tmp_path):
    made = []

    def one(*, cloud=None, cap=Cap(max_usd=1000.0), **options):  # noqa: B008 - frozen
        cloud = cloud or Cloud(tmp_path / "vendor")
        dispatcher = Dispatcher(
            cloud, tmp_path / "run", cap=cap, run="r", sleep=lambda s: None, settle_seconds=0.0
        )
        made.append(dispatcher)
        return JournalledExecutor(dispatcher, **options)

    yield one
    for dispatcher in made:
        dispatcher.close()


def run_steps(executor, n_steps: int) -> list[float]:
    """Train ``n_steps`` steps, then evaluate; return the losses and the last output."""
    torch.manual_seed(0)
    model = qt.QuantumTrain(
        torch.nn.Linear(3, 2),
        ansatz=qt.RyCnot(3, 1),
        mapping=qt.AffineMapping(),
        backend=executor,
        shots=SHOTS,
        seed=4,
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    x, out = torch.eye(3), []
    for _ in range(n_steps):
        model.generator.prefetch()
        with torch.no_grad():
            model(x)
        optimizer.zero_grad()
        loss = (model(x) ** 2).sum()
        loss.backward()
        optimizer.step()
        model.refresh()
        out.append(float(loss.detach()))
    with torch.no_grad():
        out.append(float(model(x).sum()))
    return out


def test_a_training_makes_one_request_a_step_and_one_for_its_end(make):
    executor = make()
    run_steps(executor, 3)
    requests = executor.dispatcher.journal.requests()
    assert [(row.step, row.label) for row in requests] == [(k, f"step {k}") for k in range(4)]
    jobs = executor.dispatcher.journal.jobs()
    assert [row.circuits for row in jobs] == [1 + 2 * 3] * 3 + [1]
    assert len(executor.backend.posts()) == 4
    assert {row.calibration for row in requests} == {"2026-01-01"}


def test_a_training_in_pieces_gives_the_same_numbers(make, tmp_path):
    """Left at every job, gone on with by another process that prepares on another day."""
    whole = run_steps(make(), 3)
    posts, found, attempts = Cloud(tmp_path / "vendor").posts(), None, 0
    (tmp_path / "pieces").mkdir()
    cloud = Cloud(tmp_path / "pieces" / "vendor")
    cloud.queue = 1
    while found is None:
        attempts += 1
        cloud.calibration = attempts
        dispatcher = Dispatcher(
            cloud, tmp_path / "pieces", cap=Cap(max_usd=1000.0), run="r", sleep=lambda s: None
        )
        executor = JournalledExecutor(dispatcher, waiting=False, go_on="type it again")
        try:
            found = run_steps(executor, 3)
        except Pending as pending:
            assert "1 job(s) of step" in str(pending) and "type it again" in str(pending)
        dispatcher.close()
    assert attempts == 5 and found == whole
    assert cloud.posts() == posts


def test_what_is_stored_needs_no_vendor(make, tmp_path):
    first = run_steps(make(), 2)
    cloud = Cloud(tmp_path / "vendor")
    cloud.down = 10**6
    for path in cloud.folder.glob("*.json"):
        path.unlink()
    assert run_steps(make(cloud=cloud), 2) == first


def test_the_counts_are_those_that_the_vendor_has(make):
    executor = make()
    counts = executor.run(make_batch(), 0)
    for array, expected in zip(counts.arrays, executor.backend.jobs()[0]["counts"], strict=True):
        np.testing.assert_array_equal(array, expected)


def test_one_circuit_in_one_step_is_one_request_and_another_step_another(make):
    executor = make()
    first, second = executor.run(make_batch(), 0), executor.run(make_batch(), 0)
    other = executor.run(make_batch(), 1)
    assert len(executor.backend.posts()) == 2
    np.testing.assert_array_equal(first.arrays[0], second.arrays[0])
    assert (first.arrays[0] != other.arrays[0]).any()


def test_a_failure_names_the_job_and_what_to_type_and_nothing_is_sent_again(make):
    executor = make()
    executor.backend.ends = ["fails"]
    for _ in range(2):
        with pytest.raises(JobFailed) as caught:
            executor.run(make_batch(), 7)
        assert str(caught.value) == (
            "job job-0001 of step 7 failed: job-0001 failed; nothing is sent again by itself: "
            "qt-hw retry RUN pays for it once more"
        )
    assert len(executor.backend.posts()) == 1
    dispatcher = executor.dispatcher
    [request] = dispatcher.journal.requests()
    dispatcher.retry(request, dispatcher.failed(request)[0])
    assert executor.run(make_batch(), 7).arrays[0].sum() == 200
    assert len(executor.backend.posts()) == 2


def test_a_job_cancelled_before_it_left_is_named_by_its_token(make):
    executor = make()
    request = executor.dispatcher.plan(make_batch(), 0, "step 0")
    [row] = executor.dispatcher.journal.jobs(request.id)
    executor.dispatcher.cancel(row)
    with pytest.raises(JobFailed, match=f"job {row.token} of step 0 cancelled: cancelled before"):
        executor.run(make_batch(), 0)
    assert executor.backend.posts() == []


def test_after_a_failure_the_rest_of_the_step_is_collected_all_the_same(make, tmp_path):
    executor = make(cloud=Cloud(tmp_path / "vendor", max_bindings=3), waiting=False)
    executor.backend.ends, executor.backend.queue = ["fails", ""], 1
    with pytest.raises(Pending, match=r"2 job\(s\) of step 0"):
        executor.run(make_batch(), 0)
    first, second = executor.dispatcher.journal.jobs()
    executor.dispatcher._collector.collect(first)
    assert executor.dispatcher.journal.job(second.token).state == "submitted"
    with pytest.raises(JobFailed, match="job-0001"):
        executor.run(make_batch(), 0)
    assert executor.dispatcher.journal.job(second.token).state == "done"


def test_a_step_above_the_cap_is_not_begun(make):
    executor = make(cap=Cap(max_usd=3.0))
    with pytest.raises(BudgetExceeded, match=r"5\.30 for the next job"):
        executor.run(make_batch(), 0)
    assert executor.backend.posts() == []


def test_waiting_reports_the_open_jobs(make):
    reports: list[list[str | None]] = []
    executor = make(report=lambda rows: reports.append([row.id for row in rows]))
    executor.backend.queue = 2
    executor.run(make_batch(), 0)
    assert reports == [["job-0001"], ["job-0001"], []]


def test_copies_of_an_executor_share_its_journal(make):
    executor = make()
    assert copy.deepcopy(executor) is executor


def test_nothing_that_costs_money_runs_without_a_journal(make, tmp_path):
    cloud = Cloud(tmp_path / "vendor")
    for use in (lambda: as_executor(cloud), lambda: closed_executor(cloud).run(make_batch(), 0)):
        with pytest.raises(InputError, match="cloud:test costs money"):
            use()
    assert cloud.posts() == []
    executor = make()
    assert as_executor(executor) is executor
    assert closed_executor(cloud).prepare(qt.RyCnot(2, 1)).calibration_date == "2026-01-01"


def test_what_is_free_runs_at_once():
    backend = StatevectorBackend()
    for executor in (as_executor("statevector"), closed_executor(backend)):
        assert isinstance(executor, LocalExecutor) and executor.immediate
        batch = Batch(items=(make_item(2),))
        assert executor.run(batch, 0).arrays[0].sum() == 200
