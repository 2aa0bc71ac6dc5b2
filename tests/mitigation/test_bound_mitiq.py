"""Techniques by mitiq on bound circuits: mitiq's scalar results, exact vectors, Aer's channels."""

from __future__ import annotations

import random
import sys
import warnings

import numpy as np
import pytest
from qiskit import AncillaRegister, QuantumCircuit, QuantumRegister, transpile
from qiskit.quantum_info import Operator

import qt_hw as qt
from qt_hw.errors import InputError, MissingExtra, UnsupportedGate
from qt_hw.execution.backend import Batch, Item
from qt_hw.mitigation.bound.construct import _samples, variants
from qt_hw.mitigation.bound.exponential import exponential
from qt_hw.mitigation.bound.gates import from_cirq, require_mitiq, to_cirq
from qt_hw.mitigation.bound.training import (
    _framed,
    _with_angles,
    exact_vector,
    training_circuits,
)
from qt_hw.mitigation.techniques import Cdr, Ddd, Lre, Pec, Zne

with warnings.catch_warnings():
    # What mitiq's own imports warn of is not of this package.
    warnings.simplefilter("ignore")
    pytest.importorskip("mitiq")

NOISE = "depolarizing(p1=5e-4, p2=1e-2)"


def bound(backend, ansatz, seed=1):
    circuit = backend.prepare(ansatz).circuit
    angles = np.random.default_rng(seed).uniform(-np.pi, np.pi, circuit.num_parameters)
    return circuit.assign_parameters(angles)


@pytest.fixture(scope="module")
def circuits():
    pytest.importorskip("qiskit_aer")
    pytest.importorskip("qiskit_ibm_runtime")
    aer, torino = qt.backend("aer", noise=NOISE), qt.backend("aer:fake_torino")
    # Every other qubit of a line: routing goes over those between.
    line = qt.backend("aer:fake_torino", layout=[0, 2, 4], optimization_level=1)
    return {
        "ry": (aer, bound(aer, qt.RyCnot(4, 2))),
        "u3": (aer, bound(aer, qt.U3Cu3(3, 1))),
        "torino": (torino, bound(torino, qt.RyCnot(4, 1, ring=True))),
        "routed": (line, bound(line, qt.RyCnot(3, 1, ring=True))),
        "braket": (qt.backend("braket:local"), bound(qt.backend("braket:local"), qt.RyCnot(3, 1))),
    }


CASES = ("ry", "u3", "torino", "routed")


def equal(a, b):
    return Operator(a).equiv(Operator(b))


def kept(made, source):
    return made.qregs == source.qregs and made.metadata == source.metadata


@pytest.mark.parametrize("case", CASES)
def test_conversion_is_exact(circuits, case):
    _, circuit = circuits[case]
    back = from_cirq(to_cirq(circuit), circuit)
    assert equal(back, circuit)
    assert back.count_ops() == circuit.count_ops()
    assert kept(back, circuit)


def test_conversion_of_ancillas_idle_qubits_and_ecr():
    circuit = QuantumCircuit(
        QuantumRegister(3, "q"), AncillaRegister(1, "ancilla"), metadata={"physical_qubits": [4]}
    )
    circuit.rz(0.1234567890123456, 0)
    circuit.sx(0)
    circuit.ecr(3, 0)
    circuit.cz(0, 3)
    circuit.rx(-0.4, 3)
    back = from_cirq(to_cirq(circuit), circuit)
    assert equal(back, circuit)
    assert kept(back, circuit)
    assert back.num_ancillas == 1


def test_inverses_stay_in_the_gates_of_the_circuit():
    import cirq

    circuit = QuantumCircuit(2)
    circuit.sx(0)
    circuit.rz(0.7, 0)
    circuit.ecr(0, 1)
    circuit.sx(1)
    circuit.x(0)
    back = from_cirq(cirq.inverse(to_cirq(circuit)), circuit)
    assert equal(back, circuit.inverse())
    assert set(back.count_ops()) == {"sx", "rz", "ecr", "x"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "technique",
    [Lre(), Lre(degree=2, chunks=2), Ddd(), Ddd(rule="yy"), Ddd(rule="xyxy")],
    ids=str,
)
def test_without_noise_lre_and_ddd_give_the_ideal_vector(circuits, case, technique):
    _, circuit = circuits[case]
    made = variants(technique, circuit, seed=0)
    vectors = np.array([exact_vector(one.circuit) for one in made])
    weights = np.array([one.weight for one in made])
    np.testing.assert_allclose(weights @ vectors, exact_vector(circuit), atol=1e-10)
    assert sum(one.share for one in made) == pytest.approx(1.0)
    for one in made:
        assert equal(one.circuit, circuit)
        assert kept(one.circuit, circuit)


