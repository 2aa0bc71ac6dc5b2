"""The IBM backend through the unmodified client, over HTTP, against the stand-in."""

from __future__ import annotations

import gc
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ParameterVector

import qt_hw_ibm
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import (
    AmbiguousSubmission,
    BadResult,
    InputError,
    JobFailed,
    PermanentError,
    PreflightError,
    QtHwError,
    TransientError,
    UnknownName,
)
from qt_hw.execution.backend import Backend, Batch, Counts, Item, JobStatus
from qt_hw.execution.loopback import Fault
from qt_hw.testing import BackendContract
from qt_hw.testing.oracles import assert_sampled_from, ideal_law
from qt_hw_ibm.standin.account import API_KEY, CRN
from qt_hw_ibm.standin.server import Standin
from qt_hw_ibm.standin.start import environment, redirected

Array = NDArray[np.float64]

LAYOUT = [3, 1, 2]
DEVICES = {"ibm_manila": "fake_manila"}


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[Standin]:
    """Yield a stand-in to which ``ibm:ibm_manila`` goes."""
    folder = tmp_path / "vendor"
    with Standin(folder, devices=DEVICES) as service, redirected(environment(service.url)):
        yield service


def opened(**options: Any) -> Backend:
    return qt_hw_ibm.open("ibm_manila", layout=LAYOUT, settle_seconds=0.0, **options)


@pytest.fixture
def backend(standin: Standin) -> Backend:
    return opened()


def ansatz_of(n: int = 3) -> Ansatz:
    from qt_hw.circuits.custom import CircuitAnsatz

    circuit = QuantumCircuit(n)
    angles = ParameterVector("t", 2 * n)
    for qubit in range(n):
        circuit.ry(angles[qubit], qubit)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.cx(n - 1, 0)
    for qubit in range(n):
        circuit.ry(angles[n + qubit], qubit)
    return CircuitAnsatz(circuit)


ANGLES = np.random.default_rng(9).uniform(-np.pi, np.pi, (4, 6))


def batch_for(backend: Backend, shots: int = 2000) -> Batch:
    prepared = backend.prepare(ansatz_of())
    bindings = prepared.form.gate_angles(ANGLES)
    return Batch(
        items=(
            Item(prepared.circuit, bindings[:1], shots),
            Item(prepared.circuit, bindings[1:], shots, role="shift", part=1),
        )
    )


def check_law(counts: Counts, shots: int = 2000) -> None:
    law = ideal_law(ansatz_of(), ANGLES)
    assert [len(array) for array in counts.arrays] == [1, 3]
    found = np.concatenate(counts.arrays)
    assert found.sum(axis=1).tolist() == [shots] * 4
    assert_sampled_from(found, law, 6.0)


def posted(standin: Standin) -> list[dict[str, Any]]:
    """Return the bodies of all requests for a job."""
    found = [r for r in list(standin.log) if r.method == "POST" and r.path.endswith("/jobs")]
    return [json.loads(request.body) for request in found]


# ---- the contract: an asymmetric circuit, a layout that is not trivial, ideal device


class TestIbmDevice(BackendContract):
    seeded: ClassVar[bool] = False
    n_rows: ClassVar[int] = 100

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
        folder = tmp_path_factory.mktemp("vendor")
        with Standin(folder, devices=DEVICES) as service, redirected(environment(service.url)):
            yield opened()


# ---- what is sent


def test_nothing_is_sent_before_it_is_needed(standin: Standin) -> None:
    backend = opened()
    backend.describe()
    assert backend.limits.paid
    assert standin.log == []


def test_a_step_is_one_job_with_one_circuit(standin: Standin, backend: Backend) -> None:
    job = backend.submit(batch_for(backend), "qthw-step")
    (body,) = posted(standin)
    assert body["tags"] == ["qthw-step"]
    assert not body.get("private")
    (program,) = [body["params"]["quantum_program"]]
    assert [item["circuit_arguments"]["shape"][0] for item in program["items"]] == [4]
    assert program["shots"] == 2000
    check_law(job.result())
    assert job.status() is JobStatus.DONE
    assert standin.posts == len(standin.jobs) == 1


