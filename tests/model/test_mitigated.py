"""Mitigated vectors and their gradients through ``qt.probabilities`` and ``Generator``."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

import qt_hw as qt
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.circuits.custom import ProductAnsatz
from qt_hw.errors import InputError, MitigationWarning, PreflightError
from qt_hw.execution.backend import Batch, Item
from qt_hw.mitigation import Calibration, Mitigation, Readout, Rescale, Twirling, Zne
from qt_hw.mitigation import mitigator as mitigator_module
from qt_hw.mitigation import variants as variants_module
from qt_hw.model.generator import Generator, probabilities
from qt_hw.model.measurement import Setup, Usage

Array = NDArray[np.float64]

P1, P2, P01, P10 = 2e-3, 2e-2, 0.015, 0.04
GATES = f"depolarizing(p1={P1}, p2={P2})"
NOISE = f"{GATES}+readout(p01={P01}, p10={P10})"
RY = RyCnot(4, 2)
U3 = U3Cu3(3, 1)


@functools.cache
def aer(noise: str = NOISE) -> Any:
    return qt.backend("aer", noise=noise)


def some_angles(ansatz: Ansatz, rows: int = 1, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-2.5, 2.5, (rows, ansatz.n_angles))


def exact(ansatz: Ansatz, angles: Any, mitigation: Any, backend: Any = None) -> Array:
    with torch.no_grad():
        out = probabilities(
            ansatz, torch.as_tensor(angles), backend=backend or aer(), seed=5, mitigation=mitigation
        )
    return out.numpy()


def calibrated(ansatz: Ansatz, mitigation: Any, backend: Any = None) -> Calibration:
    """Measure a calibration without shots."""
    setup = Setup(ansatz, backend or aer(), None, "auto", mitigation)
    found = setup.calibrate(5, some_angles(ansatz)[0], Usage())
    assert found is not None
    return found


# What Aer itself says of the same circuits


def simulated(circuit: QuantumCircuit, readout: bool = True) -> Array:
    """The exact law of a bound circuit by a density matrix of Aer."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(P1, 1), ["ry"])
    model.add_all_qubit_quantum_error(depolarizing_error(P2, 2), ["cx"])
    circuit = circuit.copy()
    circuit.save_probabilities()
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    law = np.asarray(simulator.run(circuit).result().data()["probabilities"])
    confusion = np.array([[1 - P01, P10], [P01, 1 - P10]])
    n = circuit.num_qubits
    return functools.reduce(np.kron, [confusion] * n) @ law if readout else law


def tripled(circuit: QuantumCircuit) -> QuantumCircuit:
    out = circuit.copy_empty_like()
    for part in (circuit, circuit.inverse(), circuit):
        out.compose(part, inplace=True)
        out.barrier()
    return out


def bound(ansatz: Ansatz, gate_angles: Array) -> QuantumCircuit:
    prepared = aer().prepare(ansatz)
    return prepared.circuit.assign_parameters(dict(zip(prepared.circuit.parameters, gate_angles)))


def inverse_confusion(n: int) -> Array:
    one = np.linalg.inv(np.array([[1 - P01, P10], [P01, 1 - P10]]))
    return functools.reduce(np.kron, [one] * n)


def extrapolated(ansatz: Ansatz, gate_angles: Array) -> Array:
    circuit = bound(ansatz, gate_angles)
    return 1.5 * simulated(circuit) - 0.5 * simulated(tripled(circuit))


def gate_angles(ansatz: Ansatz, angles: Array) -> Array:
    return aer().prepare(ansatz).form.gate_angles(angles[None])[0]


@pytest.mark.parametrize("ansatz", [RY, U3])
def test_readout_leaves_the_noise_of_the_gates(ansatz: Ansatz) -> None:
    angles = some_angles(ansatz, 2)
    found = exact(ansatz, angles, "readout")
    np.testing.assert_allclose(found, exact(ansatz, angles, None, aer(GATES)), rtol=0, atol=1e-10)
    law = simulated(bound(ansatz, gate_angles(ansatz, angles[0])), readout=False)
    np.testing.assert_allclose(found[0], law, rtol=0, atol=1e-10)


