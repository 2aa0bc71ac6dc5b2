"""What mitiq's techniques measure in place of a circuit: mitiq's results, Aer's channels."""

from __future__ import annotations

import itertools
import random
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.quantum_info import Operator, Statevector

import qt_hw as qt
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError, UnsupportedGate
from qt_hw.execution.backend import Batch, Item
from qt_hw.mitigation.bound.construct import BoundVariant, variants
from qt_hw.mitigation.bound.gates import from_cirq, to_cirq
from qt_hw.mitigation.bound.training import _framed, _with_angles, training_circuits
from qt_hw.mitigation.recipe import Recipe
from qt_hw.mitigation.techniques import Cdr, Ddd, Lre, Pec, Zne
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


def connections(circuit: QuantumCircuit) -> set[Any]:
    """Where two-qubit gates act: in which direction, unless it is a cz, which has none."""
    found = [
        (item.operation.name, [circuit.find_bit(q).index for q in item.qubits])
        for item in circuit.data
        if len(item.qubits) == 2 and item.operation.name != "barrier"
    ]
    return {(name, *(sorted(qubits) if name == "cz" else qubits)) for name, qubits in found}


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


def test_mitiq_gives_the_weights_for_qiskits_circuit_too(circuits: Circuits) -> None:
    from mitiq import lre

    _, circuit = circuits["ry"]
    made = variants(Lre(degree=2, chunks=3), circuit, seed=0)
    results = np.random.default_rng(0).normal(size=(len(made), 16))
    # mitiq converts the Qiskit circuit by itself.
    expected = lre.combine_results(results.T, circuit, 2, 1, 3)
    np.testing.assert_allclose(field(made, "weight") @ results, expected)
    counts = [one.circuit.count_ops()["cx"] for one in made]
    assert counts[0] == circuit.count_ops()["cx"]
    assert min(counts[1:]) > counts[0]


def test_barriers_keep_folds_and_decoupling_from_being_cancelled(circuits: Circuits) -> None:
    _, circuit = circuits["ry"]
    for technique in (Lre(chunks=1), Ddd()):
        made = variants(technique, circuit, seed=0)[-1].circuit
        after = transpile(made, basis_gates=["rz", "ry", "x", "cx"], optimization_level=1)
        assert after.count_ops()["cx"] == made.count_ops()["cx"]
        assert after.count_ops().get("x", 0) == made.count_ops().get("x", 0)
    assert made.count_ops()["x"] > 0


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
    assert {kind for kind in +added if kind != "I"} <= set(kinds)
    counts = Counter(made.circuit.count_ops())
    counts.subtract(Counter(circuit.count_ops()))
    assert counts["x"] == sum(added[kind] for kind in set(kinds))
    assert counts["rz"] == added["Y"]
    assert all(counts[name] == 0 for name in counts if name not in ("x", "rz", "barrier"))


def test_ddd_changes_no_law_where_x_has_no_noise(circuits: Circuits) -> None:
    backend = noisy("global", 0.05)
    circuit = bound(backend, RyCnot(4, 2))
    made = [variants(one, circuit, seed=0)[0].circuit for one in DDDS]
    assert any("x" in one.count_ops() for one in made)
    raw, *found = measured(backend, [circuit, *made])
    for vector in found:
        np.testing.assert_allclose(vector, raw, rtol=0, atol=1e-12)


# Probabilistic error cancellation


