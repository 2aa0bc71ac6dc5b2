"""The expected errors of raw and corrected vectors, against repeated experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qt_hw.errors import InputError
from qt_hw.mitigation import Confusion, advice, correct, estimate
from qt_hw.mitigation.breakeven import break_even
from qt_hw.mitigation.readout import apply_axes

REPEATS = 3000


def case(n=3, concentration=1.0, most=0.05, seed=0):
    """A true vector and a confusion of up to ``most``."""
    rng = np.random.default_rng(seed)
    p01, p10 = rng.uniform(most / 4, most, (2, n))
    matrices = np.moveaxis(np.array([[1 - p01, p10], [p01, 1 - p10]]), -1, 0)
    return rng.dirichlet(np.full(2**n, concentration)), Confusion(matrices=matrices)


def experiments(p, known, shots, calibration_shots, repeats=REPEATS):
    """Squared errors ``(2, repeats)`` and estimates of independent experiments."""
    rng = np.random.default_rng(7)
    n, last = known.n_qubits, 2**known.n_qubits - 1
    law = apply_axes(p, known.matrices)
    edges = [apply_axes(np.eye(2**n)[i], known.matrices) for i in (0, last)]
    errors, found = [], []
    for _ in range(repeats):
        used = known
        if calibration_shots:
            used = estimate([rng.multinomial(calibration_shots, e)[None] for e in edges])
        f = rng.multinomial(shots, law) / shots
        errors.append([((f - p) ** 2).sum(), ((correct(f, used) - p) ** 2).sum()])
        found.append(break_even(used, shots, f))
    return np.array(errors).T, found


@pytest.mark.parametrize(
    ("concentration", "shots", "calibration_shots"),
    [(1.0, 100, None), (1.0, 2000, None), (0.3, 300, 200), (1.0, 5000, 100)],
)
def test_estimates_are_the_mean_errors_of_repeated_experiments(
    concentration, shots, calibration_shots
):
    p, known = case(concentration=concentration)
    errors, found = experiments(p, known, shots, calibration_shots)
    estimates = np.array([[e.raw**2, e.corrected**2] for e in found]).T
    both = np.array([errors.std(axis=1), estimates.std(axis=1)]) / math.sqrt(REPEATS)
    # Clipping the bias at 0 and the first order of C leave less than 3 %.
    tolerance = 5 * np.hypot(*both) + 0.03 * errors.mean(axis=1)
    assert (np.abs(estimates.mean(axis=1) - errors.mean(axis=1)) < tolerance).all()


def test_the_calibrations_own_noise_is_counted():
    p, known = case(concentration=0.3)
    (_, corrected), found = experiments(p, known, 1_000_000, 100)
    mean = np.mean([e.calibration for e in found])
    share = np.mean([e.corrected_noise / e.shots for e in found])
    assert share < 0.01 * mean
    assert mean == pytest.approx(corrected.mean(), rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_the_errors_cross_at_the_break_even(seed):
    p, known = case(seed=seed)
    law = apply_axes(p, known.matrices)
    crossing = break_even(known, 10**9, law).break_even
    assert 20 < crossing < 5000
    for factor, helps in ((0.4, False), (2.5, True)):
        shots = round(factor * crossing)
        (raw, corrected), _ = experiments(p, known, shots, None, repeats=2000)
        gain = raw - corrected
        sign = 1 if helps else -1
        assert sign * gain.mean() > 3 * gain.std() / math.sqrt(len(gain))
    (raw, corrected), _ = experiments(p, known, round(crossing), None, repeats=2000)
    assert corrected.mean() == pytest.approx(raw.mean(), rel=0.05)


def test_the_formulae_are_those_of_the_dense_matrices():
    p, known = case()
    law = apply_axes(p, known.matrices)
    inverse = np.eye(1)
    for matrix in known.matrices:
        inverse = np.kron(np.linalg.inv(matrix), inverse)
    shots = 10**9
    found = break_even(known, shots, law)
    assert found.raw_noise == pytest.approx(1 - (law**2).sum(), rel=1e-8)
    weights = (inverse**2).sum(axis=0)
    expected = (law * weights).sum() - ((inverse @ law) ** 2).sum()
    assert found.corrected_noise == pytest.approx(expected, rel=1e-8)
    assert found.bias == pytest.approx(((law - p) ** 2).sum(), rel=1e-5)
    batch = break_even(known, shots, np.stack([law, law]))
    assert batch.bias == pytest.approx(found.bias, rel=1e-12)


def test_advice_is_right_on_both_sides():
    p, known = case()
    law = apply_axes(p, known.matrices)
    crossing = break_even(known, 10**9, law).break_even
    rng = np.random.default_rng(3)
    for shots, hurts in ((round(crossing / 8), True), (round(8 * crossing), False)):
        told = [advice(known, shots, rng.multinomial(shots, law) / shots) for _ in range(200)]
        right = np.mean([(text is not None) == hurts for text in told])
        assert right >= 0.9


def test_advice_names_the_shots_needed():
    p, known = case()
    law = apply_axes(p, known.matrices)
    f = np.random.default_rng(1).multinomial(100, law) / 100
    crossing = math.ceil(break_even(known, 100, f).break_even)
    assert 100 < crossing < 10_000
    text = advice(known, 100, f)
    assert text is not None and "\n" not in text
    assert text.startswith("readout correction is expected to hurt at 100 shots: L2 error 0.")
    assert text.endswith(f"it pays from about {crossing:,} shots")
    assert advice(known, 100_000, law) is None


def test_advice_asks_for_more_calibration_where_that_is_what_lacks():
    p, known = case()
    law, shots = apply_axes(p, known.matrices), 10**8
    exact = break_even(known, shots, law)
    once = break_even(Confusion(matrices=known.matrices, shots=1), shots, law)
    # Calibrated so that its noise is 0.6 of what the correction changes, hence above the bias.
    poor = Confusion(matrices=known.matrices, shots=round(once.calibration / exact.bias / 0.6))
    assert break_even(poor, shots, law).break_even == math.inf
    text = advice(poor, shots, law)
    assert text is not None and "; calibrate with more than " in text
    needed = int(text.rsplit("more than ", 1)[1].split()[0].replace(",", ""))
    assert needed == pytest.approx(1.5 * poor.shots, rel=0.1)
    assert advice(Confusion(matrices=known.matrices, shots=needed), shots, law) is None


def test_a_perfect_readout_needs_no_warning_and_a_useless_correction_gets_one():
    perfect = Confusion(matrices=np.repeat(np.eye(2)[None], 2, axis=0))
    assert advice(perfect, 100, [0.1, 0.2, 0.3, 0.4]) is None
    symmetric = Confusion(matrices=np.array([[[0.9, 0.1], [0.1, 0.9]]]))
    text = advice(symmetric, 1000, [0.5, 0.5])
    assert text is not None and text.endswith("leave it off, or take more shots")


def test_wrong_input_is_refused():
    _, known = case()
    with pytest.raises(InputError, match="at least 1"):
        advice(known, 0, np.ones(8) / 8)
    with pytest.raises(InputError, match="no break-even"):
        advice(known, None, np.ones(8) / 8)
    with pytest.raises(InputError, match="of 3 qubits"):
        advice(known, 10, np.ones(4) / 4)
    useless = Confusion(matrices=np.full((1, 2, 2), 0.5))
    with pytest.raises(InputError, match="cannot be corrected"):
        advice(useless, 10, [0.5, 0.5])