@pytest.mark.parametrize("ansatz", [RY, U3])
def test_extrapolation_is_that_of_densities_folded_elsewhere(ansatz: Ansatz) -> None:
    angles = some_angles(ansatz)[0]
    expected = extrapolated(ansatz, gate_angles(ansatz, angles))
    assert expected.min() > 0  # so that the projection does nothing
    np.testing.assert_allclose(exact(ansatz, angles, "zne"), expected, rtol=0, atol=1e-10)
    corrected = inverse_confusion(ansatz.n_qubits) @ expected
    assert corrected.min() > 0
    found = exact(ansatz, angles, ["readout", "zne"])
    np.testing.assert_allclose(found, corrected, rtol=0, atol=1e-10)


def test_richardson_on_three_scales() -> None:
    angles = some_angles(RY)[0]
    circuit = bound(RY, gate_angles(RY, angles))
    inner, once = QuantumCircuit(4), circuit
    for part in (tripled(once), once.inverse(), once):
        inner.compose(part, inplace=True)
        inner.barrier()
    expected = np.array([15 / 8, -10 / 8, 3 / 8]) @ [
        simulated(circuit),
        simulated(tripled(circuit)),
        simulated(inner),
    ]
    found = exact(RY, angles, [Zne(scales=(1, 3, 5), fit="richardson")])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("fit", ["known", "clifford"])
def test_rescaling_undoes_a_decay_regressed_elsewhere(fit: Any) -> None:
    angles = some_angles(RY)[0]
    wanted = [Readout(), Rescale(fit=fit, circuits=5)]
    setup = Setup(RY, aer(), None, "auto", wanted)
    assert setup.mitigator is not None
    (training,) = [
        item for item in setup.mitigator.calibration_batch(5).items if item.role == "training"
    ]
    inverse, u = inverse_confusion(4), 1 / 16
    top = bottom = 0.0
    for row in training.bindings:
        ideal = Statevector(bound(RY, row)).probabilities() - u
        noisy = inverse @ simulated(bound(RY, row)) - u
        top, bottom = top + noisy @ ideal, bottom + ideal @ ideal
    raw = inverse @ simulated(bound(RY, gate_angles(RY, angles)))
    expected = u + (raw - u) * bottom / top
    assert 0.7 < top / bottom < 0.95 and expected.min() > 0
    np.testing.assert_allclose(exact(RY, angles, wanted), expected, rtol=0, atol=1e-10)


def test_rescaling_without_readout_undoes_both_decays() -> None:
    angles = some_angles(RY)[0]
    found = calibrated(RY, "rescale").circuits[0].decays
    both = calibrated(RY, ["readout", "rescale"]).circuits[0].decays
    assert list(found) == ["raw"] and list(both) == ["readout"]
    assert found["raw"].value < both["readout"].value
    raw, u = simulated(bound(RY, gate_angles(RY, angles))), 1 / 16
    np.testing.assert_allclose(
        exact(RY, angles, "rescale"), u + (raw - u) / found["raw"].value, rtol=0, atol=1e-10
    )


def test_the_decay_by_folding_is_nearly_that_of_known_circuits() -> None:
    known = calibrated(RY, ["readout", Rescale(circuits=8)]).circuits[0].decays["readout"]
    folds = calibrated(RY, ["readout", Rescale(fit="folding", circuits=8)]).circuits[0]
    assert folds.decays["readout"].value == pytest.approx(known.value, rel=0.03)


def test_twirling_changes_nothing_under_depolarizing_noise() -> None:
    angles = some_angles(RY)[0]
    backend = aer(f"depolarizing(p2={P2})")  # the Paulis themselves then cost nothing
    found = exact(RY, angles, [Twirling(variants=3)], backend)
    np.testing.assert_allclose(found, exact(RY, angles, None, backend), rtol=0, atol=1e-10)


# Shots


