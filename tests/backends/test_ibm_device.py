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
from qiskit import qpy

import qt_hw_ibm
from qt_hw.errors import (
    MissingExtra,
    PreflightError,
)
from qt_hw.execution.backend import Backend, Batch, Item, JobStatus
from qt_hw.testing import BackendContract
from qt_hw.testing.oracles import assert_sampled_from, ideal_law
from qt_hw_ibm.standin.server import Standin
from qt_hw_ibm.standin.start import environment, redirected
from tests.backends.ibm_cases import (
    ANGLES,
    DEVICES,
    LAYOUT,
    ansatz_of,
    batch_for,
    check_law,
    opened,
    posted,
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


# ---- rehearsals


def test_a_rehearsal_keeps_its_jobs_for_the_next_command(tmp_path: Path) -> None:
    with qt_hw_ibm.rehearse("ibm_manila", tmp_path, queue_seconds=0.0):
        backend = opened()
        job = backend.submit(batch_for(backend), "qthw-rehearsed")
        before = job.result()
    with qt_hw_ibm.rehearse("ibm_manila", tmp_path):
        (again,) = opened().find("qthw-rehearsed")
        assert again.id == job.id
        after = again.result()
    check_law(after)
    np.testing.assert_array_equal(before.arrays[1], after.arrays[1])


@pytest.mark.parametrize(
    ("device", "missing", "extra"),
    [
        ("ibm_manila", "qiskit_ibm_runtime", "ibm"),
        ("fake_manila", "qiskit_ibm_runtime", "ibm"),
        ("fake_manila", "qiskit_aer", "aer"),
    ],
)
def test_what_is_not_installed_is_named(
    device: str, missing: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=rf"qt-hw\[{extra}\]"):
        qt_hw_ibm.open(device)


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