@pytest.mark.parametrize(("model", "gates"), [("local", 1), ("global", 1), ("local", 2)])
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
    pairs = cirq.Circuit(op for op in whole.all_operations() if len(op.qubits) == 2)
    represent = getattr(pec, f"represent_operations_in_circuit_with_{model}_depolarizing_noise")
    known = represent(pairs, noise)
    choices: list[list[tuple[float, Any]]] = []
    for one in whole.all_operations():
        own = [r for r in known if r.ideal == cirq.Circuit(one)]
        terms = [
            (c, o.circuit) for r in own for c, o in zip(r.coeffs, r.noisy_operations, strict=True)
        ]
        choices.append(terms or [(1.0, cirq.Circuit(one))])
    drawn = list(itertools.product(*choices))
    assert len(drawn) == 16**gates
    weights = np.array([np.prod([weight for weight, _ in term]) for term in drawn])
    terms = [from_cirq(sum((c for _, c in term), cirq.Circuit()), circuit) for term in drawn]
    found, ideal = weights @ measured(backend, terms), law(circuit)
    np.testing.assert_allclose(found, ideal, rtol=0, atol=1e-10)
    assert np.abs(measured(backend, [circuit])[0] - ideal).max() > 0.005
    # The package draws from these terms, with their norm.
    made = variants(Pec(noise=noise, model=model, samples=40), circuit, seed=0)  # type: ignore[arg-type]
    if gates == 1:
        operators = [Operator(item) for item in terms]
        for one in made:
            assert any(Operator(one.circuit) == op for op in operators)
    signs = field(made, "weight") / field(made, "share") / np.abs(weights).sum()
    np.testing.assert_allclose(np.abs(signs), 1.0, atol=1e-9)


@pytest.mark.parametrize("case", ["ry", "u3", "routed", "eagle"])
@pytest.mark.parametrize("model", ["local", "global"])
def test_pec_is_mitiqs_result_in_each_component(circuits: Circuits, case: str, model: str) -> None:
    from mitiq import pec

    _, circuit = circuits[case]
    whole, noise, samples, seed = to_cirq(circuit), 0.02, 15, 2**32 - 1
    represent = getattr(pec, f"represent_operations_in_circuit_with_{model}_depolarizing_noise")
    pairs = cirq.Circuit(op for op in whole.all_operations() if len(op.qubits) == 2)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No representation found", UserWarning)
        drawn, signs, norm = pec.construct_circuits(
            whole,
            represent(pairs, noise),
            num_samples=samples,
            random_state=seed,
            full_output=True,
        )
    results = np.stack([law(from_cirq(one, circuit)) for one in drawn])
    made = variants(Pec(noise=noise, model=model, samples=samples), circuit, seed=seed)  # type: ignore[arg-type]
    found = field(made, "weight") @ np.stack([law(one.circuit) for one in made])
    expected = [pec.combine_results(list(column), norm, signs) for column in results.T]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        found, norm * (np.array(signs)[:, None] * results).mean(0), rtol=0, atol=1e-12
    )
    assert field(made, "weight").sum() == pytest.approx(norm * np.mean(signs))
    assert field(made, "share").sum() == pytest.approx(1.0)
    # Global depolarizing noise of two qubits: (1 + 14/16 e) / (1 - e) with e = 16/15 noise.
    e = 16 / 15 * noise if model == "global" else 4 / 3 * noise
    each = (1 + 7 / 8 * e) / (1 - e) if model == "global" else ((1 + e / 2) / (1 - e)) ** 2
    two = sum(len(item.qubits) == 2 for item in circuit.data)
    assert norm == pytest.approx(each**two)


@pytest.mark.parametrize("model", ["local", "global"])
def test_pec_finds_the_ideal_vector_on_the_average(model: str) -> None:
    p, samples = 0.03, 400
    noise = 15 / 16 * p if model == "global" else 3 / 4 * p
    backend = noisy(model, p)
    circuit = bound(backend, U3Cu3(2, 1) if model == "global" else RyCnot(3, 2), seed=4)
    made = variants(Pec(noise=noise, model=model, samples=samples), circuit, seed=6)  # type: ignore[arg-type]
    vectors = measured(backend, [one.circuit for one in made])
    weights, shares, ideal = field(made, "weight"), field(made, "share"), law(circuit)
    found = weights @ vectors
    # Each sample is norm · sign · vector: their spread is the error of the mean.
    values = (weights / shares)[:, None] * vectors
    sigma = np.sqrt((shares @ values**2 - found**2) / samples)
    assert (np.abs(found - ideal) < 4 * sigma + 1e-9).all()
    raw = np.abs(measured(backend, [circuit])[0] - ideal)
    assert raw.max() > 2 * sigma.max() and np.abs(found - ideal).sum() < 0.5 * raw.sum()


