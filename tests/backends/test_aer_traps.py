"""What Aer does wrong in silence: each trap is closed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.quantum_info import Statevector

import qt_hw as qt
import qt_hw_aer
from qt_hw.circuits.builtin import RyCnot
from qt_hw.circuits.custom import CircuitAnsatz
from qt_hw.errors import InputError, PermanentError
from qt_hw.execution.backend import Batch, Item
from qt_hw.testing import ideal_law

CONTROLLED = ["crx", "cry", "crz", "cp"]


def controlled(name: str) -> QuantumCircuit:
    angles = ParameterVector("t", 3)
    circuit = QuantumCircuit(2)
    circuit.ry(angles[0], 0)
    circuit.ry(0.7, 1)
    getattr(circuit, name)(angles[1], 0, 1)
    circuit.ry(angles[2], 1)
    return circuit


@pytest.mark.parametrize("name", CONTROLLED)
def test_controlled_rotations_run_lowered(name: str) -> None:
    backend, ansatz = qt_hw_aer.open(), CircuitAnsatz(controlled(name))
    prepared = backend.prepare(ansatz)
    angles = np.random.default_rng(1).uniform(-3, 3, (4, 3))
    bindings = prepared.form.gate_angles(angles)
    item = Item(circuit=prepared.circuit, bindings=bindings, shots=None)
    found = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    np.testing.assert_allclose(found, ideal_law(ansatz, angles), rtol=0, atol=1e-12)
    assert prepared.form.name == "lowered"


@pytest.mark.parametrize("name", CONTROLLED)
def test_controlled_rotations_are_refused_where_aer_would_read_0(name: str) -> None:
    ansatz = CircuitAnsatz(controlled(name))
    with pytest.raises(InputError, match=f"cannot bind the angles of {name}"):
        qt_hw_aer.open(form="native").prepare(ansatz)
    item = Item(circuit=controlled(name), bindings=np.ones((1, 3)), shots=10)
    for options in ({}, {"noise": "depolarizing(p1=0.1)"}):
        with pytest.raises(InputError, match=f"cannot bind the angles of {name}"):
            qt_hw_aer.open(**options).submit(Batch(items=(item,)), "t")


def test_a_cu_out_of_a_pass_keeps_its_angles_and_the_users_circuit() -> None:
    angles = ParameterVector("t", 4)
    circuit = QuantumCircuit(2)
    circuit.ry(0.9, 0)
    circuit.ry(0.4, 1)
    circuit.cu(angles[0], angles[1], angles[2], angles[3], 0, 1)
    circuit.ry(0.3, 1)
    circuit.measure_all()
    passed = circuit.remove_final_measurements(inplace=False)
    row = np.array([[1.1, 0.5, -0.8, 0.2]])
    expected = Statevector(passed.assign_parameters(row[0])).probabilities()
    item = Item(circuit=passed, bindings=row, shots=None)
    backend = qt_hw_aer.open()
    for _ in range(2):
        found = backend.submit(Batch(items=(item,)), "t").result().arrays[0][0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert passed.num_parameters == 4


def test_angles_may_be_expressions() -> None:
    t = Parameter("t")
    circuit = QuantumCircuit(1)
    circuit.ry(2 * t + 0.3, 0)
    bindings = np.linspace(-1, 1, 5)[:, None]
    item = Item(circuit=circuit, bindings=bindings, shots=None)
    found = qt_hw_aer.open().submit(Batch(items=(item,)), "t").result().arrays[0]
    np.testing.assert_allclose(found[:, 1], np.sin(bindings[:, 0] + 0.15) ** 2, atol=1e-12)


def test_a_circuit_changed_in_place_is_run_as_it_is_now() -> None:
    backend = qt_hw_aer.open(noise="depolarizing(p1=0.2)")
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)
    item = Item(circuit=circuit, bindings=np.full((1, 1), np.pi), shots=None)
    before = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    circuit.x(0)
    after = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    np.testing.assert_allclose(before, [[0.1, 0.9]], atol=1e-12)
    np.testing.assert_allclose(after, [[0.82, 0.18]], atol=1e-12)


def test_a_failed_run_is_an_error() -> None:
    """Aer itself returns no exception and empty data."""
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("t"), 0)
    circuit.append(Gate("mystery", 1, []), [0])
    item = Item(circuit=circuit, bindings=np.zeros((1, 1)), shots=10)
    with pytest.raises(PermanentError, match="mystery"):
        qt_hw_aer.open().submit(Batch(items=(item,)), "t")


@pytest.mark.parametrize("noise", [None, "depolarizing(p1=1e-3)"])
def test_seeds_a_multiple_of_2113_apart_do_not_share_streams(noise: str | None) -> None:
    """Aer gives row b of a run the seed s + 2113 b."""
    backend = qt_hw_aer.open(noise=noise, max_density_qubits=0)
    circuit = QuantumCircuit(3)
    for qubit, angle in enumerate(ParameterVector("t", 3)):
        circuit.ry(angle, qubit)
    rows = set()
    for seed in (0, 2113, 4226):
        item = Item(circuit=circuit, bindings=np.full((4, 3), np.pi / 2), shots=1000)
        counts = backend.submit(Batch(items=(item,), seed=(seed,)), "t").result().arrays[0]
        rows |= {row.tobytes() for row in counts}
    assert len(rows) == 12


@pytest.mark.parametrize("density", [0, 9])
@pytest.mark.parametrize("n_rows", [1, 3, 300])
def test_circuits_without_parameters_give_one_row_per_binding(density: int, n_rows: int) -> None:
    backend = qt_hw_aer.open(noise="readout(p=0.3)", max_density_qubits=density)
    circuit = QuantumCircuit(3)
    circuit.x(2)
    item = Item(circuit=circuit, bindings=np.zeros((n_rows, 0)), shots=500)
    counts = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    assert counts.shape == (n_rows, 8)
    assert counts.sum(axis=1).tolist() == [500] * n_rows
    assert len({row.tobytes() for row in counts}) == n_rows


def test_no_bindings_are_refused() -> None:
    backend = qt_hw_aer.open()
    item = Item(circuit=backend.prepare(RyCnot(2, 1)).circuit, bindings=np.zeros((0, 2)), shots=5)
    with pytest.raises(InputError, match="B of at least 1"):
        backend.submit(Batch(items=(item,)), "t")


def test_thermal_noise_revives_angles_that_are_ideally_dead() -> None:
    circuit, t = QuantumCircuit(2), Parameter("t")
    circuit.ry(0.6, 0)
    circuit.ry(1.1, 1)
    circuit.rz(0.4, 0)
    circuit.rxx(t, 0, 1)
    circuit.cx(0, 1)
    circuit.h(0)
    noise = "thermal(t1=1, t2=1, gate_time_1q=0.1, gate_time_2q=0.3)"
    backend = qt_hw_aer.open(noise=noise, form="native")
    angles = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    cotangent = torch.tensor([0.3, -1.0, 0.5, 2.0], dtype=torch.float64)

    def loss(value: torch.Tensor) -> torch.Tensor:
        p = qt.probabilities(
            qt.CircuitAnsatz(circuit), value, backend=backend, gradient="parameter-shift"
        )
        return p @ cotangent

    (slope,) = torch.autograd.grad(loss(angles), angles)
    with torch.no_grad():
        difference = (loss(angles + 1e-5) - loss(angles - 1e-5)) / 2e-5
    assert abs(float(difference)) > 1e-3
    assert float(slope) == pytest.approx(float(difference), abs=1e-8)


def test_chunks_do_not_show() -> None:
    """More bindings than one call of Aer takes."""
    backend = qt_hw_aer.open()
    circuit = backend.prepare(RyCnot(1, 1)).circuit
    bindings = np.linspace(0, np.pi, 2500)[:, None]
    item = Item(circuit=circuit, bindings=bindings, shots=None)
    found = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    np.testing.assert_allclose(found[:, 1], np.sin(bindings[:, 0] / 2) ** 2, atol=1e-12)
