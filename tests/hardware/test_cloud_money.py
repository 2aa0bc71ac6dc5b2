"""Caps, estimates and secrets, with both vendors' unmodified clients over HTTP."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from qt_hw.execution.journal import Journal
from qt_hw.training.loading import to_toml
from tests.hardware.clouds import AWS_SECRETS, Begin, Cloud
from tests.hardware.user import SHOTS, User, assert_no_secret, ends_well
from tests.training.small import small_config

VENDORS = pytest.mark.parametrize("name", ["ibm", "braket"])

#: Option of a cap, key of the configuration, unit on the screen.
CAP = {
    "ibm": ("--max-qpu-seconds", "budget.max_qpu_seconds", "QPU seconds"),
    "braket": ("--max-usd", "budget.max_usd", "USD"),
}


def prices(text: str, unit: str) -> list[tuple[float, float]]:
    """Return every price in ``text``: its lower and its upper end."""
    number = r"([\d,]+\.\d\d)"
    found = re.findall(rf"{number}(?:–{number})? {unit}", text)
    ends = [(low, high or low) for low, high in found]
    return [(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in ends]


def config_of(cloud: Cloud, tmp_path: Path, *changes: str) -> Path:
    """Return the file of a training on the vendor's device: 9 circuits a step."""
    config = small_config(
        f"backend.name={cloud.backend}",
        f"backend.options={{{'settle_seconds=0.3' if cloud.name == 'ibm' else ''}}}",
        "ansatz.n_layers=1",
        *changes,
    )
    path = tmp_path / "training.toml"
    path.write_text(to_toml(config))
    return path


def charges(run: Path, unit: str) -> list[float]:
    """Return what each job of a run was charged, as the journal has it."""
    with Journal(run / "journal.sqlite") as journal:
        kind = "usd" if unit == "USD" else "qpu_seconds"
        return [getattr(row, kind) for row in journal.jobs()]


@VENDORS
def test_no_evaluation_crosses_the_cap(begin: Begin, user: User, name: str) -> None:
    cloud, (cap, _, unit) = begin(name), CAP[name]
    cloud.cap = ()
    seen = user.submits(cloud)
    assert (seen.code, cloud.posts()) == (3, 0)
    assert "--max-usd or --max-qpu-seconds" in seen.problem
    cloud.cap = (cap, "0.01")
    seen = user.submits(cloud)
    assert (seen.code, cloud.posts()) == (3, 0)
    assert "above max_" in seen.problem
    ((_, high),) = prices(seen.out, unit)
    cloud.cap = (cap, str(1.9 * high))
    assert user.submits(cloud).code == 0
    seen = user.types(
        *("submit", user.pair, "--backend", cloud.backend, "--shots", SHOTS + 1),
        *(*cloud.cap, *cloud.options),
    )
    assert (seen.code, len(cloud.jobs())) == (3, 1)
    assert re.search(r"above max_\w+ = .*higher", seen.problem)
    ends_well(user, cloud)
    assert cloud.bill() <= 1.9 * high


@VENDORS
def test_a_training_costs_what_was_estimated_and_stops_before_the_cap(
    begin: Begin, user: User, tmp_path: Path, name: str
) -> None:
    cloud, (_, key, unit) = begin(name), CAP[name]
    plan = config_of(cloud, tmp_path, "optimizer.steps=6")
    seen = user.types("estimate", plan)
    assert seen.code == 0
    low, high = prices(seen.out, unit)[0]
    out = tmp_path / "training"
    words = ("run", plan, "--set", f"{key}={2.5 * high}", "--out", out, "--quiet")
    seen = user.types(*words)
    assert seen.code == 3
    assert re.search(r"above max_\w+ = .*--resume with a higher", seen.problem)
    assert len(cloud.jobs()) == cloud.posts() == 2
    for charge in charges(out / "sampled", unit)[:2]:
        assert_as_estimated(charge, low, high, name)
    # A higher cap goes on where it stopped, and pays for nothing again.
    words = ("run", plan, "--set", f"{key}={3.5 * high}", "--out", out, "--quiet", "--resume")
    assert user.types(*words).code == 3
    assert len(cloud.jobs()) == cloud.posts() == 3
    assert sum(charges(out / "sampled", unit)[:3]) == pytest.approx(cloud.bill())
    assert cloud.bill() <= 3.5 * high
    assert_no_secret(user, cloud.secrets(), out)


@VENDORS
def test_an_evaluation_costs_what_was_estimated(begin: Begin, user: User, name: str) -> None:
    cloud, unit = begin(name), CAP[name][2]
    told = user.types(
        "estimate", user.pair, "--backend", cloud.backend, "--shots", SHOTS, *cloud.options
    )
    low, high = prices(told.out, unit)[0]
    assert cloud.posts() == 0
    seen = user.submits(cloud)
    assert prices(seen.out, unit)[0] == (low, high)
    result = ends_well(user, cloud)
    assert_as_estimated(cloud.bill(), low, high, name)
    assert result["usd" if unit == "USD" else "qpu_seconds"] == pytest.approx(cloud.bill())
    bill = f"{cloud.bill():,.2f} {unit} spent"
    assert bill in user.types("cost", user.pair).out


def assert_as_estimated(bill: float, low: float, high: float, name: str) -> None:
    assert bill > 0
    if name == "braket":
        assert low == high == pytest.approx(bill, rel=0.01)
    else:
        assert low <= bill <= high <= 1.5 * low


@VENDORS
def test_a_rehearsal_tells_no_secret_either(
    user: User, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The user's own credentials are not even handed to the stand-in."""
    secrets = {**AWS_SECRETS, "QISKIT_IBM_TOKEN": "example-of-an-api-key-of-ibm"}
    for key, value in secrets.items():
        monkeypatch.setenv(key, value)
    before = dict(os.environ)
    backend = {"ibm": "ibm:ibm_manila", "braket": "ionq:forte-1"}[name]
    words = ("submit", user.pair, "--backend", backend, "--shots", SHOTS, "--max-usd", 250)
    more = ("--max-qpu-seconds", 20, "--rehearse", "--queue-seconds", 0)
    assert user.types(*words, *more).code == 0
    assert user.collects("--wait").code == 0
    assert dict(os.environ) == before
    (file,) = user.pair.glob("noiseless/rehearsal/evaluations/*/result.json")
    assert json.loads(file.read_text())["rehearsal"] is True
    assert_no_secret(user, set(secrets.values()))
