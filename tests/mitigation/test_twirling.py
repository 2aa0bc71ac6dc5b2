"""Twirling, against Qiskit's operators and the Pauli-twirled channel."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit.library import RZZGate
from qiskit.quantum_info import PTM, DensityMatrix, Operator, Statevector, SuperOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, amplitude_damping_error, coherent_unitary_error

import qt_hw as qt
from qt_hw.circuits.shift import shift_rows
from qt_hw.errors import InputError, UnsupportedGate
from qt_hw.execution.backend import Batch, Item, Prepared
from qt_hw.mitigation.folding import fold
from qt_hw.mitigation.twirling import twirled

Array = NDArray[np.float64]

NOISE = "depolarizing(p1=2e-3, p2=2e-2)"


@cache
def prepared(backend: str, ansatz: str) -> Prepared:
    made = {
        "ry5": lambda: qt.RyCnot(5, 2),
        "ring4": lambda: qt.U3Cu3(4, 1),
        "ring8": lambda: qt.U3Cu3(8, 1),
        "u3": lambda: qt.U3Cu3(3, 1),
    }[ansatz]()
    options: dict[str, Any] = {"noise": NOISE} if backend == "aer" else {}
    return qt.backend(backend, **options).prepare(made)


def angles(circuit: QuantumCircuit, seed: int = 1) -> Array:
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, len(circuit.parameters))


def pair(name: str) -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    getattr(circuit, name)(0, 1)
    return circuit


@pytest.mark.parametrize("name", ["cx", "cz", "ecr"])
@pytest.mark.parametrize("turned", [False, True])
def test_every_pauli_pair_leaves_the_gate_as_it_is(name: str, turned: bool) -> None:
    circuit = QuantumCircuit(2)
    getattr(circuit, name)(*((1, 0) if turned else (0, 1)))
    copies = twirled(circuit, 16, seed=3)
    expected = Operator(circuit)
    before = set()
    for copy in copies:
        assert Operator(copy).equiv(expected)
        assert set(copy.count_ops()) <= {"x", "rz", name}
        names = [item.operation.name for item in copy.data]
        head = QuantumCircuit(2)
        for item in copy.data[: names.index(name)]:
            head.append(item)
        # The Pauli before the gate, up to its phase.
        before.add(tuple(np.abs(PTM(head).data.diagonal() - 1).astype(int)))
    assert len(before) == 16


@pytest.mark.parametrize(
    ("backend", "ansatz"), [("aer:fake_torino", "ry5"), ("aer:fake_torino", "ring4"), ("aer", "u3")]
)
@pytest.mark.parametrize("scale", [1, 1.5])
def test_variants_equal_their_source(backend: str, ansatz: str, scale: float) -> None:
    circuit = fold(prepared(backend, ansatz).circuit, scale).circuit
    values = angles(circuit)
    expected = Operator(circuit.assign_parameters(values))
    copies = twirled(circuit, 5, seed=11)
    for copy in copies:
        assert Operator(copy.assign_parameters(values)).equiv(expected)
        assert list(copy.parameters) == list(circuit.parameters)
        for name in ("cx", "cz", "ry", "sx", "barrier"):
            assert copy.count_ops().get(name) == circuit.count_ops().get(name)
        assert set(copy.count_ops()) - set(circuit.count_ops()) <= {"x", "rz"}
        assert copy.count_ops()["x"] > circuit.count_ops().get("x", 0)


def test_every_gate_gets_each_pair_of_paulis_once_in_sixteen_variants() -> None:
    circuit = QuantumCircuit(3)
    for _ in range(3):
        circuit.cz(0, 1)
        circuit.barrier()
        circuit.cz(1, 2)
        circuit.barrier()
    seen: list[set[str]] = [set() for _ in range(6)]
    orders = set()
    for copy in twirled(circuit, 32, seed=5)[16:]:
        blocks: list[str] = [""]
        for item in copy.data:
            if item.operation.name == "barrier":
                blocks.append("")
            else:
                qubits = [copy.find_bit(q).index for q in item.qubits]
                blocks[-1] += f"{item.operation.name}{qubits}"
        for place, block in enumerate(blocks[:6]):
            seen[place].add(block)
        orders.add(tuple(blocks))
    assert [len(blocks) for blocks in seen] == [16] * 6
    assert len(orders) == 16


def test_registers_ancillas_and_metadata_survive() -> None:
    circuit = prepared("aer:fake_torino", "ring8").circuit
    assert circuit.num_ancillas > 0
    (copy,) = twirled(fold(circuit, 3).circuit, 1, seed=0)
    assert copy.qregs == circuit.qregs
    assert copy.num_ancillas == circuit.num_ancillas
    assert copy.metadata == circuit.metadata
    assert copy.count_ops()["cz"] == 3 * circuit.count_ops()["cz"]


def test_the_seed_makes_the_paulis_and_nothing_else_does() -> None:
    circuit = prepared("aer", "u3").circuit
    state, global_state = random.getstate(), np.random.get_state()[1].copy()
    sixteen = twirled(circuit, 20, seed=4)
    assert random.getstate() == state
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)
    assert sixteen == twirled(circuit, 20, seed=4)
    assert sixteen[:6] == twirled(circuit, 6, seed=4)
    assert sixteen != twirled(circuit, 20, seed=5)
    assert len({str(copy) for copy in sixteen}) == 20


def coherent(angle: float) -> Any:
    """Return an over-rotation about ZZ, followed by decay of one qubit."""
    decay = amplitude_damping_error(0.1).expand(amplitude_damping_error(0.03))
    return coherent_unitary_error(RZZGate(angle).to_matrix()).compose(decay)


def twirl(error: Any) -> SuperOp:
    """Return the Pauli twirl of a channel: the diagonal of its Pauli transfer matrix."""
    return SuperOp(PTM(np.diag(np.diag(PTM(SuperOp(error)).data))))


@pytest.mark.parametrize("name", ["cx", "cz", "ecr"])
def test_the_average_of_all_paulis_is_the_twirled_channel(name: str) -> None:
    error = coherent(0.3)
    model = NoiseModel()
    model.add_all_qubit_quantum_error(error, name)
    simulator = AerSimulator(method="superop", noise_model=model)
    total = np.zeros((16, 16), dtype=complex)
    for copy in twirled(pair(name), 16, seed=0):
        copy.save_superop()
        total += SuperOp(simulator.run(copy).result().data(0)["superop"]).data / 16
    gate = SuperOp(pair(name))
    np.testing.assert_allclose(total, gate.compose(twirl(error)).data, rtol=0, atol=1e-12)
    assert np.abs(total - gate.compose(SuperOp(error)).data).max() > 0.1


def law(circuit: QuantumCircuit, error: SuperOp) -> Array:
    """Return the law with ``error`` after each cx."""
    state = DensityMatrix.from_int(0, 2**circuit.num_qubits)
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        state = state.evolve(item.operation, qubits)
        if item.operation.name == "cx":
            state = state.evolve(error, qubits)
    return np.asarray(state.probabilities())


def test_sixteen_variants_come_near_the_law_with_the_twirled_channel() -> None:
    source = prepared("aer", "u3").circuit
    circuit = source.assign_parameters(angles(source))
    error = SuperOp(RZZGate(0.12))
    expected = law(circuit, twirl(error))
    untwirled = np.linalg.norm(law(circuit, error) - expected)
    few = [
        np.mean([law(copy, error) for copy in twirled(circuit, 16, seed=seed)], axis=0)
        for seed in range(4)
    ]
    far = [float(np.linalg.norm(mean - expected)) for mean in few]
    # Independent Paulis leave 0.05 to 0.4.
    assert max(far) < 0.04 * untwirled


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("aer:fake_torino", {}),
        ("aer", {"noise": NOISE}),
        ("braket:local", {}),
        ("braket:local-dm", {"p1": 2e-3, "p2": 2e-2}),
    ],
)
def test_backends_run_twirled_folds(backend: str, options: dict[str, Any]) -> None:
    device = qt.backend(backend, **options)
    one = device.prepare(qt.U3Cu3(4, 1))
    copies = [*twirled(one.circuit, 2, seed=1), *twirled(fold(one.circuit, 3).circuit, 2, seed=1)]
    bindings = angles(one.circuit)[None]
    items = tuple(
        Item(circuit=circuit, bindings=bindings, shots=None) for circuit in (one.circuit, *copies)
    )
    laws = [rows[0] for rows in device.submit(Batch(items=items), "t").result().arrays]
    bound = one.circuit.assign_parameters(bindings[0])
    ideal = Statevector(bound).probabilities(list(range(4)))
    far = [float(np.abs(p - ideal).sum()) for p in laws]
    if backend == "braket:local":
        assert max(far) < 1e-12
    else:
        # The Paulis themselves add little noise, the folds much.
        assert max(far[1:3]) < 1.25 * far[0]
        assert min(far[3:]) > 1.3 * far[0]


@pytest.mark.parametrize("scale", [1, 3])
def test_shared_parameters_still_obey_the_two_term_rule(scale: int) -> None:
    one = prepared("aer:fake_torino", "ry5")
    rows = shift_rows(one.form)
    base = angles(one.circuit)
    bindings = rows.bindings(base[None])
    g = np.random.default_rng(2).normal(size=2**one.circuit.num_qubits)

    def gradient(circuit: QuantumCircuit) -> Array:
        laws = [Statevector(circuit.assign_parameters(row)).probabilities() for row in bindings]
        return rows.contract((np.array(laws) @ g)[None], len(base))[0]

    expected = gradient(one.circuit)
    assert np.abs(expected).max() > 0.1
    for copy in twirled(fold(one.circuit, scale).circuit, 2, seed=9):
        np.testing.assert_allclose(gradient(copy), expected, rtol=0, atol=1e-12)


def test_a_circuit_of_one_qubit_has_nothing_to_twirl() -> None:
    circuit = QuantumCircuit(1)
    circuit.ry(0.3, 0)
    assert twirled(circuit, 3, seed=0) == (circuit,) * 3


@pytest.mark.parametrize("name", ["rzz", "swap", "iswap", "ccx", "cp"])
def test_other_gates_on_several_qubits_are_refused(name: str) -> None:
    circuit = QuantumCircuit(3)
    circuit.cz(0, 1)
    turn = [0.5] if name in ("rzz", "cp") else []
    getattr(circuit, name)(*turn, *range(3 if name == "ccx" else 2))
    with pytest.raises(UnsupportedGate, match=rf"cannot twirl '{name}'.*use ansatz.lowered\(\)"):
        twirled(circuit, 16, seed=0)


@pytest.mark.parametrize("variants", [0, -1, 1.5, True, "16", None])
def test_wrong_numbers_of_variants_are_refused(variants: Any) -> None:
    with pytest.raises(InputError, match="variants must be a whole number of at least 1, not"):
        twirled(pair("cx"), variants, seed=0)


@pytest.mark.parametrize("seed", [-1, 0.5, False, None])
def test_wrong_seeds_are_refused(seed: Any) -> None:
    with pytest.raises(InputError, match="seed must be a whole number of at least 0, not"):
        twirled(pair("cx"), 16, seed=seed)