@pytest.mark.parametrize("noise", [1e-6, 0.02, 0.3])
def test_equal_samples_are_one_circuit(circuits: Circuits, noise: float) -> None:
    _, circuit = circuits["ry"]
    samples = 25
    made = variants(Pec(noise=noise, samples=samples), circuit, seed=2)
    keys = [
        tuple(
            (
                i.operation.name,
                *i.operation.params,
                *(one.circuit.find_bit(q).index for q in i.qubits),
            )
            for i in one.circuit.data
        )
        for one in made
    ]
    assert len(set(keys)) == len(keys) == len(made)
    times = field(made, "share") * samples
    np.testing.assert_allclose(times, np.round(times), atol=1e-9)
    assert times.sum() == pytest.approx(samples) and times.min() > 0.5
    assert (len(made) == 1) == (noise == 1e-6)
    if noise == 1e-6:
        assert (made[0].share, made[0].circuit) == (pytest.approx(1.0), circuit)
        assert made[0].weight == pytest.approx(1.0, abs=1e-3)


def test_pec_without_two_qubit_gates_is_the_circuit() -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.3, 0)
    (made,) = variants(Pec(noise=0.1, samples=7), circuit, seed=0)
    assert (made.circuit, made.weight, made.share) == (
        circuit,
        pytest.approx(1.0),
        pytest.approx(1.0),
    )


# Regression on near-Clifford circuits


@pytest.mark.parametrize("case", CASES)
def test_ideal_vectors_are_aers(circuits: Circuits, case: str) -> None:
    from qiskit_aer import AerSimulator

    _, circuit = circuits[case]
    first, *training = variants(Cdr(circuits=3, share=0.4), circuit, seed=1)
    assert first.circuit is circuit and first.ideal is None and first.role == ""
    assert (first.weight, first.share) == (1.0, 0.4)
    n = circuit.num_qubits - circuit.num_ancillas
    for i, one in enumerate(training, start=1):
        assert one.ideal is not None and one.ideal.shape == (2**n,)
        saved = one.circuit.copy()
        saved.save_probabilities(list(range(n)))
        done = AerSimulator(method="statevector").run(saved).result().data()["probabilities"]
        np.testing.assert_allclose(one.ideal, done, rtol=0, atol=1e-12)
        assert (one.weight, one.role) == (0.0, f"training({i})")
        assert one.share == pytest.approx(0.6 / 3)
        assert one.circuit.qregs == circuit.qregs and one.circuit.metadata == circuit.metadata
        assert [x.operation.name for x in one.circuit.data] == [
            x.operation.name for x in circuit.data
        ]


@pytest.mark.parametrize(
    "case", ["ry", "u3", "torino", "routed", "routed u3", "torino u3", "eagle"]
)
def test_cdr_replaces_the_wanted_share_of_the_angles(circuits: Circuits, case: str) -> None:
    _, circuit = circuits[case]
    own = angles_of(circuit)
    (one,) = training_circuits(circuit, 1, 0.25, seed=3)
    new = angles_of(one)
    left = is_free(new)
    assert left.sum() == round(0.25 * is_free(own).sum())
    np.testing.assert_allclose(np.exp(1j * new[left]), np.exp(1j * own[left]), atol=1e-12)
    # The closest multiple of a right angle is at most π/4 away.
    assert np.abs(np.angle(np.exp(1j * (new - own)))).max() <= np.pi / 4 + 1e-9
    # Clifford frames around rz: exact, and the way back finds every angle.
    framed = _framed(to_cirq(circuit))
    lines = cirq.LineQubit.range(circuit.num_qubits)
    matrix = framed.unitary(qubit_order=lines[::-1], qubits_that_should_be_present=lines)
    assert Operator(matrix).equiv(Operator(circuit))
    assert Operator(_with_angles(circuit, framed)).equiv(Operator(circuit))


