"""What mitiq's techniques measure in place of a circuit: mitiq's results, Aer's channels."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator, Statevector

import qt_hw as qt
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError
from qt_hw.execution.backend import Batch, Item
from qt_hw.mitigation.bound.construct import BoundVariant, variants
from qt_hw.mitigation.bound.gates import from_cirq, to_cirq
from qt_hw.mitigation.recipe import Recipe
from qt_hw.mitigation.techniques import Cdr, Ddd, Lre, Pec
from qt_hw.mitigation.variants import Variant, make_bound

with warnings.catch_warnings():
    # What mitiq's own imports warn of is not of this package.
    warnings.simplefilter("ignore")
    pytest.importorskip("mitiq")

import cirq

Array = NDArray[np.float64]
Circuits = dict[str, tuple[Any, QuantumCircuit]]

CASES = ("ry", "u3", "torino", "routed", "routed u3", "eagle")
LRES = [Lre(), Lre(degree=2, chunks=2), Lre(degree=1, chunks=4, fold_multiplier=2)]
DDDS = [Ddd(rule=rule) for rule in ("xx", "yy", "xyxy")]


def law(circuit: QuantumCircuit) -> Array:
    """The exact vector of the qubits that are no ancillas."""
    measured = list(range(circuit.num_qubits - circuit.num_ancillas))
    return np.asarray(Statevector(circuit).probabilities(measured))


def field(made: tuple[BoundVariant, ...], name: str) -> Array:
    return np.array([getattr(one, name) for one in made])


def bound(backend: Any, ansatz: Any, seed: int = 1) -> QuantumCircuit:
    circuit = backend.prepare(ansatz).circuit
    angles = np.random.default_rng(seed).uniform(-np.pi, np.pi, circuit.num_parameters)
    return circuit.assign_parameters(angles)


def measured(backend: Any, made: list[QuantumCircuit]) -> Array:
    """The exact noisy vectors."""
    items = tuple(Item(one, np.zeros((1, 0)), None, "base") for one in made)
    return np.concatenate(backend.submit(Batch(items), "token").result().arrays)


def noisy(kind: str, p: float) -> Any:
    """Noise of two-qubit gates only, on both qubits together or on each, of Aer's strength p."""
    if kind == "global":
        return qt.backend("aer", noise=f"depolarizing(p2={p})")
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    each = depolarizing_error(p, 1)
    model = NoiseModel()
    model.add_all_qubit_quantum_error(each.tensor(each), ["cx"])
    return qt.backend("aer", noise=model)


# Layerwise extrapolation and decoupling


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("technique", [*LRES, *DDDS], ids=str)
def test_without_noise_nothing_changes(circuits: Circuits, case: str, technique: Any) -> None:
    _, circuit = circuits[case]
    made = variants(technique, circuit, seed=0)
    vectors = np.stack([law(one.circuit) for one in made])
    assert np.abs(field(made, "weight") @ vectors - law(circuit)).max() < 1e-9
    assert field(made, "share").sum() == pytest.approx(1.0) and (field(made, "share") > 0).all()
    for one in made:
        assert Operator(one.circuit).equiv(Operator(circuit))
        assert one.circuit.qregs == circuit.qregs and one.circuit.metadata == circuit.metadata
        assert one.ideal is None and one.role


@pytest.mark.parametrize("case", ["ry", "routed u3", "eagle"])
@pytest.mark.parametrize("technique", LRES, ids=str)
def test_lre_weights_are_mitiqs(circuits: Circuits, case: str, technique: Lre) -> None:
    from mitiq import lre

    _, circuit = circuits[case]
    made = variants(technique, circuit, seed=0)
    results = np.random.default_rng(3).dirichlet(np.ones(8), len(made))
    options = technique.degree, technique.fold_multiplier, technique.chunks
    expected = lre.combine_results(results.T, to_cirq(circuit), *options)
    np.testing.assert_allclose(field(made, "weight") @ results, expected, rtol=0, atol=1e-11)
    one_by_one = [
        lre.combine_results(list(column), to_cirq(circuit), *options) for column in results.T
    ]
    np.testing.assert_allclose(expected, one_by_one, rtol=0, atol=1e-11)
    assert field(made, "weight").sum() == pytest.approx(1.0)


def test_lre_folds_as_often_as_the_scale_factors_say() -> None:
    """Two-qubit depolarizing noise commutes with all gates of two qubits: each is one factor."""
    from mitiq.lre.multivariate_scaling import get_scale_factor_vectors

    p, backend = 0.02, noisy("global", 0.02)
    circuit = QuantumCircuit(2)
    for angle in (0.4, -1.1, 0.7, 2.0):
        circuit.ry(angle, 0)
        circuit.ry(angle / 2, 1)
        circuit.cx(0, 1)
    technique = Lre(degree=2, chunks=4)
    made = variants(technique, circuit, seed=0)
    # Four equal chunks of one gate each.
    factors = get_scale_factor_vectors(to_cirq(circuit), 2, 1, 4)
    counts = [one.circuit.count_ops()["cx"] for one in made]
    assert counts == [sum(vector) for vector in factors]
    vectors, ideal = measured(backend, [one.circuit for one in made]), law(circuit)
    expected = 0.25 + (1 - p) ** np.array(counts)[:, None] * (ideal - 0.25)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-12)
    # What is left of the noise is of third order (the facts: 2.5 e³ for one scale).
    left = np.abs(field(made, "weight") @ vectors - ideal).max() / np.abs(ideal - 0.25).max()
    assert left < 20 * (4 * p) ** 3 < 0.2 * (1 - (1 - p) ** 4)


