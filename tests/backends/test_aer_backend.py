"""The Aer backend: options, description, checks, choice of the form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from qiskit import AncillaRegister, QuantumCircuit, QuantumRegister
from qiskit_aer.noise import NoiseModel, depolarizing_error

import qt_hw_aer
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.builtin import HardwareEfficient, RyCnot, U3Cu3
from qt_hw.errors import InputError, MissingExtra, PreflightError, UnknownName
from qt_hw.execution.backend import Batch, Item
from qt_hw.execution.registry import open_backend
from qt_hw.testing import ideal_law

NOISE = "depolarizing(p1=1e-3, p2=1e-2)"


def test_the_entry_point_opens_it() -> None:
    backend = open_backend("aer", noise=NOISE)
    assert backend.name == "aer"
    assert backend.describe()["noise"] == "depolarizing(p1=0.001, p2=0.01)"
    assert open_backend("aer:fake_manila").name == "aer:fake_manila"


def test_importing_the_package_loads_neither_aer_nor_qiskit() -> None:
    code = (
        "import sys, qt_hw_aer; "
        "assert not [m for m in sys.modules if m.split('.')[0] in ('qiskit', 'qiskit_aer')]"
    )
    path = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})


def test_without_aer_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_aer", None)
    with pytest.raises(MissingExtra, match=r"pip install 'qt-hw\[aer\]'"):
        qt_hw_aer.open()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "native"),
        ({"form": "lowered"}, "lowered"),
        ({"noise": NOISE}, "lowered"),
        ({"noise": NOISE, "form": "native"}, "native"),
    ],
)
def test_the_form_is_native_on_an_ideal_device_and_lowered_with_noise(
    options: dict[str, Any], name: str
) -> None:
    assert qt_hw_aer.open(**options).prepare(U3Cu3(2, 1)).form.name == name


@pytest.mark.parametrize("form", ["native", "lowered"])
@pytest.mark.parametrize(
    "ansatz", [RyCnot(4, 2, ring=True), U3Cu3(3, 2), HardwareEfficient(4, 1)], ids=repr
)
def test_both_forms_have_the_law_of_the_ansatz(form: str, ansatz: Ansatz) -> None:
    backend = qt_hw_aer.open(form=form)
    prepared = backend.prepare(ansatz)
    angles = np.random.default_rng(6).uniform(-3, 3, (5, ansatz.n_angles))
    bindings = prepared.form.gate_angles(angles)
    item = Item(circuit=prepared.circuit, bindings=bindings, shots=None)
    found = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    np.testing.assert_allclose(found, ideal_law(ansatz, angles), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"nois": NOISE}, UnknownName, "did you mean 'noise'"),
        ({"form": "nativ"}, UnknownName, "did you mean 'native'"),
        ({"max_density_qubits": 40}, InputError, "whole number from 0 to 14, not 40"),
        ({"memory_limit": 1.5}, InputError, "memory_limit must be a whole number"),
    ],
)
def test_wrong_options_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        qt_hw_aer.open(**options)


def test_the_description_tells_noise_models_apart() -> None:
    def described(p: float) -> Any:
        model = NoiseModel()
        model.add_all_qubit_quantum_error(depolarizing_error(p, 1), ["ry"])
        return qt_hw_aer.open(noise=model).describe()

    assert described(0.1) == described(0.1)
    assert described(0.1) != described(0.2)
    assert described(0.1)["noise"].startswith("sha256:")
    assert set(described(0.1)["versions"]) == {"qiskit", "qiskit-aer"}
    assert json.loads(json.dumps(described(0.1))) == described(0.1)


def test_results_that_do_not_fit_are_refused_before_they_are_computed() -> None:
    backend = qt_hw_aer.open(memory_limit=2**20)
    assert backend.limits.max_qubits == 15
    circuit = QuantumCircuit(12)
    item = Item(circuit=circuit, bindings=np.zeros((40, 0)), shots=10)
    with pytest.raises(PreflightError, match=r"0\.0 GiB.*fewer bindings"):
        backend.submit(Batch(items=(item,)), "t")
    with pytest.raises(PreflightError, match="16 qubits, the memory allows 15"):
        backend.prepare(RyCnot(16, 1))


def test_ancillas_are_not_measured_and_come_last() -> None:
    backend = qt_hw_aer.open(noise="readout(p=0.1)")
    circuit = QuantumCircuit(QuantumRegister(1, "q"), AncillaRegister(1, "a"))
    circuit.x(1)
    item = Item(circuit=circuit, bindings=np.zeros((1, 0)), shots=None)
    found = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    np.testing.assert_allclose(found, [[0.9, 0.1]], atol=1e-12)
    wrong = QuantumCircuit(AncillaRegister(1, "a"), QuantumRegister(1, "q"))
    item = Item(circuit=wrong, bindings=np.zeros((1, 0)), shots=None)
    with pytest.raises(InputError, match="ancilla qubits must come after"):
        backend.submit(Batch(items=(item,)), "t")


def test_preparing_is_done_once_per_ansatz() -> None:
    backend = qt_hw_aer.open("fake_manila")
    assert backend.prepare(RyCnot(3, 1)) is backend.prepare(RyCnot(3, 1))
    assert backend.prepare(RyCnot(3, 1)) is not backend.prepare(RyCnot(3, 2))


def test_trajectories_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import numpy as np, qt_hw_aer\n"
        "from qt_hw.circuits.builtin import RyCnot\n"
        "from qt_hw.execution.backend import Batch, Item\n"
        f"backend = qt_hw_aer.open(noise={NOISE!r}, max_density_qubits=0)\n"
        "circuit = backend.prepare(RyCnot(3, 1)).circuit\n"
        "item = Item(circuit=circuit, bindings=np.ones((1, 3)), shots=3000)\n"
        "print(backend.submit(Batch(items=(item,)), 't').result().arrays[0].tolist())"
    )
    path = os.pathsep.join(sys.path)
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONPATH": path, "OMP_NUM_THREADS": threads},
        ).stdout
        for threads in ("1", "3")
    }
    assert len(printed) == 1


@pytest.mark.parametrize("density", [0, 9])
def test_counts_do_not_depend_on_the_other_bindings_chunk(density: int) -> None:
    """The first bindings of a long item are drawn as those of a short one."""
    backend = qt_hw_aer.open(noise=NOISE, max_density_qubits=density)
    prepared = backend.prepare(RyCnot(2, 1))
    bindings = np.random.default_rng(0).uniform(-3, 3, (260, 2))
    long, short = (
        backend.submit(Batch(items=(Item(circuit=prepared.circuit, bindings=rows, shots=50),)), "t")
        .result()
        .arrays[0]
        for rows in (bindings, bindings[:256])
    )
    assert np.array_equal(long[:256], short)