def angles_of(circuit: QuantumCircuit) -> Array:
    turns = [item.operation for item in circuit.data if item.operation.params]
    return np.array([float(turn.params[0]) for turn in turns])


def is_free(angles: Array) -> NDArray[np.bool_]:
    """Whether each angle is no multiple of a right one."""
    free: NDArray[np.bool_] = np.abs(np.remainder(angles + 1e-9, np.pi / 2)) > 1e-6
    return free


def slope_recipe(made: tuple[BoundVariant, ...]) -> Recipe:
    own = [Variant(circuit=one.circuit, weight=one.weight, share=one.share) for one in made]
    return Recipe.of(own, rule="known", ideal=np.array([one.ideal for one in made[1:]]))


def test_one_slope_undoes_global_depolarizing_noise(circuits: Circuits) -> None:
    """mitiq fits a line for one number; on a whole vector, one component at a time, that is the
    same where the noise is global. With shots its components no longer add up to 1."""
    from mitiq.cdr import linear_fit_function
    from scipy.optimize import curve_fit

    _, circuit = circuits["ry"]
    made = variants(Cdr(circuits=6), circuit, seed=3)
    ideal, known = law(circuit), np.array([one.ideal for one in made[1:]])
    f, u = 0.81, 1 / 16
    vectors = [u + f * (p - u) for p in (ideal, *known)]
    recipe = slope_recipe(made)
    found = recipe.combine([v[None] for v in vectors], [None] * len(made))[0]
    np.testing.assert_allclose(found, ideal, rtol=0, atol=1e-12)

    def lines(rows: list[Array]) -> Array:
        x, out = np.array(rows[1:]), []
        for k in range(16):
            line, _ = curve_fit(
                lambda q, *c: linear_fit_function(q, c), x[None, :, k], known[:, k], [1, 0]
            )
            out.append(linear_fit_function(rows[0][[k]], line))
        return np.array(out)

    np.testing.assert_allclose(lines(vectors), ideal, rtol=0, atol=1e-6)
    rng, shots = np.random.default_rng(0), 2000
    drawn = [rng.multinomial(shots, v) / shots for v in vectors]
    found = recipe.combine([v[None] for v in drawn], [shots] * len(made))[0]
    apart = lines(drawn)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert abs(apart.sum() - 1.0) > 1e-3
    assert np.linalg.norm(found - ideal) < np.linalg.norm(apart - ideal)


def test_the_slope_is_that_of_aers_noise() -> None:
    """Depolarizing noise of all two qubits is one factor for each gate."""
    p, backend = 0.03, noisy("global", 0.03)
    circuit = bound(backend, U3Cu3(2, 2), seed=2)
    made = variants(Cdr(circuits=4, fraction_non_clifford=0.4), circuit, seed=9)
    vectors = measured(backend, [one.circuit for one in made])
    f = (1 - p) ** circuit.count_ops()["cx"]
    for vector, one in zip(vectors[1:], made[1:], strict=True):
        np.testing.assert_allclose(vector, 0.25 + f * (one.ideal - 0.25), rtol=0, atol=1e-12)
    found = slope_recipe(made).combine(list(vectors[:, None]), [None] * len(made))[0]
    np.testing.assert_allclose(found, law(circuit), rtol=0, atol=1e-12)


def test_a_clifford_circuit_is_its_own_training_circuit(circuits: Circuits) -> None:
    backend, _ = circuits["ry"]
    circuit = backend.prepare(RyCnot(3, 1)).circuit
    circuit = circuit.assign_parameters(np.full(circuit.num_parameters, np.pi / 2))
    first, *training = variants(Cdr(circuits=2), circuit, seed=0)
    for one in training:
        assert Operator(one.circuit).equiv(Operator(circuit))
        np.testing.assert_allclose(one.ideal, law(first.circuit), atol=1e-12)


