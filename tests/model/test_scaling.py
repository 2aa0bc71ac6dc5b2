from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from qt_hw.circuits.builtin import U3Cu3
from qt_hw.errors import InputError, UnknownName
from qt_hw.model.generator import probabilities
from qt_hw.model.scaling import FLOOR, RECIPES, Scaling
from qt_hw.model.smoothing import neighbour_mean

# From an independent simulator: U3–CU3 ring, n = 3, L = 2, k-th angle 0.1 k.
P = [
    0.0635384829,
    0.2286082433,
    0.1270855813,
    0.0797429339,
    0.0663279755,
    0.1133171938,
    0.2062676954,
    0.1151118938,
]
X_QT = [
    -0.0617147333,
    0.0834657431,
    0.0100498713,
    -0.0398107479,
    -0.0576849683,
    -0.0028660825,
    0.069682931,
    -0.0011220133,
]


def vector(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def porter_thomas(n_bins: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed).exponential(size=n_bins)
    return draw / draw.sum()


def test_qt_recipe_equals_the_published_scaling() -> None:
    torch.testing.assert_close(Scaling("qt")(vector(P)), vector(X_QT), rtol=0, atol=2e-9)


def test_gradient_through_circuit_and_scaling_equals_the_oracle() -> None:
    angles = (0.1 * torch.arange(1, 37, dtype=torch.float64)).requires_grad_()
    x = Scaling("qt")(probabilities(U3Cu3(3, 2), angles))
    loss = (torch.arange(8) * x).sum()
    loss.backward()
    assert loss.item() == pytest.approx(0.1493064491, abs=1e-9)
    expected = vector([-0.16690045, -0.01464285, 0, 0.39264215, 0.180793, 0])
    assert angles.grad is not None
    torch.testing.assert_close(angles.grad[:6], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("recipe", "values", "slopes"),
    [
        ("qt", [0.096, 0.191, 0.381, 0.468, 0.613, 0.742, 0.925], [2.87, 0.572, 0.114, 0.070]),
        ("qpa", [0.296, 0.418, 0.591, 0.655, 0.750, 0.825, 0.921], [4.44, 0.628, 0.089, 0.049]),
        ("qtrl", [0.0005, 0.005, 0.05, 0.10, 0.245, 0.462, 0.964], [0.05, 0.05, 0.05, 0.0495]),
    ],
)
def test_curve_and_slope_equal_the_published_table(
    recipe: str, values: list[float], slopes: list[float]
) -> None:
    r = vector([0.01, 0.1, 1, 2, 5, 10, 40]).requires_grad_()
    x = Scaling(recipe).prescale(r / len(r))
    np.testing.assert_allclose(x.detach().numpy(), values, atol=6e-4)
    x.sum().backward()
    assert r.grad is not None
    np.testing.assert_allclose(r.grad[:4].numpy(), slopes, rtol=1e-2)


def test_qt_slices_then_centres_and_qpa_centres_then_slices() -> None:
    p = vector(porter_thomas(16, 0).tolist())
    r = 16 * p.numpy()
    for name, alpha, beta in (("qt", 0.3, 0.8), ("qpa", 0.15, 0.6)):
        curve = (beta * np.tanh(0.1 * r / 2)) ** alpha
        kept = curve[:11]
        expected = kept - (kept.mean() if name == "qt" else curve.mean())
        np.testing.assert_allclose(Scaling(name)(p, None, 11).numpy(), expected, atol=1e-14)


def test_number_of_bins_need_not_be_a_power_of_two() -> None:
    uniform = torch.full((6,), 1 / 6, dtype=torch.float64)
    expected = math.sqrt(math.tanh(0.05))
    np.testing.assert_allclose(Scaling("balanced").prescale(uniform).numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("shots", [None, 1, 2, 100, 10**6])
@pytest.mark.parametrize("kind", ["one-hot", "uniform", "negative", "random"])
def test_values_and_gradients_are_finite(
    recipe: str, learnable: bool, shots: int | None, kind: str
) -> None:
    p = {
        "one-hot": vector([0, 1, 0, 0]),
        "uniform": vector([0.25] * 4),
        "negative": vector([-0.02, 0.52, 0.5, 0.0]),
        "random": vector([0.1, 0.2, 0.3, 0.4]),
    }[kind].requires_grad_()
    scaling = Scaling(recipe, learnable=learnable)
    x = scaling(p, shots)
    assert torch.isfinite(x).all()
    (x * vector([1, -2, 3, 5])).sum().backward()
    gradients = [p.grad, *(q.grad for q in scaling.parameters())]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)


def test_empty_bin_has_the_slope_of_the_floor() -> None:
    # Below the floor the curve is its tangent: x(0) = x(r0) - x'(r0) r0, slope x'(r0) per r.
    p = vector([0.0, 1.0]).requires_grad_()
    x = Scaling("qt").prescale(p)
    x[0].backward()
    edge = (0.8 * math.tanh(0.05 * FLOOR)) ** 0.3
    step = 1e-4 * FLOOR
    slope = ((0.8 * math.tanh(0.05 * (FLOOR + step))) ** 0.3 - edge) / step
    assert p.grad is not None
    assert p.grad[0].item() == pytest.approx(2 * slope, rel=1e-3)
    assert x[0].item() == pytest.approx(0.7 * edge, rel=1e-6)


def test_curve_is_continuous_and_increasing_at_the_floor() -> None:
    p = torch.linspace(0, 2 * FLOOR, 201, dtype=torch.float64)
    r = torch.zeros(201, 200, dtype=torch.float64)
    r[:, 0] = p
    x = Scaling("qpa").prescale(r / 200)[:, 0]
    steps = x.diff()
    assert (steps > 0).all()
    assert steps.max() < 1.01 * steps.min() / 0.4


def test_smoothing_adds_half_a_count_to_each_bin() -> None:
    counts = np.array([3, 0, 1, 0])
    smoothed = Scaling("qt").smooth(torch.from_numpy(counts / 4), 4)
    np.testing.assert_allclose(smoothed.numpy(), (counts + 0.5) / 6, atol=1e-15)
    raw = Scaling("qt", smoothing=0).smooth(torch.from_numpy(counts / 4), 4)
    np.testing.assert_allclose(raw.numpy(), counts / 4, atol=0)


@pytest.mark.parametrize(
    ("recipe", "per_bin", "error"),
    [("qt", 1, 0.76), ("qt", 10, 0.35), ("qpa", 1, 0.78), ("qpa", 10, 0.39), ("qtrl", 10, 0.31)],
)
def test_error_of_smoothed_x_equals_the_table(recipe: str, per_bin: int, error: float) -> None:
    # RMS error of centred x over std(x), from an independent computation. The error is a mean
    # over 16,384 nearly independent bins; 0.03 covers its spread and the table's rounding.
    p = porter_thomas(2**14, 1)
    shots = per_bin * len(p)
    counts = np.random.default_rng(2).multinomial(shots, p)
    scaling = Scaling(recipe)
    exact = scaling(torch.from_numpy(p))
    measured = scaling(torch.from_numpy(counts / shots), shots)
    rms = (measured - exact).square().mean().sqrt() / exact.std()
    assert rms.item() == pytest.approx(error, abs=0.03)


def test_balanced_x_has_unit_variance() -> None:
    x = Scaling()(torch.from_numpy(porter_thomas(64, 3)), 4096, 50)
    assert x.mean().abs() < 1e-12
    assert x.square().mean().item() == pytest.approx(1, abs=1e-3)


def test_learnable_constants_start_at_the_recipe_and_stay_positive() -> None:
    scaling = Scaling("qt", learnable=True)
    assert scaling.constants == pytest.approx({"alpha": 0.3, "beta": 0.8, "gamma": 0.1})
    optimizer = torch.optim.SGD(scaling.parameters(), lr=5.0)
    for _ in range(5):
        optimizer.zero_grad()
        scaling.prescale(vector(P)).sum().backward()
        optimizer.step()
    assert all(0 < value < 0.8 or key == "alpha" for key, value in scaling.constants.items())
    assert scaling.constants["alpha"] > 0
    assert not list(Scaling("qt").parameters())


def test_learnable_gradient_equals_finite_differences() -> None:
    weight = torch.arange(8, dtype=torch.float64)

    def loss(log_alpha: float) -> float:
        return float((weight * Scaling("qt", alpha=math.exp(log_alpha))(vector(P))).sum())

    scaling = Scaling("qt", learnable=True)
    (weight * scaling(vector(P))).sum().backward()
    at, step = math.log(0.3), 1e-5
    expected = (loss(at + step) - loss(at - step)) / (2 * step)
    gradient = scaling.logs["alpha"].grad
    assert gradient is not None
    assert gradient.item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.0},
        {"beta": -1.0},
        {"gamma": math.nan},
        {"smoothing": -0.5},
        {"share": 1.0},
        {"share": 0.0},
    ],
)
def test_wrong_constants_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Scaling("qt", **wrong)  # type: ignore[arg-type]


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="did you mean 'balanced'"):
        Scaling("balance")
    with pytest.raises(UnknownName, match="did you mean 'fitted'"):
        Scaling("qt", output="fited")


