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
from qiskit_aer.noise import (
    NoiseModel,
    ReadoutError,
    coherent_unitary_error,
    depolarizing_error,
)

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
from qt_hw.model.setup import Setup, Usage

Array = NDArray[np.float64]

P1, P2, P01, P10 = 2e-3, 2e-2, 0.015, 0.04
RY = RyCnot(4, 2)
U3 = U3Cu3(3, 1)
SMALL = RyCnot(3, 1)
TWIRLS = Twirling(variants=3, seed=1)


def gate_noise() -> NoiseModel:
    """Noise after ry and cx; x is free of it, or preparing a state would count as readout."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(P1, 1), ["ry"])
    model.add_all_qubit_quantum_error(depolarizing_error(P2, 2), ["cx"])
    return model


@functools.cache
def aer(noise: str = "all") -> Any:
    if noise not in ("all", "gates"):
        return qt.backend("aer", noise=noise)
    model = gate_noise()
    if noise == "all":
        model.add_all_qubit_readout_error(ReadoutError([[1 - P01, P01], [P10, 1 - P10]]))
    return qt.backend("aer", noise=model)


def some_angles(ansatz: Ansatz, rows: int = 1, seed: int = 14) -> Array:
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
    circuit = circuit.copy()
    circuit.save_probabilities()
    simulator = AerSimulator(method="density_matrix", noise_model=gate_noise())
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
    return prepared.circuit.assign_parameters(
        dict(zip(prepared.circuit.parameters, gate_angles, strict=True))
    )


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
    np.testing.assert_allclose(found, exact(ansatz, angles, None, aer("gates")), rtol=0, atol=1e-10)
    law = simulated(bound(ansatz, gate_angles(ansatz, angles[0])), readout=False)
    np.testing.assert_allclose(found[0], law, rtol=0, atol=1e-10)


@pytest.mark.parametrize("ansatz", [SMALL, U3])
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
    angles = some_angles(U3)[0]
    wanted = [Readout(), Rescale(fit=fit, circuits=5)]
    setup = Setup(U3, aer(), None, "auto", wanted)
    assert setup.mitigator is not None
    (training,) = [
        item for item in setup.mitigator.calibration_batch(5).items if item.role == "training"
    ]
    inverse, u = inverse_confusion(3), 1 / 8
    top = bottom = 0.0
    for row in training.bindings:
        ideal = Statevector(bound(U3, row)).probabilities() - u
        noisy = inverse @ simulated(bound(U3, row)) - u
        top, bottom = top + noisy @ ideal, bottom + ideal @ ideal
    raw = inverse @ simulated(bound(U3, gate_angles(U3, angles)))
    expected = u + (raw - u) * bottom / top
    assert 0.7 < top / bottom < 0.95 and expected.min() > 0
    np.testing.assert_allclose(exact(U3, angles, wanted), expected, rtol=0, atol=1e-10)


def test_rescaling_without_readout_undoes_both_decays() -> None:
    angles = some_angles(U3)[0]
    found = calibrated(U3, "rescale").circuits[0].decays
    both = calibrated(U3, ["readout", "rescale"]).circuits[0].decays
    assert list(found) == ["raw"] and list(both) == ["readout"]
    assert found["raw"].value < both["readout"].value
    raw, u = simulated(bound(U3, gate_angles(U3, angles))), 1 / 8
    np.testing.assert_allclose(
        exact(U3, angles, "rescale"), u + (raw - u) / found["raw"].value, rtol=0, atol=1e-10
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


def drawn(wanted: Any, shots: int, rows: int, backend: Any = None) -> tuple[Array, Array]:
    """Unprojected vectors ``(rows, 2**n)`` of the same angles, and the exact one."""
    backend = backend or aer()
    calibration = None if backend == "statevector" else calibrated(SMALL, wanted)
    mitigation = Mitigation.of(wanted, calibration=calibration)
    setup = Setup(SMALL, backend, shots, "parameter-shift", mitigation)
    mitigator, (factor,) = setup.mitigator, setup.factors
    assert mitigator is not None
    made = setup.variants(factor)
    assert sum(n or 0 for _, n, _ in made) == shots
    angles = factor.prepared.form.gate_angles(np.repeat(some_angles(SMALL), rows, axis=0))
    found = calibration.circuits[0] if calibration else None
    known = (found.confusion, found.decays.get(mitigator.combination(0).decay_key)) if found else ()
    out = []
    for sampled, bindings in ((True, angles), (False, angles[:1])):
        items = tuple(
            Item(circuit, bindings, n if sampled else None, part=i)
            for i, (circuit, n, _) in enumerate(made)
        )
        counts = setup.backend.submit(Batch(items=items, seed=(11,)), "t").result()
        vectors = [counts.frequencies(i) for i in range(len(items))]
        out.append(mitigator.recipe(0).combine(vectors, [i.shots for i in items], *known))
    return out[0], out[1][0]


def assert_unbiased(many: Array, one: Array) -> None:
    sigma = many.std(axis=0, ddof=1) / np.sqrt(len(many))
    assert np.all(np.abs(many.mean(axis=0) - one) < 4.5 * sigma)
    np.testing.assert_allclose(many.sum(axis=1), 1.0, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("wanted", "shots"),
    [
        (["readout"], 501),
        (["zne"], 1001),
        (["readout", "zne"], 1001),
        (["readout", "rescale"], 503),
        (["readout", TWIRLS], 778),
        (["readout", TWIRLS, "zne"], 1003),
    ],
)
def test_the_mean_of_many_vectors_is_the_exact_one(wanted: Any, shots: int) -> None:
    assert_unbiased(*drawn(wanted, shots, 1500))


def test_proportional_shots_make_the_noise_of_extrapolation_fourfold() -> None:
    rows, shots = 2000, 1000
    plain, one = drawn([Twirling(variants=1)], shots, rows)
    variance = (one * (1 - one)).sum() / shots
    assert plain.var(axis=0).sum() == pytest.approx(variance, rel=0.07)
    # Where both scales have the same one-shot variance, which is nearly so.
    for split, factor in (("proportional", 4.0), ("equal", 5.0)):
        many, _ = drawn([Zne(split=split)], shots, rows)
        assert many.var(axis=0).sum() / variance == pytest.approx(factor, rel=0.08)


@pytest.mark.parametrize("wanted", [["zne"], [TWIRLS], [TWIRLS, "zne"]])
def test_without_noise_mitigation_is_unbiased(wanted: Any) -> None:
    many, one = drawn(wanted, 1000, 3000, "statevector")
    ideal = probabilities(SMALL, torch.tensor(some_angles(SMALL)[0])).numpy()
    np.testing.assert_allclose(one, ideal, rtol=0, atol=1e-12)
    assert_unbiased(many, ideal)


@pytest.mark.filterwarnings("ignore::qt_hw.errors.MitigationWarning")
def test_gates_of_the_native_form_are_folded_too() -> None:
    """The engine's own u and cu3, each with several angles; there is nothing to mitigate."""
    angles = some_angles(U3)[0]
    found = probabilities(
        U3, torch.tensor(angles), shots=10**7, seed=1, gradient="spsa", mitigation="zne"
    ).numpy()
    ideal = probabilities(U3, torch.tensor(angles)).numpy()
    assert np.all(np.abs(found - ideal) < 2 * 4.5 * np.sqrt(ideal / 1e7))


