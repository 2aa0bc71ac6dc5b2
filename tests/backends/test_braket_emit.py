"""What goes to Amazon Braket, against the SDK's own serialisation, parser and simulator."""

from __future__ import annotations

import gc
import re
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit
from braket.circuits.serialization import IRType
from braket.default_simulator import StateVectorSimulator
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program as OpenQasmProgram
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import Operator, Statevector

import qt_hw as qt
from qt_hw.errors import InputError, UnsupportedGate
from qt_hw_braket import emit, native

Array = NDArray[np.float64]


def sdk_law(circuit: Circuit, n: int) -> Array:
    """Return the SDK's probabilities, its qubit 0 the most significant bit."""
    asked = Circuit()
    for qubit in range(n):
        asked.i(qubit)
    asked.add_circuit(circuit)
    asked.probability(range(n))
    return np.asarray(LocalSimulator().run(asked, shots=0).result().values[0])


def qiskit_law(circuit: QuantumCircuit) -> Array:
    """Return Qiskit's probabilities in the SDK's order of qubits."""
    return np.asarray(Statevector(circuit).probabilities(list(range(circuit.num_qubits))[::-1]))


def lowered(n: int = 4, layers: int = 2) -> tuple[QuantumCircuit, Array]:
    ansatz = qt.U3Cu3(n, layers)
    form = ansatz.form("lowered")
    angles = np.random.default_rng(5).uniform(-np.pi, np.pi, (1, ansatz.n_angles))
    return form.circuit, form.gate_angles(angles)[0]


# ---- rz, ry and cnot


def test_a_lowered_circuit_keeps_its_gates_one_by_one() -> None:
    circuit, row = lowered()
    gates = emit.gate_list(circuit, row)
    names = {"rz": "rz", "ry": "ry", "cx": "cnot"}
    values = dict(zip(circuit.parameters, row, strict=True))
    expected: list[tuple[Any, ...]] = []
    for entry in circuit.data:
        places = [circuit.find_bit(qubit).index for qubit in entry.qubits]
        angles = [values[p] if p in values else float(p) for p in entry.operation.params]
        expected.append((names[entry.operation.name], *places, *angles))
    assert gates == expected
    assert {type(value) for _, *rest in gates for value in rest} == {int, float}


def test_the_law_is_qiskits() -> None:
    circuit, row = lowered()
    found = sdk_law(emit.circuit(circuit, row, measured=False), 4)
    expected = qiskit_law(circuit.assign_parameters(row))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_openqasm_is_what_the_sdk_writes() -> None:
    circuit, row = lowered()
    written = emit.circuit(circuit, row).to_ir(IRType.OPENQASM).source
    assert emit.openqasm(circuit, row) == written


def test_openqasm_says_the_angles_exactly() -> None:
    row = [1e-17, -np.pi, 1 / 3, 123456789.123, 1e22, 0.0]
    circuit = QuantumCircuit(2)
    for angle, qubit in zip(ParameterVector("t", 6), [0, 1, 0, 1, 0, 1], strict=True):
        circuit.ry(angle, qubit)
    text = emit.openqasm(circuit, row)
    assert [float(angle) for angle in re.findall(r"ry\((.*?)\)", text)] == row
    assert text == emit.circuit(circuit, row).to_ir(IRType.OPENQASM).source


def test_the_sdk_reads_openqasm_with_qubit_0_first() -> None:
    circuit = QuantumCircuit(3)
    circuit.ry(Parameter("t"), 0)
    circuit.cx(0, 2)
    text = emit.openqasm(circuit, [np.pi])
    result = LocalSimulator().run(OpenQasmProgram(source=text), shots=10).result()
    assert result.measurement_counts == {"101": 10}
    assert list(result.measured_qubits) == [0, 1, 2]