def test_lre_shots_go_where_the_weights_are(circuits: Circuits) -> None:
    made = variants(Lre(degree=2), circuits["ry"][1], seed=0)
    sizes = np.abs(field(made, "weight"))
    np.testing.assert_allclose(field(made, "share"), sizes / sizes.sum(), atol=2e-3)
    assert [one.role for one in made] == [f"fold(lre {i})" for i in range(1, len(made) + 1)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("technique", DDDS, ids=str)
def test_ddd_inserts_mitiqs_gates_and_nothing_else(
    circuits: Circuits, case: str, technique: Ddd
) -> None:
    from mitiq import ddd

    _, circuit = circuits[case]
    (made,) = variants(technique, circuit, seed=0)
    assert (made.weight, made.share, made.role) == (1.0, 1.0, "twirl(ddd 1)")
    before = to_cirq(circuit)
    after = ddd.insert_ddd_sequences(before, getattr(ddd.rules, technique.rule))
    kinds = {"xx": ("X", "X"), "yy": ("Y", "Y"), "xyxy": ("X", "Y")}[technique.rule]
    added = Counter(str(op.gate) for op in after.all_operations())
    added.subtract(Counter(str(op.gate) for op in before.all_operations()))
    assert {kind for kind, count in +added.items() if kind != "I"} <= set(kinds)
    counts = Counter(made.circuit.count_ops())
    counts.subtract(Counter(circuit.count_ops()))
    assert counts["x"] == sum(added[kind] for kind in set(kinds))
    assert counts["rz"] == added["Y"]
    assert all(counts[name] == 0 for name in counts if name not in ("x", "rz", "barrier"))


def test_ddd_changes_no_law_where_x_has_no_noise(circuits: Circuits) -> None:
    backend = noisy("global", 0.05)
    circuit = bound(backend, RyCnot(4, 2))
    made = [variants(one, circuit, seed=0)[0].circuit for one in DDDS]
    assert all(one.count_ops()["x"] > 0 for one in made)
    raw, *found = measured(backend, [circuit, *made])
    for vector in found:
        np.testing.assert_allclose(vector, raw, rtol=0, atol=1e-12)


# Probabilistic error cancellation


@pytest.mark.parametrize("model", ["local", "global"])
@pytest.mark.parametrize("gates", [1, 2])
def test_quasi_probabilities_undo_aers_noise_exactly(model: str, gates: int) -> None:
    """All terms of the sum from which PEC draws, in place of a sample of it."""
    from mitiq import pec

    p = 0.06
    noise = 15 / 16 * p if model == "global" else 3 / 4 * p
    backend = noisy(model, p)
    circuit = QuantumCircuit(2)
    for k in range(gates):
        circuit.ry(0.7 + k, 0)
        circuit.ry(-1.2, 1)
        circuit.rz(0.3, 1)
        circuit.cx(k % 2, 1 - k % 2)
    circuit.ry(0.4, 0)
    whole = to_cirq(circuit)
    represent = getattr(
        pec, f"represent_operations_in_circuit_with_{model}_depolarizing_noise"
    )
    pairs = cirq.Circuit(op for op in whole.all_operations() if len(op.qubits) == 2)
    found = {one.ideal: one for one in represent(pairs, noise)}
    choices = [
        list(zip(found[cirq.Circuit(op)].coeffs, found[cirq.Circuit(op)].noisy_operations, strict=True))
        if len(op.qubits) == 2
        else [(1.0, None)]
        for op in whole.all_operations()
    ] if False else _choices(whole, represent(pairs, noise))
    weights, terms = [], []
    for term in itertools.product(*choices):
        weights.append(np.prod([weight for weight, _ in term]))
        terms.append(from_cirq(cirq.Circuit(part for _, part in term), circuit))
    vectors = measured(backend, terms)
    np.testing.assert_allclose(np.array(weights) @ vectors, law(circuit), rtol=0, atol=1e-10)
    assert np.abs(measured(backend, [circuit])[0] - law(circuit)).max() > 0.005
    made = variants(Pec(noise=noise, model=model, samples=5), circuit, seed=0)  # type: ignore[arg-type]
    norm = np.abs(weights).sum()
    shares = field(made, "share")
    assert (np.abs(field(made, "weight")) <= norm * shares + 1e-12).all()