def test_circuits_stored_by_another_process_run_as_they_are(
    standin: Standin, backend: Backend
) -> None:
    batch = batch_for(backend)
    items = []
    for item in batch.items:  # each item's own copy, as files give them
        buffer = io.BytesIO()
        qpy.dump(item.circuit, buffer)
        buffer.seek(0)
        (circuit,) = qpy.load(buffer)
        items.append(Item(circuit, item.bindings, item.shots, part=item.part))
    later = opened()
    check_law(later.submit(Batch(items=tuple(items)), "qthw-later").result())
    (body,) = posted(standin)
    assert len(body["params"]["quantum_program"]["items"]) == 1


def test_factors_of_a_product_are_one_job(standin: Standin, backend: Backend) -> None:
    first, second = backend.prepare(ansatz_of()), qt_hw_ibm.open("ibm_manila").prepare(ansatz_of(2))
    angles = ANGLES[:1, :4]
    batch = Batch(
        items=(
            Item(first.circuit, first.form.gate_angles(ANGLES[:1]), 2000),
            Item(second.circuit, second.form.gate_angles(angles), 2000, part=1),
        )
    )
    counts = backend.submit(batch, "qthw-factors").result()
    assert standin.posts == 1
    assert_sampled_from(counts.arrays[0], ideal_law(ansatz_of(), ANGLES[:1]), 6.0)
    assert_sampled_from(counts.arrays[1], ideal_law(ansatz_of(2), angles), 6.0)


@pytest.mark.parametrize(
    ("options", "left", "expected"),
    [
        ({}, None, None),
        ({}, 41.9, 41),
        ({"max_seconds": 30}, None, 30),
        ({"max_seconds": 30}, 41.9, 30),
        ({"max_seconds": 30}, 12.0, 12),
        ({}, 1e6, 10_800),
    ],
)
def test_what_is_left_of_the_cap_stops_a_job(
    standin: Standin, options: dict[str, Any], left: float | None, expected: int | None
) -> None:
    backend = opened(**options)
    backend.remaining_seconds = left
    backend.submit(batch_for(backend), "qthw-cap")
    assert posted(standin)[0].get("cost") == expected


def test_less_than_a_second_is_not_sent(standin: Standin, backend: Backend) -> None:
    backend.remaining_seconds = 0.4
    with pytest.raises(PreflightError, match=r"0\.4 s"):
        backend.submit(batch_for(backend), "qthw-cap")
    assert standin.posts == 0


def test_several_jobs_of_a_step_are_one_batch(standin: Standin, backend: Backend) -> None:
    batch = batch_for(backend)
    with backend.grouped(2):
        jobs = [backend.submit(batch, f"qthw-{i}") for i in range(2)]
    alone = backend.submit(batch, "qthw-alone")
    (one,) = {job["session_id"] for job in standin.jobs[:2]}
    assert one is not None
    assert standin.jobs[2]["session_id"] is None
    opening = [r for r in standin.log if r.method == "POST" and r.path.endswith("/sessions")]
    assert [json.loads(r.body)["mode"] for r in opening] == ["batch"]
    closing = [r for r in standin.log if r.path.endswith(f"/sessions/{one}")]
    assert [json.loads(r.body) for r in closing if r.method == "PATCH"] == [
        {"accepting_jobs": False}
    ]
    for job in (*jobs, alone):
        check_law(job.result())


@pytest.mark.parametrize(("mode", "n_jobs"), [("batch", 1), ("job", 3)])
def test_a_batch_is_made_only_where_there_is_something_to_group(
    standin: Standin, mode: str, n_jobs: int
) -> None:
    backend = opened(mode=mode)
    with backend.grouped(n_jobs):
        backend.submit(batch_for(backend), "qthw-alone")
    assert [job["session_id"] for job in standin.jobs] == [None]


