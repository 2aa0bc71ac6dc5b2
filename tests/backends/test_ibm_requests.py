"""What the IBM backend makes of replies that are late, lost, wrong or damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qt_hw.errors import (
    AmbiguousSubmission,
    BadResult,
    JobFailed,
    PermanentError,
    QtHwError,
    TransientError,
)
from qt_hw.execution.backend import Backend, JobStatus
from qt_hw.execution.loopback import Fault
from qt_hw_ibm.standin.server import Standin
from qt_hw_ibm.standin.start import environment, redirected
from tests.backends.ibm_cases import (
    DEVICES,
    POST_JOBS,
    ansatz_of,
    batch_for,
    check_law,
    opened,
)


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[Standin]:
    """Yield a stand-in to which ``ibm:ibm_manila`` goes."""
    folder = tmp_path / "vendor"
    with Standin(folder, devices=DEVICES) as service, redirected(environment(service.url)):
        yield service


@pytest.fixture
def backend(standin: Standin) -> Backend:
    return opened()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qt_hw_ibm.jobs._FIRST_PAUSE", 0.02)


# ---- requests for a job that go wrong: who may have made a job


@pytest.mark.parametrize(
    ("fault", "kind", "n_jobs"),
    [
        ({"action": "drop_after"}, AmbiguousSubmission, 1),
        ({"action": "drop"}, AmbiguousSubmission, 0),
        ({"action": "status", "status": 500}, AmbiguousSubmission, 0),
        ({"action": "status", "status": 503}, AmbiguousSubmission, 0),
        ({"action": "status_after", "status": 504}, AmbiguousSubmission, 1),
        ({"action": "truncate"}, AmbiguousSubmission, 1),
        ({"action": "body", "body": b"<html>"}, AmbiguousSubmission, 0),
        ({"action": "body", "body": b"{}"}, AmbiguousSubmission, 0),
        ({"action": "status", "status": 408}, AmbiguousSubmission, 0),
        ({"action": "status", "status": 429}, TransientError, 0),
        ({"action": "status", "status": 400}, PermanentError, 0),
        ({"action": "status", "status": 401}, PermanentError, 0),
        ({"action": "status", "status": 403}, PermanentError, 0),
        ({"action": "status", "status": 404}, PermanentError, 0),
        ({"action": "status", "status": 409}, PermanentError, 0),
        ({"action": "status", "status": 410}, PermanentError, 0),
        ({"action": "status", "status": 413}, PermanentError, 0),
        ({"action": "status", "status": 424}, PermanentError, 0),
    ],
    ids=lambda value: "-".join(str(v) for v in value.values()) if isinstance(value, dict) else None,
)
def test_a_request_that_goes_wrong_is_sent_once_and_judged_rightly(
    standin: Standin,
    backend: Backend,
    fault: dict[str, Any],
    kind: type[QtHwError],
    n_jobs: int,
) -> None:
    batch = batch_for(backend)
    standin.faults.append(Fault(**POST_JOBS, **fault))
    with pytest.raises(kind) as caught:
        backend.submit(batch, "qthw-fault")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert standin.posts == 1
    found = backend.find("qthw-fault")
    assert len(found) == len(standin.jobs) == n_jobs
    for job in found:
        check_law(job.result())
    # The same request can be sent after a refusal.
    check_law(backend.submit(batch, "qthw-again").result())


def test_the_clients_own_retry_makes_two_jobs_which_are_found(standin: Standin) -> None:
    backend = opened(retry_posts=True)
    batch = batch_for(backend)
    assert backend.limits.may_duplicate
    assert not opened().limits.may_duplicate
    standin.faults.append(Fault(**POST_JOBS, action="status_after", status=504))
    job = backend.submit(batch, "qthw-twice")
    assert standin.posts == len(standin.jobs) == 2
    first, second = backend.find("qthw-twice")
    assert [first.id, second.id] == [entry["id"] for entry in standin.jobs]
    assert job.id == second.id
    np.testing.assert_array_equal(first.result().arrays[1], second.result().arrays[1])


def test_without_our_adapter_only_a_plain_refusal_counts_as_one(
    standin: Standin, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qt_hw_ibm.wire import Wire

    batch = batch_for(backend)
    monkeypatch.setattr(Wire, "mount", lambda wire, service: setattr(wire, "mounted", False))
    other = opened()
    other.prepare(ansatz_of())
    assert other.limits.may_duplicate
    for action, status, kind in (
        ("status", 400, PermanentError),
        ("status", 429, TransientError),
        ("drop_after", 0, AmbiguousSubmission),
    ):
        standin.faults.append(Fault(**POST_JOBS, action=action, status=status))  # type: ignore[arg-type]
        with pytest.raises(kind):
            other.submit(batch, "qthw-bare")
    assert len(other.find("qthw-bare")) == 1


@pytest.mark.parametrize(
    ("path", "fault", "kind"),
    [
        (r"/backends$", {"action": "status", "status": 429}, TransientError),
        (r"/backends$", {"action": "status", "status": 403}, PermanentError),
        (r"/instances/usage$", {"action": "status", "status": 429}, TransientError),
        (r"/backends/[^/]+/status$", {"action": "status", "status": 401}, PermanentError),
        (r"/backends/[^/]+/status$", {"action": "body", "body": b"?"}, TransientError),
    ],
)
def test_what_fails_before_the_request_made_no_job(
    standin: Standin, backend: Backend, path: str, fault: dict[str, Any], kind: type[QtHwError]
) -> None:
    batch = batch_for(backend)
    standin.faults.append(Fault(method="GET", path=path, **fault))
    with pytest.raises(kind) as caught:
        backend.submit(batch, "qthw-before")
    assert type(caught.value) is kind
    assert standin.posts == 0


def test_a_batch_that_cannot_be_opened_submits_nothing(standin: Standin, backend: Backend) -> None:
    backend.prepare(ansatz_of())
    standin.faults.append(Fault(method="POST", path=r"/sessions$", action="status", status=500))
    with pytest.raises(TransientError, match="opening a batch"), backend.grouped(2):
        raise AssertionError("not reached")
    assert standin.posts == 0


def test_a_batch_that_cannot_be_closed_harms_no_job(standin: Standin, backend: Backend) -> None:
    batch = batch_for(backend)
    standin.faults.append(Fault(method="PATCH", path=r"/sessions/", action="status", status=403))
    with backend.grouped(2):
        job = backend.submit(batch, "qthw-open")
    check_law(job.result())


# ---- asking and fetching


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "truncate"},
        {"action": "body", "body": b""},
        {"action": "body", "body": b"not json"},
        {"action": "body", "body": b"{}"},
        {"action": "body", "body": b'{"data": []}'},
        {"action": "body", "body": b"[1, 2]"},
    ],
    ids=["truncated", "empty", "no json", "no fields", "no data", "a list"],
)
def test_a_damaged_result_is_fetched_again(
    standin: Standin, backend: Backend, fault: dict[str, Any]
) -> None:
    job = backend.submit(batch_for(backend), "qthw-damaged")
    while job.status() is not JobStatus.DONE:
        pass
    standin.faults.append(Fault(method="GET", path=r"/results$", **fault))
    with pytest.raises(BadResult, match=job.id) as caught:
        job.result()
    assert "\n" not in str(caught.value)
    check_law(job.result())


def test_a_result_that_lacks_rows_is_fetched_again(tmp_path: Path) -> None:
    service = Standin(tmp_path, devices=DEVICES, faults=["wrong-shape"])
    with service as standin, redirected(environment(standin.url)):
        backend = opened()
        job = backend.submit(batch_for(backend), "qthw-shape")
        with pytest.raises(BadResult, match="for 4 bindings"):
            job.result()
        check_law(job.result())


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, TransientError), (403, PermanentError), (404, PermanentError)],
)
def test_a_result_that_cannot_be_fetched_now(
    standin: Standin, backend: Backend, status: int, kind: type[QtHwError]
) -> None:
    job = backend.submit(batch_for(backend), "qthw-fetch")
    while job.status() is not JobStatus.DONE:
        pass
    standin.faults.append(Fault(method="GET", path=r"/results$", action="status", status=status))
    with pytest.raises(kind):
        job.result()
    check_law(job.result())


def test_a_dropped_connection_while_asking_is_made_up_for(
    standin: Standin, backend: Backend
) -> None:
    job = backend.submit(batch_for(backend), "qthw-dropped")
    standin.faults.append(Fault(method="GET", path=r"/jobs/[^/]+$", action="drop"))
    standin.faults.append(Fault(method="GET", path=r"/results$", action="status", status=503))
    check_law(job.result())


def test_a_revoked_login_is_renewed(standin: Standin, backend: Backend) -> None:
    job = backend.submit(batch_for(backend), "qthw-login")
    standin.revoke_tokens()
    check_law(job.result())
    standin.revoke_tokens()
    assert [found.id for found in backend.find("qthw-login")] == [job.id]
    standin.revoke_tokens()
    assert job.charge() is not None
    standin.revoke_tokens()
    assert backend.preflight() == []
    # A request for a job is not sent twice: the user is told, and the next one logs in anew.
    standin.revoke_tokens()
    batch = batch_for(backend)
    with pytest.raises(PermanentError, match="to log in anew"):
        backend.submit(batch, "qthw-next")
    check_law(backend.submit(batch, "qthw-next").result())
    assert len(backend.find("qthw-next")) == 1


def test_a_login_that_stays_refused_names_the_cure(standin: Standin, backend: Backend) -> None:
    job = backend.submit(batch_for(backend), "qthw-refused")
    standin.faults.append(
        Fault(method="GET", path=r"/jobs/[^/]+$", action="status", status=401, times=9)
    )
    with pytest.raises(PermanentError, match="save_account"):
        job.status()


@pytest.mark.parametrize(
    ("ending", "message", "cancelled"),
    [
        (("Failed", "the fridge is warm", 1500), "failed .*the fridge is warm", False),
        (("Cancelled", None, None), "was cancelled", True),
        (("Cancelled", "ran too long", 1305), "longer than maximum execution time", False),
    ],
)
def test_a_job_that_ended_badly_says_why(
    standin: Standin,
    backend: Backend,
    ending: tuple[Any, ...],
    message: str,
    cancelled: bool,
) -> None:
    standin.hold()
    job = backend.submit(batch_for(backend), "qthw-ended")
    standin.finish(job.id, *ending)
    assert job.status() is (JobStatus.CANCELLED if cancelled else JobStatus.FAILED)
    with pytest.raises(JobFailed, match=message) as caught:
        job.result()
    assert caught.value.cancelled is cancelled
    assert "\n" not in str(caught.value)


def test_a_state_that_nobody_knows_is_not_waited_for(standin: Standin, backend: Backend) -> None:
    standin.hold()
    job = backend.submit(batch_for(backend), "qthw-paused")
    body = json.dumps({"id": job.id, "state": {"status": "Paused"}}).encode()
    standin.faults.append(Fault(method="GET", path=r"/jobs/[^/]+$", action="body", body=body))
    with pytest.raises(TransientError, match="PAUSED"):
        job.status()


def test_cancelling(standin: Standin, backend: Backend) -> None:
    standin.hold()
    job = backend.submit(batch_for(backend), "qthw-cancelled")
    job.cancel()
    assert job.status() is JobStatus.CANCELLED
    job.cancel()
    standin.release()
    done = backend.submit(batch_for(backend), "qthw-done")
    check_law(done.result())
    done.cancel()
    assert done.status() is JobStatus.DONE
    check_law(done.result())


def test_the_search_names_no_time_and_finds_no_other_tag(
    standin: Standin, backend: Backend
) -> None:
    job = backend.submit(batch_for(backend), "qthw-mine")
    backend.submit(batch_for(backend), "qthw-other")
    assert [found.id for found in backend.find("qthw-mine")] == [job.id]
    search = [r for r in standin.log if r.method == "GET" and r.path.endswith("/jobs")][-1]
    assert search.query["tags"] == ["qthw-mine"]
    assert search.query["sort"] == ["ASC"]
    assert not {"created_after", "created_before"} & set(search.query)
