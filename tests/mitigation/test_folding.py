"""Folding, against mitiq's folds in noisy laws and against Qiskit's operators."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Operator, Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

import qt_hw as qt
from qt_hw.circuits.shift import shift_rows
from qt_hw.errors import InputError, UnknownName, UnsupportedGate
from qt_hw.execution.backend import Batch, Item, Prepared
from qt_hw.mitigation.folding import fold

Array = NDArray[np.float64]

NOISE = "depolarizing(p1=2e-3, p2=2e-2) + readout(p01=0.01, p10=0.03)"


@cache
def prepared(backend: str, ansatz: str) -> Prepared:
    made = {
        "ry5": lambda: qt.RyCnot(5, 2),
        "ring4": lambda: qt.U3Cu3(4, 2),
        "ring8": lambda: qt.U3Cu3(8, 1),
        "u3": lambda: qt.U3Cu3(3, 1),
    }[ansatz]()
    options: dict[str, Any] = {"noise": NOISE} if backend == "aer" else {}
    return qt.backend(backend, **options).prepare(made)


def angles(circuit: QuantumCircuit, seed: int = 1) -> Array:
    return np.random.default_rng(seed).uniform(-np.pi, np.pi, len(circuit.parameters))


def two_qubit_gates(circuit: QuantumCircuit) -> int:
    return sum(n for name, n in circuit.count_ops().items() if name in ("cx", "cz", "ecr", "rzz"))


def pulses(circuit: QuantumCircuit) -> int:
    return sum(n for name, n in circuit.count_ops().items() if name in ("sx", "x", "ry"))


def assert_equal(found: QuantumCircuit, expected: QuantumCircuit) -> None:
    values = angles(expected)
    assert Operator(found.assign_parameters(values)).equiv(
        Operator(expected.assign_parameters(values))
    )


def noisy_law(circuit: QuantumCircuit) -> Array:
    """Return Aer's exact law with depolarizing noise after all gates but rz."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(
        depolarizing_error(2e-3, 1), ["sx", "sxdg", "x", "ry", "rx", "u3", "u", "h"]
    )
    model.add_all_qubit_quantum_error(depolarizing_error(2e-2, 2), ["cx", "cz"])
    measured = circuit.copy()
    measured.save_probabilities()
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    return np.asarray(simulator.run(measured).result().data(0)["probabilities"])


def bound(ansatz: str, device: str) -> QuantumCircuit:
    """Return a bound circuit in {rz, ry, cx} or {rz, sx, x, cz}, on a plain register."""
    source = prepared("aer", "ry5").circuit if ansatz == "ry" else prepared("aer", "u3").circuit
    # mitiq prints angles as multiples of pi with ten digits.
    circuit = source.assign_parameters(np.round(angles(source) / np.pi, 6) * np.pi)
    if device == "isa":
        circuit = transpile(circuit, basis_gates=["rz", "sx", "x", "cz"], optimization_level=1)
    return circuit