def test_qubits_without_gates_are_measured() -> None:
    circuit = QuantumCircuit(3)
    circuit.ry(Parameter("t"), 1)
    text = emit.openqasm(circuit, [np.pi])
    result = LocalSimulator().run(OpenQasmProgram(source=text), shots=10).result()
    assert result.measurement_counts == {"010": 10}


@pytest.mark.parametrize("name", ["x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg", "id"])
def test_fixed_gates_are_translated_up_to_a_phase(name: str) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.4, 0)
    circuit.rz(1.1, 0)
    getattr(circuit, name)(0)
    circuit.rx(0.7, 0)
    circuit.cx(0, 1)
    found = sdk_law(emit.circuit(circuit, [], measured=False), 2)
    np.testing.assert_allclose(found, qiskit_law(circuit), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["cx", "cz", "cy", "swap", "dcx", "ecr"])
def test_two_qubit_gates_are_translated_up_to_a_phase(name: str) -> None:
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.rx(0.3 + qubit, qubit)
        circuit.rz(0.9 * qubit - 0.2, qubit)
    getattr(circuit, name)(2, 0)
    getattr(circuit, name)(0, 1)
    for qubit in range(3):
        circuit.ry(0.5 + qubit, qubit)
    found = sdk_law(emit.circuit(circuit, [], measured=False), 3)
    np.testing.assert_allclose(found, qiskit_law(circuit), rtol=0, atol=1e-12)


def test_rotations_with_angles_are_translated() -> None:
    t = ParameterVector("t", 5)
    circuit = QuantumCircuit(2)
    circuit.rx(t[0], 0)
    circuit.u(t[1], t[2], t[3], 1)
    circuit.cx(1, 0)
    circuit.p(t[4], 0)
    circuit.rx(t[4], 0)
    row = [0.3, 1.1, -0.7, 0.4, 2.2]
    found = sdk_law(emit.circuit(circuit, row, measured=False), 2)
    expected = qiskit_law(circuit.assign_parameters(row))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_folded_circuit_stays_folded() -> None:
    circuit, row = lowered(3, 1)
    folded = circuit.compose(circuit.inverse()).compose(circuit)
    assert list(folded.parameters) == list(circuit.parameters)
    gates = emit.gate_list(folded, row)
    assert len(gates) == 3 * len(circuit.data)
    found = sdk_law(emit.circuit(folded, row, measured=False), 3)
    expected = qiskit_law(circuit.assign_parameters(row))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_gates_that_need_controlled_rotations_are_refused() -> None:
    circuit = QuantumCircuit(2)
    circuit.crz(Parameter("t"), 0, 1)
    with pytest.raises(UnsupportedGate, match=r"'crz'.*lowered"):
        emit.gate_list(circuit, [0.1])


def test_measured_circuits_and_wrong_rows_are_refused() -> None:
    circuit, row = lowered(2, 1)
    with pytest.raises(InputError, match="parameters"):
        emit.gate_list(circuit, row[:-1])
    measured = circuit.copy()
    measured.measure_all()
    with pytest.raises(InputError, match="unmeasured"):
        emit.gate_list(measured, row)


def test_circuits_are_compiled_once_and_forgotten() -> None:
    circuit, _ = lowered(2, 1)
    circuit = circuit.copy()
    program = emit.compile_circuit(circuit)
    assert emit.compile_circuit(circuit) is program
    gc.collect()
    known = len(emit._COMPILED)
    del circuit
    gc.collect()
    assert len(emit._COMPILED) == known - 1


# ---- native gates


def random_gates(rng: np.random.Generator, n: int, count: int) -> list[emit.Gate]:
    edges = [0.0, np.pi / 2, -np.pi / 2, np.pi, -np.pi, 2 * np.pi, 1e-7, np.pi / 2 + 1e-9]
    gates: list[emit.Gate] = []
    for _ in range(count):
        if n > 1 and rng.random() < 0.4:
            control, target = (int(q) for q in rng.choice(n, 2, replace=False))
            gates.append(("cnot", control, target))
        else:
            angle = rng.choice(edges) if rng.random() < 0.5 else 3 * rng.normal()
            gates.append((str(rng.choice(["rz", "ry"])), int(rng.integers(n)), float(angle)))
    return gates