def test_without_noise_readout_and_rescale_change_nothing_much() -> None:
    angles = some_angles(RY)[0]
    ideal = probabilities(RY, torch.tensor(angles)).numpy()
    with pytest.warns(MitigationWarning, match="leave it off"):
        found = probabilities(
            RY, torch.tensor(angles), shots=200_000, seed=1, gradient="spsa",
            mitigation="readout+rescale",
        ).numpy()  # fmt: skip
    # 4 sigma of the shots, and of a decay from eight circuits of 8,192 shots.
    sigma = np.sqrt(ideal * (1 - ideal) / 200_000) + 0.004 * np.abs(ideal - 1 / 16)
    assert np.all(np.abs(found - ideal) < 4 * sigma + 1e-6)


def test_readout_is_better_than_raw_at_few_shots() -> None:
    angles = torch.tensor(some_angles(RY, 20, seed=3))
    ideal = probabilities(RY, angles).numpy()

    def distance(mitigation: Any) -> float:
        found = probabilities(
            RY, angles, backend=aer(), shots=4000, seed=2, mitigation=mitigation
        ).numpy()
        return float(np.abs(found - ideal).sum(axis=1).mean() / 2)

    raw, readout, rescaled = (distance(name) for name in (None, "readout", "readout+rescale"))
    assert rescaled < 0.9 * readout < 0.9 * 0.8 * raw