@pytest.mark.parametrize("shots", [0, -3])
def test_shots_below_one_are_refused(shots: int) -> None:
    with pytest.raises(InputError, match="shots must be at least 1"):
        Scaling()(vector(P), shots)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": 5}, "scaling recipe must be one of balanced, .* not int"),
        ({"recipe": ["qt"]}, "scaling recipe must be one of .* not list"),
        ({"alpha": "x"}, "alpha must be a number, not str"),
        ({"beta": True}, "beta must be a number, not bool"),
        ({"gamma": 10**400}, "gamma must be a positive number, not inf"),
        ({"smoothing": None}, "smoothing must be a number, not NoneType"),
        ({"share": "half"}, "share must be a number, not str"),
        ({"output": 5}, "output rule must be one of fitted, centred, not int"),
        ({"fill": True}, "fill must be one of none, neighbours, not bool"),
        ({"fill": "neighbors"}, "did you mean 'neighbours'"),
    ],
)
def test_values_of_other_types_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Scaling(**arguments)


@pytest.mark.parametrize("n_used", [0, 9])
def test_bins_that_do_not_exist_are_refused(n_used: int) -> None:
    with pytest.raises(InputError, match="between 1 and 8"):
        Scaling()(vector(P), None, n_used)


# Pseudo-counts after the neighbours