def as_circuit(gates: Any) -> Circuit:
    circuit = Circuit()
    for name, *rest in gates:
        getattr(circuit, name)(*rest)
    return circuit


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_native_gates_have_the_same_law(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(10):
        gates = random_gates(rng, n, 20)
        found = sdk_law(as_circuit(native.native_gates(n, gates)), n)
        expected = sdk_law(as_circuit(gates), n)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


def test_each_cnot_is_one_zz_and_each_run_at_most_two_pulses() -> None:
    gates = random_gates(np.random.default_rng(0), 4, 60)
    found = native.native_gates(4, gates)
    cnots = [set(rest) for name, *rest in gates if name == "cnot"]
    assert [set(rest[:2]) for name, *rest in found if name == "zz"] == cnots
    pulses = [gate[1] for gate in found if gate[0] == "gpi2"]
    assert len(pulses) <= 2 * (2 * len(cnots) + 4)


@pytest.mark.parametrize(
    ("gates", "count"),
    [
        ([("rz", 0, 0.7)], 0),
        ([("ry", 0, 0.7), ("ry", 0, -0.7)], 0),
        ([("rz", 0, np.pi), ("ry", 0, np.pi / 2)], 1),
        ([("ry", 0, np.pi)], 2),
        ([("rz", 0, 0.1), ("ry", 0, 0.7), ("rz", 0, 0.2)], 2),
    ],
    ids=["diagonal", "undone", "hadamard", "flip", "any"],
)
def test_pulses_of_one_qubit(gates: list[emit.Gate], count: int) -> None:
    assert len(native.native_gates(1, gates)) == count


def test_folds_are_not_undone() -> None:
    fold: list[emit.Gate] = [("cnot", 0, 1)] * 3
    assert [name for name, *_ in native.native_gates(2, fold)].count("zz") == 3


def test_verbatim_openqasm_is_what_the_sdk_writes() -> None:
    circuit, row = lowered(3, 2)
    gates = native.native_gates(3, emit.gate_list(circuit, row))
    written = native.circuit(3, gates).to_ir(IRType.OPENQASM).source
    text = native.openqasm(3, gates)
    assert text == written
    assert text.startswith("OPENQASM 3.0;\nbit[3] b;\n#pragma braket verbatim\nbox{\n")


def test_verbatim_openqasm_runs() -> None:
    gates = native.native_gates(3, [("ry", 0, np.pi), ("cnot", 0, 2)])
    program = OpenQasmProgram(source=native.openqasm(3, gates))
    result = StateVectorSimulator().run(program, shots=10)
    assert {tuple(shot) for shot in result.measurements} == {("1", "0", "1")}


def test_no_gates_make_no_box() -> None:
    text = native.openqasm(2, native.native_gates(2, [("rz", 0, 0.3)]))
    assert "box" not in text
    assert text == Circuit().measure(range(2)).to_ir(IRType.OPENQASM).source.replace(
        "qubit[2] q;\n", ""
    ).replace("q[0]", "$0").replace("q[1]", "$1")


def test_other_gates_have_no_native_form() -> None:
    with pytest.raises(UnsupportedGate, match="'h'"):
        native.native_gates(1, [("h", 0, 0.0)])


def test_native_gates_are_the_matrices_of_the_sdk() -> None:
    """The run of pulses is the rotation itself, up to phases before and after it."""
    pulses = native.native_gates(1, [("rz", 0, 0.4), ("ry", 0, 0.9), ("rz", 0, -1.3)])
    found = as_circuit(pulses).to_unitary()
    circuit = QuantumCircuit(1)
    circuit.ry(0.9, 0)
    np.testing.assert_allclose(np.abs(found), np.abs(Operator(circuit).data), atol=1e-12)
