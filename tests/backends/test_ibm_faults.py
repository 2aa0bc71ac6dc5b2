"""The fault table of IBM's devices: what the user sees, and how many jobs there are at IBM.

Every fault is one that a user can ask a rehearsal for, by the name in the test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qt_hw_ibm
from qt_hw.circuits.custom import CircuitAnsatz
from qt_hw.errors import (
    AmbiguousSubmission,
    BadResult,
    JobFailed,
    PermanentError,
    QtHwError,
    TransientError,
)
from qt_hw.execution.backend import Backend, Batch, Counts, Item, Job, JobStatus
from qt_hw.testing.oracles import assert_sampled_from, ideal_law
from qt_hw_ibm.standin.account import API_KEY
from qt_hw_ibm.standin.server import Standin
from qt_hw_ibm.standin.start import environment, redirected

SHOTS = 2000
TOKEN = "qthw-00000000"
ANGLES = np.random.default_rng(3).uniform(-np.pi, np.pi, (3, 3))

Start = Callable[..., Standin]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts the stand-in with the faults of these names."""
    with ExitStack() as stack:

        def begin(*faults: str) -> Standin:
            server = Standin(
                tmp_path / "vendor", devices={"ibm_manila": "fake_manila"}, faults=faults
            )
            stack.enter_context(server)
            stack.enter_context(redirected(environment(server.url)))
            return server

        yield begin


def opened(**options: Any) -> Backend:
    return qt_hw_ibm.open("ibm_manila", layout=[4, 2, 3], settle_seconds=0.0, **options)


def ansatz() -> CircuitAnsatz:
    circuit, angles = QuantumCircuit(3), ParameterVector("t", 3)
    for qubit in range(3):
        circuit.ry(angles[qubit], qubit)
    circuit.cx(0, 1)
    circuit.cx(2, 0)
    return CircuitAnsatz(circuit)


def batch(backend: Backend) -> Batch:
    prepared = backend.prepare(ansatz())
    return Batch((Item(prepared.circuit, prepared.form.gate_angles(ANGLES), SHOTS),))


def submit(backend: Backend) -> Job:
    return backend.submit(batch(backend), TOKEN)


def finish(job: Job) -> JobStatus:
    end = time.monotonic() + 60
    while (status := job.status()) in (JobStatus.QUEUED, JobStatus.RUNNING):
        assert time.monotonic() < end
        time.sleep(0.01)
    return status


def complete(counts: Counts) -> bool:
    """Whether all rows are there, with all shots and from the right law."""
    (found,) = counts.arrays
    assert found.sum(axis=1).tolist() == [SHOTS] * len(ANGLES)
    assert_sampled_from(found, ideal_law(ansatz(), ANGLES), 6.0)
    return True


def seen(error: QtHwError, kind: type[QtHwError], server: Standin) -> str:
    """Return what the user sees: one line, with nothing in it that opens the account."""
    assert type(error) is kind
    text = str(error)
    headers = [request.headers.get("authorization", "") for request in server.log]
    secrets = {API_KEY} | {header.split()[-1] for header in headers if header}
    assert "\n" not in text and not any(secret in text for secret in secrets)
    return text