def test_shots_are_spread_over_the_circuits_and_calibrations_counted() -> None:
    generator = Generator(RY, backend=aer(), shots=5001, mitigation=["readout", Zne()], seed=1)
    calibration = generator.calibrate()
    assert calibration is not None
    # Two circuits for the readout, then eight at each scale, which tell whether it pays.
    assert calibration.n_circuits == generator.usage.circuits == 2 + 2 * 8
    assert calibration.n_shots == generator.usage.shots == 18 * 8192
    with torch.no_grad():
        generator()
    assert generator.usage == Usage(circuits=20, shots=18 * 8192 + 5001)
    generator().sum().backward()
    rows = generator.setup.n_shifts
    assert generator.usage == Usage(20 + rows, 18 * 8192 + 5001 + rows // 2 * 5001)
    assert generator.calibrate() is calibration


def test_equal_seeds_give_equal_vectors_and_gradients() -> None:
    def once(seed: int) -> tuple[Array, Array]:
        angles = torch.tensor(some_angles(RY)[0], requires_grad=True)
        p = probabilities(
            RY,
            angles,
            backend=aer(),
            shots=400,
            seed=seed,
            mitigation=["readout", TWIRLS, "rescale"],
        )
        (p * torch.arange(16)).sum().backward()
        assert angles.grad is not None
        return p.detach().numpy(), angles.grad.numpy()

    first, again, other = once(1), once(1), once(2)
    for k in range(2):
        np.testing.assert_array_equal(first[k], again[k])
        assert not np.array_equal(first[k], other[k])


@pytest.mark.parametrize("wanted", ["readout", "readout+rescale", "readout+zne"])
def test_batches_are_rows(wanted: str) -> None:
    angles = some_angles(U3, 3)
    mitigation = Mitigation.of(wanted, calibration=calibrated(U3, wanted))
    together = exact(U3, angles, mitigation)
    assert together.shape == (3, 8)
    for row, own in zip(together, angles, strict=True):
        np.testing.assert_allclose(row, exact(U3, own, mitigation), rtol=0, atol=1e-12)
    tensor = torch.tensor(angles, requires_grad=True)
    weights = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(3, 8)
    (probabilities(U3, tensor, backend=aer(), mitigation=mitigation) * weights).sum().backward()
    for k, own in enumerate(angles):
        one = torch.tensor(own, requires_grad=True)
        p = probabilities(U3, one, backend=aer(), mitigation=mitigation)
        (p * weights[k]).sum().backward()
        torch.testing.assert_close(tensor.grad[k], one.grad, rtol=0, atol=1e-12)  # type: ignore[index]


def test_each_factor_of_a_product_is_calibrated() -> None:
    product = ProductAnsatz([RyCnot(3, 1), U3Cu3(2, 1)])
    wanted = ["readout", "rescale"]
    calibration = calibrated(product, wanted)
    assert [one.n_qubits for one in calibration.circuits] == [3, 2]
    assert all(one.confusion is not None and one.decays for one in calibration.circuits)
    angles = some_angles(product)[0]
    found = exact(product, angles, Mitigation.of(wanted, calibration=calibration))
    cut = product.factors()[0].n_angles
    parts = []
    for factor, own, one in zip(
        product.factors(), (angles[:cut], angles[cut:]), calibration.circuits, strict=True
    ):
        alone = Calibration(backend="aer", date=calibration.date, circuits=(one,))
        parts.append(exact(factor, own, Mitigation.of(wanted, calibration=alone)))
    np.testing.assert_allclose(found, np.outer(*parts).ravel(), rtol=0, atol=1e-12)


# Gradients


def weights_of(ansatz: Ansatz) -> Array:
    return np.random.default_rng(8).normal(size=2**ansatz.n_qubits)


def gradient(ansatz: Ansatz, angles: Array, **options: Any) -> Array:
    tensor = torch.tensor(angles, requires_grad=True)
    p = probabilities(ansatz, tensor, **{"backend": aer(), **options})
    (p * torch.tensor(weights_of(ansatz))).sum().backward()
    assert tensor.grad is not None
    return tensor.grad.numpy()


@pytest.mark.parametrize("ansatz", [SMALL, U3])
@pytest.mark.parametrize("wanted", ["readout", "readout+rescale"])
def test_gradients_are_those_of_finite_differences(ansatz: Ansatz, wanted: str) -> None:
    mitigation = Mitigation.of(wanted, calibration=calibrated(ansatz, wanted))
    angles, step = some_angles(ansatz)[0], 1e-4
    found = gradient(ansatz, angles, mitigation=mitigation)
    moves = step * np.eye(len(angles))
    rows = exact(ansatz, np.concatenate([angles + moves, angles - moves]), mitigation)
    assert rows.min() > 0  # so that the projection does nothing
    values = rows @ weights_of(ansatz)
    expected = (values[: len(angles)] - values[len(angles) :]) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    if wanted == "readout+rescale":
        assert not np.allclose(found, gradient(ansatz, angles, mitigation="readout"), atol=1e-3)


@pytest.mark.parametrize("ansatz", [SMALL, U3])
def test_gradients_of_folded_circuits_shift_all_copies_together(ansatz: Ansatz) -> None:
    """The rule of the circuit itself, on vectors folded and simulated elsewhere."""
    angles = some_angles(ansatz)[0]
    form = aer().prepare(ansatz).form
    assert set(form.terms) == {2}
    base = form.gate_angles(angles[None])[0]
    slopes = []
    for k in range(len(base)):
        shift = np.pi / 2 * np.eye(len(base))[k]
        two = extrapolated(ansatz, base + shift) - extrapolated(ansatz, base - shift)
        slopes.append(two @ weights_of(ansatz) / 2)
    expected = form.pull_back(np.array([slopes]))[0]
    found = gradient(ansatz, angles, mitigation="zne")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    # Nearly the derivative of the extrapolated vector itself, as the documentation says.
    moves = 1e-4 * np.eye(len(angles))
    values = exact(ansatz, np.concatenate([angles + moves, angles - moves]), "zne")
    differences = (values[: len(angles)] - values[len(angles) :]) @ weights_of(ansatz) / 2e-4
    np.testing.assert_allclose(found, differences, rtol=0, atol=5e-3)


def test_sampled_gradients_point_the_right_way() -> None:
    """The sheet: cosine .995 with readout correction at 2,000 shots, relative error .11."""
    ansatz = RyCnot(5, 2)
    backend = aer("depolarizing(p1=5e-4, p2=1e-2)+readout(p01=0.0125, p10=0.03)")
    cosines: dict[str | None, list[float]] = {None: [], "readout": []}
    errors: dict[str | None, list[float]] = {None: [], "readout": []}
    for seed in range(6):
        angles = some_angles(ansatz, seed=seed)[0]
        true = gradient(ansatz, angles, backend="statevector")
        for wanted in cosines:
            found = gradient(
                ansatz, angles, backend=backend, shots=2000, seed=seed, mitigation=wanted
            )
            norms = np.linalg.norm(found) * np.linalg.norm(true)
            cosines[wanted].append(float(found @ true / norms))
            errors[wanted].append(float(np.linalg.norm(found - true) / np.linalg.norm(true)))
    assert np.mean(cosines["readout"]) >= 0.99
    assert np.mean(errors["readout"]) < 0.8 * np.mean(errors[None])


# Once per ansatz


def test_circuits_are_constructed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def counted(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*args: Any, **options: Any) -> Any:
            calls[name] += 1
            return real(*args, **options)

        monkeypatch.setattr(module, name, call)

    counted(variants_module, "fold")
    counted(variants_module, "twirled")
    counted(mitigator_module, "make_variants")
    wanted = ["readout", Twirling(variants=2), Zne()]
    generator = Generator(SMALL, backend=aer(), mitigation=wanted, seed=1)
    optimizer = torch.optim.SGD(generator.parameters(), lr=0.05)
    weights, before = torch.tensor(weights_of(SMALL)), Counter[str]()
    for step in range(10):
        optimizer.zero_grad()
        (generator() * weights).sum().backward()
        optimizer.step()
        before = before if step else calls.copy()
    assert generator.step == 10
    # One fold and one set of twirls for each of the two scales.
    assert calls == before and calls == {"fold": 2, "twirled": 2, "make_variants": 1}


# What auto takes


def chosen(
    backend: Any, shots: int, ansatz: Ansatz = RY, calibration_shots: int = 8192
) -> tuple[Setup, Calibration]:
    wanted = Mitigation.of("auto", calibration_shots=calibration_shots)
    setup = Setup(ansatz, backend, shots, "parameter-shift", wanted)
    calibration = setup.calibrate(3, some_angles(ansatz)[0], Usage())
    assert calibration is not None and setup.mitigator is not None
    assert setup.mitigator.combination(0).name == calibration.circuits[0].choice
    assert calibration.circuits[0].reason.startswith(calibration.circuits[0].choice + ": ")
    return setup, calibration


def test_auto_rescales_at_few_shots_and_does_more_with_many() -> None:
    backend = aer("depolarizing(p1=5e-4, p2=1e-2)+readout(p01=0.0125, p10=0.03)")
    ansatz = RyCnot(5, 2)
    few, _ = chosen(backend, 4000, ansatz)
    assert few.mitigator is not None
    assert few.mitigator.combination(0).name == "readout+rescale"
    many, _ = chosen(backend, 10**6, ansatz, calibration_shots=10**5)
    assert many.mitigator is not None
    assert many.mitigator.combination(0).name == "readout+zne"


def test_auto_twirls_coherent_errors() -> None:
    model = NoiseModel()
    turn = coherent_unitary_error(np.diag(np.exp([-0.12j, 0.12j, 0.12j, -0.12j])))
    model.add_all_qubit_quantum_error(turn, ["cx"])
    model.add_all_qubit_readout_error(ReadoutError([[0.98, 0.02], [0.03, 0.97]]))
    setup, calibration = chosen(qt.backend("aer", noise=model), 200_000)
    assert "twirling" in calibration.circuits[0].choice
    assert setup.mitigator is not None
    assert any("twirl(" in one.role for one in setup.mitigator.variants(0))


def test_auto_leaves_what_has_no_noise() -> None:
    _, calibration = chosen("statevector", 4000)
    assert calibration.circuits[0].choice == "raw"


def test_auto_chooses_once_and_keeps_its_choice() -> None:
    setup, calibration = chosen(aer(), 4000, SMALL)
    usage = Usage()
    assert setup.calibrate(99, some_angles(SMALL, seed=4)[0], usage) is calibration
    assert usage == Usage()
    again = Calibration.from_dict(calibration.to_dict())
    other = Setup(SMALL, aer(), 10**7, "auto", Mitigation.of("auto", calibration=again))
    assert other.mitigator is not None
    assert other.mitigator.combination(0).name == calibration.circuits[0].choice
    # Another circuit of the same qubits may choose otherwise, a calibration without choice not.
    plain = calibrated(SMALL, "readout")
    with pytest.raises(InputError, match="was not made for mitigation 'auto'"):
        Setup(SMALL, aer(), 100, "auto", Mitigation.of("auto", calibration=plain))


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"backend": "statevector", "mitigation": "readout"}, InputError, "no errors to mitigate"),
        ({"mitigation": "redout"}, InputError, "did you mean 'readout'"),
        ({"mitigation": "zne+rescale"}, InputError, "both undo the errors of the gates; use one"),
        ({"mitigation": "auto+readout"}, InputError, "'auto' goes alone"),
        ({"mitigation": 3}, InputError, "mitigation is None, 'auto', a name"),
        ({"mitigation": [Zne(fit="exponential")]}, InputError, "gradients do not pass through zne"),
        ({"mitigation": [Rescale(fit="data")]}, InputError, "do not pass through rescale"),
        ({"mitigation": "ddd"}, InputError, "gradients do not pass through ddd"),
        ({"mitigation": "zne", "shots": 1}, PreflightError, "2 circuits: ask for 2 shots or more"),
        ({"mitigation": "twirling", "shots": 15}, PreflightError, "ask for 16 shots or more"),
    ],
)
def test_what_cannot_be_done_is_refused(options: Any, error: Any, words: str) -> None:
    angles = torch.zeros(SMALL.n_angles, dtype=torch.float64, requires_grad=True)
    with pytest.raises(error, match=words):
        probabilities(SMALL, angles, **{"backend": aer(), **options})