def test_a_session_is_kept_for_the_process_and_has_a_time_limit(standin: Standin) -> None:
    backend: Any = opened(mode="session", session_seconds=300)
    backend.remaining_seconds = 120.0
    batch = batch_for(backend)
    for i in range(2):
        with backend.grouped(1):
            backend.submit(batch, f"qthw-{i}")
    assert len({job["session_id"] for job in standin.jobs} - {None}) == 1
    opening = [r for r in standin.log if r.method == "POST" and r.path.endswith("/sessions")]
    (body,) = [json.loads(r.body) for r in opening]
    # No longer than the cap on device time, which idle time would use up.
    assert (body["mode"], body["max_ttl"]) == ("dedicated", 120)
    del backend
    gc.collect()
    assert [json.loads(r.body) for r in standin.log if r.method == "PATCH"] == [
        {"accepting_jobs": False}
    ]


@pytest.mark.parametrize(
    "options",
    [{"twirling": True}, {"dynamical_decoupling": "XpXm"}, {"rep_delay": 3e-4}],
    ids=["twirled", "decoupled", "delayed"],
)
def test_options_of_the_sampler_keep_shots_and_law(
    standin: Standin, options: dict[str, Any]
) -> None:
    backend = opened(**options)
    check_law(backend.submit(batch_for(backend), "qthw-options").result())
    assert posted(standin)[0]["params"]["options"]["rep_delay"] == options.get("rep_delay")


@pytest.mark.filterwarnings("ignore:.*SamplerV2.*:DeprecationWarning")
def test_the_sampler_it_replaces_still_works(
    standin: Standin, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime.executor_sampler", None)
    job = backend.submit(batch_for(backend), "qthw-legacy")
    assert posted(standin)[0]["program_id"] == "sampler"
    check_law(job.result())
    check_law(backend.job(job.id).result())


# ---- money


@pytest.mark.parametrize("shots", [100, 4000])
def test_the_charge_lies_within_the_estimate(standin: Standin, shots: int) -> None:
    backend = opened(plan="pay-as-you-go")
    batch = batch_for(backend, shots)
    cost = backend.estimate(batch)
    job = backend.submit(batch, "qthw-charge")
    job.result()
    charge = job.charge()
    assert charge is not None
    assert charge.source == "vendor"
    assert charge.qpu_seconds == standin.billed_seconds() == pytest.approx(2 + 0.00035 * 4 * shots)
    assert cost.qpu_seconds_low <= charge.qpu_seconds <= cost.qpu_seconds_high
    assert charge.usd == pytest.approx(1.6 * charge.qpu_seconds)
    assert (cost.circuits, cost.shots, cost.jobs) == (4, 4 * shots, 1)


def test_a_waiting_job_has_a_place_and_no_charge(standin: Standin, backend: Backend) -> None:
    standin.hold()
    first = backend.submit(batch_for(backend), "qthw-first")
    second = backend.submit(batch_for(backend), "qthw-second")
    assert (first.status(), second.status()) == (JobStatus.QUEUED, JobStatus.QUEUED)
    assert first.queue() == "place 1 in the queue of ibm_manila"
    assert second.queue() == "place 2 in the queue of ibm_manila"
    assert first.charge() is None
    standin.release()
    check_law(first.result())
    assert first.queue() is None


# ---- requests for a job that go wrong: who may have made a job

POST_JOBS = {"method": "POST", "path": r"/jobs$"}


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
    # A request for a job is not sent twice: the user is told, and the next one logs in anew.
    standin.revoke_tokens()
    assert backend.preflight() == []
    check_law(backend.submit(batch_for(backend), "qthw-next").result())


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


# ---- before submitting


def test_preflight_of_a_device_in_order(backend: Backend) -> None:
    assert backend.preflight() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": False, "status": "maintenance"}, "takes no jobs now: maintenance"),
        ({"state": True, "status": "internal"}, "takes no jobs now: internal"),
    ],
)
def test_preflight_of_a_device_that_is_down(
    standin: Standin, backend: Backend, change: dict[str, Any], message: str
) -> None:
    standin.status["ibm_manila"].update(change)
    (reason,) = backend.preflight()
    assert message in reason


