"""Noise specifications against what can be written down by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    coherent_unitary_error,
    depolarizing_error,
    pauli_error,
)

import qt_hw_aer
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError, PreflightError, UnknownName
from qt_hw.execution.backend import Batch, Item
from qt_hw.testing import assert_sampled_from
from qt_hw_aer.spec import parse_noise


def law(circuit: QuantumCircuit, noise: Any, **options: Any) -> NDArray[np.float64]:
    backend = qt_hw_aer.open(noise=noise, **options)
    item = Item(circuit=circuit, bindings=np.zeros((1, 0)), shots=None)
    row: NDArray[np.float64] = backend.submit(Batch(items=(item,)), "t").result().arrays[0][0]
    return row


def ones(n_qubits: int) -> QuantumCircuit:
    circuit = QuantumCircuit(n_qubits)
    circuit.ry(np.pi, range(n_qubits))
    return circuit


def close(found: NDArray[np.float64], expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_depolarizing_after_one_gate_mixes_half_of_p_into_the_other_outcome() -> None:
    close(law(ones(1), "depolarizing(p1=0.1)"), [0.05, 0.95])


def test_depolarizing_after_a_two_qubit_gate_replaces_both_qubits() -> None:
    circuit = ones(1)
    circuit = QuantumCircuit(2).compose(circuit, [0])
    circuit.cx(0, 1)
    close(law(circuit, "depolarizing(p2=0.2)"), [0.05, 0.05, 0.05, 0.85])


def test_rz_carries_no_noise() -> None:
    circuit = QuantumCircuit(1)
    for _ in range(20):
        circuit.rz(0.3, 0)
    noise = "depolarizing(p1=0.5) + thermal(t1=1, t2=1, gate_time_1q=9, gate_time_2q=9)"
    close(law(circuit, noise), [1, 0])


def test_readout_confuses_each_qubit_by_itself() -> None:
    circuit = QuantumCircuit(2)
    circuit.x(1)  # qubit 0 is 0 and read as 1 with 0.1; qubit 1 is 1 and read as 0 with 0.3
    expected = [0.9 * 0.3, 0.1 * 0.3, 0.9 * 0.7, 0.1 * 0.7]
    close(law(circuit, "readout(p01=0.1, p10=0.3)"), expected)
    close(law(circuit, "readout(p=0.2)"), [0.8 * 0.2, 0.2 * 0.2, 0.8 * 0.8, 0.2 * 0.8])


def test_relaxation_follows_t1_and_t2() -> None:
    t1, t2, time = 80e-6, 50e-6, 5e-6
    noise = f"thermal(t1={t1}, t2={t2}, gate_time_1q={time}, gate_time_2q=0)"
    close(law(ones(1), noise)[1], np.exp(-time / t1))
    ramsey = QuantumCircuit(1)
    ramsey.ry(np.pi / 2, 0)
    ramsey.ry(-np.pi / 2, 0)
    # On the Bloch sphere: x shrinks with T2, is turned to z, and relaxes towards 1 with T1.
    z = 1 - (1 - np.exp(-time / t2)) * np.exp(-time / t1)
    close(law(ramsey, noise)[0], (1 + z) / 2)


def test_relaxation_after_a_two_qubit_gate_acts_on_both_qubits() -> None:
    circuit = ones(2)
    circuit.cz(0, 1)
    noise = "thermal(t1=1, t2=1, gate_time_1q=0, gate_time_2q=0.2)"
    stay = np.exp(-0.2)
    close(law(circuit, noise), np.kron([1 - stay, stay], [1 - stay, stay]))


def test_terms_act_one_after_the_other() -> None:
    noise = (
        "thermal(t1=1, t2=1, gate_time_1q=0.1, gate_time_2q=0) + depolarizing(p1=0.2)"
        "+readout(p01=0.01,p10=0.02)"
    )
    one = 0.8 * np.exp(-0.1) + 0.1
    close(law(ones(1), noise)[1], 0.98 * one + 0.01 * (1 - one))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "allowed: depolarizing"),
        ("depolarizing", "allowed: depolarizing"),
        ("depolarizing(p1=1e-3", "allowed: depolarizing"),
        ("depolarising(p1=1e-3)", "did you mean 'depolarizing'"),
        ("depolarizing(q1=1e-3)", "known: p1, p2"),
        ("depolarizing()", "at least one of p1, p2"),
        ("depolarizing(p1=lots)", "'p1=lots' is not 'name=number'"),
        ("depolarizing(0.1)", "'0.1' is not 'name=number'"),
        ("depolarizing(p1=nan)", "'p1=nan' is not 'name=number'"),
        ("depolarizing(p1=0.1, p1=0.2)", "p1 is given twice"),
        ("depolarizing(p1=1.5)", r"p1=1.5 is outside \[0, 1.33333\]"),
        ("readout(p=-0.1)", r"p01=-0.1 is outside \[0, 1\]"),
        ("readout(p=0.1, p01=0.1)", "either p or p01 and p10"),
        ("readout(p=0.1) + readout(p=0.1)", "more than once"),
        ("thermal(t1=1e-4)", "lacks t2, gate_time_1q, gate_time_2q"),
        ("thermal(t1=1, t2=3, gate_time_1q=0, gate_time_2q=0)", "t2 <= 2 t1"),
        ("readout(p=0.1) +", "allowed: depolarizing"),
    ],
)
def test_wrong_specifications_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        qt_hw_aer.open(noise=text)
    assert "\n" not in str(caught.value)


def test_exponents_may_have_signs() -> None:
    (term,) = parse_noise("depolarizing(p1=1e-3, p2=1.0e+0)")
    assert dict(term.values) == {"p1": 1e-3, "p2": 1.0}


def test_noise_of_another_type_is_refused() -> None:
    with pytest.raises(InputError, match="or a qiskit_aer NoiseModel, not float"):
        qt_hw_aer.open(noise=0.1)


def test_a_gate_without_noise_is_refused() -> None:
    circuit = QuantumCircuit(3)
    circuit.ccx(0, 1, 2)
    with pytest.raises(InputError, match="says nothing about the gate ccx"):
        law(circuit, "depolarizing(p1=0.1)")


# Noise models made with Aer


def test_a_noise_model_acts_on_the_qubits_it_names() -> None:
    model = NoiseModel()
    model.add_quantum_error(depolarizing_error(0.2, 1), "ry", [1])
    model.add_readout_error(ReadoutError([[0.9, 0.1], [0.3, 0.7]]), [0])
    expected = np.kron([0.1, 0.9], [0.3, 0.7])
    close(law(ones(2), model), expected)


def test_a_local_error_replaces_the_one_for_all_qubits() -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.2, 1), "ry")
    model.add_quantum_error(depolarizing_error(0.4, 1), "ry", [0], warnings=False)
    close(law(ones(2), model), np.kron([0.1, 0.9], [0.2, 0.8]))


def test_a_noise_model_of_other_gates_is_refused() -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.2, 1), ["u3"])
    with pytest.raises(InputError, match="acts on u3 but the circuit has only cx, ry"):
        qt_hw_aer.open(noise=model).prepare(RyCnot(2, 1))


def test_a_noise_model_of_sx_gets_circuits_of_sx() -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(0.02, 1), ["sx", "x"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cz"])
    backend = qt_hw_aer.open(noise=model)
    prepared = backend.prepare(U3Cu3(3, 1))
    assert set(prepared.circuit.count_ops()) <= {"rz", "sx", "x", "cz"}
    assert prepared.circuit.num_ancillas == 0


def test_angles_that_only_noise_can_feel_are_differentiated() -> None:
    """A phase before a coherent error is not dead."""
    model = NoiseModel()
    turn = QuantumCircuit(1)
    turn.rx(0.4, 0)
    model.add_all_qubit_quantum_error(coherent_unitary_error(Operator(turn)), "u")
    ideal = qt_hw_aer.open().prepare(U3Cu3(2, 1)).form
    noisy = qt_hw_aer.open(noise=model, form="native").prepare(U3Cu3(2, 1)).form
    assert 0 in ideal.terms
    assert 0 not in noisy.terms


def test_noise_on_the_measurement_is_sampled_but_has_no_exact_law() -> None:
    model = NoiseModel()
    model.add_all_qubit_quantum_error(pauli_error([("X", 0.25), ("I", 0.75)]), "measure")
    backend = qt_hw_aer.open(noise=model)
    assert not backend.limits.exact
    item = Item(circuit=ones(2), bindings=np.zeros((50, 0)), shots=2000)
    counts = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    assert_sampled_from(counts, np.tile(np.kron([0.25, 0.75], [0.25, 0.75]), (50, 1)))
    exact = Item(circuit=ones(2), bindings=np.zeros((1, 0)), shots=None)
    with pytest.raises(PreflightError, match="pass a number of shots"):
        backend.submit(Batch(items=(exact,)), "t")


def test_unknown_noise_names_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="known: depolarizing, readout, thermal"):
        parse_noise("gaussian(sigma=1)")
