"""The stand-in of Amazon Braket: what a rehearsal may be believed for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError
from braket.aws import AwsDevice
from braket.circuits import Circuit
from braket.circuits.serialization import IRType
from braket.devices import LocalSimulator
from braket.error_mitigation import Debias
from braket.program_sets import ProgramSet

from qt_hw.errors import (
    AmbiguousSubmission,
    BadResult,
    InputError,
    JobFailed,
    PermanentError,
    QtHwError,
    TransientError,
    UnknownName,
)
from qt_hw.execution.backend import JobStatus
from qt_hw.execution.registry import open_backend
from qt_hw.execution.rehearsal import rehearse as rehearse_by_name
from qt_hw_braket.cloud import BraketDevice, open_device
from qt_hw_braket.devices import FORTE_1, FORTE_ENTERPRISE_1
from qt_hw_braket.standin import FAULTS, Standin, redirected, rehearse
from qt_hw_braket.standin.capabilities import GATES
from qt_hw_braket.standin.programs import parse, probabilities
from qt_hw_braket.standin.refusal import Refusal
from qt_hw_braket.standin.tasks import present
from tests.backends.braket_cases import batch, creations

PLACE = ("amazon-braket-rehearsal", "tests")
OF_THE_CREATION = ("reply-lost", "500", "503", "504-after", "429")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Standin, BraketDevice]]:
    with (
        Standin(tmp_path_factory.mktemp("cloud")) as standin,
        redirected(standin.url),
        pytest.MonkeyPatch.context() as env,
    ):
        env.setenv("AWS_MAX_ATTEMPTS", "1")
        yield standin, open_device("forte-1", {})


@pytest.fixture
def standin(service: tuple[Standin, BraketDevice], tmp_path: Path) -> Standin:
    service[0].load(tmp_path / "cloud")
    service[0].log.clear()
    return service[0]


@pytest.fixture
def backend(service: tuple[Standin, BraketDevice], standin: Standin) -> BraketDevice:
    return service[1]


# Circuits


PAIRS = ("cnot", "xx", "yy", "zz", "swap")
TURNS = ("rx", "ry", "rz", "xx", "yy", "zz", "gpi", "gpi2")


def random_circuit(seed: int, names: list[str]) -> Circuit:
    """Return 60 gates on 4 qubits, in any order of their qubits."""
    rng, circuit = np.random.default_rng(seed), Circuit()
    for name in [*names, *rng.choice(names, 60)]:
        qubits = rng.permutation(4)[: 2 if name in PAIRS else 1].tolist()
        angles = rng.uniform(-3, 3, int(name in TURNS)).tolist()
        getattr(circuit, name)(*qubits, *angles)
    return circuit


@pytest.mark.parametrize("names", [[*GATES], ["gpi", "gpi2", "zz"]], ids=["compiled", "native"])
@pytest.mark.parametrize("seed", range(3))
def test_circuits_have_the_law_of_amazons_own_simulator(names: list[str], seed: int) -> None:
    circuit = random_circuit(seed, names)
    task = LocalSimulator("braket_sv").run(circuit.copy().probability(range(4)), shots=0)
    sent = circuit.copy()
    if "gpi" in names:
        sent = Circuit().add_verbatim_box(circuit)
    source = sent.measure(range(4)).to_ir(IRType.OPENQASM).source
    np.testing.assert_allclose(
        probabilities(parse(source)), task.result().values[0], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ctrl @ ry(0.1) q[0], q[1]", "unsupported GateModifier: 'ctrl'"),
        ("u(0.1, 0.2, 0.3) q[0]", "unsupported gate or statement: u"),
        ("ry(0.1) q[2]", "all qubits must be measured"),
        ("b[2] = measure q[40]", "the device has 36 qubits"),
    ],
)
def test_circuits_that_the_device_does_not_take_are_refused(text: str, message: str) -> None:
    source = (
        "OPENQASM 3.0;\nbit[2] b;\nqubit[2] q;\nry(0.1) q[0];\n"
        f"{text};\nb[0] = measure q[0];\nb[1] = measure q[1];"
    )
    with pytest.raises(Refusal, match=message):
        parse(source)


def ry(n_gates: int = 1) -> Circuit:
    circuit = Circuit()
    for _ in range(n_gates):
        circuit.ry(0, 0.3)
    return circuit.measure([0])


@pytest.mark.parametrize(
    ("what", "shots", "more", "message"),
    [
        (ry(), 99, {}, r"shots must be in \[100, 5000\]"),
        (ry(), 5001, {}, r"shots must be in \[100, 5000\]"),
        (ry(201), 5000, {}, "gates times shots"),
        (ry(), 2499, {"device_parameters": {"errorMitigation": Debias()}}, "at least 2500"),
        (ProgramSet([ry()] * 101), 101 * 100, {}, "bad program set"),
        (ProgramSet([ry()] * 3), 1000, {}, "bad program set"),
        (ProgramSet([ry()] * 100), 100 * 1001, {}, "total shots"),
        (ProgramSet([ry()] * 2), 100, {}, "shots must be"),
    ],
)
def test_requests_that_the_device_does_not_take_are_refused(
    standin: Standin, what: Any, shots: int, more: dict[str, Any], message: str
) -> None:
    device = AwsDevice(FORTE_1)
    with pytest.raises(ClientError, match=message):
        device.run(what, PLACE, shots=shots, **more)
    assert standin.tasks() == []


def test_program_sets_can_be_absent(tmp_path: Path) -> None:
    with (
        Standin(tmp_path, program_sets=False) as standin,
        redirected(standin.url),
        pytest.raises(ClientError, match="does not support program sets"),
    ):
        AwsDevice(FORTE_1).run(ProgramSet([ry()] * 2), PLACE, shots=200)


def test_the_identity_of_the_account_can_be_asked(standin: Standin) -> None:
    assert boto3.client("sts").get_caller_identity()["Account"] == "000000000000"


# Counts and state


def test_counts_follow_from_the_token(
    standin: Standin, backend: BraketDevice, tmp_path: Path
) -> None:
    wanted = batch(backend, 3)
    first = backend.submit(wanted, "qthw-1").result().arrays[0]
    other = backend.submit(wanted, "qthw-2").result().arrays[0]
    standin.load(tmp_path / "another")
    again = backend.submit(wanted, "qthw-1").result().arrays[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({row.tobytes() for row in [*first, *other]}) == 6


def test_a_new_process_has_the_same_tasks(
    standin: Standin, backend: BraketDevice, tmp_path: Path
) -> None:
    wanted = batch(backend, 2)
    job = backend.submit(wanted, "qthw-1")
    before = standin.tasks()
    standin.load(tmp_path / "cloud")  # before anybody asked for the result
    assert standin.tasks() == before
    counts = backend.job(job.id).result()
    standin.load(tmp_path / "cloud")
    np.testing.assert_array_equal(backend.job(job.id).result().arrays[0], counts.arrays[0])
    assert backend.submit(wanted, "qthw-1").id == job.id
    assert len(standin.tasks()) == 1


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Let the stand-in believe that it is so much later than it is."""
    monkeypatch.setattr(
        "qt_hw_braket.standin.server.present", lambda: present() + timedelta(seconds=seconds)
    )