def by_hand(p: np.ndarray, shots: int, pseudo: float) -> np.ndarray:
    """Pseudo-counts, half of them uniform and half after the bins that differ in one bit."""
    bins, n = len(p), len(p).bit_length() - 1
    near = np.array([sum(p[i ^ (1 << q)] for q in range(n)) / n for i in range(bins)])
    prior = near / near.sum() / 2 + 1 / (2 * bins)
    return (shots * p + pseudo * bins * prior) / (shots + pseudo * bins)


@pytest.mark.parametrize("pseudo", [0.5, 2.0])
@pytest.mark.parametrize("n_qubits", [1, 2, 5])
def test_neighbours_fill_as_computed_bin_by_bin(n_qubits: int, pseudo: float) -> None:
    scaling = Scaling("qt", smoothing=pseudo, fill="neighbours")
    p, shots = porter_thomas(2**n_qubits, 5), 7
    counts = np.random.default_rng(1).multinomial(shots, p, size=(2, 3)) / shots
    found = scaling.smooth(torch.from_numpy(counts), shots).numpy()
    assert found.shape == (2, 3, 2**n_qubits)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(found[index], by_hand(counts[index], shots, pseudo), atol=1e-15)
    np.testing.assert_allclose(found.sum(-1), 1.0, atol=1e-14)
    assert found.min() > 0


def test_an_empty_bin_takes_more_from_full_neighbours() -> None:
    # All of 4 shots in bin 0 of 8: bins 1, 2 and 4 are next to it.
    p = vector([1, 0, 0, 0, 0, 0, 0, 0])
    found = Scaling(fill="neighbours").smooth(p, 4)
    far = 4 / 8 * (1 / 2) / 8
    near = far + 4 / 8 * (1 / 2) / 3
    expected = [0.5 + far, near, near, far, near, far, far, far]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-15)


def test_filling_is_linear_and_differentiable() -> None:
    scaling = Scaling(fill="neighbours")
    a, b = (torch.from_numpy(porter_thomas(8, seed)) for seed in (1, 2))
    mixed = scaling.smooth(0.3 * a + 0.7 * b, 9)
    expected = 0.3 * scaling.smooth(a, 9) + 0.7 * scaling.smooth(b, 9)
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-15)
    counts = torch.tensor([[0.2, 0.3, 0.4, 0.1], [0.9, 0.05, 0.03, 0.02]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: scaling(p, 20), counts.requires_grad_())


def test_a_uniform_vector_and_exact_probabilities_stay_as_they_are() -> None:
    uniform = torch.full((16,), 1 / 16, dtype=torch.float64)
    filling, p = Scaling(fill="neighbours"), vector(P)
    torch.testing.assert_close(filling.smooth(uniform, 3), uniform, rtol=0, atol=1e-16)
    assert torch.equal(filling(p), Scaling()(p))


def test_without_a_fill_not_one_bit_changes() -> None:
    counts = vector([3, 0, 1, 0]) / 4
    assert torch.equal(Scaling().smooth(counts, 4), (4 * counts + 0.5) / (4 + 0.5 * 4))
    assert torch.equal(Scaling(fill="none")(counts, 4), Scaling()(counts, 4))
    assert "fill" not in repr(Scaling())
    assert "fill='neighbours'" in repr(Scaling(fill="neighbours"))


@pytest.mark.parametrize("bins", [1, 6])
def test_bins_without_neighbours_are_refused(bins: int) -> None:
    with pytest.raises(InputError, match=rf"needs 2\*\*n bins, .* not {bins}; use fill='none'"):
        neighbour_mean(torch.ones(bins))


@pytest.mark.parametrize(
    ("source", "low", "high"), [("U3Cu3", 0.76, 0.90), ("scrambled", 0.98, 1.03)]
)
def test_neighbours_help_shallow_circuits_and_not_scrambled_ones(
    source: str, low: float, high: float
) -> None:
    # Ratio of the total variations, one shot per bin; 16 vectors times 8 draws of 1,024 bins.
    rng, n = np.random.default_rng(5), 10
    ratios = []
    for _ in range(16):
        if source == "U3Cu3":
            angles = torch.from_numpy(rng.uniform(-math.pi, math.pi, 12 * n))
            p = probabilities(U3Cu3(n, 2), angles).numpy()
        else:
            p = rng.exponential(size=2**n)
        p = p / p.sum()
        counts = torch.from_numpy(rng.multinomial(2**n, p, size=8) / 2**n)
        errors = [
            float((Scaling(fill=fill).smooth(counts, 2**n) - torch.from_numpy(p)).abs().sum())
            for fill in ("neighbours", "none")
        ]
        ratios.append(errors[0] / errors[1])
    assert low < np.mean(ratios) < high
