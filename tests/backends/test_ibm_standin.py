"""The stand-in of IBM's services, seen by the unmodified client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Statevector
from qiskit_ibm_runtime import Batch, QiskitRuntimeService, Session
from qiskit_ibm_runtime.accounts import InvalidAccountError
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMInputValueError,
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobNotFound,
)
from qiskit_ibm_runtime.executor_sampler import Sampler

from qt_hw.errors import UnknownName
from qt_hw_ibm.standin.account import API_KEY, CRN
from qt_hw_ibm.standin.billing import qpu_seconds
from qt_hw_ibm.standin.server import Standin
from qt_hw_ibm.standin.start import environment, redirected, rehearse

Array = NDArray[np.float64]


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[Standin]:
    with Standin(tmp_path / "state") as server, redirected(environment(server.url)):
        yield server


def circuit(width: int = 5) -> QuantumCircuit:
    """Native circuit on qubits 2, 3, 4 of a device in a line; qubit 3 is read into bit 0."""
    angle = ParameterVector("a", 3)
    out = QuantumCircuit(width)
    for qubit, parameter in zip((3, 4, 2), angle, strict=True):
        out.sx(qubit)
        out.rz(parameter, qubit)
        out.sx(qubit)
    out.cx(3, 4)
    out.cx(3, 2)
    bits = ClassicalRegister(3, "meas")
    out.add_register(bits)
    out.measure([3, 4, 2], bits)
    return out


def law(values: Array) -> Array:
    """Probabilities of the three bits, ``(B, 8)``."""
    bare = circuit().remove_final_measurements(inplace=False)
    return np.array(
        [Statevector(bare.assign_parameters(row)).probabilities([3, 4, 2]) for row in values]
    )


ANGLES = np.array([[0.3, 1.1, 2.0], [2.5, -0.4, 0.9], [1.6, 0.2, -1.3]])


def submit(mode: Any, *, shots: int = 500, tag: str = "qthw-1", values: Array = ANGLES) -> Any:
    sampler = Sampler(mode=mode)
    sampler.options.default_shots = shots
    sampler.options.environment.job_tags = [tag]
    return sampler.run([(circuit(), values)])


def wait(job: Any, seconds: float = 60.0) -> str:
    end = time.monotonic() + seconds
    while (status := job.status()) not in ("DONE", "ERROR", "CANCELLED"):
        assert time.monotonic() < end, status
        time.sleep(0.02)
    return status


def counts(result: Any) -> NDArray[np.int64]:
    bits = result[0].data.meas
    index = bits.array[..., 0].astype(int)
    return np.array([np.bincount(row, minlength=8) for row in index])


def five_sigma(found: NDArray[np.int64], expected: Array) -> None:
    shots = found.sum(1, keepdims=True)
    sigma = np.sqrt(shots * expected * (1 - expected))
    assert np.all(np.abs(found - shots * expected) <= 5 * sigma + 1e-9)


def test_counts_follow_the_exact_law(standin: Standin) -> None:
    device = QiskitRuntimeService().backend("ibm_manila")
    job = submit(device, shots=4000)
    assert wait(job) == "DONE"
    result = job.result()
    assert result[0].data.meas.shape == (3,)
    five_sigma(counts(result), law(ANGLES))


def test_a_circuit_without_angles(standin: Standin) -> None:
    sampler = Sampler(mode=QiskitRuntimeService().backend("ibm_manila"))
    job = sampler.run([(circuit().assign_parameters([0.0, 0.0, 0.0]),)], shots=10)
    assert wait(job) == "DONE"
    # Two SX are an X: qubits 3, 4 and 2 are flipped, then 4 and 2 again.
    assert job.result()[0].data.meas.get_counts() == {"001": 10}


def test_twirled_and_decoupled_jobs_keep_the_law(standin: Standin) -> None:
    sampler = Sampler(mode=QiskitRuntimeService().backend("ibm_manila"))
    sampler.options.default_shots = 1024
    sampler.options.twirling.enable_gates = True
    sampler.options.twirling.enable_measure = True
    sampler.options.dynamical_decoupling.enable = True
    job = sampler.run([(circuit(), ANGLES)])
    assert wait(job) == "DONE"
    found = counts(job.result())
    assert found.sum(1).tolist() == [1024] * 3
    five_sigma(found, law(ANGLES))


def test_noisy_devices_err(tmp_path: Path) -> None:
    with (
        Standin(tmp_path, noise=True, devices={"ibm_manila": "fake_manila"}) as server,
        redirected(environment(server.url)),
    ):
        job = submit(QiskitRuntimeService().backend("ibm_manila"), shots=4000, values=0 * ANGLES)
        assert wait(job) == "DONE", job.error_message()
        found = counts(job.result())
    # Two SX are an X, so all bits would be (1, 1⊕1, 1⊕1) without noise; a gate fails in about
    # 1e-3, a readout in 1e-2 to 1e-1 of cases.
    wrong = 1 - found[:, 1] / 4000
    assert np.all(wrong > 0.01) and np.all(wrong < 0.3)


def test_the_same_tag_gives_the_same_counts(standin: Standin) -> None:
    device = QiskitRuntimeService().backend("ibm_manila")
    jobs = [submit(device, tag=tag) for tag in ("qthw-a", "qthw-a", "qthw-b")]
    assert [wait(job) for job in jobs] == ["DONE"] * 3
    first, again, other = (counts(job.result()) for job in jobs)
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_older_sampler(standin: Standin) -> None:
    from qiskit_ibm_runtime import SamplerV2

    device = QiskitRuntimeService().backend("ibm_manila")
    with warnings.catch_warnings():
        # The vendor deprecates the class itself since 0.50.
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*SamplerV2.*")
        sampler = SamplerV2(mode=device)
        fixed = circuit().assign_parameters(ANGLES[0])
        job = sampler.run([(circuit(), ANGLES), (fixed,)], shots=2000)
    assert wait(job) == "DONE", job.error_message()
    five_sigma(counts(job.result()), law(ANGLES))
    alone = job.result()[1].data.meas
    assert (alone.shape, alone.num_shots) == ((), 2000)
    assert job.usage() == pytest.approx(qpu_seconds(8000))


def test_devices_are_the_snapshots(standin: Standin) -> None:
    from qiskit_ibm_runtime.fake_provider import FakeManilaV2, FakeTorino

    service = QiskitRuntimeService()
    assert service.backend("ibm_torino").num_qubits == 133
    device, snapshot = service.backend("ibm_manila"), FakeManilaV2()
    assert device.properties().last_update_date == snapshot.properties().last_update_date
    assert device.target.operation_names == snapshot.target.operation_names
    error = device.target["cx"][(3, 4)].error
    assert error == snapshot.target["cx"][(3, 4)].error
    torino = service.backend("ibm_torino").target
    assert torino["cz"][(0, 1)].error == FakeTorino().target["cz"][(0, 1)].error
    assert device.status().operational and device.status().pending_jobs == 0


def test_usage_follows_the_formula(standin: Standin) -> None:
    service = QiskitRuntimeService()
    values = np.zeros((5, 3))
    job = submit(service.backend("ibm_manila"), shots=2000, values=values)
    assert wait(job) == "DONE"
    assert job.usage() == 5.5  # 2 s + 0.35 ms × 5 × 2,000
    assert job.usage_estimation == {"quantum_seconds": 5.5}
    assert standin.billed_seconds() == service.usage()["usage_consumed_seconds"] == 5.5
    service.delete_job(job.job_id())
    with pytest.raises(RuntimeJobNotFound):
        service.job(job.job_id())
    assert standin.jobs == [] and standin.billed_seconds() == 5.5


def test_execution_time_is_capped(standin: Standin) -> None:
    sampler = Sampler(mode=QiskitRuntimeService().backend("ibm_manila"))
    sampler.options.default_shots = 10_000
    sampler.options.max_execution_time = 10
    job = sampler.run([(circuit(), ANGLES)])  # 2 s + 10.5 s
    assert wait(job) == "ERROR"
    with pytest.raises(RuntimeJobMaxTimeoutError):
        job.result()
    assert job.usage() == standin.billed_seconds() == 10


def test_jobs_are_found_by_tag_over_many_pages(standin: Standin) -> None:
    standin.hold()
    service = QiskitRuntimeService()
    device = service.backend("ibm_manila")
    ids = [submit(device, tag=f"qthw-{number % 2}", shots=1).job_id() for number in range(106)]
    assert standin.posts == len(standin.jobs) == 106
    found = [job.job_id() for job in service.jobs(job_tags=["qthw-1"], limit=None)]
    assert found == ids[1::2][::-1]
    oldest = service.jobs(job_tags=["qthw-1"], limit=50, descending=False)
    assert [job.job_id() for job in oldest] == ids[1::2][:50]
    assert service.jobs(job_tags=["qthw-0", "qthw-1"]) == []
    assert [job.job_id() for job in service.jobs(limit=3, skip=2)] == ids[-5:-2][::-1]
    assert service.jobs(backend_name="ibm_torino") == []
    assert len(service.jobs(program_id="executor", pending=True, limit=None)) == 106
    created = service.job(ids[50]).creation_date
    assert len(service.jobs(created_after=created, limit=None)) == 56
    assert device.status().pending_jobs == 106
    assert service.job(ids[3]).metrics()["position_in_queue"] == 4


def test_cancel(standin: Standin) -> None:
    standin.hold()
    service = QiskitRuntimeService()
    job = submit(service.backend("ibm_manila"))
    job.cancel()
    assert service.job(job.job_id()).status() == "CANCELLED"
    with pytest.raises(RuntimeInvalidStateError):
        service.job(job.job_id()).cancel()
    standin.release()
    done = submit(service.backend("ibm_manila"))
    assert wait(done) == "DONE" and job.status() == "CANCELLED"
    assert job.usage() == 0 and standin.billed_seconds() == done.usage()


def test_batch_and_session(standin: Standin) -> None:
    standin.hold()
    service = QiskitRuntimeService()
    device = service.backend("ibm_manila")
    with Batch(backend=device, max_time=600) as batch:
        jobs = [submit(batch) for _ in range(3)]
        assert batch.status() == "Pending"
    assert len(service.jobs(session_id=batch.session_id)) == 3
    with pytest.raises(IBMRuntimeError, match="closed"):
        reopened = Batch.from_id(batch.session_id, service)
        reopened._active = True  # the client itself refuses otherwise
        submit(reopened)
    standin.release()
    assert [wait(job) for job in jobs] == ["DONE"] * 3
    details = Batch.from_id(batch.session_id, service).details()
    assert (details["state"], details["mode"], details["max_time"]) == ("closed", "batch", 600)
    assert details["usage_time"] == pytest.approx(3 * qpu_seconds(1500))

    standin.hold()
    session = Session(backend=device)
    job = submit(session)
    session.cancel()
    assert job.status() == "CANCELLED" and session.status() == "Closed"


def test_circuits_must_be_native(standin: Standin) -> None:
    device = QiskitRuntimeService().backend("ibm_manila")
    wrong = circuit()
    wrong.data.insert(0, wrong.data[-4].replace(qubits=[wrong.qubits[0], wrong.qubits[3]]))
    job = Sampler(mode=device).run([(wrong, ANGLES)])
    assert wait(job) == "ERROR"
    with pytest.raises(RuntimeJobFailureError, match=r"1517.*cx on qubits \(0, 3\)"):
        job.result()
    assert standin.billed_seconds() == 0


def test_states_can_be_forced(standin: Standin) -> None:
    standin.hold()
    device = QiskitRuntimeService().backend("ibm_manila")
    failed, stopped = submit(device), submit(device)
    standin.finish(failed.job_id(), "Failed", "the fridge is warm", 9999)
    standin.finish(stopped.job_id(), "Cancelled")
    with pytest.raises(RuntimeJobFailureError, match="9999; the fridge is warm"):
        failed.result()
    assert stopped.status() == "CANCELLED"
    standin.status["ibm_manila"].update(state=False, status="maintenance")
    assert not device.status().operational and device.status().status_msg == "maintenance"


def test_usage_limit(standin: Standin) -> None:
    service = QiskitRuntimeService()
    device = service.backend("ibm_manila")
    assert wait(submit(device)) == "DONE"
    standin.limit_usage(1.0)
    assert service.usage()["usage_remaining_seconds"] == 0
    with (
        pytest.warns(UserWarning, match="usage limit"),
        pytest.raises(IBMRuntimeError, match="409"),
    ):
        submit(device)
    assert len(standin.jobs) == 1


def test_only_the_rehearsal_key_opens_it(standin: Standin) -> None:
    with pytest.raises(InvalidAccountError):
        QiskitRuntimeService(
            channel="ibm_quantum_platform",
            token="wrong",
            instance=CRN,
            url=os.environ["QISKIT_IBM_URL"],
        )
    with pytest.raises(IBMInputValueError, match="does not have access"):
        QiskitRuntimeService(instance=CRN.replace("4444", "5555"))
    assert QiskitRuntimeService(instance="rehearsal").active_instance() == CRN


def test_revoked_and_expired_tokens(standin: Standin) -> None:
    service = QiskitRuntimeService()
    standin.revoke_tokens()
    with pytest.raises(IBMNotAuthorizedError, match="401"):
        service.usage()
    standin.account.token_seconds = 1
    service = QiskitRuntimeService()
    logins = len([r for r in standin.log if r.path == "/identity/token"])
    time.sleep(1.1)
    assert service.usage()["usage_consumed_seconds"] == 0
    assert len([r for r in standin.log if r.path == "/identity/token"]) == logins + 1


def test_a_restarted_standin_has_the_same_jobs(tmp_path: Path) -> None:
    values = ANGLES[:1]
    with Standin(tmp_path) as server, redirected(environment(server.url)):
        device = QiskitRuntimeService().backend("ibm_manila")
        done = submit(device, tag="qthw-1", values=values)
        assert wait(done) == "DONE"
        before = counts(done.result())
        server.hold()
        submit(device, tag="qthw-2", values=values)
        running = submit(device, tag="qthw-1", values=values)
        # As if it had been killed while it ran this one.
        server._store.change(running.job_id(), status="Running")
        jobs = server.jobs
    with Standin(tmp_path) as server, redirected(environment(server.url)):
        service = QiskitRuntimeService()
        again = [service.job(job["id"]) for job in jobs]
        assert [wait(job) for job in again] == ["DONE"] * 3
        assert np.array_equal(counts(again[0].result()), before)
        assert np.array_equal(counts(again[2].result()), before)
        assert [job["created"] for job in server.jobs] == [job["created"] for job in jobs]
        assert server.billed_seconds() == pytest.approx(3 * qpu_seconds(500))


def test_one_folder_two_standins(tmp_path: Path) -> None:
    with Standin(tmp_path) as first, Standin(tmp_path) as second:
        first.hold()
        second.hold()
        with redirected(environment(first.url)):
            job = submit(QiskitRuntimeService().backend("ibm_manila"))
        with redirected(environment(second.url)):
            same = QiskitRuntimeService().job(job.job_id())
        first.release()
        second.release()
        assert wait(same) == wait(job) == "DONE"
        assert first.billed_seconds() == second.billed_seconds() == qpu_seconds(1500)


def test_credentials_are_not_stored(standin: Standin) -> None:
    job = submit(QiskitRuntimeService().backend("ibm_manila"))
    assert wait(job) == "DONE"
    tokens = [r.headers["authorization"].split()[1] for r in standin.log if "Bearer" in str(r)]
    assert tokens
    for file in standin._store.folder.rglob("*"):
        text = file.read_text("utf-8") if file.is_file() else ""
        assert API_KEY not in text and not any(token in text for token in tokens), file


def test_a_rehearsal_in_its_own_process(tmp_path: Path) -> None:
    before = dict(os.environ)
    with rehearse("ibm_imaginary", tmp_path, queue_seconds=0.0, instance="mine"):
        service = QiskitRuntimeService(instance="mine")
        assert service.backend("ibm_imaginary").num_qubits == 133
        job = submit(service.backend("ibm_manila"))
        assert wait(job) == "DONE"
    assert dict(os.environ) == before
    with Standin(tmp_path) as server:
        assert [entry["id"] for entry in server.jobs] == [job.job_id()]
    with (
        pytest.raises(UnknownName, match="job-fails"),
        rehearse("x", tmp_path, faults=["job-fail"]),
    ):
        pass


@pytest.fixture
def named(tmp_path: Path) -> Callable[[str], Standin]:
    def start(name: str) -> Standin:
        return Standin(tmp_path / "state", faults=[name])

    return start


@pytest.mark.parametrize(
    ("name", "status", "jobs"),
    [("reply-lost", -1, 1), ("429", 429, 0), ("401", 401, 0)],
)
def test_faults_of_a_submission(
    named: Callable[[str], Standin], name: str, status: int, jobs: int
) -> None:
    for expected in (True, False):  # the second stand-in knows that the fault has happened
        with named(name) as server, redirected(environment(server.url)):
            device = QiskitRuntimeService().backend("ibm_manila")
            if expected:
                with pytest.raises((IBMRuntimeError, IBMNotAuthorizedError)) as caught:
                    submit(device)
                assert getattr(caught.value.__context__, "status_code", 401) == status
                assert len(server.jobs) == jobs
            submit(device)
            assert len(server.jobs) == jobs + (1 if expected else 2)


@pytest.mark.parametrize(("name", "jobs"), [("500", 1), ("503", 1), ("504-after", 2)])
def test_the_clients_own_retry_can_make_two_jobs(
    named: Callable[[str], Standin], name: str, jobs: int
) -> None:
    with named(name) as server, redirected(environment(server.url)):
        submit(QiskitRuntimeService().backend("ibm_manila"))
        assert (server.posts, len(server.jobs)) == (2, jobs)


@pytest.mark.parametrize(
    ("name", "status"), [("job-fails", "ERROR"), ("job-cancelled", "CANCELLED")]
)
def test_faults_of_a_job(named: Callable[[str], Standin], name: str, status: str) -> None:
    with named(name) as server, redirected(environment(server.url)):
        device = QiskitRuntimeService().backend("ibm_manila")
        first = submit(device)
        assert wait(first) == status and first.usage() == 0
        assert wait(submit(device)) == "DONE"


def test_a_truncated_result(named: Callable[[str], Standin]) -> None:
    with named("truncated") as server, redirected(environment(server.url)):
        job = submit(QiskitRuntimeService().backend("ibm_manila"))
        assert wait(job) == "DONE"
        with pytest.raises(RequestsApiError, match="IncompleteRead"):
            job.result()
        assert job.result()[0].data.meas.shape == (3,)


def test_a_result_of_a_wrong_shape(named: Callable[[str], Standin]) -> None:
    with named("wrong-shape") as server, redirected(environment(server.url)):
        job = submit(QiskitRuntimeService().backend("ibm_manila"))
        assert wait(job) == "DONE"
        assert job.result()[0].data.meas.shape == (2,)
        assert job.result()[0].data.meas.shape == (3,)


def test_faults_of_a_device(tmp_path: Path) -> None:
    from qiskit.providers.exceptions import QiskitBackendNotFoundError

    faults = ["retired", "offline", "maintenance", "stuck"]
    with Standin(tmp_path, faults=faults) as server, redirected(environment(server.url)):
        with pytest.raises(QiskitBackendNotFoundError):
            QiskitRuntimeService().backend("ibm_manila")
        service = QiskitRuntimeService()
        device = service.backend("ibm_manila")
        messages = [device.status().status_msg for _ in range(3)]
        assert messages == ["offline", "maintenance", "active"]
        stuck, next_one = submit(device), submit(device)
        assert wait(next_one) == "DONE"
        assert stuck.status() == "QUEUED"
        stuck.cancel()
        assert [job["status"] for job in server.jobs] == ["Cancelled", "Completed"]


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    values = np.random.default_rng(1).uniform(0, 6, (2000, 3))  # runs for a second or so

    def left_running() -> str:
        command = [sys.executable, "-m", "qt_hw_ibm.standin", "--state", str(tmp_path)]
        with subprocess.Popen(
            [*command, "--queue-seconds", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            with redirected(environment(process.stdout.readline().strip())):
                device = QiskitRuntimeService().backend("ibm_manila")
                job = submit(device, shots=100, values=values)
                while job.status() == "QUEUED":
                    time.sleep(0.01)
            process.kill()
        return str(job.job_id())

    id = left_running()
    with Standin(tmp_path) as server, redirected(environment(server.url)):
        service = QiskitRuntimeService()
        job = service.job(id)
        assert wait(job) == "DONE"
        other = submit(service.backend("ibm_manila"), shots=100, values=values)
        assert wait(other) == "DONE"
        assert np.array_equal(counts(job.result()), counts(other.result()))
        assert [entry["id"] for entry in server.jobs] == [id, other.job_id()]


def test_angles_of_rzz_are_limited(tmp_path: Path) -> None:
    from qiskit.circuit import Parameter

    angle = Parameter("a")
    narrow = QuantumCircuit(5, 2)
    narrow.rx(1.0, 0)
    narrow.rzz(angle, 0, 1)
    narrow.measure([0, 1], [0, 1])
    devices = {"ibm_fractional": "fake_fractional"}
    with (
        Standin(tmp_path, devices=devices) as server,
        redirected(environment(server.url)),
    ):
        service = QiskitRuntimeService()
        device = service.backend("ibm_fractional", use_fractional_gates=True)
        jobs = [Sampler(mode=device).run([(narrow, [[value]])]) for value in (1.5, 1.6)]
        assert [wait(job) for job in jobs] == ["DONE", "ERROR"]
        assert "rzz" in jobs[1].error_message()


def test_a_request_without_sense_is_refused(standin: Standin) -> None:
    service = QiskitRuntimeService()
    token = next(r.headers["authorization"] for r in standin.log if "authorization" in r.headers)
    for body, status in (
        ({"program_id": "executor", "backend": "ibm_manila", "params": {}}, 400),
        ({"program_id": "estimator", "backend": "ibm_manila", "params": {}}, 404),
        ({"program_id": "executor", "backend": "ibm_nowhere", "params": {}}, 404),
    ):
        request = urllib.request.Request(
            os.environ["QISKIT_IBM_URL"] + "/jobs",
            data=json.dumps(body).encode(),
            headers={"Authorization": token},
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == status
        caught.value.close()
    assert standin.jobs == []
    assert service.jobs() == []