def test_a_task_waits_runs_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Standin(tmp_path, queue_seconds=60, run_seconds=60) as standin, redirected(standin.url):
        backend = open_device("forte-1", {})
        job = backend.submit(batch(backend, 1), "qthw-1")
        for seconds, state, usd in (
            (0, JobStatus.QUEUED, 0.0),
            (60, JobStatus.RUNNING, 0.0),
            (120, JobStatus.DONE, 16.3),
        ):
            pass_time(monkeypatch, seconds)
            assert job.status() is state
            assert standin.billed_usd() == usd


def test_new_tasks_may_be_missing_from_searches(
    standin: Standin, backend: BraketDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standin, "search_lag", 120.0)
    job = backend.submit(batch(backend, 1), "qthw-1")
    assert backend.find("qthw-1") == []
    pass_time(monkeypatch, 120)
    assert [found.id for found in backend.find("qthw-1")] == [job.id]


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    options = json.dumps({"queue_seconds": 1.0})
    command = [sys.executable, "-m", "qt_hw_braket.standin", str(tmp_path), options]
    ids, counts = [], []
    for number in range(2):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None and process.stdout is not None
        with redirected(process.stdout.readline().strip()):
            backend = open_device("forte-1", {})
            job = backend.submit(batch(backend, 2), "qthw-1")
            ids.append(job.id)
            if number == 1:
                counts.append(job.result().arrays[0])
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()
    assert len(set(ids)) == 1
    with Standin(tmp_path / "fresh") as standin, redirected(standin.url):
        backend = open_device("forte-1", {})
        counts.append(backend.submit(batch(backend, 2), "qthw-1").result().arrays[0])
    np.testing.assert_array_equal(*counts)
    assert [path.suffix for path in (tmp_path / "tasks").iterdir()] == [".json"]


# Faults by name