def test_preflight_of_a_used_up_account(standin: Standin, backend: Backend) -> None:
    backend.submit(batch_for(backend), "qthw-first").result()
    standin.limit_usage(1.0)
    (reason,) = backend.preflight()
    assert "used up its device time (4.8 s)" in reason


def test_preflight_of_a_delay_out_of_range(standin: Standin) -> None:
    (reason,) = opened(rep_delay=2.0).preflight()
    assert reason.startswith("rep_delay=2.0 s; ibm_manila takes 0.0 to")


def test_a_device_that_is_retired(standin: Standin) -> None:
    standin.faults.append(
        Fault(method="GET", path=r"/configuration$", action="status", status=404, times=3)
    )
    with pytest.raises(PermanentError, match="no such device"):
        opened().prepare(ansatz_of())


def test_an_unknown_device_names_those_of_the_account(standin: Standin) -> None:
    with pytest.raises(UnknownName, match="ibm_manila"):
        qt_hw_ibm.open("ibm_manilla").prepare(ansatz_of())


def test_a_layout_that_the_device_lacks(standin: Standin) -> None:
    with pytest.raises(InputError, match="0 to 4"):
        qt_hw_ibm.open("ibm_manila", layout=[0, 1, 7]).prepare(ansatz_of())


# ---- the account


def test_no_account(standin: Standin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from qiskit_ibm_runtime.accounts import management

    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    with pytest.raises(PermanentError, match=r"no IBM account is saved .*save_account"):
        opened().prepare(ansatz_of())


def test_a_wrong_key(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "some-other-key")
    with pytest.raises(PermanentError, match="does not know the API key") as caught:
        opened().prepare(ansatz_of())
    assert "some-other-key" not in str(caught.value)


def test_an_instance_of_somebody_else(standin: Standin) -> None:
    with pytest.raises(PermanentError, match="instance"):
        opened(instance="not-mine").prepare(ansatz_of())


def test_the_instance_is_an_option(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QISKIT_IBM_INSTANCE")
    for given in ({"instance": "rehearsal"}, {"instance": CRN}, {}):
        assert opened(**given).prepare(ansatz_of()).circuit.num_qubits >= 3


def test_a_service_that_cannot_be_reached() -> None:
    with (
        redirected(environment("http://127.0.0.1:9")),
        pytest.raises(TransientError, match="login at IBM failed"),
    ):
        opened().prepare(ansatz_of())


def test_nothing_of_the_account_is_shown_or_kept(
    standin: Standin, backend: Backend, capfd: pytest.CaptureFixture[str]
) -> None:
    prepared = backend.prepare(ansatz_of())
    batch = batch_for(backend)
    texts = [json.dumps(backend.describe()), json.dumps(prepared.properties)]
    for status in (400, 401, 403, 429, 500):
        standin.faults.append(Fault(**POST_JOBS, action="status", status=status))
        with pytest.raises(QtHwError) as caught:
            backend.submit(batch, "qthw-secret")
        texts.append(str(caught.value))
    job = backend.submit(batch, "qthw-secret")
    job.result()
    out = capfd.readouterr()
    texts += [out.out, out.err, job.id, str(job.charge())]
    for secret in (API_KEY, CRN, "0123456789abcdef", "Bearer"):
        assert not any(secret in text for text in texts)
    assert out.err == ""


# ---- the run folder


def test_layout_and_calibration_are_recorded(standin: Standin, backend: Backend) -> None:
    prepared = backend.prepare(ansatz_of())
    properties = prepared.properties
    assert json.loads(json.dumps(properties)) == properties
    assert properties["initial_layout"] == LAYOUT
    assert properties["layout"] == prepared.circuit.metadata["physical_qubits"][:3]
    assert len(properties["t1_s"]) == prepared.circuit.num_qubits
    assert all(0 < error < 0.2 for error in properties["readout_error"])
    assert properties["gate_errors"]["cx"]
    assert prepared.calibration_date is not None
    assert prepared.calibration_date.endswith("+00:00")
