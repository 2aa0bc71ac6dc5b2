"""Circuits to Cirq and back: Qiskit's operators, each connection's gates, every device's names."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from qiskit import AncillaRegister, QuantumCircuit, QuantumRegister
from qiskit.quantum_info import Operator, Statevector

import qt_hw as qt
from qt_hw.circuits.custom import CircuitAnsatz
from qt_hw.errors import InputError, PermanentError, UnsupportedGate
from qt_hw.execution.backend import Batch, Item
from qt_hw.mitigation.bound.gates import BARRIER, from_cirq, gates_of, seeded, to_cirq

with warnings.catch_warnings():
    # What mitiq's own imports warn of is not of this package.
    warnings.simplefilter("ignore")
    pytest.importorskip("mitiq")

import cirq

CASES = ("ry", "u3", "torino", "torino u3", "routed", "routed u3", "eagle")
NAMES = {
    "ry": {"rz", "ry", "cx"},
    "u3": {"rz", "ry", "cx"},
    "torino": {"rz", "sx", "x", "cz"},
    "eagle": {"rz", "sx", "x", "ecr"},
}

Circuits = dict[str, tuple[Any, QuantumCircuit]]


def connections(circuit: QuantumCircuit) -> Counter[tuple[str, int, ...]]:
    """Count the two-qubit gates by name and qubits, in their direction."""
    return Counter(
        (item.operation.name, *(circuit.find_bit(q).index for q in item.qubits))
        for item in circuit.data
        if len(item.qubits) == 2 and item.operation.name != "barrier"
    )


def exact(backend: Any, circuit: QuantumCircuit) -> np.ndarray:
    item = Item(circuit, np.zeros((1, 0)), None, "base")
    vectors: np.ndarray = backend.submit(Batch((item,)), "token").result().arrays[0]
    return vectors[0]


@pytest.mark.parametrize("case", CASES)
def test_there_and_back_nothing_changes(circuits: Circuits, case: str) -> None:
    _, circuit = circuits[case]
    back = from_cirq(to_cirq(circuit), circuit)
    assert Operator(back).equiv(Operator(circuit), rtol=0, atol=1e-12)
    assert back.count_ops() == circuit.count_ops()
    assert connections(back) == connections(circuit)
    assert set(back.count_ops()) <= NAMES.get(case, NAMES["torino"])
    assert back.qregs == circuit.qregs and back.metadata == circuit.metadata
    assert back.num_clbits == 0 and back.num_parameters == 0


def test_the_circuits_are_of_the_kinds_that_matter(circuits: Circuits) -> None:
    for case in ("routed", "routed u3"):
        _, circuit = circuits[case]
        assert circuit.num_ancillas > 0
        assert isinstance(circuit.qregs[-1], AncillaRegister)
        assert len(circuit.metadata["physical_qubits"]) == circuit.num_qubits
    assert set(NAMES["torino"]) == set(circuits["torino u3"][1].count_ops())


@pytest.mark.parametrize("case", ["ry", "u3", "eagle"])
def test_the_unitary_in_cirq_is_qiskits(circuits: Circuits, case: str) -> None:
    _, circuit = circuits[case]
    lines = cirq.LineQubit.range(circuit.num_qubits)
    matrix = to_cirq(circuit).unitary(qubit_order=lines[::-1], qubits_that_should_be_present=lines)
    assert Operator(matrix).equiv(Operator(circuit))


@pytest.mark.parametrize("case", CASES)
def test_devices_accept_what_comes_back(circuits: Circuits, case: str) -> None:
    backend, circuit = circuits[case]
    back = from_cirq(to_cirq(circuit), circuit)
    np.testing.assert_allclose(exact(backend, back), exact(backend, circuit), atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_devices_accept_every_gate_that_mitiq_adds(circuits: Circuits, case: str) -> None:
    backend, circuit = circuits[case]
    qubit = cirq.LineQubit(0)
    paulis = [gate(qubit) for gate in (cirq.X, cirq.Y, cirq.Z, cirq.I)]
    half = [cirq.X(qubit) ** power for power in (0.5, -0.5)] if "sx" in circuit.count_ops() else []
    whole = to_cirq(circuit) + cirq.Circuit([*paulis, *half])
    back = from_cirq(whole, circuit)
    # X, Y and Z are ±i together: on the vector nothing is left but the noise of the gates.
    assert Operator(back).equiv(Operator(circuit))
    assert set(back.count_ops()) <= {*circuit.count_ops(), "rz", "x"}
    measured = circuit.num_qubits - circuit.num_ancillas
    vector = exact(backend, back)
    assert vector.shape == (2**measured,) and vector.sum() == pytest.approx(1.0)


def test_braket_accepts_every_gate_that_mitiq_adds() -> None:
    pytest.importorskip("braket")
    backend = qt.backend("braket:local")
    circuit = backend.prepare(qt.RyCnot(3, 1)).circuit
    circuit = circuit.assign_parameters(np.linspace(-1, 1, circuit.num_parameters))
    extra = [gate(cirq.LineQubit(1)) for gate in (cirq.X, cirq.Y, cirq.Z, cirq.I)]
    back = from_cirq(to_cirq(circuit) + cirq.Circuit(extra), circuit)
    np.testing.assert_allclose(exact(backend, back), exact(backend, circuit), atol=1e-9)


@pytest.mark.parametrize(
    ("gate", "qiskit_name"),
    [
        (cirq.X, "x"),
        (cirq.Y, "y"),
        (cirq.Z, "z"),
        (cirq.S, "s"),
        (cirq.S**-1, "sdg"),
        (cirq.T, "t"),
        (cirq.X**0.5, "sx"),
        (cirq.X**-0.5, "sxdg"),
        (cirq.X**1.5, "sxdg"),
        (cirq.X**-1, "x"),
        (cirq.Y**3, "y"),
        (cirq.I, "id"),
    ],
    ids=str,
)
def test_single_gates_of_cirq_are_exact(gate: cirq.Gate, qiskit_name: str) -> None:
    like = QuantumCircuit(1)
    like.rz(0.1, 0)
    like.sx(0)
    back = from_cirq(cirq.Circuit(gate(cirq.LineQubit(0))), like)
    expected = QuantumCircuit(1)
    getattr(expected, qiskit_name)(0)
    assert Operator(back).equiv(Operator(expected), rtol=0, atol=1e-14)
    assert set(back.count_ops()) <= {"rz", "sx", "x"}


@pytest.mark.parametrize("angle", [1e-13, 0.12345678901234567, 3.1, -7.5, 2 * np.pi, 40.0])
def test_angles_keep_all_their_digits(angle: float) -> None:
    circuit = QuantumCircuit(1)
    for name in ("rx", "ry", "rz"):
        getattr(circuit, name)(angle, 0)
    back = from_cirq(to_cirq(circuit), circuit)
    for item in back.data:
        assert item.operation.params[0] == pytest.approx(angle, rel=1e-15)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("y", (0,)),
        ("z", (0,)),
        ("h", (0,)),
        ("s", (0,)),
        ("sdg", (0,)),
        ("t", (0,)),
        ("sxdg", (0,)),
        ("u", (0.1, 0.2, 0.3, 0)),
        ("rzz", (0.1, 0, 1)),
        ("swap", (0, 1)),
        ("reset", (0,)),
    ],
)
def test_gates_that_no_prepared_circuit_has_are_refused(name: str, arguments: Any) -> None:
    circuit = QuantumCircuit(2)
    getattr(circuit, name)(*arguments)
    with pytest.raises(UnsupportedGate, match=f"not '{name}'.*Backend.prepare") as caught:
        to_cirq(circuit)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["aer", "aer:fake_torino", "aer:fake_sherbrooke"])
def test_prepared_circuits_of_any_gates_are_taken(name: str) -> None:
    """What is refused above, ``Backend.prepare`` has rewritten exactly."""
    pytest.importorskip("qiskit_ibm_runtime")
    circuit = QuantumCircuit(3)
    circuit.u(0.1, 0.2, 0.3, 1)
    for gate in ("h", "s", "sdg", "t", "tdg", "y", "z", "x", "sx", "h", "sxdg"):
        getattr(circuit, gate)(0)
    circuit.rzz(0.4, 0, 1)
    circuit.swap(1, 2)
    circuit.ecr(0, 2)
    circuit.cu(0.3, 0.2, 0.1, 0.5, 2, 1)
    options = {"noise": "depolarizing(p2=1e-2)"} if name == "aer" else {}
    prepared = qt.backend(name, **options).prepare(CircuitAnsatz(circuit)).circuit
    back = from_cirq(to_cirq(prepared), prepared)
    assert Operator(back).equiv(Operator(prepared))
    measured = list(range(3))
    np.testing.assert_allclose(
        Statevector(back).probabilities(measured), Statevector(circuit).probabilities(), atol=1e-10
    )


def test_open_angles_are_refused() -> None:
    circuit = qt.backend("aer", noise="depolarizing(p2=1e-2)").prepare(qt.RyCnot(2, 1)).circuit
    with pytest.raises(InputError, match=r"2 angles are open: call circuit\.assign_parameters"):
        to_cirq(circuit)


def test_idle_qubits_barriers_and_identities() -> None:
    circuit = QuantumCircuit(
        QuantumRegister(2, "q"), AncillaRegister(2, "ancilla"), metadata={"physical_qubits": [3]}
    )
    circuit.sx(3)
    circuit.barrier()
    circuit.id(0)
    circuit.cz(3, 1)
    back = from_cirq(to_cirq(circuit), circuit)
    assert Operator(back).equiv(Operator(circuit))
    assert back.count_ops() == {"sx": 1, "cz": 1}
    assert (back.num_qubits, back.num_ancillas) == (4, 2)
    assert back.qregs == circuit.qregs and back.metadata == {"physical_qubits": [3]}
    empty = QuantumCircuit(2)
    assert from_cirq(to_cirq(empty), empty) == empty


def test_angles_ecr_and_ancillas_in_one_circuit() -> None:
    circuit = QuantumCircuit(
        QuantumRegister(3, "q"), AncillaRegister(1, "ancilla"), metadata={"physical_qubits": [4]}
    )
    circuit.rz(0.1234567890123456, 0)
    circuit.sx(0)
    circuit.ecr(3, 0)
    circuit.cz(0, 3)
    circuit.rx(-0.4, 3)
    back = from_cirq(to_cirq(circuit), circuit)
    assert Operator(back).equiv(Operator(circuit))
    assert back.qregs == circuit.qregs and back.metadata == circuit.metadata
    assert back.num_ancillas == 1


def test_inverses_stay_in_the_gates_of_the_circuit() -> None:
    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(0.7, 0)
    circuit.ecr(0, 1)
    circuit.sx(1)
    circuit.x(0)
    back = from_cirq(cirq.inverse(to_cirq(circuit)), circuit)
    assert Operator(back).equiv(Operator(circuit.inverse()))
    assert set(back.count_ops()) == {"sx", "rz", "ecr", "x"}


def test_directions_of_gates_are_kept() -> None:
    circuit = QuantumCircuit(3)
    for pair in ((0, 2), (2, 0), (1, 0)):
        circuit.cx(*pair)
        circuit.ecr(*pair)
        circuit.rx(0.3, pair[0])
    back = from_cirq(cirq.inverse(to_cirq(circuit)), circuit)
    assert Operator(back).equiv(Operator(circuit.inverse()))
    assert connections(back) == connections(circuit)


def test_a_barrier_stands_where_the_tag_says() -> None:
    like = QuantumCircuit(2)
    like.cx(0, 1)
    a, b = cirq.LineQubit.range(2)
    tagged = cirq.Circuit(
        cirq.Moment(cirq.CNOT(a, b)), cirq.Moment(cirq.X(a).with_tags(BARRIER), cirq.X(b))
    )
    names = [name for name, _, _ in gates_of(tagged, like)]
    assert names == ["cx", "barrier", "x", "x"]
    assert [item.operation.name for item in from_cirq(tagged, like).data] == names


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (cirq.H(cirq.LineQubit(0)), "unknown kind: H"),
        (cirq.X(cirq.LineQubit(0)) ** 0.25, r"unknown kind: X\*\*0.25"),
        (cirq.ISWAP(*cirq.LineQubit.range(2)), "two-qubit gate of unknown kind: ISWAP"),
        (cirq.CZ(*cirq.LineQubit.range(2)), "a gate 'cz', which the circuit has not"),
        (cirq.X(cirq.LineQubit(0)) ** 0.5, "a gate 'sx', which the circuit has not"),
    ],
    ids=str,
)
def test_gates_that_the_device_may_not_have_are_never_made(
    operation: cirq.Operation, words: str
) -> None:
    like = QuantumCircuit(2)
    like.cx(0, 1)
    like.ry(0.1, 0)
    with pytest.raises(PermanentError, match=words):
        from_cirq(cirq.Circuit(operation), like)


def test_global_random_states_come_back_even_after_an_error() -> None:
    import random

    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.random()
    random.seed(3)
    np.random.seed(3)
    with pytest.raises(ZeroDivisionError), seeded(5):
        inside = random.random(), np.random.random()
        raise ZeroDivisionError
    assert inside != expected
    assert (random.random(), np.random.random()) == expected
