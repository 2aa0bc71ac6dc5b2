"""What goes wrong at Amazon Braket, over HTTP, with the unmodified client.

Each row: which error, how many tasks there are at the vendor, a message of one line without
anything secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qt_hw.errors import (
    AmbiguousSubmission,
    BackendError,
    BadResult,
    InputError,
    JobFailed,
    PermanentError,
    PreflightError,
    QtHwError,
    TransientError,
)
from qt_hw.execution.backend import JobStatus
from qt_hw.execution.loopback import Fault
from qt_hw_braket.cloud import BraketDevice, open_device
from qt_hw_braket.devices import FORTE_1
from qt_hw_braket.results import Failure, counts_of, document, read_circuits
from qt_hw_braket.standin import Standin, redirected
from tests.backends.braket_cases import batch, creations

KEY, SECRET, SESSION = "AKIAEXAMPLEKEY", "secret/example/key", "session-token-example"
CREATE = r"^/quantum-task$"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Standin, BraketDevice]]:
    """Yield a stand-in and a backend, whose connection takes half a second to make."""
    with (
        Standin(tmp_path_factory.mktemp("cloud")) as standin,
        redirected(standin.url),
        pytest.MonkeyPatch.context() as env,
    ):
        env.setenv("AWS_MAX_ATTEMPTS", "1")
        env.setenv("AWS_ACCESS_KEY_ID", KEY)
        env.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        env.setenv("AWS_SESSION_TOKEN", SESSION)
        backend = open_device("forte-1", {})
        assert backend.limits.paid
        yield standin, backend


@pytest.fixture
def standin(service: tuple[Standin, BraketDevice], tmp_path: Path) -> Standin:
    """Return the stand-in, without tasks."""
    service[0].load(tmp_path)
    service[0].log.clear()
    return service[0]


@pytest.fixture
def backend(service: tuple[Standin, BraketDevice], standin: Standin) -> BraketDevice:
    return service[1]


def fails(error: type[QtHwError], call: Any, match: str | None = None) -> QtHwError:
    """Return the error of ``call``, whose message must be fit to be shown and stored."""
    with pytest.raises(error, match=match) as caught:
        call()
    assert type(caught.value) is error
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600
    assert not any(secret in text for secret in (KEY, SECRET, SESSION))
    assert caught.value.__cause__ is None, "the vendor's exception may quote the signed request"
    return caught.value


def answer(status: int, code: str, message: str = "no", **fields: Any) -> dict[str, Any]:
    return {
        "action": fields.pop("action", "status"),
        "status": status,
        "body": json.dumps({"message": message}).encode(),
        "headers": {"x-amzn-ErrorType": code},
        **fields,
    }


# Submission

LEAKY = (
    "The request signature we calculated does not match the signature you provided.\n"
    f"The Canonical String was 'x-amz-security-token:{SESSION} {KEY}'"
)


@pytest.mark.parametrize(
    ("fault", "error", "n_tasks", "match"),
    [
        ({"action": "drop"}, AmbiguousSubmission, 0, "not known whether"),
        ({"action": "drop_after"}, AmbiguousSubmission, 1, "not known whether"),
        ({"action": "truncate"}, AmbiguousSubmission, 1, "not known whether"),
        ({"action": "body", "body": b"<html>"}, AmbiguousSubmission, 0, "not known whether"),
        (answer(500, "InternalServiceException"), AmbiguousSubmission, 0, "InternalService"),
        (answer(503, "ServiceUnavailable"), AmbiguousSubmission, 0, "ServiceUnavailable"),
        (answer(504, "Timeout", action="status_after"), AmbiguousSubmission, 1, "Timeout"),
        (answer(408, "RequestTimeout"), AmbiguousSubmission, 0, "RequestTimeout"),
        (answer(429, "ThrottlingException"), TransientError, 0, "no job was made"),
        (answer(402, "ServiceQuotaExceededException"), TransientError, 0, "no job was made"),
        (answer(400, "ValidationException", "bad gate"), PermanentError, 0, "bad gate; no job"),
        (answer(401, "UnauthorizedException"), PermanentError, 0, "log in to AWS anew"),
        (answer(403, "ExpiredTokenException"), PermanentError, 0, "log in to AWS anew"),
        (answer(403, "AccessDeniedException"), PermanentError, 0, "the right to do this"),
        (answer(403, "SignatureDoesNotMatch", LEAKY), PermanentError, 0, "signature you provided"),
        (answer(404, "ResourceNotFoundException"), PermanentError, 0, "no job was made"),
        (answer(409, "ConflictException"), PermanentError, 0, "no job was made"),
        (answer(410, "DeviceRetiredException"), PermanentError, 0, "DeviceRetired"),
        (answer(413, "RequestEntityTooLarge"), PermanentError, 0, "no job was made"),
        (answer(424, "DeviceOfflineException"), PermanentError, 0, "DeviceOffline"),
    ],
    ids=lambda value: str(value.get("status") or value["action"]) if type(value) is dict else "",
)
def test_a_request_that_fails(
    backend: BraketDevice,
    standin: Standin,
    fault: dict[str, Any],
    error: type[BackendError],
    n_tasks: int,
    match: str,
) -> None:
    wanted = batch(backend)
    standin.faults.append(Fault(method="POST", path=CREATE, **fault))
    fails(error, lambda: backend.submit(wanted, "qthw-1"), match)
    assert len(standin.tasks()) == n_tasks
    assert len(backend.find("qthw-1")) == n_tasks
    # The same request once more is the same task.
    job = backend.submit(wanted, "qthw-1")
    assert [task["quantumTaskArn"] for task in standin.tasks()] == [job.id]
    assert job.result().arrays[0].sum() == 400


@pytest.fixture
def patient(backend: BraketDevice, monkeypatch: pytest.MonkeyPatch) -> BraketDevice:
    """Return a backend whose client sends a request up to twice."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    return open_device("forte-1", {})