@pytest.mark.parametrize("ansatz", ["ry", "u3"])
@pytest.mark.parametrize("device", ["lowered", "isa"])
def test_threefold_noise_equals_mitiqs_global_folds(ansatz: str, device: str) -> None:
    from mitiq.zne.scaling import fold_global

    circuit = bound(ansatz, device)
    expected = noisy_law(fold_global(circuit, 3.0))
    assert np.abs(expected - noisy_law(circuit)).max() > 1e-3
    np.testing.assert_allclose(noisy_law(fold(circuit, 3).circuit), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("device", ["lowered", "isa"])
def test_threefold_noise_equals_mitiqs_layer_folds(device: str) -> None:
    from mitiq.zne.scaling.layer_scaling import layer_folding

    circuit = bound("u3", device)
    expected = noisy_law(layer_folding(circuit, [1] * len(circuit.data)))
    found = noisy_law(fold(circuit, 3, method="layers").circuit)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", ["global", "layers"])
@pytest.mark.parametrize("scale", [1, 1.3, 1.5, 2, 3, 3.7, 5])
@pytest.mark.parametrize(
    ("backend", "ansatz"), [("aer:fake_torino", "ring4"), ("aer", "ry5"), ("aer", "u3")]
)
def test_the_unitary_stays_and_the_factor_is_reached(
    backend: str, ansatz: str, scale: float, method: Any
) -> None:
    circuit = prepared(backend, ansatz).circuit
    folded = fold(circuit, scale, method=method)
    assert_equal(folded.circuit, circuit)
    # The nearest factor is never further than half a step.
    assert abs(folded.scale - scale) <= 1 / two_qubit_gates(circuit) + 1e-12
    assert folded.scale == pytest.approx(
        two_qubit_gates(folded.circuit) / two_qubit_gates(circuit), abs=1e-12
    )
    assert pulses(folded.circuit) / pulses(circuit) == pytest.approx(scale, abs=0.65)
    assert list(folded.circuit.parameters) == list(circuit.parameters)


@pytest.mark.parametrize("method", ["global", "layers"])
def test_an_odd_factor_multiplies_every_gate_and_no_other_names_appear(method: Any) -> None:
    circuit = prepared("aer:fake_torino", "ring8").circuit
    folded = fold(circuit, 3, method=method)
    before, after = circuit.count_ops(), folded.circuit.count_ops()
    assert folded.scale == 3.0
    assert {name: after[name] for name in ("sx", "x", "cz")} == {
        name: 3 * before[name] for name in ("sx", "x", "cz")
    }
    assert set(after) <= {"rz", "sx", "x", "cz", "barrier"}


def test_layers_of_a_partial_fold_are_spread_over_the_circuit() -> None:
    circuit = QuantumCircuit(2)
    for _ in range(12):
        circuit.ry(0.3, 1)
        circuit.cx(0, 1)
    names = [item.operation.name for item in fold(circuit, 2, method="layers").circuit.data]
    half = len(names) // 2
    assert abs(names[:half].count("cx") - names[half:].count("cx")) <= 2


@pytest.mark.parametrize("method", ["global", "layers"])
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_no_transpiler_undoes_a_fold(level: int, method: Any) -> None:
    from qiskit_ibm_runtime.fake_provider import FakeTorino

    circuit = prepared("aer:fake_torino", "ry5").circuit
    assert two_qubit_gates(circuit) == 8
    folded = fold(circuit, 3, method=method).circuit
    measured = folded.copy()
    measured.measure_all()
    again = transpile(
        measured,
        FakeTorino(),
        initial_layout=circuit.metadata["physical_qubits"],
        optimization_level=level,
        seed_transpiler=1,
    )
    assert two_qubit_gates(again) == 24


@pytest.mark.parametrize("method", ["global", "layers"])
def test_registers_ancillas_and_metadata_survive(method: Any) -> None:
    circuit = prepared("aer:fake_torino", "ring8").circuit
    assert circuit.num_ancillas > 0
    folded = fold(circuit, 1.5, method=method).circuit
    assert folded.qregs == circuit.qregs
    assert folded.num_ancillas == circuit.num_ancillas
    assert folded.metadata == circuit.metadata
    assert folded.metadata["physical_qubits"]


@pytest.mark.parametrize(
    ("backend", "ansatz", "options"),
    [
        ("aer:fake_torino", "ry5", {}),
        ("aer:fake_torino", "ring4", {}),
        ("aer", "u3", {"noise": NOISE}),
        ("braket:local", "u3", {}),
        ("braket:local-dm", "u3", {"p1": 2e-3, "p2": 2e-2}),
    ],
)
def test_backends_run_folds_and_noise_grows(
    backend: str, ansatz: str, options: dict[str, Any]
) -> None:
    one = prepared(backend, ansatz) if not options else None
    device = qt.backend(backend, **options)
    one = one or device.prepare(qt.U3Cu3(3, 1))
    folds = [
        one.circuit,
        fold(one.circuit, 3).circuit,
        fold(one.circuit, 3, method="layers").circuit,
    ]
    bindings = angles(one.circuit)[None]
    items = tuple(Item(circuit=circuit, bindings=bindings, shots=None) for circuit in folds)
    laws = [rows[0] for rows in device.submit(Batch(items=items), "t").result().arrays]
    logical = list(range(one.form.n_qubits))
    ideal = Statevector(one.circuit.assign_parameters(bindings[0])).probabilities(logical)
    far = [np.abs(law - ideal).sum() for law in laws]
    if backend == "braket:local":
        assert max(far) < 1e-12
    else:
        assert min(far[1], far[2]) > 1.3 * far[0] > 0


@pytest.mark.parametrize("method", ["global", "layers"])
def test_shared_parameters_still_obey_the_two_term_rule(method: Any) -> None:
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
    found = gradient(fold(one.circuit, 3, method=method).circuit)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_inverses_stay_in_the_gates_of_the_device() -> None:
    circuit = QuantumCircuit(2)
    theta = ParameterVector("a", 6)
    circuit.h(0)
    circuit.rx(theta[0], 1)
    circuit.ecr(0, 1)
    circuit.u(theta[1], theta[2], theta[3], 0)
    circuit.rzz(0.4, 0, 1)
    circuit.swap(0, 1)
    circuit.cp(theta[4], 0, 1)
    circuit.ry(theta[5], 1)
    folded = fold(circuit, 3).circuit
    assert_equal(folded, circuit)
    angle = [item.operation.params[0] for item in folded.data if item.operation.name == "rzz"]
    assert angle == [0.4] * 3
    assert set(folded.count_ops()) - set(circuit.count_ops()) == {"x", "barrier"}


def test_without_two_qubit_gates_all_gates_count() -> None:
    circuit = QuantumCircuit(2)
    for _ in range(4):
        circuit.sx([0, 1])
    for method in ("global", "layers"):
        folded = fold(circuit, 1.5, method=method)  # type: ignore[arg-type]
        assert folded.scale == 1.5
        assert folded.circuit.count_ops()["sx"] == 12
        assert_equal(folded.circuit, circuit)


def test_barriers_of_the_circuit_are_no_gates() -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.1, 0)
    circuit.barrier()
    circuit.cx(0, 1)
    folded = fold(circuit, 3).circuit
    assert folded.count_ops()["barrier"] == 4
    assert_equal(folded, circuit)


