"""Devices of Amazon Braket, asked over HTTP by the unmodified SDK."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import boto3
import numpy as np
import pytest
from braket.aws import AwsDevice, AwsQuantumTask
from braket.error_mitigation import Debias
from braket.program_sets import ProgramSet

from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError, PreflightError, UnknownName
from qt_hw.execution.backend import Backend, Batch, Item, JobStatus
from qt_hw.execution.splitting import split
from qt_hw.testing import BackendContract
from qt_hw.testing.oracles import assert_sampled_from, ideal_law
from qt_hw_braket import emit, native
from qt_hw_braket.cloud import BraketDevice, open_device
from qt_hw_braket.devices import FORTE_1, FORTE_ENTERPRISE_1, stated_errors
from qt_hw_braket.request import shape_of, tags_of
from qt_hw_braket.standin import Standin, redirected
from qt_hw_braket.standin.tasks import Tasks
from tests.backends.braket_cases import ANSATZ, batch, creations, items

GARNET = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"
ANKAA = "arn:aws:braket:us-west-1::device/qpu/rigetti/Ankaa-3"
BUCKET = "amazon-braket-rehearsal"


class _Cloud(BackendContract):
    shots: ClassVar[int] = 1000
    n_rows: ClassVar[int] = 60
    seeded: ClassVar[bool] = False
    idempotent: ClassVar[bool] = True
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _cloud(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with Standin(tmp_path_factory.mktemp("cloud")) as standin, redirected(standin.url):
            yield

    @classmethod
    def make_backend(cls) -> Backend:
        return open_device("forte-1", cls.options)


class TestForte(_Cloud):
    """Many circuits in a program set."""


class TestForteSingleTasks(_Cloud):
    n_rows: ClassVar[int] = 12
    options: ClassVar[dict[str, Any]] = {"program_sets": False}


class TestForteVerbatim(_Cloud):
    """Native gates."""

    options: ClassVar[dict[str, Any]] = {"verbatim": True}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Standin, BraketDevice]]:
    """Yield a stand-in and a backend, whose connection takes half a second to make."""
    with Standin(tmp_path_factory.mktemp("cloud")) as standin, redirected(standin.url):
        yield standin, open_device("forte-1", {})


@pytest.fixture
def standin(service: tuple[Standin, BraketDevice], tmp_path: Path) -> Iterator[Standin]:
    """Yield the stand-in, without tasks."""
    with redirected(service[0].url):
        service[0].load(tmp_path / "cloud")
        service[0].log.clear()
        yield service[0]


@pytest.fixture
def backend(service: tuple[Standin, BraketDevice], standin: Standin) -> BraketDevice:
    return service[1]


# Requests are those of the SDK


def _circuit(row: Any, verbatim: bool, backend: BraketDevice) -> Any:
    circuit = backend.prepare(ANSATZ).circuit
    if not verbatim:
        return emit.circuit(circuit, row)
    return native.circuit(3, native.native_gates(3, emit.gate_list(circuit, row)))


@pytest.mark.parametrize(
    ("arn", "options", "arguments"),
    [
        (FORTE_1, {}, {}),
        (FORTE_1, {"debias": True}, {"device_parameters": {"errorMitigation": Debias()}}),
        (FORTE_1, {"verbatim": True}, {"disable_qubit_rewiring": True}),
        (GARNET, {}, {}),
        (ANKAA, {}, {}),
    ],
    ids=["IonQ", "debias", "verbatim", "IQM", "Rigetti"],
)
@pytest.mark.parametrize("n_rows", [1, 3])
def test_requests_are_what_the_sdk_would_send(
    tmp_path: Path, arn: str, options: dict[str, Any], arguments: dict[str, Any], n_rows: int
) -> None:
    if n_rows > 1 and "debias" in options:
        return  # single tasks only: see test_debiasing_takes_single_tasks
    with Standin(tmp_path, device=arn) as standin, redirected(standin.url, arn):
        backend = open_device(arn, options)
        (item,) = items(backend, n_rows, shots=2500)
        backend.submit(Batch((item,)), "qthw-1")
        circuits = [_circuit(row, "verbatim" in options, backend) for row in item.bindings]
        place = (BUCKET, "qt-hw")
        if n_rows == 1:
            AwsDevice(arn).run(circuits[0], place, shots=2500, **arguments)
        else:
            AwsDevice(arn).run(ProgramSet(circuits, shots_per_executable=2500), place)
        ours, theirs = creations(standin)
    assert ours.pop("clientToken") == ours["tags"].pop("qt-hw") == "qthw-1"
    assert ours.pop("tags") == {"qt-hw-items": f"{n_rows}@3"}
    assert theirs.pop("clientToken")
    assert ours == theirs


def test_results_are_what_the_sdk_reads(backend: BraketDevice) -> None:
    job = backend.submit(batch(backend, 3), "qthw-1")
    (ours,) = job.result().arrays
    theirs = AwsQuantumTask(job.id).result()
    for row, entry in zip(ours, theirs.entries, strict=True):
        # The SDK's key starts with qubit 0; ours is the index with qubit 0 as its lowest bit.
        found = {f"{index:03b}"[::-1]: count / 200 for index, count in enumerate(row) if count}
        assert found == entry[0].probabilities


def test_results_spread_over_many_files_are_the_same(tmp_path: Path) -> None:
    arrays = []
    for split_results in (False, True):
        with (
            Standin(tmp_path / str(split_results), split_results=split_results) as standin,
            redirected(standin.url),
        ):
            backend = open_device("forte-1", {})
            job = backend.submit(batch(backend, 3, 1), "qthw-1")
            arrays.append(np.concatenate(job.result().arrays))
            if split_results:
                theirs = AwsQuantumTask(job.id).result()
                assert theirs[3][0].probabilities["000"] == arrays[1][3, 0] / 200
    np.testing.assert_array_equal(*arrays)


# Limits


def test_limits_are_those_of_the_device(backend: BraketDevice) -> None:
    limits = backend.limits
    assert (limits.max_qubits, limits.min_shots, limits.split_shots) == (36, 100, 5000)
    assert (limits.max_bindings, limits.max_executions) == (100, 100_000)
    assert limits.paid and limits.one_shot_count and not limits.exact and not limits.may_duplicate


def test_limits_are_read_at_run_time(tmp_path: Path) -> None:
    changes = {"shots": (7, 70), "max_executables": 9, "max_total_shots": 400}
    with Standin(tmp_path, **changes) as standin, redirected(standin.url):
        limits = open_device("forte-1", {}).limits
    assert (limits.min_shots, limits.split_shots, limits.max_bindings) == (7, 70, 9)
    assert limits.max_executions == 400


def test_a_device_without_program_sets_takes_single_tasks(tmp_path: Path) -> None:
    with Standin(tmp_path, program_sets=False) as standin, redirected(standin.url):
        backend = open_device("forte-1", {})
        assert (backend.limits.max_bindings, backend.limits.max_executions) == (1, None)
        wanted = batch(backend, 3)
        assert backend.estimate(wanted).jobs == 3
        for number, job in enumerate(split(wanted, backend.limits, backend.bindings_per_job)):
            backend.submit(job.batch, f"qthw-{number}")
        assert len(standin.tasks()) == 3
        insisting = open_device("forte-1", {"program_sets": True})
        with pytest.raises(PreflightError, match="program_sets=True"):
            insisting.estimate(batch(insisting, 1))
        assert any("program_sets=True" in reason for reason in insisting.preflight())


def test_a_program_set_below_its_minimum_is_refused(tmp_path: Path) -> None:
    with Standin(tmp_path, min_total_shots=1000) as standin, redirected(standin.url):
        backend = open_device("forte-1", {})
        with pytest.raises(PreflightError, match=r"400 shots in a program set.*program_sets=False"):
            backend.submit(batch(backend, 2), "qthw-1")
        backend.submit(batch(backend, 1), "qthw-2")  # a single task has no such minimum
        assert len(standin.tasks()) == 1


def test_a_program_set_that_takes_fewer_shots_than_a_task_is_respected(tmp_path: Path) -> None:
    with Standin(tmp_path, max_total_shots=500) as standin, redirected(standin.url):
        backend = open_device("forte-1", {})
        circuit = backend.prepare(ANSATZ).circuit
        angles = np.zeros((3, circuit.num_parameters))
        wanted = Batch((Item(circuit, angles, 200), Item(circuit, angles[:1], 3000)))
        jobs = split(wanted, backend.limits, backend.bindings_per_job)
        assert [(job.batch.n_circuits, job.batch.n_shots) for job in jobs] == [
            (2, 400),
            (1, 200),
            (1, 3000),
        ]
        for number, job in enumerate(jobs):
            backend.submit(job.batch, f"qthw-{number}")
        with pytest.raises(PreflightError, match="takes at most 500"):
            backend.submit(Batch(wanted.items[:1]), "qthw-whole")
        assert len(standin.tasks()) == 3


def test_opening_a_device_asks_nothing(standin: Standin) -> None:
    backend = open_device("forte-1", {})
    backend.describe()
    assert standin.log == []


@pytest.mark.parametrize(
    ("options", "least"),
    [({}, 60_000), ({"verbatim": True}, 50_000)],
    ids=["compiled", "verbatim"],
)
def test_circuits_per_request_follow_from_their_size(
    standin: Standin, options: dict[str, Any], least: int
) -> None:
    backend = open_device("forte-1", {**options, "payload_bytes": 100_000})
    ansatz = U3Cu3(8, 1)
    prepared = backend.prepare(ansatz)
    angles = np.random.default_rng(1).uniform(-np.pi, np.pi, (60, len(prepared.b)))
    item = Item(prepared.circuit, angles, 100)
    most = backend.bindings_per_job(item)
    assert most is not None and 10 < most < 60
    jobs = split(Batch((item,)), backend.limits, backend.bindings_per_job)
    for number, job in enumerate(jobs):
        backend.submit(job.batch, f"qthw-{number}")
    sizes = [len(json.dumps(body)) for body in creations(standin)]
    assert least < max(sizes) <= 100_000
    with pytest.raises(PreflightError, match=r"payload_bytes=100,000"):
        backend.submit(Batch((item,)), "qthw-whole")
    assert len(creations(standin)) == len(jobs)


# Gate-shots, debiasing, verbatim


def test_gate_shots_above_the_cap_are_refused_with_the_shots_that_fit(
    backend: BraketDevice,
) -> None:
    ansatz = U3Cu3(8, 4)
    prepared = backend.prepare(ansatz)
    n_gates = prepared.circuit.size()
    item = Item(prepared.circuit, np.zeros((1, len(prepared.b))), 5000)
    with pytest.raises(PreflightError) as caught:
        backend.estimate(Batch((item,)))
    assert f"at most {1_000_000 // n_gates} shots fit" in str(caught.value)
    assert "gateshot_cap" in str(caught.value) and "does not specify" in str(caught.value)
    with pytest.raises(PreflightError, match="gate-shots"):
        backend.submit(Batch((item,)), "qthw-1")
    fitting = Item(prepared.circuit, item.bindings, 1_000_000 // n_gates)
    assert backend.estimate(Batch((fitting,))).shots == 1_000_000 // n_gates
    lifted = open_device("forte-1", {"gateshot_cap": 0})
    assert lifted.estimate(Batch((item,))).shots == 5000


def test_debiasing_takes_single_tasks_of_at_least_2500_shots(standin: Standin) -> None:
    backend = open_device("forte-1", {"debias": True})
    assert (backend.limits.min_shots, backend.limits.max_bindings) == (2500, 1)
    with pytest.raises(PreflightError, match="at least 2500"):
        backend.submit(batch(backend, 1, shots=1000), "qthw-1")
    with pytest.raises(PreflightError, match="a job takes 1"):
        backend.submit(batch(backend, 2, shots=2500), "qthw-2")
    wanted = batch(backend, 1, shots=2500)
    job = backend.submit(wanted, "qthw-3")
    (array,) = job.result().arrays
    assert "Debias" in creations(standin)[-1]["deviceParameters"]
    # Probabilities that are no multiples of 1/shots are not rounded.
    assert array.dtype == np.float64
    assert abs(array.sum() - 2500) < 1e-9
    assert np.abs(array - np.round(array)).max() > 0.1
    theirs = AwsQuantumTask(job.id).result().measurement_probabilities
    assert theirs["100"] * 2500 == pytest.approx(array[0, 1])


@pytest.mark.parametrize("role", ["fold(3)", "twirl(5)"])
def test_folds_and_twirls_need_verbatim_circuits(backend: BraketDevice, role: str) -> None:
    with pytest.raises(PreflightError, match=r"would undo it; set verbatim=True"):
        backend.submit(batch(backend, 2, role=role), "qthw-1")
    with pytest.raises(PreflightError, match="verbatim"):
        backend.estimate(batch(backend, 2, role=role))
    verbatim = open_device("forte-1", {"verbatim": True})
    counts = verbatim.submit(batch(verbatim, 2, role=role), "qthw-2").result()
    assert counts.arrays[0].sum() == 400


def test_folds_are_refused_where_nothing_is_verbatim(tmp_path: Path) -> None:
    with Standin(tmp_path, device=GARNET) as standin, redirected(standin.url, GARNET):
        backend = open_device(GARNET, {})
        with pytest.raises(PreflightError, match="use an IonQ device"):
            backend.submit(batch(backend, 1, role="fold(3)"), "qthw-1")


def test_verbatim_circuits_follow_the_law(standin: Standin) -> None:
    backend = open_device("forte-1", {"verbatim": True})
    prepared = backend.prepare(ANSATZ)
    angles = np.random.default_rng(5).uniform(-np.pi, np.pi, (4, ANSATZ.n_angles))
    item = Item(prepared.circuit, prepared.form.gate_angles(angles), 5000)
    (array,) = backend.submit(Batch((item,)), "qthw-1").result().arrays
    assert_sampled_from(array, ideal_law(ANSATZ, angles), 6.0)
    source = json.loads(creations(standin)[0]["action"])["programs"][0]["source"]
    assert "#pragma braket verbatim" in source and "rz(" not in source


def test_the_full_size_of_the_papers_is_refused(backend: BraketDevice) -> None:
    prepared = backend.prepare(U3Cu3(13, 16))
    item = Item(prepared.circuit, np.zeros((1, len(prepared.b))), 1000)
    with pytest.raises(PreflightError, match="gate-shots"):
        backend.estimate(Batch((item,)))


# Shape, tokens, search


def test_many_different_items_travel_as_tags(backend: BraketDevice) -> None:
    rows = [1 + number % 2 for number in range(66)]
    wanted = batch(backend, *rows)
    tags = tags_of(wanted, "qthw-1")
    assert shape_of(tags) == tuple((n, 3) for n in rows)
    assert len(tags) > 2 and all(len(value) <= 256 for value in tags.values())
    job = backend.submit(wanted, "qthw-1")
    found = backend.job(job.id).result()
    assert [len(array) for array in found.arrays] == rows
    assert found.shots == (200,) * 66


def test_items_on_different_qubits_keep_their_sizes(backend: BraketDevice) -> None:
    small = RyCnot(2, 1)
    prepared = backend.prepare(small)
    angles = np.pi * np.array([[1.0, 0.0], [0.0, 0.0]])
    other = Item(prepared.circuit, prepared.form.gate_angles(angles), 200)
    wanted = Batch((*items(backend, 1), other))
    arrays = backend.submit(wanted, "qthw-1").result().arrays
    assert [array.shape for array in arrays] == [(1, 8), (2, 4)]
    law = ideal_law(small, angles)
    np.testing.assert_array_equal(arrays[1], np.round(200 * law))


def test_search_reads_every_page_and_sorts(backend: BraketDevice, standin: Standin) -> None:
    body = {
        "deviceArn": FORTE_1,
        "shots": 200,
        "outputS3Bucket": BUCKET,
        "outputS3KeyPrefix": "x",
        "action": "{}",
    }
    first = backend.submit(batch(backend, 1), "qthw-mine")
    store: Tasks = standin._tasks
    for number in range(250):
        store.create(f"other-{number}", body, queue_seconds=0.0, run_seconds=0.0)
    assert [job.id for job in backend.find("qthw-mine")] == [first.id]
    pages = [request for request in standin.log if request.path == "/quantum-tasks"]
    assert len(pages) == 3
    assert backend.find("other-1") == []  # a token, but not in our tag


def test_tasks_of_others_are_not_ours(backend: BraketDevice) -> None:
    (item,) = items(backend, 1)
    circuit = emit.circuit(item.circuit, item.bindings[0])
    theirs = AwsDevice(FORTE_1).run(circuit, (BUCKET, "x"), shots=100)
    with pytest.raises(InputError, match="was not made by qt-hw"):
        backend.job(theirs.id)


def test_a_task_of_another_device_is_refused(tmp_path: Path) -> None:
    with Standin(tmp_path, device=FORTE_ENTERPRISE_1) as standin, redirected(standin.url):
        backend = open_device("forte-enterprise-1", {})
        job = backend.submit(batch(backend, 1), "qthw-1")
        with pytest.raises(InputError, match="Forte-Enterprise-1"):
            open_device("forte-1", {}).job(job.id)


@pytest.mark.parametrize("token", ["", "x" * 65, "two words", 3])
def test_tokens_that_aws_refuses_are_refused(backend: BraketDevice, token: Any) -> None:
    with pytest.raises(InputError, match="token"):
        backend.submit(batch(backend, 1), token)


def test_the_queue_tells_its_position(tmp_path: Path) -> None:
    with Standin(tmp_path, queue_seconds=3600) as standin, redirected(standin.url):
        backend = open_device("forte-1", {})
        jobs = [backend.submit(batch(backend, 1), f"qthw-{number}") for number in range(2)]
        assert [job.status() for job in jobs] == [JobStatus.QUEUED] * 2
        assert [job.queue() for job in jobs] == ["position 1", "position 2"]
        assert jobs[0].charge() is None
        jobs[0].cancel()
        jobs[0].cancel()  # nothing more to stop
        assert jobs[0].status() is JobStatus.CANCELLED
        assert jobs[0].queue() is None
        assert jobs[1].queue() == "position 1"


def test_a_result_is_waited_for(tmp_path: Path) -> None:
    with Standin(tmp_path, queue_seconds=0.2, run_seconds=0.3) as standin, redirected(standin.url):
        backend = open_device("forte-1", {})
        job = backend.submit(batch(backend, 1), "qthw-1")
        assert job.result().arrays[0].sum() == 200


# Money


def test_one_evaluation_on_forte_costs_200_30(backend: BraketDevice) -> None:
    cost = backend.estimate(batch(backend, 1, shots=2500))
    assert cost.usd_low == cost.usd_high == 200.30
    assert cost.source == "prices of 2025 (aws.amazon.com/braket/pricing)"


def test_the_bill_equals_the_estimate(backend: BraketDevice, standin: Standin) -> None:
    estimated = charged = 0.0
    for number, rows in enumerate([(1,), (7, 3), (100,)]):
        wanted = batch(backend, *rows)
        estimated += backend.estimate(wanted).usd_high
        charge = backend.submit(wanted, f"qthw-{number}").charge()
        assert charge is not None and charge.source == "price table"
        charged += charge.usd or 0.0
    assert estimated == pytest.approx(standin.billed_usd(), rel=1e-9)
    assert charged == pytest.approx(standin.billed_usd(), rel=1e-9)
    # 3 tasks and 111 circuits of 200 shots.
    assert standin.billed_usd() == pytest.approx(3 * 0.30 + 111 * 200 * 0.08)


def test_an_estimate_counts_the_tasks_that_a_batch_needs(backend: BraketDevice) -> None:
    cost = backend.estimate(batch(backend, 250, shots=6000))
    # 6000 shots are two times 3000; 33 circuits of 3000 shots fill 100,000 executions.
    assert cost.jobs == 2 * 8
    assert cost.usd_high == pytest.approx(0.30 * 16 + 250 * 6000 * 0.08)


def test_prices_can_be_given(standin: Standin, tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('date = "2030-01"\n[devices.Forte-1]\ntask_usd = 1\nshot_usd = 0.5\n')
    backend = open_device("forte-1", {"prices": str(file)})
    cost = backend.estimate(batch(backend, 1, shots=100))
    assert cost.usd_high == 51.0
    assert cost.source == f"prices of 2030-01 ({file})"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("date =", "cannot read"),
        ("[devices.Garnet]\ntask_usd = 1", r"price of Forte-1 is not known \(known: Garnet\)"),
        ("[devices.Forte-1]\ntask_usd = 1", "needs task_usd and shot_usd"),
        ("[devices.Forte-1]\ntask_usd = 1\nshot_usd = -1", "needs task_usd and shot_usd"),
        ("[devices.Forte-1]\ntask_usd = 1\nshot_usd = nan", "needs task_usd and shot_usd"),
    ],
    ids=["no file", "no TOML", "another device", "no shots", "negative", "not a number"],
)
def test_bad_price_tables_are_refused(
    standin: Standin, tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "prices.toml"
    if text is not None:
        file.write_text(text)
    backend = open_device("forte-1", {"prices": file})
    with pytest.raises(InputError, match=message) as caught:
        backend.estimate(batch(backend, 1))
    assert "\n" not in str(caught.value)
    assert backend.describe()["prices"] is None


# Account and options


def test_a_bucket_is_needed_to_submit(
    backend: BraketDevice, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMZN_BRAKET_OUT_S3_BUCKET")
    wanted = batch(backend, 1)
    assert backend.estimate(wanted).jobs == 1
    (reason,) = backend.preflight()
    assert "--set account.bucket=" in reason
    with pytest.raises(PreflightError, match="bucket"):
        backend.submit(wanted, "qthw-1")
    own = open_device("forte-1", {"bucket": "amazon-braket-mine", "prefix": "my/runs"})
    assert own.preflight() == []
    assert own.submit(wanted, "qthw-1").result().arrays[0].sum() == 200
    (task,) = standin.tasks()
    assert (task["outputS3Bucket"], task["outputS3Directory"][:8]) == (
        "amazon-braket-mine",
        "my/runs/",
    )


def test_a_reservation_in_the_environment_is_refused(
    backend: BraketDevice, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMZN_BRAKET_RESERVATION_DEVICE_ARN", FORTE_1)
    monkeypatch.setenv("AMZN_BRAKET_RESERVATION_TIME_WINDOW_ARN", "arn:of:a:window")
    with pytest.raises(PreflightError, match="reservation"):
        backend.submit(batch(backend, 1), "qthw-1")
    assert any("reservation" in reason for reason in backend.preflight())
    assert len(backend.describe()["environment"]) == 2
    monkeypatch.setenv("AMZN_BRAKET_RESERVATION_DEVICE_ARN", FORTE_ENTERPRISE_1)
    backend.submit(batch(backend, 1), "qthw-1")
    assert "associations" not in creations(standin)[0]


def test_the_description_holds_no_secret(
    backend: BraketDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEKEY",
        "AWS_SECRET_ACCESS_KEY": "secret-example",
        "AWS_SESSION_TOKEN": "session-example",
        "AMZN_BRAKET_JOB_TOKEN": "job-token-example",
    }.items():
        monkeypatch.setenv(name, value)
    text = json.dumps([backend.describe(), dict(backend.prepare(ANSATZ).properties)])
    for secret in ("AKIAEXAMPLEKEY", "secret-example", "session-example", "job-token-example"):
        assert secret not in text
    assert "AMZN_BRAKET_JOB_TOKEN" in text


def test_prepared_circuits_name_device_and_calibration(backend: BraketDevice) -> None:
    prepared = backend.prepare(ANSATZ)
    assert prepared.calibration_date == "2026-01-01T00:00:00"
    assert prepared.properties["device"] == FORTE_1
    assert prepared.properties["calibration"]["fidelity"]["2Q"] == {"mean": 0.995}
    assert json.loads(json.dumps(prepared.properties)) == prepared.properties
    assert set(prepared.circuit.count_ops()) == {"rz", "ry", "cx"}
    # One less the fidelities; two pulses make any rotation, and rz costs none.
    errors = prepared.properties["gate_errors"]
    assert (errors["rz"], errors["cx"]) == ({"*": 0.0}, {"*": pytest.approx(0.005)})
    assert errors["ry"] == {"*": pytest.approx(0.0004)}
    for key in ("readout_p01", "readout_p10"):
        assert prepared.properties[key] == pytest.approx([0.005] * ANSATZ.n_qubits)


@pytest.mark.parametrize(
    "fidelity",
    [
        None,
        {},
        {"1Q": {"mean": 0.999}, "2Q": {"mean": 0.99}},
        {"1Q": {"mean": 0.999}, "2Q": {"mean": None}, "spam": {"mean": 0.99}},
        {"1Q": {"mean": 99.9}, "2Q": {"mean": 99.0}, "spam": {"mean": 99.0}},
    ],
)
def test_errors_that_a_provider_does_not_state_are_not_made_up(fidelity: Any) -> None:
    assert stated_errors({"fidelity": fidelity}, 2) == {}


def test_more_qubits_than_the_device_has_are_refused(backend: BraketDevice) -> None:
    with pytest.raises(PreflightError, match="37 qubits"):
        backend.prepare(RyCnot(37, 1))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bukket": "x"}, UnknownName, "did you mean 'bucket'"),
        ({"bucket": "x"}, InputError, "3 to 63"),
        ({"bucket": "two words"}, InputError, "bucket"),
        ({"prefix": ""}, InputError, "prefix"),
        ({"prefix": None}, InputError, "prefix"),
        ({"debias": "yes"}, InputError, "debias"),
        ({"verbatim": 1}, InputError, "verbatim"),
        ({"program_sets": "no"}, InputError, "program_sets"),
        ({"program_sets": 1}, InputError, "program_sets"),
        ({"debias": True, "program_sets": True}, InputError, "single tasks"),
        ({"gateshot_cap": -1}, InputError, "gateshot_cap"),
        ({"payload_bytes": 10}, InputError, "payload_bytes"),
        ({"payload_bytes": True}, InputError, "payload_bytes"),
        ({"prices": 3}, InputError, "TOML"),
    ],
)
def test_bad_options_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        open_device("forte-1", options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["debias", "verbatim"])
def test_options_of_ionq_are_refused_elsewhere(option: str) -> None:
    with pytest.raises(InputError, match=f"{option}=True is for IonQ"):
        open_device(GARNET, {option: True})


@pytest.mark.parametrize("device", ["forte-2", "arn:aws:s3:::bucket", "arn:aws:braket:us-east-1"])
def test_unknown_names_are_refused(device: str) -> None:
    with pytest.raises(InputError, match="not the ARN of a device"):
        open_device(device, {})


def test_a_device_that_runs_no_circuits_is_refused(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(standin.caps["action"], "braket.ir.openqasm.program")
    with pytest.raises(PreflightError, match="gate-model"):
        _ = open_device("forte-1", {}).limits


def test_a_device_without_our_gates_is_refused(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = standin.caps["action"]["braket.ir.openqasm.program"]
    monkeypatch.setitem(action, "supportedOperations", ["cz", "rz"])
    with pytest.raises(PreflightError, match="gates cnot, ry"):
        _ = open_device("forte-1", {}).limits


def test_options_that_the_device_no_longer_offers_are_refused(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(standin.caps["paradigm"], "nativeGateSet", ["GPI", "GPI2", "MS"])
    monkeypatch.setitem(standin.caps["provider"], "errorMitigation", None)
    for option in ("verbatim", "debias"):
        backend = open_device("forte-1", {option: True})
        (reason,) = backend.preflight()
        assert f"leave out {option}=True" in reason
        with pytest.raises(PreflightError, match=option):
            backend.estimate(batch(backend, 1))


def test_a_gate_that_cannot_be_sent_is_refused(backend: BraketDevice) -> None:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(3)
    circuit.ccx(0, 1, 2)
    item = Item(circuit, np.zeros((1, 0)), 200)
    with pytest.raises(InputError, match="ccx"):
        backend.submit(Batch((item,)), "qthw-1")


# Copies and processes


def test_copies_leave_the_connection_behind(backend: BraketDevice) -> None:
    job = backend.submit(batch(backend, 1), "qthw-1")
    for other in (copy.deepcopy(backend), pickle.loads(pickle.dumps(backend))):
        assert other.job(job.id).status() is JobStatus.DONE


def test_a_forked_child_makes_its_own_connection(backend: BraketDevice) -> None:
    job = backend.submit(batch(backend, 1), "qthw-1")
    session = backend._service._aws()
    child = os.fork()
    if child == 0:
        good = backend._service._aws() is not session and job.status() is JobStatus.DONE
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert backend._service._aws() is session


def test_the_default_region_may_be_another(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    backend = open_device("forte-1", {})
    assert backend.submit(batch(backend, 1), "qthw-1").result().arrays[0].sum() == 200
    assert boto3.Session().region_name == "eu-west-2"
    assert "/us-east-1/braket/" in standin.log[-2].headers["authorization"]
