"""Shift rules and dead angles against derivatives of the exact law."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from qt_hw import CircuitAnsatz, HardwareEfficient, RyCnot, U3Cu3
from qt_hw.circuits.gates import Op
from qt_hw.circuits.paulis import dead_operations
from qt_hw.circuits.shift import RULES, shift_rows
from tests.circuits.test_lowering import everything


def law(form, gate_angles):
    return Statevector(form.circuit.assign_parameters(gate_angles)).probabilities()


def jacobian(form, gate_angles, h=1e-5):
    """Central differences, error about h**2."""
    out = np.zeros((len(gate_angles), 2**form.n_qubits))
    for i in range(len(gate_angles)):
        up, down = gate_angles.copy(), gate_angles.copy()
        up[i] += h
        down[i] -= h
        out[i] = (law(form, up) - law(form, down)) / (2 * h)
    return out


ANSAETZE = [U3Cu3(3, 2), RyCnot(3, 2), HardwareEfficient(3, 1), CircuitAnsatz(everything())]


@pytest.mark.parametrize("name", ["native", "lowered"])
@pytest.mark.parametrize("ansatz", ANSAETZE, ids=str)
def test_rows_give_the_derivative_of_every_gate_angle(ansatz, name):
    form = ansatz.form(name)
    theta = np.random.default_rng(3).uniform(-3, 3, (1, ansatz.n_angles))
    base = form.gate_angles(theta)
    rows = shift_rows(form)
    shifted = np.stack([law(form, row) for row in rows.bindings(base)])
    by_rule = np.zeros((len(form.b), 2**ansatz.n_qubits))
    np.add.at(by_rule, rows.index, rows.coefficient[:, None] * shifted)
    np.testing.assert_allclose(by_rule, jacobian(form, base[0]), atol=1e-8)


def steepest(form):
    """The largest slope of each gate angle at three random points."""
    rng = np.random.default_rng(9)
    points = [rng.uniform(-3, 3, len(form.b)) for _ in range(3)]
    return np.max([np.abs(jacobian(form, point)).max(axis=1) for point in points], axis=0)


@pytest.mark.parametrize("ansatz", [U3Cu3(n, 2) for n in (2, 3, 4)] + ANSAETZE[:3], ids=str)
def test_dead_angles_are_those_with_a_zero_column_in_the_jacobian(ansatz):
    form = ansatz.form("native")
    assert ((steepest(form) < 1e-8) == (form.terms == 0)).all()


def test_no_live_angle_of_a_user_circuit_is_called_dead():
    form = CircuitAnsatz(everything()).form("native")
    assert (form.terms[steepest(form) > 1e-8] > 0).all()
    assert 0 < (form.terms == 0).sum() < len(form.terms)


@pytest.mark.parametrize("ansatz", [U3Cu3(2, 1), U3Cu3(4, 2), HardwareEfficient(3, 2)], ids=str)
def test_no_lowered_angle_is_dead(ansatz):
    form = ansatz.form("lowered")
    angles = np.random.default_rng(2).uniform(-3, 3, len(form.b))
    assert np.abs(jacobian(form, angles)).max(axis=1).min() > 1e-6


def test_the_chain_rule_covers_shared_parameters_and_factors():
    a, circuit = Parameter("a"), QuantumCircuit(2)
    circuit.ry(a, 0), circuit.crx(-0.5 * a + 0.2, 0, 1), circuit.ry(3 * a, 1)
    ansatz = CircuitAnsatz(circuit)
    theta, h = 0.4, 1e-5

    def p(value):
        return Statevector(circuit.assign_parameters([value])).probabilities()

    expected = (p(theta + h) - p(theta - h)) / (2 * h)
    for name in ("native", "lowered"):
        form = ansatz.form(name)
        slopes = jacobian(form, form.gate_angles(np.array([[theta]]))[0])
        np.testing.assert_allclose(form.A.T @ slopes, expected[None], atol=1e-8)


def test_a_four_term_rule_needs_four_terms():
    # For CRX the two-term rule is wrong: the reason why the count is 14 per U3 + CU3 pair.
    t, circuit = Parameter("t"), QuantumCircuit(2)
    circuit.h(0), circuit.ry(0.3, 1), circuit.crx(t, 0, 1), circuit.ry(1.1, 0), circuit.cx(1, 0)
    form = CircuitAnsatz(circuit).form("native")
    assert form.terms.tolist() == [4]
    two = sum(c * law(form, np.array([0.7 + s])) for s, c in RULES[2])
    four = sum(c * law(form, np.array([0.7 + s])) for s, c in RULES[4])
    slope = jacobian(form, np.array([0.7]))[0]
    assert np.abs(four - slope).max() < 1e-9 < 1e-3 < np.abs(two - slope).max()


def test_a_fixed_clifford_rotation_carries_a_word_along():
    # X turned into Z by a Hadamard at the end: the rx angle cannot be seen.
    ops = [Op("ry", (0,), 0), Op("rx", (0,), 1), Op("rz", (0,), None, np.pi)]
    hadamard = Op("ry", (0,), None, np.pi / 2)
    assert dead_operations([*ops, hadamard])[:2] == [False, True]
    tilted = Op("ry", (0,), None, np.pi / 3)
    assert dead_operations([*ops, tilted])[:2] == [False, False]


def test_an_rz_behind_a_control_is_dead_but_not_behind_a_target():
    def dead(control, target):
        ops = [Op("ry", (0,), 0), Op("ry", (1,), 1), Op("rz", (0,), 2), Op("cx", (control, target))]
        return dead_operations([*ops, Op("ry", (1,), 3)])[2]

    assert dead(0, 1)
    assert not dead(1, 0)


def test_a_subset_is_weighted():
    form = RyCnot(3, 2).form("lowered")
    rows = shift_rows(form, np.array([1, 4]), weight=3.0)
    assert rows.index.tolist() == [1, 1, 4, 4]
    assert rows.coefficient.tolist() == [1.5, -1.5, 1.5, -1.5]


def test_bindings_of_several_bases_keep_their_order():
    form = RyCnot(2, 1).form("lowered")
    base = np.array([[0.0, 1.0], [2.0, 3.0]])
    half = np.pi / 2
    expected = [[half, 1], [-half, 1], [0, 1 + half], [0, 1 - half]]
    expected += [[2 + half, 3], [2 - half, 3], [2, 3 + half], [2, 3 - half]]
    np.testing.assert_allclose(shift_rows(form).bindings(base), expected)
