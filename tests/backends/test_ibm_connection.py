"""The login at IBM: several instances, forked processes, rehearsals that begin and end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import qt_hw_ibm
from qt_hw.errors import AmbiguousSubmission, PermanentError, UnknownName
from qt_hw.execution.backend import Backend, JobStatus
from qt_hw.execution.loopback import Fault, Loopback
from qt_hw_ibm.standin.server import Standin
from qt_hw_ibm.standin.start import environment, redirected
from tests.backends.ibm_cases import DEVICES, POST_JOBS, batch_for, check_law, opened

#: A second instance of the account.
OTHER = (
    "crn:v1:bluemix:public:quantum-computing:eu-de:a/0123456789abcdef0123456789abcdef:"
    "99999999-1111-2222-3333-444444444444::"
)


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[Standin]:
    """Yield a stand-in with two instances, between which the account does not choose."""
    with Standin(tmp_path / "vendor", devices=DEVICES, instances=[OTHER]) as service:
        variables = environment(service.url)
        del variables["QISKIT_IBM_INSTANCE"]
        with redirected(variables):
            yield service


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qt_hw_ibm.jobs._FIRST_PAUSE", 0.02)


# ---- instances


def test_a_job_is_found_in_whichever_instance_it_was_made(standin: Standin) -> None:
    there = opened(instance=OTHER)
    job = there.submit(batch_for(there), "qthw-there")
    here = opened()
    (found,) = here.find("qthw-there")
    assert found.id == job.id
    check_law(found.result())
    here.submit(batch_for(here), "qthw-here")
    assert len(here.find("qthw-here")) == len(there.find("qthw-here")) == 1
    assert {entry.instance for entry in standin._store.jobs()} == {
        OTHER,
        next(iter(standin.account._instances.values())),
    }


def test_jobs_of_several_instances_come_oldest_first(standin: Standin) -> None:
    here, there = opened(), opened(instance=OTHER)
    ids = [
        backend.submit(batch_for(backend), "qthw-both").id for backend in (there, here, there, here)
    ]
    assert [job.id for job in here.find("qthw-both")] == ids
    assert [job.id for job in there.find("qthw-both")] == ids


def test_an_instance_that_is_closed_to_the_user_hides_no_job(standin: Standin) -> None:
    here = opened()
    job = here.submit(batch_for(here), "qthw-closed")
    # The first search is the one in the instance that does not have the device.
    search = {"method": "GET", "path": r"/jobs$", "action": "status"}
    for backend in (here, opened()):
        standin.faults.append(Fault(**search, status=403))
        assert [found.id for found in backend.find("qthw-closed")] == [job.id]
        standin.faults.append(Fault(**search, status=403, times=2))
        with pytest.raises(PermanentError, match="may not"):
            backend.find("qthw-closed")


# ---- the client's own retry


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refusal_of_the_second_attempt_does_not_rule_out_a_job(
    standin: Standin, status: int
) -> None:
    backend = opened(retry_posts=True)
    batch = batch_for(backend)
    standin.faults.append(Fault(**POST_JOBS, action="status_after", status=504))
    standin.faults.append(Fault(**POST_JOBS, action="status", status=status))
    with pytest.raises(AmbiguousSubmission, match="may have made a job"):
        backend.submit(batch, "qthw-refused")
    assert len(backend.find("qthw-refused")) == 1


# ---- processes


def _in_child(act: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def test_a_forked_child_logs_in_by_itself(standin: Standin) -> None:
    backend: Any = opened()
    job = backend.submit(batch_for(backend), "qthw-forked")
    connection = backend._connection
    service, device = connection.service, connection.backend

    def differs() -> bool:
        others = connection.backend is not device and connection.service is not service
        return others and job.status() in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.DONE)

    assert _in_child(differs)
    assert connection.service is service
    check_law(job.result())


def test_a_forked_child_leaves_the_session_of_its_parent_open(standin: Standin) -> None:
    backend: Any = opened(mode="session", session_seconds=300)
    backend.submit(batch_for(backend), "qthw-session")
    session = standin.jobs[0]["session_id"]

    def close() -> bool:
        backend.close()
        return True

    assert _in_child(close)
    assert _patches(standin) == 0
    backend.submit(batch_for(backend), "qthw-next")
    assert [job["session_id"] for job in standin.jobs] == [session] * 2
    backend.close()
    assert _patches(standin) == 1


def _patches(standin: Standin) -> int:
    return sum(request.method == "PATCH" for request in list(standin.log))


def test_a_session_that_ibm_has_ended_is_opened_anew(standin: Standin) -> None:
    backend: Any = opened(mode="session", session_seconds=300)
    batch = batch_for(backend)
    backend.submit(batch, "qthw-1")
    session = standin._store.session(standin.jobs[0]["session_id"])
    assert session is not None
    standin._store.write_session({**session, "accepting_jobs": False})
    backend.submit(batch, "qthw-2")
    first, second = (job["session_id"] for job in standin.jobs)
    assert None not in (first, second)
    assert first != second
    backend.close()


# ---- rehearsals


def test_a_backend_of_a_rehearsal_never_turns_to_the_real_service(
    standin: Standin, tmp_path: Path
) -> None:
    outside = opened()
    with Standin(tmp_path / "rehearsal", devices=DEVICES) as other:
        with redirected(environment(other.url)):
            unused, used = opened(), opened()
            batch = batch_for(used)
            job = used.submit(batch, "qthw-rehearsed")
            _refuses(lambda: outside.submit(batch, "qthw-real"))
        for call in (
            lambda: unused.preflight(),
            lambda: used.preflight(),
            lambda: used.submit(batch, "qthw-real"),
            lambda: used.find("qthw-rehearsed"),
            job.status,
        ):
            _refuses(call)
        assert _n_posts(standin) == 0
        assert _n_posts(other) == 1


def _refuses(call: Callable[[], Any]) -> None:
    with pytest.raises(PermanentError, match="open the backend again"):
        call()


def _n_posts(service: Loopback) -> int:
    return sum(r.method == "POST" and r.path.endswith("/jobs") for r in list(service.log))


def test_an_unknown_option_of_a_rehearsal_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(UnknownName, match="did you mean 'queue_seconds'"),
        qt_hw_ibm.rehearse("ibm_manila", tmp_path, queue_second=1.0),
    ):
        pytest.fail("it started")


# ---- what a job cost


@pytest.mark.parametrize(
    ("metrics", "seconds"),
    [
        ({}, None),
        ({"usage": None}, None),
        ({"usage": {"status": "pending", "qpu_charge_time_seconds": 1.0}}, None),
        ({"usage": {"qpu_charge_time_seconds": None, "quantum_seconds": 4}}, 4.0),
        ({"usage": {"status": "complete", "qpu_charge_time_seconds": 0}}, 0.0),
    ],
    ids=lambda value: json.dumps(value),
)
def test_a_charge_is_read_from_whatever_ibm_answers(
    standin: Standin, metrics: dict[str, Any], seconds: float | None
) -> None:
    backend: Backend = opened(usd_per_second=2.0)
    job = backend.submit(batch_for(backend), "qthw-charge")
    body = json.dumps(metrics).encode()
    standin.faults.append(Fault(method="GET", path=r"/metrics$", action="body", body=body))
    charge = job.charge()
    found = None if charge is None else (charge.qpu_seconds, charge.usd)
    assert found == (None if seconds is None else (seconds, 2.0 * seconds))