# All of them


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "technique",
    [Pec(noise=0.02, samples=4), Lre(), Ddd(rule="xyxy"), Cdr(circuits=2)],
    ids=lambda one: one.name,
)
def test_circuits_run_where_the_original_does(
    circuits: Circuits, case: str, technique: Any
) -> None:
    backend, circuit = circuits[case]
    made = variants(technique, circuit, seed=1)
    allowed = {*circuit.count_ops(), "rz", "x", "barrier"}
    assert all(set(one.circuit.count_ops()) <= allowed for one in made)
    assert all(connections(one.circuit) == connections(circuit) for one in made)
    vectors = measured(backend, [one.circuit for one in made])
    assert vectors.shape == (len(made), 2 ** (circuit.num_qubits - circuit.num_ancillas))
    np.testing.assert_allclose(vectors.sum(1), 1.0)


@pytest.mark.parametrize(
    "technique",
    [Pec(noise=0.02, samples=4), Lre(), Ddd(), Cdr(circuits=2)],
    ids=lambda one: one.name,
)
def test_circuits_run_on_braket(technique: Any) -> None:
    pytest.importorskip("braket")
    backend = qt.backend("braket:local")
    made = variants(technique, bound(backend, RyCnot(3, 1)), seed=1)
    vectors = measured(backend, [one.circuit for one in made])
    assert vectors.shape == (len(made), 8)
    np.testing.assert_allclose(vectors.sum(1), 1.0)


@pytest.mark.parametrize(
    "technique", [Pec(noise=0.05, samples=10), Cdr(circuits=3)], ids=lambda one: one.name
)
def test_random_choices_follow_from_the_seed(circuits: Circuits, technique: Any) -> None:
    _, circuit = circuits["ry"]
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    first, again, other = (
        [one.circuit for one in variants(technique, circuit, seed=seed)] for seed in (4, 4, 5)
    )
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[index]
    assert first == again and first != other


def test_make_bound_binds_the_angles() -> None:
    circuit = noisy("global", 0.01).prepare(RyCnot(3, 1)).circuit
    angles = np.linspace(-1, 1, circuit.num_parameters)
    made = make_bound(Lre(), circuit, angles, seed=0)
    own = variants(Lre(), circuit.assign_parameters(angles), seed=0)
    for one, other in zip(made, own, strict=True):
        assert isinstance(one, Variant) and one.scale == 1.0
        assert one.circuit == other.circuit
        assert (one.role, one.weight, one.share) == (other.role, other.weight, other.share)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_are_those_that_mitiq_takes(seed: int) -> None:
    with pytest.raises(InputError, match=r"between 0 and 2\*\*32 - 1"):
        variants(Ddd(), QuantumCircuit(1), seed=seed)


def test_wrong_circuits_and_techniques_are_refused(circuits: Circuits) -> None:
    backend, circuit = circuits["ry"]
    with pytest.raises(InputError, match="open angles; those on bound ones"):
        variants(Zne(), circuit, seed=0)
    short = QuantumCircuit(2)
    short.ry(0.1, 0)
    short.cx(0, 1)
    short.ry(0.1, 0)
    with pytest.raises(InputError, match=r"3 layers.*Lre\(chunks=3\)"):
        variants(Lre(chunks=4), short, seed=0)
    with pytest.raises(InputError, match=r"cdr: fraction_non_clifford 0.99 keeps all"):
        variants(Cdr(fraction_non_clifford=0.99), circuit, seed=0)
    with pytest.raises(InputError, match="angles are open"):
        variants(Ddd(), backend.prepare(RyCnot(4, 2)).circuit, seed=0)
    swap = QuantumCircuit(2)
    swap.swap(0, 1)
    with pytest.raises(UnsupportedGate, match="not 'swap'"):
        variants(Ddd(), swap, seed=0)