def sampled(ansatz: Ansatz, backend: Any, wanted: Any, shots: int, rows: int) -> Any:
    """Unprojected vectors ``(rows, 2**n)`` of the same angles, and the exact one."""
    angles = some_angles(ansatz)[0]
    calibration = calibrated(ansatz, wanted, backend if backend == aer() else aer(GATES))
    if backend == "statevector":
        known = Setup(ansatz, backend, 64, "auto", wanted)
        calibration = known.calibrate(5, angles, Usage()) or calibration
    mitigation = Mitigation.of(wanted, calibration=calibration)
    setup = Setup(ansatz, backend, shots, "parameter-shift", mitigation)
    mitigator, (factor,) = setup.mitigator, setup.factors
    assert mitigator is not None
    bindings = factor.prepared.form.gate_angles(np.repeat(angles[None], rows, axis=0))
    recipe, known_one = mitigator.recipe(0), calibration.circuits[0]
    decay = known_one.decays.get(mitigator.combination(0).decay_key)
    out = []
    for own, most in ((bindings, shots), (bindings[:1], None)):
        made = [(circuit, n if most else None) for circuit, n, _ in setup.variants(factor)]
        if most:
            assert sum(n for _, n in made) == shots
        items = tuple(Item(c, own, n, part=i) for i, (c, n) in enumerate(made))
        counts = setup.backend.submit(Batch(items=items, seed=(11,)), "t").result()
        vectors = [counts.frequencies(i) for i in range(len(items))]
        out.append(recipe.combine(vectors, [n for _, n in made], known_one.confusion, decay))
    return out


@pytest.mark.parametrize(
    ("wanted", "shots"),
    [
        ("readout", 501),
        ("zne", 1001),
        ("readout+zne", 1001),
        ("readout+rescale", 503),
        ("readout+twirling", 777),
        ("readout+twirling+zne", 1003),
    ],
)
def test_the_mean_of_many_vectors_is_the_exact_one(wanted: str, shots: int) -> None:
    rows = 3000
    many, (one,) = sampled(RY, aer(), wanted, shots, rows)
    sigma = many.std(axis=0, ddof=1) / np.sqrt(rows)
    assert np.all(np.abs(many.mean(axis=0) - one) < 4.5 * sigma)
    np.testing.assert_allclose(many.sum(axis=1), 1.0, rtol=0, atol=1e-9)


def test_proportional_shots_make_the_noise_of_extrapolation_fourfold() -> None:
    rows, shots = 4000, 1000
    many, (one,) = sampled(RY, aer(), "zne", shots, rows)
    plain, _ = sampled(RY, aer(), [Twirling(variants=1)], shots, rows)
    ratio = many.var(axis=0).sum() / plain.var(axis=0).sum()
    # 4 where both scales have the same one-shot variance, which is all but so.
    assert ratio == pytest.approx(4.0, rel=0.03)
    equal, _ = sampled(RY, aer(), [Zne(split="equal")], shots, rows)
    assert equal.var(axis=0).sum() / plain.var(axis=0).sum() == pytest.approx(5.0, rel=0.03)


@pytest.mark.parametrize("wanted", ["zne", "twirling", "twirling+zne"])
def test_without_noise_mitigation_is_unbiased(wanted: str) -> None:
    rows = 3000
    setup = Setup(RY, "statevector", 1000, "parameter-shift", wanted)
    mitigator, (factor,) = setup.mitigator, setup.factors
    assert mitigator is not None
    angles = some_angles(RY)
    ideal = probabilities(RY, torch.tensor(angles[0])).numpy()
    bindings = factor.prepared.form.gate_angles(np.repeat(angles, rows, axis=0))
    items = tuple(
        Item(c, bindings, n, part=i) for i, (c, n, _) in enumerate(setup.variants(factor))
    )
    counts = setup.backend.submit(Batch(items=items, seed=(3,)), "t").result()
    vectors = [counts.frequencies(i) for i in range(len(items))]
    many = mitigator.recipe(0).combine(vectors, [i.shots for i in items])
    sigma = many.std(axis=0, ddof=1) / np.sqrt(rows)
    assert np.all(np.abs(many.mean(axis=0) - ideal) < 4.5 * sigma)


def test_without_noise_readout_and_rescale_change_nothing_much() -> None:
    angles = some_angles(RY)[0]
    ideal = probabilities(RY, torch.tensor(angles)).numpy()
    found = probabilities(
        RY,
        torch.tensor(angles),
        backend="statevector",
        shots=200_000,
        seed=1,
        mitigation="readout+rescale",
    ).numpy()
    # 4 sigma of the shots, and of a decay from eight circuits of 8,192 shots.
    sigma = np.sqrt(ideal * (1 - ideal) / 200_000) + 0.004 * np.abs(ideal - 1 / 16)
    assert np.all(np.abs(found - ideal) < 4 * sigma + 1e-6)