def test_lre_is_mitiqs_result_in_each_component(circuits):
    from mitiq import lre

    _, circuit = circuits["ry"]
    made = variants(Lre(degree=2, chunks=3), circuit, seed=0)
    results = np.random.default_rng(0).normal(size=(len(made), 16))
    # mitiq gets the Qiskit circuit and converts it by itself.
    expected = lre.combine_results(results.T, circuit, 2, 1, 3)
    np.testing.assert_allclose(np.array([one.weight for one in made]) @ results, expected)
    counts = [one.circuit.count_ops()["cx"] for one in made]
    assert counts[0] == circuit.count_ops()["cx"]
    assert min(counts[1:]) > counts[0]


def test_barriers_keep_folds_and_decoupling_from_being_cancelled(circuits):
    _, circuit = circuits["ry"]
    for technique in (Lre(chunks=1), Ddd()):
        made = variants(technique, circuit, seed=0)[-1].circuit
        after = transpile(made, basis_gates=["rz", "ry", "x", "cx"], optimization_level=1)
        assert after.count_ops()["cx"] == made.count_ops()["cx"]
        assert after.count_ops().get("x", 0) == made.count_ops().get("x", 0)
    assert made.count_ops()["x"] > 0


def test_cdr_keeps_gates_and_gives_exact_vectors(circuits):
    for case in CASES:
        _, circuit = circuits[case]
        first, *training = variants(Cdr(circuits=3, share=0.4), circuit, seed=5)
        assert (first.weight, first.share, first.ideal, first.circuit) == (1, 0.4, None, circuit)
        assert sum(one.share for one in training) == pytest.approx(0.6)
        n = circuit.num_qubits - circuit.num_ancillas
        for one in training:
            names = [item.operation.name for item in one.circuit.data]
            assert names == [item.operation.name for item in circuit.data]
            assert kept(one.circuit, circuit)
            assert one.weight == 0.0
            whole = np.abs(Operator(one.circuit).data[:, 0]) ** 2
            np.testing.assert_allclose(one.ideal, whole.reshape(-1, 2**n).sum(0), atol=1e-12)


def test_cdr_replaces_the_wanted_share_of_the_angles(circuits):
    for case in CASES:
        _, circuit = circuits[case]
        own = angles(circuit)
        free = np.abs(np.remainder(own + 1e-9, np.pi / 2)) > 1e-6
        (one,) = training_circuits(circuit, 1, 0.25, seed=3)
        new = angles(one)
        left = np.abs(np.remainder(new + 1e-9, np.pi / 2)) > 1e-6
        assert left.sum() == round(0.25 * free.sum())
        np.testing.assert_allclose(np.exp(1j * new[left]), np.exp(1j * own[left]), atol=1e-12)
        # The closest multiple of a right angle is at most π/4 away.
        far = np.abs(np.angle(np.exp(1j * (new - own))))
        assert far.max() <= np.pi / 4 + 1e-9
        # Clifford frames around rz: exact, and the way back finds every angle.
        framed = _framed(to_cirq(circuit))
        import cirq

        lines = cirq.LineQubit.range(circuit.num_qubits)
        matrix = framed.unitary(qubit_order=lines[::-1], qubits_that_should_be_present=lines)
        assert Operator(matrix).equiv(Operator(circuit))
        assert equal(_with_angles(circuit, framed), circuit)


def angles(circuit):
    turns = [item.operation for item in circuit.data if item.operation.params]
    return np.array([float(turn.params[0]) for turn in turns])


def test_pec_is_mitiqs_result_in_each_component(circuits):
    from mitiq import pec

    _, circuit = circuits["u3"]
    technique = Pec(noise=0.02, samples=60)
    samples, signs, norm = _samples(to_cirq(circuit), technique, 7)
    results = np.array([exact_vector(from_cirq(one, circuit)) for one in samples])
    expected = [pec.combine_results(list(column), norm, signs) for column in results.T]
    made = variants(technique, circuit, seed=7)
    assert len(made) < len(samples)
    assert sum(one.share for one in made) == pytest.approx(1.0)
    mine = sum(one.weight * exact_vector(one.circuit) for one in made)
    np.testing.assert_allclose(mine, expected, atol=1e-12)
    two = circuit.count_ops()["cx"]
    assert norm == pytest.approx(local_norm(0.02) ** (2 * two))


def local_norm(p):
    """One-norm of the inverse of cirq's depolarizing channel on one qubit (mitiq's docs)."""
    e = 4 / 3 * p
    return (1 + e / 2) / (1 - e)


def test_pec_removes_the_noise_it_is_told_of():
    pytest.importorskip("qiskit_aer")
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    noise, samples = 0.02, 600
    error = depolarizing_error(4 / 3 * noise, 1)
    model = NoiseModel()
    model.add_all_qubit_quantum_error(error.tensor(error), ["cx"])
    aer = qt.backend("aer", noise=model)
    circuit = bound(aer, qt.RyCnot(3, 2), seed=2)
    made = variants(Pec(noise=noise, samples=samples), circuit, seed=11)
    vectors = exact(aer, [one.circuit for one in made])
    weights, shares = (np.array([getattr(one, k) for one in made]) for k in ("weight", "share"))
    found, ideal = weights @ vectors, exact_vector(circuit)
    # Each sample is norm · sign · vector: their spread gives the error of the mean.
    values = (weights / shares)[:, None] * vectors
    sigma = np.sqrt((shares @ values**2 - found**2).clip(0) / samples)
    assert (np.abs(found - ideal) < 5 * sigma + 1e-6).all()
    raw = exact(aer, [circuit])[0]
    assert np.abs(found - ideal).sum() < 0.5 * np.abs(raw - ideal).sum()


