"""Device, account and login: what is refused before anything is submitted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import qt_hw_ibm
from qt_hw.errors import (
    InputError,
    PermanentError,
    QtHwError,
    TransientError,
    UnknownName,
)
from qt_hw.execution.backend import Backend
from qt_hw.execution.loopback import Fault
from qt_hw_ibm.standin.account import API_KEY, CRN
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


def test_jobs_of_a_retired_device_are_still_there(standin: Standin, backend: Backend) -> None:
    job = backend.submit(batch_for(backend), "qthw-old")
    check_law(job.result())
    standin.faults.append(
        Fault(method="GET", path=r"/configuration$", action="status", status=404, times=99)
    )
    later = opened()
    (found,) = later.find("qthw-old")
    check_law(found.result())
    check_law(opened().job(job.id).result())


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