@pytest.mark.parametrize(
    "fault",
    [{"action": "drop"}, {"action": "drop_after"}, answer(500, "Internal"), answer(429, "Slow")],
    ids=["dropped before", "dropped after", "500", "429"],
)
def test_what_the_client_repeats_makes_one_task(
    patient: BraketDevice, standin: Standin, fault: dict[str, Any]
) -> None:
    standin.faults.append(Fault(method="POST", path=CREATE, **fault))
    job = patient.submit(batch(patient), "qthw-1")
    sent = creations(standin)
    assert len(sent) == 2 and sent[0] == sent[1]
    assert [task["quantumTaskArn"] for task in standin.tasks()] == [job.id]


@pytest.mark.parametrize(
    "refusal", [answer(424, "DeviceOfflineException"), answer(429, "ThrottlingException")]
)
def test_a_refusal_after_a_lost_reply_does_not_rule_out_a_job(
    patient: BraketDevice, standin: Standin, refusal: dict[str, Any]
) -> None:
    standin.faults.append(Fault(method="POST", path=CREATE, action="drop_after"))
    standin.faults.append(Fault(method="POST", path=CREATE, **refusal))
    fails(
        AmbiguousSubmission,
        lambda: patient.submit(batch(patient), "qthw-1"),
        refusal["headers"]["x-amzn-ErrorType"],
    )
    assert len(creations(standin)) == 2
    assert len(patient.find("qthw-1")) == len(standin.tasks()) == 1


def test_one_call_does_not_remember_the_attempts_of_another(
    backend: BraketDevice, standin: Standin
) -> None:
    wanted = batch(backend)
    standin.faults.append(Fault(method="POST", path=CREATE, action="drop_after"))
    standin.faults.append(Fault(method="POST", path=CREATE, **answer(429, "ThrottlingException")))
    fails(AmbiguousSubmission, lambda: backend.submit(wanted, "qthw-1"))
    fails(TransientError, lambda: backend.submit(wanted, "qthw-2"))