def exact(backend, circuits):
    items = tuple(Item(one, np.zeros((1, 0)), None, "pec(1)") for one in circuits)
    arrays = backend.submit(Batch(items), "token").result().arrays
    return np.concatenate(arrays)


@pytest.mark.parametrize("case", ["ry", "u3", "torino", "routed", "braket"])
@pytest.mark.parametrize(
    "technique", [Pec(noise=0.01, samples=4), Lre(), Ddd(), Cdr(circuits=2)], ids=lambda t: t.name
)
def test_backends_accept_the_circuits(circuits, case, technique):
    backend, circuit = circuits[case]
    n = circuit.num_qubits - circuit.num_ancillas
    if case == "routed":
        assert circuit.num_ancillas > 0
    made = variants(technique, circuit, seed=1)
    vectors = exact(backend, [one.circuit for one in made])
    assert vectors.shape == (len(made), 2**n)
    np.testing.assert_allclose(vectors.sum(1), 1.0)


def test_random_choices_follow_from_the_seed(circuits):
    _, circuit = circuits["ry"]
    for technique in (Pec(noise=0.05, samples=10), Cdr(circuits=3)):
        random.seed(1)
        np.random.seed(1)
        before = random.getstate(), np.random.get_state()[1].tolist()
        first, again, other = (variants(technique, circuit, seed=s) for s in (4, 4, 5))
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before
        assert [one.circuit for one in first] == [one.circuit for one in again]
        assert [one.circuit for one in first] != [one.circuit for one in other]


def test_exponential_is_mitiqs_in_each_component():
    from mitiq.zne.inference import ExpFactory

    scales, rng = (1.0, 3.0, 5.0), np.random.default_rng(0)
    ideal = rng.dirichlet(np.ones(8))
    vectors = 1 / 8 + 0.9 ** np.array(scales)[:, None] * (ideal - 1 / 8)
    found, warning = exponential(scales, vectors)
    np.testing.assert_allclose(found, ideal, atol=1e-9)
    assert warning is None
    vectors *= 1 + 1e-3 * rng.normal(size=vectors.shape)
    found, _ = exponential(scales, vectors)
    expected = [ExpFactory.extrapolate(scales, column, asymptote=1 / 8) for column in vectors.T]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_exponential_falls_back_to_the_line_where_it_makes_no_sense():
    # The second crosses 1/4, the third moves away from it, the fourth would leave [0, 1].
    vectors = np.array([[0.40, 0.26, 0.20, 0.14], [0.35, 0.24, 0.17, 0.2499999]])
    found, warning = exponential((1.0, 3.0), vectors)
    assert found[0] == pytest.approx(0.25 + 0.15 * np.sqrt(0.15 / 0.10))
    np.testing.assert_allclose(found[1:], (1.5 * vectors[0] - 0.5 * vectors[1])[1:])
    assert warning.startswith("zne: 3 of 4 components")


def test_wrong_arguments(circuits):
    _, circuit = circuits["ry"]
    with pytest.raises(InputError, match="open angles; those on bound ones"):
        variants(Zne(), circuit, seed=0)
    with pytest.raises(InputError, match=r"3 layers.*Lre\(chunks=3\)"):
        short = QuantumCircuit(2)
        short.ry(0.1, 0)
        short.cx(0, 1)
        short.ry(0.1, 0)
        variants(Lre(chunks=4), short, seed=0)
    with pytest.raises(InputError, match="seed must lie between"):
        variants(Cdr(), circuit, seed=-1)
    with pytest.raises(InputError, match=r"cdr: fraction_non_clifford 0.99 keeps all"):
        variants(Cdr(fraction_non_clifford=0.99), circuit, seed=0)
    with pytest.raises(InputError, match="angles are open"):
        variants(Ddd(), circuits["ry"][0].prepare(qt.RyCnot(4, 2)).circuit, seed=0)
    swap = QuantumCircuit(2)
    swap.swap(0, 1)
    with pytest.raises(UnsupportedGate, match="not 'swap'"):
        variants(Ddd(), swap, seed=0)
    with pytest.raises(InputError, match="the shape"):
        exponential((1.0, 3.0), np.zeros((3, 4)))


def test_without_mitiq_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mitiq", None)
    with pytest.raises(MissingExtra, match=r"pip install 'qt-hw\[mitigation\]'"):
        require_mitiq()
    with pytest.raises(MissingExtra, match="qt-hw"):
        variants(Ddd(), QuantumCircuit(1), seed=0)
    with pytest.raises(MissingExtra, match="qt-hw"):
        exponential((1.0, 3.0), np.full((2, 2), 0.5))
