"""Measured calibrations as noise against confusions applied by hand."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit_aer.noise import NoiseModel

import qt_hw_aer
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError, StorageError, UnknownName
from qt_hw.execution.backend import Backend, Batch, Item
from qt_hw.mitigation.calibration import Calibration, CircuitCalibration
from qt_hw.mitigation.confusion import Confusion
from qt_hw.testing import assert_sampled_from

Array = NDArray[np.float64]


def run(backend: Backend, circuit: QuantumCircuit, shots: int | None = None) -> Array:
    item = Item(circuit=circuit, bindings=np.zeros((1, 0)), shots=shots)
    row: Array = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    return row


def law(circuit: QuantumCircuit, **options: Any) -> Array:
    return run(qt_hw_aer.open(**options), circuit)[0]


def example(barred: bool = False) -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.ry(0.4 + 0.7 * qubit, qubit)
    circuit.cx(0, 1)
    circuit.rz(0.3, 1)
    circuit.ry(0.9, 1)
    circuit.cz(2, 1)
    circuit.ry(-0.6, 2)
    return circuit


def close(found: Any, expected: Any, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


MATRICES = np.array(
    [[[0.95, 0.2], [0.05, 0.8]], [[0.99, 0.03], [0.01, 0.97]], [[0.9, 0.1], [0.1, 0.9]]]
)
CONFUSION = Confusion(matrices=MATRICES, shots=4000, date="2026-11-01T00:00:00+00:00")


def misread(p: Array) -> Array:
    """Apply entry [q, observed, true] bit by bit."""
    out = np.zeros(8)
    for observed, true in product(range(8), range(8)):
        bits = [(observed >> q & 1, true >> q & 1) for q in range(3)]
        out[observed] += np.prod([MATRICES[q][bits[q]] for q in range(3)]) * p[true]
    return out


def test_a_confusion_misreads_as_it_says(tmp_path: Path) -> None:
    expected = misread(law(example()))
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"confusion": CONFUSION.to_dict()}))
    one = CircuitCalibration(n_qubits=3, confusion=CONFUSION)
    whole = Calibration(backend="ibm:x", date="2026-11-01T00:00:00+00:00", circuits=(one,))
    whole.save(tmp_path / "whole.json")
    for given in (CONFUSION, CONFUSION.to_dict(), path, str(path), whole, tmp_path / "whole.json"):
        close(law(example(), calibration=given), expected)


def test_a_calibration_adds_to_the_noise_of_gates() -> None:
    noise = "depolarizing(p1=0.01) + coherent(zz=0.1)"
    close(law(example(), noise=noise, calibration=CONFUSION), misread(law(example(), noise=noise)))


def test_sampling_follows_the_calibrated_law() -> None:
    calibration = {
        "confusion": CONFUSION.to_dict(), "decay": {"value": 0.7}, "two_qubit_gates": 2,
    }  # fmt: skip
    expected = law(example(), calibration=calibration)
    backend = qt_hw_aer.open(calibration=calibration, max_density_qubits=0)
    assert_sampled_from(run(backend, example(), 20_000), expected[None])


def test_a_decay_becomes_depolarizing_after_two_qubit_gates() -> None:
    f, m = 0.8, 4
    p2 = 4 / 3 * (1 - f ** (1 / m))
    decay = {"decay": {"value": f}, "two_qubit_gates": m}
    found = law(example(), calibration={"confusion": CONFUSION.to_dict(), **decay})
    close(found, misread(law(example(), noise=f"depolarizing(p2={p2!r})")))
    both = law(
        example(),
        noise="depolarizing(p1=0.02, p2=0.03)",
        calibration={"confusion": CONFUSION.to_dict(), **decay},
    )
    total = 1 - (1 - p2) * (1 - 0.03)  # of two depolarizing channels in a row
    close(both, misread(law(example(), noise=f"depolarizing(p1=0.02, p2={total!r})")))


@pytest.mark.parametrize("ansatz", [RyCnot(4, 3), U3Cu3(4, 2)], ids=["RyCnot", "U3Cu3"])
def test_the_decay_of_a_calibrated_circuit_is_about_the_one_asked_for(ansatz: Any) -> None:
    ideal = qt_hw_aer.open(form="lowered")
    prepared = ideal.prepare(ansatz)
    gates = sum(len(item.qubits) == 2 for item in prepared.circuit.data)
    perfect = Confusion(matrices=np.tile(np.eye(2), (4, 1, 1)))
    noisy = qt_hw_aer.open(
        calibration={
            "confusion": perfect.to_dict(), "decay": {"value": 0.6}, "two_qubit_gates": gates,
        }
    )  # fmt: skip
    angles = np.random.default_rng(0).uniform(-3, 3, (10, ansatz.n_angles))
    bindings = prepared.form.gate_angles(angles)
    item = Item(circuit=prepared.circuit, bindings=bindings, shots=None)
    p, q = (b.submit(Batch(items=(item,)), "t").result().arrays[0] - 1 / 16 for b in (ideal, noisy))
    assert float((p * q).sum() / (p * p).sum()) == pytest.approx(0.6, abs=0.06)


def test_another_number_of_qubits_is_refused() -> None:
    backend = qt_hw_aer.open(calibration=CONFUSION)
    with pytest.raises(InputError, match="of 3 qubits, the circuit measures 4: calibrate"):
        backend.prepare(RyCnot(4, 1))
    assert backend.prepare(RyCnot(3, 1)).form.n_qubits == 3


def test_the_description_tells_calibrations_apart() -> None:
    def text(**options: Any) -> str:
        return str(qt_hw_aer.open(**options).describe()["noise"])

    other = Confusion(matrices=MATRICES[::-1])
    assert text(calibration=CONFUSION).startswith("calibration(3 qubits, sha256:")
    assert text(calibration=CONFUSION) == text(calibration=CONFUSION.to_dict())
    assert text(calibration=CONFUSION) != text(calibration=other)
    with_noise = text(noise="depolarizing(p1=0.1)", calibration=CONFUSION)
    assert with_noise.startswith("depolarizing(p1=0.1, p2=0) + calibration(3 qubits")


GOOD = {"confusion": CONFUSION.to_dict()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibration": 3}, "a calibration is a mapping, not int"),
        ({"calibration": {}}, "lacks a confusion"),
        ({"calibration": {"confusion": {"matrices": [[[1, 1], [1, 1]]]}}}, "matrices, shots"),
        ({"calibration": {**GOOD, "decai": 1}}, "did you mean 'decay'"),
        ({"calibration": {**GOOD, "decay": {"value": 0.9}}}, "both decay and two_qubit_gates"),
        ({"calibration": {**GOOD, "two_qubit_gates": 4}}, "both decay and two_qubit_gates"),
        ({"calibration": {**GOOD, "decay": 0.9, "two_qubit_gates": 4}}, "with 0 < f <= 1"),
        ({"calibration": {**GOOD, "decay": {"value": 1.2}, "two_qubit_gates": 4}}, "0 < f <= 1"),
        ({"calibration": {**GOOD, "decay": {"value": 0.9}, "two_qubit_gates": 0}}, "at least 1"),
        ({"calibration": {"circuits": [GOOD, GOOD]}}, "not of one circuit"),
        ({"calibration": {"pairs": [np.eye(4).tolist()], "shots": 9, "date": None}}, "of pairs"),
        ({"calibration": GOOD, "noise": "readout(p=0.1)"}, "brings the readout"),
        ({"calibration": GOOD, "noise": "median(fake_torino)"}, "brings the readout"),
        ({"calibration": GOOD, "noise": NoiseModel()}, "may be text without readout"),
        ({"calibration": GOOD, "device": "fake_manila"}, "use 'aer' with calibration="),
    ],
)
def test_wrong_calibrations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        qt_hw_aer.open(**options)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*none\.json"):
        qt_hw_aer.open(calibration=tmp_path / "none.json")
    with pytest.raises(UnknownName, match="did you mean 'calibration'"):
        qt_hw_aer.open(calibratio=1)
