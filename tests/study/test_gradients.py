"""Gradient figures against finite differences, analytic variances and the law of shots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from qiskit.quantum_info import Statevector

from qt_hw.circuits.builtin import HardwareEfficient, RyCnot, U3Cu3
from qt_hw.circuits.custom import ProductAnsatz
from qt_hw.errors import InputError
from qt_hw.model.generator import probabilities
from qt_hw.study.gradients import (
    circuit_gradient_variance,
    live_angles,
    loss_gradients,
    measure_gradient,
)
from qt_hw.study.measuring import task_and_data
from qt_hw.tasks import batches
from qt_hw.training.build import make_model
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import load_config

TABLES: dict[str, Any] = {
    "task": {"name": "digits", "options": {"train_size": 200, "test_size": 100}},
    "target": {"name": "mlp-64-32-10"},
    "ansatz": {"name": "RyCnot", "n_qubits": 4, "n_layers": 2},
    "mapping": {"name": "mlp", "hidden": [4], "chunk_size": 151},
    "optimizer": {"steps": 4, "batch_size": 64},
    "seeds": {"data": 1, "init": 2, "sampling": 3},
}
SMOOTH = "target.activation=tanh"
EXACT = {
    "gradient_variance",
    "gradient_norm",
    "local_gradient_variance",
    "global_gradient_variance",
}
SAMPLED = {"noise_variance", "snr", "cosine"}


def config(*changes: str) -> RunConfig:
    return load_config(TABLES, changes)


def test_the_exact_gradient_is_the_derivative_of_the_first_batchs_loss() -> None:
    run = config("ansatz.name=U3Cu3", "ansatz.n_layers=1", SMOOTH)
    model = make_model(run)
    (found,) = loss_gradients(run, model, 1)
    task, data = task_and_data(run.task)
    index = batches(200, 64, seed=1, step=0)
    x, y = data.train[0][index], data.train[1][index]
    circuit = model.generator.ansatz.circuit()
    angles = model.generator.angles.detach().numpy()

    def loss(at: Any) -> float:
        p = Statevector(circuit.assign_parameters(at)).probabilities()
        network = model.export(torch.from_numpy(p))
        return float(task.loss(network(x), y).detach())

    live = live_angles(model.generator.ansatz)
    for i in np.flatnonzero(live)[::5]:
        # Fourth order with a wide step: the network's weights are float32.
        unit = 0.05 * np.eye(len(angles))[i]
        ends = [loss(angles + k * unit) for k in (-2, -1, 1, 2)]
        slope = np.dot([1, -8, 8, -1], ends) / (12 * 0.05)
        assert slope == pytest.approx(found[i], abs=3e-5)
    values = measure_gradient(run, repeats=1)
    assert values["gradient_norm"] == pytest.approx(np.linalg.norm(found[live]))
    assert values["gradient_variance"] == pytest.approx(np.mean(found[live] ** 2))


@pytest.mark.parametrize(
    "ansatz",
    [U3Cu3(3, 1), U3Cu3(4, 2), RyCnot(3, 2), ProductAnsatz([U3Cu3(2, 1), RyCnot(2, 1)])],
    ids=repr,
)
def test_dead_angles_are_those_with_a_zero_column_in_the_jacobian(ansatz: Any) -> None:
    angles = torch.from_numpy(np.random.default_rng(7).uniform(-3, 3, ansatz.n_angles))
    jacobian = torch.autograd.functional.jacobian(lambda a: probabilities(ansatz, a), angles)
    columns = jacobian.abs().amax(dim=0).numpy()
    np.testing.assert_array_equal(live_angles(ansatz), columns > 1e-12)


def test_exact_configurations_have_exact_figures_only() -> None:
    assert set(measure_gradient(config(), repeats=3)) == EXACT
    assert set(measure_gradient(config("backend.shots=64"), repeats=2)) == EXACT | SAMPLED


def test_noise_falls_as_one_over_shots() -> None:
    """Of 40 repeats a variance is known to √(2/39) = 23 %, less with 8 components."""
    few, many = (
        measure_gradient(config(f"backend.shots={shots}", SMOOTH), repeats=40)
        for shots in (4096, 65536)
    )
    for name in EXACT:
        assert few[name] == many[name]
    assert np.log(few["noise_variance"] / many["noise_variance"]) == pytest.approx(
        np.log(16), abs=4 * 0.23 * np.sqrt(2)
    )
    assert few["snr"] < many["snr"]
    assert few["cosine"] < many["cosine"] < 1.0
    # Without bias the error is the noise: snr = mean g² / noise variance.
    expected = many["gradient_variance"] / many["noise_variance"]
    assert many["snr"] == pytest.approx(expected, rel=0.1)


def test_figures_of_measured_gradients_by_hand() -> None:
    run = config("backend.shots=256")
    g = loss_gradients(run.noiseless(), make_model(run.noiseless()), 1)[0]
    measured = loss_gradients(run, make_model(run), 5)
    assert len({row.tobytes() for row in measured}) == 5
    found = measure_gradient(run, repeats=5)
    errors = [float(sum((row - g) ** 2)) for row in measured]
    assert found["snr"] == pytest.approx(sum(g**2) / (sum(errors) / 5))
    cosines = [row @ g / np.sqrt((row @ row) * (g @ g)) for row in measured]
    assert found["cosine"] == pytest.approx(sum(cosines) / 5)
    mean = measured.sum(axis=0) / 5
    assert found["noise_variance"] == pytest.approx(((measured - mean) ** 2).sum() / 4 / len(g))


def test_seeds_decide() -> None:
    run = config("backend.shots=256")
    first, again = (measure_gradient(run, repeats=3) for _ in range(2))
    assert first == again
    other = measure_gradient(config("backend.shots=256", "seeds.sampling=4"), repeats=3)
    assert {name for name in first if first[name] != other[name]} == SAMPLED
    moved = measure_gradient(config("backend.shots=256", "seeds.init=4"), repeats=3)
    assert all(first[name] != moved[name] for name in first)


def test_a_noisy_law_without_shots_is_biased_but_does_not_vary() -> None:
    run = config("backend.name=aer", "backend.noise=depolarizing(p1=0.01, p2=0.05)")
    values = measure_gradient(run, repeats=3)
    assert values["noise_variance"] == 0.0
    assert 0 < values["snr"] < 1e4
    assert 0.5 < values["cosine"] < 1.0


def test_fewer_than_one_repeat_is_refused() -> None:
    with pytest.raises(InputError, match="repeats must be at least 1, not 0"):
        measure_gradient(config(), repeats=0)


# The bare circuit


def test_one_qubit_has_variance_one_half() -> None:
    """The derivative of cos θ; sin² has the variance 1/8."""
    found = circuit_gradient_variance(RyCnot(1, 1), draws=4000)
    sigma = np.sqrt(1 / 8 / 4000)
    assert found["local_gradient_variance"] == pytest.approx(0.5, abs=4 * sigma)
    assert found["global_gradient_variance"] == pytest.approx(found["local_gradient_variance"])


@pytest.mark.parametrize("n", [2, 3, 4])
def test_one_layer_has_the_variances_of_a_product_state(n: int) -> None:
    """A chain of CNOTs makes of Z of its k-th qubit the product of the first k + 1.

    So ⟨Z⟩ is the product of the cosines of k + 1 angles; |0…0⟩ stays as it is, with the
    probability Π cos²(θ/2). E[sin²] = E[cos²] = 1/2 and E[cos⁴(θ/2)] = 3/8.
    """
    found = circuit_gradient_variance(RyCnot(n, 1), draws=8_000)
    local = sum((k + 1) / 2 ** (k + 1) for k in range(n)) / n**2
    assert found["local_gradient_variance"] == pytest.approx(local, rel=0.05)
    assert found["global_gradient_variance"] == pytest.approx(0.5 * (3 / 8) ** (n - 1), rel=0.12)


@pytest.mark.parametrize("kind", [HardwareEfficient, RyCnot, U3Cu3])
def test_variances_fall_with_the_qubits(kind: Any) -> None:
    found = [circuit_gradient_variance(kind(n, 4)) for n in (2, 4, 6)]
    for name in ("local_gradient_variance", "global_gradient_variance"):
        values = [one[name] for one in found]
        assert values == sorted(values, reverse=True)
    # A global observable's falls faster (Cerezo et al. 2021).
    ratios = [one["global_gradient_variance"] / one["local_gradient_variance"] for one in found]
    assert ratios == sorted(ratios, reverse=True)


def test_products_and_slices_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """⟨Z⟩ of one part of a product does not depend on the other's angle."""
    both = ProductAnsatz([RyCnot(1, 1), RyCnot(1, 1)])
    found = circuit_gradient_variance(both, draws=4000)
    assert found["local_gradient_variance"] == pytest.approx(0.25, rel=0.1)
    assert found["global_gradient_variance"] == pytest.approx(0.5 * 3 / 8, rel=0.1)
    monkeypatch.setattr("qt_hw.study.gradients._MOST_BINS", 64)
    assert circuit_gradient_variance(both, draws=4000) == pytest.approx(found, rel=1e-12)
    with pytest.raises(InputError, match="draws must be at least 2, not 1"):
        circuit_gradient_variance(both, draws=1)