@pytest.mark.parametrize("name", OF_THE_CREATION)
def test_faults_of_the_creation_last_for_three_attempts(
    standin: Standin, backend: BraketDevice, tmp_path: Path, name: str
) -> None:
    wanted = batch(backend, 1)
    standin.load(tmp_path / "cloud", [name])
    error = TransientError if name == "429" else AmbiguousSubmission
    for number in range(3):
        if number == 2:
            standin.load(tmp_path / "cloud", [name])  # a new process remembers the first two
        with pytest.raises(error):
            backend.submit(wanted, "qthw-1")
    made = name in ("reply-lost", "504-after")
    assert len(standin.tasks()) == int(made)
    assert backend.submit(wanted, "qthw-1").status() is JobStatus.DONE
    standin.load(tmp_path / "cloud", [name])
    backend.submit(wanted, "qthw-2")  # never again
    assert len(creations(standin)) == 5
    assert len(standin.tasks()) == 2


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("401", PermanentError),
        ("offline", PermanentError),
        ("retired", PermanentError),
        ("job-fails", JobFailed),
        ("job-cancelled", JobFailed),
        ("partial", JobFailed),
        ("partial-completed", JobFailed),
        ("truncated", BadResult),
        ("wrong-shape", BadResult),
        ("result-missing", BadResult),
    ],
)
def test_every_other_fault_happens_once(
    standin: Standin,
    backend: BraketDevice,
    tmp_path: Path,
    name: str,
    error: type[QtHwError],
) -> None:
    wanted = batch(backend, 2)
    standin.load(tmp_path / "cloud", [name])
    with pytest.raises(error):
        backend.submit(wanted, "qthw-1").result()
    standin.load(tmp_path / "cloud", [name])
    assert backend.submit(wanted, "qthw-2").result().arrays[0].sum() == 400


def test_a_task_can_be_stuck(standin: Standin, backend: BraketDevice) -> None:
    standin.add_fault("stuck")
    job = backend.submit(batch(backend, 1), "qthw-1")
    assert job.status() is JobStatus.QUEUED and job.queue() == "position 1"
    job.cancel()
    assert job.status() is JobStatus.CANCELLED
    assert standin.billed_usd() == 0.0


def test_all_faults_are_tested_here() -> None:
    tested = {"401", "offline", "retired", "truncated", "stuck", "wrong-shape", "result-missing"}
    tested |= {"job-fails", "job-cancelled", "partial", "partial-completed", *OF_THE_CREATION}
    assert tested == set(FAULTS)


def test_unknown_faults_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'offline'"):
        Standin(tmp_path, faults=["offlin"])


# Rehearsals


def test_a_rehearsal_keeps_its_tasks_and_leaves_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "my-token")
    monkeypatch.setenv("BRAKET_ENDPOINT", "https://example.org")
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    before = dict(os.environ)
    ids = []
    for name in ("ionq:forte-enterprise-1", f"braket:{FORTE_ENTERPRISE_1}"):
        with rehearse_by_name(name, tmp_path, queue_seconds=0.0, run_seconds=0.0):
            assert "AWS_PROFILE" not in os.environ and "BRAKET_ENDPOINT" not in os.environ
            assert os.environ["AWS_ACCESS_KEY_ID"] == "rehearsal"
            assert os.environ["NO_PROXY"] == "example.org,127.0.0.1,localhost"
            backend = open_backend(name)
            assert isinstance(backend, BraketDevice)
            assert backend.limits.paid and backend.preflight() == []
            job = backend.submit(batch(backend, 2), "qthw-1")
            assert job.result().arrays[0].sum() == 400
            ids.append(job.id)
        assert dict(os.environ) == before
    assert len(set(ids)) == 1


def test_a_rehearsal_ends_cleanly_when_its_user_fails(tmp_path: Path) -> None:
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), rehearse("forte-1", tmp_path):
        raise ZeroDivisionError
    assert dict(os.environ) == before


def test_a_backend_of_a_rehearsal_never_turns_to_the_real_service(tmp_path: Path) -> None:
    with Standin(tmp_path) as standin, redirected(standin.url):
        unused, used = open_device("forte-1", {}), open_device("forte-1", {})
        job = used.submit(batch(used, 1), "qthw-1")
    for call in (lambda: unused.limits, used.preflight, job.status, lambda: used.find("qthw-1")):
        with pytest.raises(PermanentError, match="open the backend again"):
            call()
    before = open_device("forte-1", {})
    with redirected(standin.url), pytest.raises(PermanentError, match="open the backend again"):
        before.preflight()


@pytest.mark.parametrize(
    ("device", "options", "error", "message"),
    [
        ("forte-1", {"faults": ["offlin"]}, UnknownName, "did you mean 'offline'"),
        ("forte-1", {"queue": 3}, UnknownName, "unknown option 'queue' of the rehearsal"),
        ("aria", {}, InputError, "not the ARN of a device"),
    ],
)
def test_bad_rehearsals_are_refused(
    tmp_path: Path, device: str, options: dict[str, Any], error: type[QtHwError], message: str
) -> None:
    with pytest.raises(error, match=message), rehearse(device, tmp_path, **options):
        pytest.fail("it started")


def test_importing_loads_no_vendor_package() -> None:
    code = (
        "import sys, qt_hw_braket.cloud, qt_hw_braket.standin; "
        "print([m for m in ('boto3', 'botocore', 'braket') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
