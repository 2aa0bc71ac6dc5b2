"""Lowering and native forms against Qiskit's own operators."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import CU1Gate, CU3Gate, U1Gate, U3Gate
from qiskit.quantum_info import Operator, Statevector

from qt_hw import CircuitAnsatz, HardwareEfficient, RyCnot, U3Cu3
from qt_hw.circuits.gates import SUPPORTED
from qt_hw.circuits.lowering import lower
from qt_hw.circuits.native import instructions
from qt_hw.errors import InputError, UnsupportedGate

ANGLES = {"u": 3, "u3": 3, "cu": 4, "cu3": 3} | dict.fromkeys(
    ["rx", "ry", "rz", "p", "u1", "rxx", "ryy", "rzz", "crx", "cry", "crz", "cp", "cu1"], 1
)
PAIRS = {"cx", "cz", "cy", "swap", "iswap", "dcx", "ecr", "cu1", "cu3"}
OLD = {"u1": U1Gate, "u3": U3Gate, "cu1": CU1Gate, "cu3": CU3Gate}


def one_gate(name):
    """One gate between layers that make every axis matter, on qubits 2 and 0 of 3."""
    pair = name in PAIRS or name[0] == "c" or name in ("rxx", "ryy", "rzz")
    qubits = [2, 0] if pair else [2]
    circuit, angles = QuantumCircuit(3), list(ParameterVector("t", ANGLES.get(name, 0)))
    for q in range(3):
        circuit.u(0.3 + q, 0.7 * q, -0.4, q)
    if name in OLD:
        circuit.append(OLD[name](*angles), qubits)
    else:
        getattr(circuit, name)(*angles, *qubits)
    for q in range(3):
        circuit.u(0.9 - q, 0.2, 0.5 * q, q)
    return circuit


def everything():
    """A circuit with shared parameters, numeric factors and sums."""
    a, b, c = Parameter("a"), Parameter("b"), Parameter("c")
    circuit = QuantumCircuit(3)
    circuit.h(0), circuit.ry(a, 0), circuit.rzz(2 * a, 0, 1), circuit.crx(-b / 2, 1, 2)
    circuit.u(a + b, 0.3, c, 1), circuit.cp(c + 0.25, 2, 0), circuit.ecr(0, 1), circuit.rxx(b, 1, 2)
    circuit.cu(a, b, c, a - c, 2, 1), circuit.ryy(3 * c, 0, 2), circuit.sx(2), circuit.rx(b, 2)
    return circuit


@pytest.mark.parametrize("two", ["cx", "cz"])
@pytest.mark.parametrize("name", sorted(set(SUPPORTED) - {"id"}))
def test_every_gate_lowers_to_the_same_operator(name, two):
    ansatz = CircuitAnsatz(one_gate(name))
    theta = np.random.default_rng(len(name)).uniform(-3, 3, ansatz.n_angles)
    native = ansatz.form("native")
    gate_angles = native.gate_angles(theta[None])[0]
    circuit, a, b = lower(instructions(native.circuit), 3, len(native.b), two=two, keep_phases=True)
    assert set(circuit.count_ops()) <= {"rz", "ry", two}
    expected = Operator(ansatz.circuit().assign_parameters(theta))
    assert expected.equiv(Operator(native.circuit.assign_parameters(gate_angles)))
    assert expected.equiv(Operator(circuit.assign_parameters(a @ gate_angles + b)))


@pytest.mark.parametrize("two", ["cx", "cz"])
@pytest.mark.parametrize(
    "ansatz",
    [
        U3Cu3(3, 2),
        U3Cu3(2, 3),
        RyCnot(4, 2, ring=True),
        HardwareEfficient(4, 2),
        CircuitAnsatz(everything()),
    ],
    ids=str,
)
def test_forms_keep_the_probabilities(ansatz, two):
    theta = np.random.default_rng(5).uniform(-3, 3, ansatz.n_angles)
    expected = Statevector(ansatz.circuit().assign_parameters(theta)).probabilities()
    for form in (ansatz.form("native"), ansatz.form("lowered", two)):
        bound = form.circuit.assign_parameters(form.gate_angles(theta[None])[0])
        np.testing.assert_allclose(Statevector(bound).probabilities(), expected, atol=1e-13)
    circuit, a, b = ansatz.lowered(two)
    assert a.shape == (len(b), ansatz.n_angles)
    assert all(len(item.operation.params) <= 1 for item in circuit.data)


def test_merging_leaves_no_rotation_by_a_multiple_of_two_pi():
    circuit = QuantumCircuit(1)
    t = Parameter("t")
    circuit.rz(np.pi, 0), circuit.ry(t, 0), circuit.ry(1.0, 0), circuit.ry(-1.0, 0)
    circuit.rz(0.4, 0), circuit.rz(-0.4, 0), circuit.ry(2 * t, 0)
    lowered, a, b = CircuitAnsatz(circuit).lowered()
    assert dict(lowered.count_ops()) == {"ry": 1}
    assert a.toarray().tolist() == [[3.0]] and b.tolist() == [0.0]


def test_rotations_that_cancel_disappear():
    t, circuit = Parameter("t"), QuantumCircuit(2)
    circuit.ry(t, 0), circuit.cx(0, 1), circuit.ry(0.7, 1), circuit.ry(-0.7, 1), circuit.ry(t, 1)
    lowered, _, b = CircuitAnsatz(circuit).lowered()
    assert dict(lowered.count_ops()) == {"ry": 2, "cx": 1} and len(b) == 2


def test_parameters_without_effect_have_no_rows():
    t, circuit = Parameter("t"), QuantumCircuit(1)
    circuit.rz(t, 0)
    ansatz = CircuitAnsatz(circuit)
    assert ansatz.binding_counts() == {"native": 0, "lowered": 0}


def test_the_default_decomposition_is_that_of_the_interface():
    circuit, a, b = U3Cu3(2, 1).lowered()
    assert set(circuit.count_ops()) == {"rz", "ry", "cx"}
    assert circuit.num_parameters == len(b) == a.shape[0]


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda c, t: c.ccx(0, 1, 2), UnsupportedGate, "'ccx' is not supported .supported: cp"),
        (lambda c, t: c.ry(t * t, 0), InputError, "not affine in t"),
        (lambda c, t: c.ry(t.sin(), 0), InputError, "not affine in t"),
        (lambda c, t: c.measure_all(), InputError, "pass the unmeasured circuit"),
        (lambda c, t: c.cx(0, 1, ctrl_state=0), UnsupportedGate, "'cx_o0' is not supported"),
    ],
)
def test_circuits_that_cannot_be_differentiated_are_refused(build, error, words):
    circuit = QuantumCircuit(3)
    build(circuit, Parameter("t"))
    with pytest.raises(error, match=words):
        CircuitAnsatz(circuit)


def test_only_circuits_with_qubits_are_taken():
    with pytest.raises(InputError, match=r"qiskit\.QuantumCircuit, not str"):
        CircuitAnsatz("rx(0)")
    with pytest.raises(InputError, match="no qubits"):
        CircuitAnsatz(QuantumCircuit())


def test_later_changes_of_the_users_circuit_do_not_matter():
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("t"), 0)
    ansatz = CircuitAnsatz(circuit)
    circuit.x(0)
    assert dict(ansatz.circuit().count_ops()) == {"ry": 1}
    assert ansatz.describe()["sha256"] != CircuitAnsatz(circuit).describe()["sha256"]


def random_clifford_rich(seed):
    """Mostly quarter turns, which the search for dead rotations must carry words past."""
    rng, n = np.random.default_rng(seed), 3
    circuit, angles = QuantumCircuit(n), list(ParameterVector("t", 3))
    for _ in range(int(rng.integers(3, 14))):
        a, b = rng.choice(n, 2, replace=False).tolist()
        gate = str(rng.choice(["h", "s", "sx", "cx", "cz", "rx", "ry", "rz", "rzz", "swap"]))
        values = [rng.choice([*angles, np.pi / 2, np.pi])] if gate[0] == "r" else []
        qubits = [a, b] if gate in ("cx", "cz", "rzz", "swap") else [a]
        getattr(circuit, gate)(*values, *qubits)
    return circuit


@pytest.mark.parametrize("two", ["cx", "cz"])
@pytest.mark.parametrize("seed", range(60))
def test_leaving_out_dead_rotations_keeps_the_probabilities(seed, two):
    # Two rotations may be dead one at a time, but not both: one by its end, one by its start.
    ansatz = CircuitAnsatz(random_clifford_rich(seed))
    theta = np.random.default_rng(seed).uniform(-3, 3, ansatz.n_angles)
    form = ansatz.form("lowered", two)
    bound = form.circuit.assign_parameters(form.gate_angles(theta[None])[0])
    expected = Statevector(ansatz.circuit().assign_parameters(theta)).probabilities()
    np.testing.assert_allclose(Statevector(bound).probabilities(), expected, atol=1e-13)


def test_custom_gates_are_not_taken_for_standard_ones():
    hidden = QuantumCircuit(1, name="x")
    hidden.h(0)
    circuit = QuantumCircuit(1)
    circuit.append(hidden.to_gate(), [0])
    with pytest.raises(UnsupportedGate, match="custom gate with the name"):
        CircuitAnsatz(circuit)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_angles_of_fixed_gates_are_finite(value):
    circuit = QuantumCircuit(1)
    circuit.ry(value, 0)
    with pytest.raises(InputError, match="finite"):
        CircuitAnsatz(circuit)