def failing(server: Standin, kind: type[QtHwError], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return seen(caught.value, kind, server)


def jobs(server: Standin) -> int:
    """Number of jobs at IBM; all of them carry the token."""
    assert all(job["tags"] == [TOKEN] for job in server.jobs)
    return len(server.jobs)


# ---- a submission whose end is not known


def test_reply_lost(start: Start) -> None:
    server, backend = start("reply-lost"), opened()
    assert "reply" in failing(server, AmbiguousSubmission, lambda: submit(backend))
    (job,) = backend.find(TOKEN)
    assert (server.posts, jobs(server)) == (1, 1)
    assert complete(job.result())


@pytest.mark.parametrize("name", ["500", "503"])
def test_server_errors(start: Start, name: str) -> None:
    server, backend = start(name), opened()
    failing(server, AmbiguousSubmission, lambda: submit(backend))
    assert backend.find(TOKEN) == []
    assert (server.posts, jobs(server)) == (1, 0)
    assert complete(submit(backend).result())
    assert (server.posts, jobs(server)) == (2, 1)


def test_504_after_acceptance(start: Start) -> None:
    server, backend = start("504-after"), opened()
    failing(server, AmbiguousSubmission, lambda: submit(backend))
    (job,) = backend.find(TOKEN)
    assert (server.posts, jobs(server)) == (1, 1)
    assert complete(job.result())


def test_504_after_acceptance_with_the_clients_own_retry(start: Start) -> None:
    server, backend = start("504-after"), opened(retry_posts=True)
    assert backend.limits.may_duplicate
    server.hold()
    job = submit(backend)
    first, second = backend.find(TOKEN)
    assert (server.posts, jobs(server)) == (2, 2)
    assert [first.id, second.id] == [entry["id"] for entry in server.jobs]
    assert job.id == second.id
    second.cancel()
    server.release()
    assert complete(first.result())
    assert second.status() is JobStatus.CANCELLED
    # Only one of them is paid.
    assert server.billed_seconds() == pytest.approx(2 + 0.00035 * SHOTS * len(ANGLES))


# ---- a submission that is refused


def test_429(start: Start) -> None:
    server, backend = start("429"), opened()
    failing(server, TransientError, lambda: submit(backend))
    assert (server.posts, jobs(server)) == (1, 0)
    assert complete(submit(backend).result())


def test_401(start: Start) -> None:
    server, backend = start("401"), opened()
    assert "save_account" in failing(server, PermanentError, lambda: submit(backend))
    assert (server.posts, jobs(server)) == (1, 0)
    assert complete(submit(backend).result())


def test_expired_token(start: Start) -> None:
    server = start()
    server.account.token_seconds = 1
    backend = opened()
    job = submit(backend)
    time.sleep(1.1)
    assert complete(job.result())
    time.sleep(1.1)
    assert complete(submit(backend).result())
    assert (server.posts, jobs(server)) == (2, 2)


# ---- a device that takes no jobs


@pytest.mark.parametrize("name", ["offline", "maintenance"])
def test_device_out_of_order(start: Start, name: str) -> None:
    server, backend = start(name), opened()
    (reason,) = backend.preflight()
    assert name in reason and "ibm_manila" in reason and "\n" not in reason
    assert backend.preflight() == []
    assert (server.posts, jobs(server)) == (0, 0)


def test_device_retired(start: Start) -> None:
    server = start("retired")
    text = failing(server, PermanentError, lambda: opened().preflight())
    assert "ibm_manila" in text
    assert (server.posts, jobs(server)) == (0, 0)


# ---- jobs that end badly, or do not end


@pytest.mark.parametrize(("name", "cancelled"), [("job-fails", False), ("job-cancelled", True)])
def test_job_without_result(start: Start, name: str, cancelled: bool) -> None:
    server, backend = start(name), opened()
    job = submit(backend)
    assert finish(job) is (JobStatus.CANCELLED if cancelled else JobStatus.FAILED)
    with pytest.raises(JobFailed, match=job.id) as caught:
        job.result()
    seen(caught.value, JobFailed, server)
    assert caught.value.cancelled is cancelled and caught.value.partial is None
    assert jobs(server) == 1 and server.billed_seconds() == 0
    charge = job.charge()
    assert charge is not None and charge.qpu_seconds == 0


def test_job_stuck_in_the_queue(start: Start) -> None:
    server, backend = start("stuck"), opened()
    job = submit(backend)
    assert {job.status() for _ in range(5)} == {JobStatus.QUEUED}
    assert job.queue() == "place 1 in the queue of ibm_manila"
    assert opened().job(job.id).status() is JobStatus.QUEUED
    job.cancel()
    assert job.status() is JobStatus.CANCELLED
    assert jobs(server) == 1 and server.billed_seconds() == 0


# ---- results that are damaged on their way: nothing is lost


@pytest.mark.parametrize("name", ["truncated", "wrong-shape"])
def test_damaged_result(start: Start, name: str) -> None:
    server, backend = start(name), opened()
    job = submit(backend)
    assert finish(job) is JobStatus.DONE
    assert job.id in failing(server, BadResult, job.result)
    assert complete(job.result())
    again: NDArray[Any] = opened().job(job.id).result().arrays[0]
    assert np.array_equal(again, job.result().arrays[0])
    assert (server.posts, jobs(server)) == (1, 1)