@pytest.mark.parametrize("scale", [0.5, 0, -3, math.nan, math.inf, 101, True, "3", None, 1j])
def test_wrong_factors_are_refused(scale: Any) -> None:
    circuit = prepared("aer", "u3").circuit
    with pytest.raises(InputError, match=r"lies between 1 and 99 \(3 folds once\), not"):
        fold(circuit, scale)


@pytest.mark.parametrize("method", ["global", "layers"])
def test_a_factor_out_of_reach_names_the_nearest(method: Any) -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.2, 0)
    circuit.cx(0, 1)
    with pytest.raises(InputError, match=r"factor of 2.4: .* ask for 3 or an odd number"):
        fold(circuit, 2.4, method=method)


def test_what_cannot_be_folded_is_refused() -> None:
    circuit = QuantumCircuit(1, 1)
    with pytest.raises(InputError, match="without gates has no noise"):
        fold(circuit, 3)
    circuit.t(0)
    with pytest.raises(UnsupportedGate, match=r"cannot fold 't'.*Backend.prepare"):
        fold(circuit, 1)
    circuit = QuantumCircuit(1, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    with pytest.raises(UnsupportedGate, match=r"cannot fold 'measure'.*unmeasured"):
        fold(circuit, 3)
    with pytest.raises(UnknownName, match="unknown method 'globl' of folding; did you mean"):
        fold(prepared("aer", "u3").circuit, 3, method="globl")  # type: ignore[arg-type]
