"""Calibrations: stored without loss, checked against what they are used for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qt_hw as qt
from qt_hw.circuits.builtin import RyCnot
from qt_hw.errors import InputError, StorageError
from qt_hw.execution.backend import Prepared
from qt_hw.mitigation import Calibration, Confusion
from qt_hw.mitigation.calibration import MAX_AGE_HOURS, CircuitCalibration, qubits_of
from qt_hw.mitigation.confusion import PairConfusion
from qt_hw.mitigation.decay import Decay

DATE = "2026-03-01T12:00:00+00:00"
MATRICES = np.random.default_rng(0).uniform(0.01, 0.05, (2, 2))
CONFUSION = Confusion(
    matrices=np.array([[[1 - a, b], [a, 1 - b]] for a, b in MATRICES]), shots=1000, date=DATE
)


def example(**fields: Any) -> Calibration:
    pair = np.eye(4) * 0.9 + 0.025
    pair /= pair.sum(axis=0)
    one = CircuitCalibration(
        n_qubits=2,
        qubits=(7, 3),
        confusion=CONFUSION,
        decays={"readout": Decay(value=0.1 + 0.8 / 3, residual=0.01, n_circuits=8)},
        biases={"raw": 1 / 3},
        choice="readout+rescale",
        reason="why",
    )
    two = CircuitCalibration(
        n_qubits=2, confusion=PairConfusion(matrices=(pair,), shots=500, date=DATE)
    )
    given = {"backend": "aer", "date": DATE, "circuits": (one, two), "n_circuits": 4, "n_shots": 9}
    return Calibration(**{**given, **fields})


def prepared(*qubits: int, n: int = 2) -> Prepared:
    made = qt.backend("aer").prepare(RyCnot(n, 1))
    circuit = made.circuit.copy()
    circuit.metadata = {"physical_qubits": list(qubits)} if qubits else {}
    return replace(made, circuit=circuit)


def test_a_calibration_comes_back_number_for_number(tmp_path: Path) -> None:
    calibration = example()
    calibration.save(tmp_path / "c.json")
    again = Calibration.load(tmp_path / "c.json")
    assert again.to_dict() == calibration.to_dict()
    first, second = again.circuits
    assert first.confusion is not None
    np.testing.assert_array_equal(first.confusion.matrices, CONFUSION.matrices)
    assert first.decays == calibration.circuits[0].decays
    assert isinstance(second.confusion, PairConfusion)
    assert "aer" in repr(again) and "readout" in repr(again)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.clear(),
        lambda d: d.pop("circuits"),
        lambda d: d.update(date="yesterday"),
        lambda d: d.update(date=5),
        lambda d: d.update(circuits=7),
        lambda d: d["circuits"][0].pop("decays"),
        lambda d: d["circuits"][0].update(confusion=[]),
        lambda d: d["circuits"][0]["decays"]["readout"].update(value=3.0),
        lambda d: d["circuits"][0]["confusion"].pop("matrices"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: Any) -> None:
    from qt_hw.storage import read_json, write_json

    path = tmp_path / "c.json"
    example().save(path)
    stored = read_json(path)
    change(stored)
    write_json(path, stored)
    with pytest.raises(StorageError, match=r"c\.json") as caught:
        Calibration.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.json"):
        Calibration.load(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(StorageError, match="not a calibration"):
        Calibration.load(tmp_path / "list.json")


def test_it_must_be_of_the_same_device_and_qubits() -> None:
    calibration = example()
    calibration.check("aer", [prepared(7, 3), prepared()])
    for backend, circuits, words in (
        ("ibm:x", [prepared(7, 3), prepared()], "is of aer, the circuits run on ibm:x"),
        ("aer", [prepared(7, 3)], "is of 2 circuits, the ansatz has 1"),
        ("aer", [prepared(3, 7), prepared()], r"qubits \[7, 3\], the circuit measures .*\[3, 7\]"),
        ("aer", [prepared(), prepared()], r"qubits \[7, 3\], the circuit measures 2 qubits"),
        ("aer", [prepared(7, 3), prepared(n=3)], "is of 2 qubits, the circuit measures 3 qubits"),
    ):
        with pytest.raises(InputError, match=words):
            calibration.check(backend, circuits)


def test_only_measured_qubits_count() -> None:
    assert qubits_of(prepared(7, 3, 11, 12)) == (7, 3)
    assert qubits_of(prepared()) == ()


def test_old_calibrations_are_warned_of() -> None:
    calibration = example()
    assert calibration.age_hours(datetime(2026, 3, 1, 15, 30, tzinfo=UTC)) == 3.5
    assert calibration.warning(datetime(2026, 3, 2, 11, tzinfo=UTC)) is None
    text = calibration.warning(datetime(2026, 3, 3, 12, tzinfo=UTC))
    assert text == "the calibration of aer is 48 hours old: devices drift, calibrate anew"
    # Dates without a zone are UTC, as vendors write them; others are converted.
    naive = example(date="2026-03-01T12:00:00")
    assert naive.age_hours(datetime(2026, 3, 1, 13, tzinfo=UTC)) == 1.0
    east = example(date="2026-03-01T12:00:00+02:00")
    assert east.age_hours(datetime(2026, 3, 1, 12, tzinfo=UTC)) == 2.0
    assert MAX_AGE_HOURS == 24.0
    assert example(date="2020-01-01T00:00:00+00:00").warning() is not None