def test_another_request_with_the_same_token_has_a_job_already(
    backend: BraketDevice, standin: Standin
) -> None:
    job = backend.submit(batch(backend, 2), "qthw-1")
    again = batch(backend, 3)
    fails(AmbiguousSubmission, lambda: backend.submit(again, "qthw-1"), "clientToken")
    assert [found.id for found in backend.find("qthw-1")] == [job.id]
    assert len(standin.tasks()) == 1


# The device and the account


@pytest.mark.parametrize("status", ["OFFLINE", "RETIRED"])
def test_a_device_that_is_not_online(backend: BraketDevice, standin: Standin, status: str) -> None:
    standin.device_status = status
    assert backend.preflight() == [f"ionq:forte-1 is {status} now"]
    fails(PermanentError, lambda: backend.submit(batch(backend), "qthw-1"), status.lower())
    assert standin.tasks() == []
    standin.device_status = "ONLINE"
    assert backend.preflight() == []


def test_no_credentials(
    backend: BraketDevice, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = batch(backend)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")  # of no consequence
    fresh = open_device("forte-1", {})
    fails(PermanentError, lambda: fresh.limits, "aws configure")
    fresh.device, fresh.limits = backend.device, backend.limits  # known from before
    fails(PermanentError, lambda: fresh.submit(wanted, "qthw-1"), "aws configure.*no job was made")
    fails(PermanentError, lambda: fresh.find("qthw-1"), "aws configure")
    assert standin.tasks() == []


def test_an_unknown_profile(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    fails(PermanentError, lambda: open_device("forte-1", {}).limits, "nobody")


def test_no_region(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    simulator = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
    fails(PermanentError, lambda: open_device(simulator, {}).limits, "account.region")
    there = open_device(simulator, {"region": "us-east-1"})
    fails(InputError, lambda: there.limits, "knows no device")


def test_an_unknown_device(standin: Standin) -> None:
    arn = FORTE_1.replace("Forte-1", "Forte-9")
    fails(InputError, lambda: open_device(arn, {}).limits, "Forte-9")


def test_an_unknown_task(backend: BraketDevice) -> None:
    arn = "arn:aws:braket:us-east-1:000000000000:quantum-task/no-such-task"
    fails(InputError, lambda: backend.job(arn), "no-such-task")


def test_a_description_that_no_schema_knows(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(standin.caps["braketSchemaHeader"], "version", "99")
    fails(PermanentError, lambda: open_device("forte-1", {}).limits, "amazon-braket-schemas")


def test_nobody_answers(backend: BraketDevice, standin: Standin) -> None:
    wanted = batch(backend)
    job = backend.submit(wanted, "qthw-1")
    with redirected("http://127.0.0.1:9"):
        away = open_device("forte-1", {})
        fails(TransientError, lambda: away.limits, "Could not connect")
        away.device, away.limits = backend.device, backend.limits
        # No byte was sent, so there is no doubt.
        fails(TransientError, lambda: away.submit(wanted, "qthw-2"), "no job was made")
        fails(TransientError, lambda: away.find("qthw-1"))
        fails(TransientError, lambda: away.job(job.id))


# Polling and searching


@pytest.mark.parametrize(
    ("fault", "error", "match"),
    [
        (answer(500, "InternalServiceException"), TransientError, "InternalService"),
        (answer(503, "ServiceUnavailable"), TransientError, "Unavailable"),
        (answer(403, "ExpiredTokenException"), PermanentError, "log in.*no job is lost"),
        (answer(403, "AccessDeniedException"), PermanentError, "the right to do this"),
        ({"action": "drop"}, TransientError, "closed"),
        ({"action": "truncate"}, TransientError, "incomplete"),
        ({"action": "body", "body": b"<html>"}, TransientError, "incomplete"),
    ],
    ids=["500", "503", "expired", "denied", "dropped", "truncated", "not JSON"],
)
@pytest.mark.parametrize("what", ["device", "task", "search"])
def test_a_question_that_fails(
    backend: BraketDevice,
    standin: Standin,
    fault: dict[str, Any],
    error: type[BackendError],
    match: str,
    what: str,
) -> None:
    job = backend.submit(batch(backend), "qthw-1")
    method, path, call = {
        "device": ("GET", "^/device/", backend.preflight),
        "task": ("GET", "^/quantum-task/", job.status),
        "search": ("POST", "^/quantum-tasks$", lambda: backend.find("qthw-1")),
    }[what]
    standin.faults.append(Fault(method=method, path=path, **fault))
    fails(error, call, match)
    call()
    assert job.status() is JobStatus.DONE


def test_too_many_questions(backend: BraketDevice, standin: Standin) -> None:
    standin.faults.append(
        Fault(method="POST", path="quantum-tasks", **answer(429, "ThrottlingException"))
    )
    fails(TransientError, lambda: backend.find("qthw-1"), "Throttling")


def test_a_cancellation_that_is_refused(backend: BraketDevice, standin: Standin) -> None:
    standin.add_fault("stuck")
    job = backend.submit(batch(backend), "qthw-1")
    refusal = answer(403, "AccessDeniedException")
    standin.faults.append(Fault(method="PUT", path="cancel", **refusal))
    fails(PermanentError, job.cancel, "cancelling the task")
    assert job.status() is JobStatus.QUEUED
    job.cancel()
    assert job.status() is JobStatus.CANCELLED


# Jobs and results


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_job_that_fails(backend: BraketDevice, standin: Standin, n_rows: int) -> None:
    standin.add_fault("job-fails")
    job = backend.submit(batch(backend, n_rows), "qthw-1")
    assert job.status() is JobStatus.FAILED
    error = fails(JobFailed, job.result, "injected")
    assert isinstance(error, JobFailed)
    assert not error.cancelled and error.partial is None
    charge = job.charge()
    assert charge is not None and charge.usd == standin.billed_usd() == 0.0


def test_a_job_that_is_cancelled_by_hand(backend: BraketDevice, standin: Standin) -> None:
    standin.add_fault("job-cancelled")
    job = backend.submit(batch(backend), "qthw-1")
    assert job.status() is JobStatus.CANCELLED
    error = fails(JobFailed, job.result, "cancelled")
    assert isinstance(error, JobFailed) and error.cancelled and error.partial is None
    charge = job.charge()
    assert charge is not None and charge.usd == standin.billed_usd() == 0.0


def test_a_state_that_nobody_knows_is_not_waited_for(
    backend: BraketDevice, standin: Standin
) -> None:
    job = backend.submit(batch(backend), "qthw-1")
    for call in (job.status, job.result):
        standin.faults.append(_reply_of_task(job, status="PAUSED"))
        fails(TransientError, call, "PAUSED")
    assert job.status() is JobStatus.DONE


def test_shots_that_were_taken_are_paid_for_however_a_task_ends(
    backend: BraketDevice, standin: Standin
) -> None:
    job = backend.submit(batch(backend), "qthw-1")
    standin.faults.append(_reply_of_task(job, status="FAILED", numSuccessfulShots=200))
    charge = job.charge()
    assert charge is not None and charge.usd == pytest.approx(0.30 + 200 * 0.08)


def test_a_set_that_is_cancelled_keeps_what_came_back(
    backend: BraketDevice, standin: Standin
) -> None:
    standin.add_fault("partial")
    job = backend.submit(batch(backend), "qthw-1")
    folder = standin.tasks()[0]["outputS3Directory"]
    standin.faults.append(_reply_of_task(job, status="CANCELLED", outputS3Directory=folder))
    error = fails(JobFailed, job.result, "was cancelled: 1 of 2 circuits have no result")
    assert isinstance(error, JobFailed) and error.cancelled
    assert error.partial.arrays[0].sum(axis=1).tolist() == [200, 0]


def _reply_of_task(job: Any, **fields: Any) -> Fault:
    reply = {
        "quantumTaskArn": job.id,
        "deviceArn": FORTE_1,
        "deviceParameters": "{}",
        "shots": 400,
        "outputS3Bucket": "amazon-braket-rehearsal",
        "outputS3Directory": "qt-hw/nowhere",
        "createdAt": "2026-01-01T00:00:00Z",
        **fields,
    }
    body = json.dumps(reply).encode()
    return Fault(method="GET", path=r"^/quantum-task/", action="body", body=body)


@pytest.mark.parametrize(("fault", "usd"), [("partial", 0.0), ("partial-completed", 0.30 + 48)])
def test_a_program_set_that_fails_in_part(
    backend: BraketDevice, standin: Standin, fault: str, usd: float
) -> None:
    whole = backend.submit(batch(backend, 2, 3), "qthw-0")
    standin.add_fault(fault)
    job = backend.submit(batch(backend, 2, 3), "qthw-1")
    expected = JobStatus.FAILED if fault == "partial" else JobStatus.DONE
    assert job.status() is expected
    error = fails(JobFailed, job.result, "2 of 5 circuits have no result: injected")
    assert isinstance(error, JobFailed)
    arrays = error.partial.arrays
    assert [array.shape for array in arrays] == [(2, 8), (3, 8)]
    assert [array.sum(axis=1).tolist() for array in arrays] == [[200, 0], [200, 0, 200]]
    assert whole.result().arrays[1].sum() == 600
    charge = job.charge()
    assert charge is not None and charge.usd == pytest.approx(usd)
    assert standin.billed_usd() == pytest.approx(usd + 0.30 + 80)


@pytest.mark.parametrize("n_rows", [1, 2])
@pytest.mark.parametrize(
    ("fault", "match"),
    [
        ("truncated", "cut off"),
        ("wrong-shape", "the result has"),
        ("result-missing", "there is no result at s3://"),
    ],
)
def test_a_damaged_result_is_not_lost(
    backend: BraketDevice, standin: Standin, n_rows: int, fault: str, match: str
) -> None:
    job = backend.submit(batch(backend, n_rows), "qthw-1")
    standin.add_fault(fault)
    fails(BadResult, job.result, match)
    assert job.status() is JobStatus.DONE
    assert job.result().arrays[0].sum() == 200 * n_rows


@pytest.mark.parametrize(
    ("fault", "error", "match"),
    [
        ({"action": "body", "body": b'{"a": '}, BadResult, "damaged"),
        ({"action": "body", "body": b"\xff\xfe"}, BadResult, "damaged"),
        ({"action": "body", "body": b"[]"}, BadResult, "no JSON object"),
        ({"action": "body", "body": b"{}"}, BadResult, "lacks a part"),
        ({"action": "drop"}, TransientError, "closed"),
        ({"action": "status", "status": 503, "body": b""}, TransientError, "503"),
        ({"action": "status", "status": 403, "body": b""}, PermanentError, "the right to do this"),
    ],
    ids=["half JSON", "no text", "a list", "empty", "dropped", "503", "403"],
)
def test_a_result_that_cannot_be_read(
    backend: BraketDevice,
    standin: Standin,
    fault: dict[str, Any],
    error: type[BackendError],
    match: str,
) -> None:
    job = backend.submit(batch(backend), "qthw-1")
    standin.faults.append(Fault(method="GET", path=r"results\.json$", **fault))
    fails(error, job.result, match)
    assert job.result().arrays[0].sum() == 400


def test_a_failed_set_whose_result_is_cut_off_is_not_lost(
    backend: BraketDevice, standin: Standin
) -> None:
    standin.add_fault("partial")
    job = backend.submit(batch(backend), "qthw-1")
    standin.add_fault("truncated")
    fails(BadResult, job.result, "cut off")
    fails(JobFailed, job.result, "1 of 2 circuits")


# Reading results, case by case


def single(**fields: Any) -> dict[str, Any]:
    return {"measuredQubits": [0, 1], **fields}


def test_qubit_0_comes_first_at_amazon_and_last_here() -> None:
    result = single(measurementProbabilities={"10": 0.75, "01": 0.25})
    counts = counts_of([result], ((1, 2),), 100)
    assert counts.arrays[0].tolist() == [[0, 75, 25, 0]]
    assert counts.arrays[0].dtype == np.int64


def test_measured_qubits_may_come_in_any_order() -> None:
    result = single(measurements=[[1, 0]] * 3 + [[1, 1]], measuredQubits=[1, 0])
    counts = counts_of([result], ((1, 2),), 4)
    assert counts.arrays[0].tolist() == [[0, 0, 3, 1]]


def test_rounded_probabilities_still_add_up_to_the_shots() -> None:
    # Rounded to six digits: 1/3 of 3000 shots is 999.999.
    result = single(measurementProbabilities={"00": 0.333333, "01": 0.333333, "11": 0.333333})
    counts = counts_of([result], ((1, 2),), 3000)
    assert counts.arrays[0].tolist() == [[1000, 0, 1000, 1000]]


def test_largest_remainders_settle_what_rounding_leaves() -> None:
    # 25 outcomes of 100.04 shots and 7 of 100 make 3201; rounded, they make 3200.
    shots = [100.04] * 25 + [100.0] * 7
    law = {f"{index:05b}": value / 3201 for index, value in enumerate(shots)}
    result = single(measurementProbabilities=law, measuredQubits=[*range(5)])
    (row,) = counts_of([result], ((1, 5),), 3201).arrays[0]
    assert sorted(row.tolist()) == [100] * 31 + [101]
    assert row.dtype == np.int64


def test_mitigated_probabilities_stay_as_they_are() -> None:
    result = single(measurementProbabilities={"00": 0.12345, "11": 0.87655})
    counts = counts_of([result], ((1, 2),), 1000)
    assert counts.arrays[0].tolist() == [[pytest.approx(123.45), 0, 0, pytest.approx(876.55)]]


def test_failures_are_rows_of_zeros() -> None:
    result = single(measurementProbabilities={"00": 1.0})
    counts = counts_of(["lost", result, Failure("lost")], ((1, 2), (2, 2)), 10)
    assert [array.tolist() for array in counts.arrays] == [[[0] * 4], [[10, 0, 0, 0], [0] * 4]]


@pytest.mark.parametrize(
    "result",
    [
        {"measurementProbabilities": {"0": 1.0}, "measuredQubits": [0]},
        single(measurementProbabilities={"00": 1.0}, measuredQubits=[4, 5]),
        single(measurementProbabilities={"000": 1.0}),
        single(measurementProbabilities={"0x": 1.0}),
        single(measurementProbabilities={"00": 0.5}),
        single(measurementProbabilities={"00": 1.5, "11": -0.5}),
        single(measurementProbabilities={"00": float("nan")}),
        single(measurementProbabilities={"00": "much"}),
        single(measurementProbabilities={}),
        single(measurementProbabilities=None),
        single(measurements=[[0, 0]] * 9),
        single(measurements=[[0, 0]] * 9 + [[0]]),
        single(measurements=[[0, 2]] * 10),
        single(),
        {"measurementProbabilities": {"00": 1.0}},
    ],
)
def test_damaged_circuits_are_refused(result: dict[str, Any]) -> None:
    fails(BadResult, lambda: counts_of([result], ((1, 2),), 10))


def test_a_missing_circuit_is_noticed() -> None:
    good = single(measurementProbabilities={"00": 1.0})
    fails(BadResult, lambda: counts_of([good], ((2, 2),), 10), "1 circuits instead of 2")


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"braketSchemaHeader": {"name": "braket.task_result.program_set_task_result"}},
        {
            "braketSchemaHeader": {"name": "braket.task_result.program_set_task_result"},
            "programResults": [{"executableResults": []}],
        },
        {
            "braketSchemaHeader": {"name": "braket.task_result.program_set_task_result"},
            "programResults": [{"executableResults": [{}]}],
        },
    ],
)
def test_results_that_lack_a_part_are_refused(result: dict[str, Any]) -> None:
    fails(BadResult, lambda: read_circuits(result, lambda key: {}))


def test_documents_are_json_objects() -> None:
    assert document(b'{"a": 1}', "here") == {"a": 1}
    fails(BadResult, lambda: document(b"", "here"), "here is damaged")


def test_every_refusal_before_sending_is_a_preflight_error(backend: BraketDevice) -> None:
    fails(
        PreflightError, lambda: backend.submit(batch(backend, shots=50), "qthw-1"), "at least 100"
    )
