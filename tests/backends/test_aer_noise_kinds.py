"""Coherent noise and a device's median errors against oracles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector
from qiskit_ibm_runtime.fake_provider import FakeTorino

import qt_hw_aer
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError
from qt_hw.execution.backend import Backend, Batch, Item
from qt_hw.testing import assert_sampled_from
from qt_hw_aer.median import median_terms
from qt_hw_aer.spec import parse_noise

Array = NDArray[np.float64]
Z, X = np.diag([1.0, -1.0]), np.array([[0.0, 1.0], [1.0, 0.0]])


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


def turned(angle: float, matrix: Array) -> Operator:
    """exp(-i angle/2 P) of a Pauli string: cos(angle/2) - i sin(angle/2) P."""
    return Operator(np.cos(angle / 2) * np.eye(len(matrix)) - 1j * np.sin(angle / 2) * matrix)


def over_rotated(circuit: QuantumCircuit, zz: float, rx: float, rz: float) -> Array:
    state = Statevector.from_int(0, 2**circuit.num_qubits)
    for item in circuit.data:
        qubits = [circuit.find_bit(q).index for q in item.qubits]
        state = state.evolve(Operator(item.operation), qubits)
        if len(qubits) == 2:
            state = state.evolve(turned(zz, np.kron(Z, Z)), qubits)
        elif item.operation.name != "rz":
            state = state.evolve(turned(rx, X), qubits).evolve(turned(rz, Z), qubits)
    return np.asarray(state.probabilities())


@pytest.mark.parametrize(
    ("text", "zz", "rx", "rz"),
    [
        ("coherent(zz=0.12)", 0.12, 0.0, 0.0),
        ("coherent(zz=-0.7)", -0.7, 0.0, 0.0),
        ("coherent(rx=0.2)", 0.0, 0.2, 0.0),
        ("coherent(zz=0.3, rx=0.05, rz=-0.4)", 0.3, 0.05, -0.4),
    ],
)
def test_coherent_errors_are_rotations_after_the_gates(
    text: str, zz: float, rx: float, rz: float
) -> None:
    found = law(example(), noise=text)
    close(found, over_rotated(example(), zz, rx, rz))
    assert np.abs(found - law(example())).max() > 1e-3


def test_a_coherent_error_of_one_cz_by_hand() -> None:
    """Qubit 1 = b leaves qubit 0 in (1, (-1)^b e^{±i zz}) / √2: P(H gives b) = cos(zz/2)²."""
    circuit = QuantumCircuit(2)
    circuit.h([0, 1])
    circuit.cz(0, 1)
    circuit.h(0)
    zz = 0.8
    stay = np.cos(zz / 2) ** 2
    close(
        law(circuit, noise=f"coherent(zz={zz})"),
        [stay / 2, (1 - stay) / 2, (1 - stay) / 2, stay / 2],
    )


@pytest.mark.parametrize("angle", [0.0, 1e-10])
def test_a_tiny_angle_changes_nothing(angle: float) -> None:
    noise = f"coherent(zz={angle}, rx={angle})"
    close(law(example(), noise=noise), law(example()), atol=1e-9)
    backend = qt_hw_aer.open(noise=noise + " + depolarizing(p1=0.01)", max_density_qubits=0)
    assert run(backend, example(), 10).sum() == 10


def test_coherent_trajectories_follow_the_law() -> None:
    noise = "coherent(zz=0.5, rx=0.2) + depolarizing(p1=0.01, p2=0.05) + readout(p=0.03)"
    circuit = example()
    expected = law(circuit, noise=noise)
    backend = qt_hw_aer.open(noise=noise, max_density_qubits=0)
    assert_sampled_from(run(backend, circuit, 20_000), expected[None])


def test_coherent_noise_acts_with_open_angles_as_with_fixed_ones() -> None:
    ansatz, angles = U3Cu3(3, 1), np.random.default_rng(3).uniform(-3, 3, (2, 18))
    backend = qt_hw_aer.open(noise="coherent(zz=0.2, rz=0.1)")
    prepared = backend.prepare(ansatz)
    bindings = prepared.form.gate_angles(angles)
    item = Item(circuit=prepared.circuit, bindings=bindings, shots=None)
    rows = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    for row, values in zip(rows, bindings, strict=True):
        bound = prepared.circuit.assign_parameters(values)
        close(row, over_rotated(bound, 0.2, 0.0, 0.1), atol=1e-10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coherent()", "at least one of zz, rx, rz"),
        ("coherent(xx=0.1)", "known: zz, rx, rz"),
        ("coherent(zz=4)", r"zz=4 is outside \[-3.14159, 3.14159\]"),
        ("coherent(zz=a)", "'zz=a' is not 'name=number'; allowed: .*coherent"),
        ("coherent(zz=0.1) + coherent(rx=0.1)", "'coherent' is given more than once"),
        ("coherant(zz=0.1)", "did you mean 'coherent'"),
        ("median()", r"needs the name of one fake device, not ''; write median\(fake_torino\)"),
        ("median(p=0.1)", "needs the name of one fake device, not 'p=0.1'"),
        ("median(fake_torino, fake_manila)", "needs the name of one fake device"),
        ("median(fake_torin)", "did you mean 'fake_torino'"),
        ("medien(fake_torino)", "did you mean 'median'"),
        ("median(fake_torino) + median(fake_manila)", "'median' is given more than once"),
    ],
)
def test_wrong_specifications_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        qt_hw_aer.open(noise=text)
    assert "\n" not in str(caught.value)


def test_terms_read_as_they_are_written() -> None:
    texts = [str(term) for term in parse_noise("median(fake_torino) +coherent(zz=0.1)")]
    assert texts == ["median(fake_torino)", "coherent(zz=0.1, rx=0, rz=0)"]


# The median errors of a device


def stated_errors(name: str) -> list[float]:
    """Errors of a gate as the properties of the device state them, not as its target does."""
    properties = FakeTorino().properties()
    if name == "measure":
        return [properties.readout_error(q) for q in range(133)]
    gates = [gate for gate in properties.gates if gate.gate == name]
    return [p.value for gate in gates for p in gate.parameters if p.name == "gate_error"]


def test_median_errors_of_torino() -> None:
    def middle(name: str) -> float:
        return float(np.median([e for e in stated_errors(name) if e < 0.5]))

    assert sum(e >= 0.5 for e in stated_errors("cz")) == 22  # both directions of 11 couplers
    gates, readout = (term.values for term in median_terms("fake_torino"))
    assert gates["p2"] == pytest.approx(4 / 3 * middle("cz"), rel=1e-12)
    assert gates["p1"] == pytest.approx(2 * middle("sx"), rel=1e-12)
    assert readout["p01"] == readout["p10"] == pytest.approx(middle("measure"), rel=1e-12)
    assert gates["p1"] == pytest.approx(5.4230e-4, rel=1e-4)
    assert gates["p2"] == pytest.approx(5.4403e-3, rel=1e-4)
    assert readout["p01"] == pytest.approx(2.2949e-2, rel=1e-4)


@pytest.mark.parametrize(("p", "d"), [(0.03, 2), (0.03, 4)])
def test_the_average_infidelity_of_depolarizing_is_as_converted(p: float, d: int) -> None:
    from qiskit.quantum_info import SuperOp, average_gate_fidelity
    from qiskit_aer.noise import depolarizing_error

    channel = SuperOp(depolarizing_error(p, d.bit_length() - 1))
    assert p == pytest.approx((1 - average_gate_fidelity(channel)) * d / (d - 1), rel=1e-9)


def test_median_noise_is_that_of_its_numbers_and_adds_up_with_other_terms() -> None:
    gates, readout = median_terms("fake_torino")
    backend = qt_hw_aer.open(noise="median(fake_torino)")
    close(run(backend, example())[0], law(example(), noise=plain(gates, readout)))
    text = backend.describe()["noise"]
    assert text.startswith("median(fake_torino: depolarizing(p1=0.000542")
    both = law(example(), noise="median(fake_torino) + coherent(zz=0.12)")
    close(both, law(example(), noise=plain(gates, readout) + "+coherent(zz=0.12)"))


def plain(gates: Any, readout: Any) -> str:
    (p1, p2), p = gates.values.values(), readout.values["p01"]
    return f"depolarizing(p1={p1!r}, p2={p2!r}) + readout(p={p!r})"


def test_readouts_act_one_after_the_other() -> None:
    flip = median_terms("fake_torino")[1].values["p01"]
    circuit = QuantumCircuit(1)
    circuit.rz(0.1, 0)
    found = law(circuit, noise="median(fake_torino) + readout(p01=0.1, p10=0.2)")[1]
    assert found == pytest.approx((1 - flip) * 0.1 + flip * 0.8, abs=1e-12)


def test_median_noise_runs_circuits_that_have_no_exact_law() -> None:
    backend = qt_hw_aer.open(noise="median(fake_torino)")
    prepared = backend.prepare(RyCnot(12, 1))
    assert prepared.circuit.num_qubits == 12 and set(prepared.circuit.count_ops()) == {"ry", "cx"}
    bindings = prepared.form.gate_angles(np.zeros((1, 12 * 1)))
    item = Item(circuit=prepared.circuit, bindings=bindings, shots=500)
    counts = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    assert counts.sum() == 500
    # All angles are 0: what is left in 000… has been flipped nowhere.
    assert 0.5 < counts[0, 0] / 500 < 0.9