def test_techniques_that_are_not_linear_work_without_gradients() -> None:
    angles = some_angles(SMALL)[0]
    found = exact(SMALL, angles, ["readout", Rescale(fit="data")])
    ideal = probabilities(SMALL, torch.tensor(angles)).numpy()
    raw = exact(SMALL, angles, "readout")
    assert np.linalg.norm(found - ideal) < 0.7 * np.linalg.norm(raw - ideal)
    with pytest.raises(InputError, match="gradients do not pass through rescale"):
        Generator(SMALL, backend=aer(), mitigation=[Rescale(fit="data")])


def test_a_technique_that_hurts_is_warned_of_with_the_shots_it_needs() -> None:
    with pytest.warns(MitigationWarning, match="expected to hurt at 500 shots") as caught:
        chosen_angles = torch.tensor(some_angles(SMALL)[0])
        probabilities(
            SMALL, chosen_angles, backend=aer("depolarizing(p2=5e-3)"), shots=500, seed=1,
            mitigation="zne",
        )  # fmt: skip
    text = str(caught[0].message)
    needed = int(text.split("pays from about ")[1].split()[0].replace(",", ""))
    assert 1000 < needed < 10**7
    probabilities(
        SMALL, chosen_angles, backend=aer("depolarizing(p2=5e-3)"), shots=2 * needed, seed=1,
        mitigation="zne",
    )  # fmt: skip
